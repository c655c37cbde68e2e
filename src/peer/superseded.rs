//! Ends versions of a share whose place another version has taken.

use super::{SwarmEntry, Transfer, Transfers};
use crate::storage::{RecordError, RecordKind, RecordState, StoreError, is_same_entry};
use crate::torrent::InfoHash;
use std::path::Path;
use std::sync::Arc;

/// The reason that links and the status show for a version whose place another one has taken.
const SUPERSEDED: &str = "another version has taken its place";

/// Another transfer that uses a path, or a path inside it, besides downloads of the versions
/// `except`. What this peer publishes is never an exception.
pub(super) fn other_user(
    transfers: &Transfers,
    info_hash: InfoHash,
    except: &[InfoHash],
    path: &Path,
) -> Option<Arc<Transfer>> {
    let uses = |transfer: &Arc<Transfer>| {
        let hash = transfer.info_hash();
        let is_exception = transfer.plan.is_download() && except.contains(&hash);
        let mut paths = transfer.paths().into_iter();
        hash != info_hash
            && !is_exception
            && paths.any(|used| is_same_entry(&used, path) || used.starts_with(path))
    };
    transfers.transfers().into_iter().find(uses)
}

/// Ends a complete version: it is no longer served, its trackers receive `stopped`, and the next
/// start does not resume it. Does nothing if the version is not at this place.
///
/// # Errors
/// Its record cannot be removed.
pub(super) fn end_complete(
    transfers: &Transfers,
    former: InfoHash,
    place: &RecordKind,
) -> Result<(), RecordError> {
    let records = &transfers.context.records;
    if let Some(transfer) = transfers.transfer(former) {
        if !is_same_entry(&transfer.plan.path(), &place.place()) {
            return Ok(());
        }
        transfer.end_sharing(SUPERSEDED);
        transfers.forget(&SwarmEntry::Transfer(transfer));
        transfers.context.changes.notify();
        return records.remove(former);
    }
    match records.find(former) {
        Some(record)
            if is_same_entry(&record.kind.place(), &place.place())
                && matches!(record.state, RecordState::Complete { .. }) =>
        {
            records.remove(former)
        }
        _ => Ok(()),
    }
}

/// Ends downloads of versions that are not complete. Their partial files stay: the version that
/// takes their place copies what it can use, and then removes them. A download that becomes
/// complete meanwhile stays: it is replaced later. If one cannot be ended, this is only logged: the
/// next start ends it.
pub(super) fn end_all_unfinished(transfers: &Transfers, former: &[Arc<Transfer>]) {
    for transfer in former {
        if let Err(error) = end_unfinished(transfers, transfer) {
            log::warn!(
                "{}: an older version does not end: {error}",
                transfer.name()
            );
        }
    }
}

fn end_unfinished(transfers: &Transfers, former: &Arc<Transfer>) -> Result<(), StoreError> {
    former.wait_while_finishing();
    if !former.fail_if_unfinished(SUPERSEDED) {
        return Ok(());
    }
    former.wait_for_workers();
    former.recover_rename()?;
    former.record_as_stopped().map_err(Box::new)?;
    transfers.forget(&SwarmEntry::Transfer(Arc::clone(former)));
    Ok(())
}

//! Ends versions of a share whose place another version has taken.

use super::{SwarmEntry, Transfer, Transfers};
use crate::storage::{RecordError, RecordState, StoreError, is_same_entry};
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

/// Ends a complete version whose place `new` has taken: it is no longer served, its trackers
/// receive `stopped`, and the next start does not resume it. Does nothing if the version is not at
/// this place, or if it is a later download.
///
/// # Errors
/// Its record cannot be removed.
pub(super) fn end_complete(
    transfers: &Transfers,
    former: InfoHash,
    new: &Transfer,
) -> Result<(), RecordError> {
    let (records, place) = (&transfers.context.records, new.plan.path());
    let is_meant = records.find(former).is_some_and(|record| {
        let has_ended = matches!(
            record.state,
            RecordState::Complete { .. } | RecordState::Failed { .. }
        );
        has_ended
            && record.added_ms < new.plan.added_ms
            && is_same_entry(&record.kind.place(), &place)
    });
    if !is_meant {
        return Ok(());
    }
    let transfer = transfers.transfer(former);
    if let Some(transfer) = transfer.filter(|it| is_same_entry(&it.plan.path(), &place)) {
        transfer.end_sharing(SUPERSEDED);
        transfers.forget(&SwarmEntry::Transfer(transfer));
        transfers.context.changes.notify();
    }
    records.remove(former)
}

/// Ends downloads of versions that are not complete. Their partial files stay: the version that
/// takes their place copies what it can use, and then removes them. If one cannot be ended, this is
/// only logged: the next start ends it. Returns a download that has become complete meanwhile: the
/// new version was not opened to replace it.
pub(super) fn end_all_unfinished(
    transfers: &Transfers,
    former: &[Arc<Transfer>],
) -> Option<Arc<Transfer>> {
    for transfer in former {
        match end_unfinished(transfers, transfer) {
            Ok(true) => {}
            Ok(false) => return Some(Arc::clone(transfer)),
            Err(error) => {
                let name = transfer.name();
                log::warn!("{name}: an older version does not end: {error}");
            }
        }
    }
    None
}

/// Returns `false` if it is complete, or is being completed.
fn end_unfinished(transfers: &Transfers, former: &Arc<Transfer>) -> Result<bool, StoreError> {
    former.wait_while_finishing();
    // Set before, so that its end is no error.
    former.set_place_taken(true);
    if !former.fail_if_unfinished(SUPERSEDED) {
        former.set_place_taken(false);
        return Ok(false);
    }
    former.wait_for_workers();
    former.recover_rename()?;
    former.record_as_stopped().map_err(Box::new)?;
    transfers.forget(&SwarmEntry::Transfer(Arc::clone(former)));
    Ok(true)
}

//! Resumes the recorded transfers and magnet searches when the peer starts.

use super::{
    Context, DamagedRecord, PeerError, Services, SwarmEntry, Transfer, TransferPlan, magnet,
};
use crate::storage::{Record, RecordError, RecordState};
use crate::torrent::{InfoHash, Metainfo};
use std::collections::HashSet;
use std::sync::Arc;

/// What the start of a peer found in its records.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// The records that cannot be used.
    pub(super) damaged: Vec<DamagedRecord>,
    /// The transfers that were complete, and whose files are unchanged.
    pub(super) unchanged: HashSet<InfoHash>,
}

/// Resumes everything that is recorded, except stopped downloads. Complete and unchanged shares are
/// served at once. The others are checked in the background.
///
/// # Errors
/// When the record of a magnet search that became a download cannot be removed, or the system
/// cannot start a thread.
pub(super) fn restore(services: &Services) -> Result<Restored, PeerError> {
    let context = &services.context;
    let (mut to_check, mut damaged, mut complete) = (Vec::new(), Vec::new(), Vec::new());
    let mut found = Vec::new();
    for loaded in context.records.load_all() {
        match loaded {
            Ok((record, _)) if record.state == RecordState::Stopped => {}
            Ok(loaded) => found.push(loaded),
            Err(error) => damaged.push(error),
        }
    }
    let superseded = superseded(&found);
    for (record, metainfo) in found {
        // A crash came after the record of the other version was written.
        if superseded.contains(&record.info_hash)
            && !matches!(record.state, RecordState::Complete { .. })
        {
            stop(context, record);
            continue;
        }
        let transfer = recorded_transfer(services, &record, metainfo);
        let entered = services
            .transfers
            .enter(SwarmEntry::Transfer(Arc::clone(&transfer)));
        if entered.is_err() {
            continue;
        }
        match transfer.reopen_unchanged(&record.state) {
            true => complete.push(transfer),
            false => to_check.push((transfer, record.state)),
        }
    }
    end_former_versions(&complete);
    // A version that takes the place of another one comes before that one, which may end then.
    to_check.sort_by_key(|(transfer, _)| transfer.supersedes().is_empty());
    damaged.extend(magnet::restore(services)?);
    let restored = Restored {
        damaged: damaged.iter().map(damaged_record).collect(),
        unchanged: complete.iter().map(|it| it.info_hash()).collect(),
    };
    if to_check.is_empty() {
        return Ok(restored);
    }
    let stop = context.stop.clone();
    let spawned = context.tasks.spawn("restore", move || {
        for (transfer, recorded) in to_check {
            if stop.is_stopped() {
                return;
            }
            transfer.reopen_or_fail(&recorded);
        }
    });
    spawned.map_err(PeerError::Thread)?;
    Ok(restored)
}

/// The info-hashes of versions whose place another recorded version takes.
fn superseded(found: &[(Record, Metainfo)]) -> HashSet<InfoHash> {
    let groups = found.iter().filter_map(|(record, _)| record.group.as_ref());
    let superseded = groups.flat_map(|group| group.supersedes.iter().copied());
    superseded.collect()
}

/// Records that the download of a version was ended. Its partial file stays: the version that takes
/// its place uses it.
fn stop(context: &Context, record: Record) {
    let stopped = Record {
        state: RecordState::Stopped,
        ..record
    };
    if let Err(error) = context.records.update(&stopped) {
        log::error!("cannot write the record of an older version: {error}");
    }
}

/// Ends the versions whose place complete ones have taken: a crash came before that.
fn end_former_versions(complete: &[Arc<Transfer>]) {
    for transfer in complete {
        if !transfer.supersedes().is_empty() {
            transfer.end_former_versions();
            transfer.update_record();
        }
    }
}

fn damaged_record(error: &RecordError) -> DamagedRecord {
    log::error!("{error}");
    DamagedRecord {
        path: error.path().to_owned(),
        info_hash: error.info_hash(),
        may_lose_download: error.may_lose_download(),
        message: error.to_string(),
    }
}

fn recorded_transfer(services: &Services, record: &Record, metainfo: Metainfo) -> Arc<Transfer> {
    let transfer = services.new_transfer(TransferPlan::recorded(record, metainfo));
    transfer.restore_byte_counts(&record.sources);
    transfer.restore_rename(record);
    transfer
}

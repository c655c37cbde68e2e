//! Resumes the recorded transfers and magnet searches when the peer starts.

use super::{DamagedRecord, PeerError, Services, SwarmEntry, Transfer, TransferPlan, magnet};
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
    /// The transfers that had failed.
    pub(super) failed: HashSet<InfoHash>,
}

/// Resumes everything that is recorded, except stopped downloads. Complete and unchanged shares are
/// served at once. The others are checked in the background.
///
/// # Errors
/// When the record of a magnet search that became a download cannot be removed, or the system
/// cannot start a thread.
pub(super) fn restore(services: &Services) -> Result<Restored, PeerError> {
    let context = &services.context;
    let (mut to_check, mut damaged, mut unchanged) = (Vec::new(), Vec::new(), HashSet::new());
    let mut failed = HashSet::new();
    for loaded in context.records.load_all() {
        let (record, metainfo) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                damaged.push(error);
                continue;
            }
        };
        if record.state == RecordState::Stopped {
            continue;
        }
        let transfer = recorded_transfer(services, &record, metainfo);
        let entered = services
            .transfers
            .enter(SwarmEntry::Transfer(Arc::clone(&transfer)));
        if entered.is_err() {
            continue;
        }
        if matches!(record.state, RecordState::Failed { .. }) {
            failed.insert(transfer.info_hash());
        }
        match transfer.reopen_unchanged(&record.state) {
            true => {
                unchanged.insert(transfer.info_hash());
            }
            false => to_check.push((transfer, record.state)),
        }
    }
    damaged.extend(magnet::restore(services)?);
    let restored = Restored {
        damaged: damaged.iter().map(damaged_record).collect(),
        unchanged,
        failed,
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
    transfer.restore_rename_steps(record);
    transfer
}

//! Resumes the recorded transfers and magnet searches when the peer starts.

use super::{PeerError, Services, SwarmEntry, Transfer, TransferPlan, magnet};
use crate::storage::Record;
use crate::torrent::Metainfo;
use std::sync::Arc;

/// Resumes everything that is recorded. Complete and unchanged shares are served at once. The
/// others are checked in the background.
///
/// # Errors
/// When a record cannot be removed, or the system cannot start a thread.
pub(super) fn restore(services: &Services) -> Result<(), PeerError> {
    let context = &services.context;
    let mut to_check = Vec::new();
    for loaded in context.records.load_all() {
        let (record, metainfo) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                log::error!("{error}");
                continue;
            }
        };
        let transfer = recorded_transfer(services, &record, metainfo);
        let entered = services
            .transfers
            .enter(SwarmEntry::Transfer(Arc::clone(&transfer)));
        if entered.is_ok() && !transfer.reopen_unchanged(&record.state) {
            to_check.push((transfer, record.state));
        }
    }
    magnet::restore(services)?;
    if to_check.is_empty() {
        return Ok(());
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
    spawned.map_err(PeerError::Thread)
}

fn recorded_transfer(services: &Services, record: &Record, metainfo: Metainfo) -> Arc<Transfer> {
    let transfer = services.new_transfer(TransferPlan::recorded(record, metainfo));
    transfer.restore_sources(&record.sources);
    transfer
}

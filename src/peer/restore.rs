//! What was recorded is taken up again when the peer starts.

use super::{Entry, PeerError, Services, Transfer, TransferPlan, magnet};
use crate::storage::Record;
use crate::torrent::Metainfo;
use std::sync::Arc;

/// Takes up all that was recorded: what is complete and unchanged at once, the rest, which has to
/// be checked, in the background.
///
/// # Errors
/// When a record cannot be removed, or the system gives no thread.
pub(super) fn restore(services: &Services) -> Result<(), PeerError> {
    let context = &services.context;
    let mut found = Vec::new();
    for loaded in context.records.load_all() {
        let (record, metainfo) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                log::error!("{error}");
                continue;
            }
        };
        let transfer = recorded(services, &record, metainfo);
        let entered = services
            .transfers
            .enter(Entry::Transfer(Arc::clone(&transfer)));
        if entered.is_ok() && !transfer.reopen_unchanged(&record.state) {
            found.push((transfer, record.state));
        }
    }
    magnet::restore(services)?;
    if found.is_empty() {
        return Ok(());
    }
    let stop = context.stop.clone();
    let spawned = context.tasks.spawn("restore", move || {
        for (transfer, recorded) in found {
            if stop.is_stopped() {
                return;
            }
            transfer.reopen_or_fail(&recorded);
        }
    });
    spawned.map_err(PeerError::Thread)
}

fn recorded(services: &Services, record: &Record, metainfo: Metainfo) -> Arc<Transfer> {
    let transfer = services.new_transfer(TransferPlan::recorded(record, metainfo));
    transfer.restore_sources(&record.sources);
    transfer
}

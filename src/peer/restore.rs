//! What was recorded is taken up again when the peer starts.

use super::{Entry, FileChoice, PeerError, Transfer, Transfers, magnet};
use crate::storage::Record;
use crate::torrent::Metainfo;
use std::sync::Arc;

/// Takes up all that was recorded: what is complete and unchanged at once, the rest, which has to be
/// checked, in the background.
///
/// # Errors
/// When a record cannot be removed, or the system gives no thread.
pub(super) fn restore(transfers: &Transfers) -> Result<(), PeerError> {
    let context = &transfers.context;
    let mut found = Vec::new();
    for loaded in context.records.load_all() {
        let (record, metainfo) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                log::error!("{error}");
                continue;
            }
        };
        let transfer = Arc::new(recorded(transfers, &record, metainfo));
        let entered = transfers.enter(Entry::Transfer(Arc::clone(&transfer)));
        if entered.is_ok() && !transfer.reopen_unchanged(&record.state) {
            found.push((transfer, record.state));
        }
    }
    magnet::restore(transfers)?;
    if found.is_empty() {
        return Ok(());
    }
    let stop = context.stop.clone();
    let spawned = context.tasks.spawn("restore", move || {
        for (transfer, recorded) in found {
            if stop.is_stopped() {
                return;
            }
            transfer.reopen_or_lose(&recorded);
        }
    });
    spawned.map_err(PeerError::Thread)
}

fn recorded(transfers: &Transfers, record: &Record, metainfo: Metainfo) -> Transfer {
    let (services, kind) = (&transfers.services, record.kind.clone());
    let mut transfer = Transfer::new(&transfers.context, services, metainfo, kind, true);
    transfer.added_ms = record.added_ms;
    transfer.replaces = record.replaces;
    transfer.extends = record.extends;
    let group = record.group.as_ref();
    transfer.group = group.map(|(user, group)| services.groups.of(user, group));
    transfer.choice = FileChoice::recorded(&record.only, record.sequential, false);
    transfer.choose();
    transfer.peers = record.peers.clone();
    transfer.state().sources = record.sources.iter().cloned().collect();
    transfer
}

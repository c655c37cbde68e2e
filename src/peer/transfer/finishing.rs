//! The end of a download: whole files are checked, and get their final names.

use super::transfer::Transfer;
use crate::storage::{BadFile, Download, Store, StoreError};
use crate::swarm::Phase;
use crate::wire::Event;
use std::sync::Arc;
use std::time::Duration;

/// How long a cancelled download waits for workers that still write to it.
const WORKERS: Duration = Duration::from_secs(5);
/// How long a cancel waits for one that is being finished.
const FINISH: Duration = Duration::from_secs(60);

/// Why a download of which every piece is here cannot be finished.
#[derive(Debug, thiserror::Error)]
enum FinishError {
    #[error("{} has SHA-1 {} where the torrent says {}", .0.path.display(), .0.found, .0.expected)]
    Bad(BadFile),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Finishes a download on a thread of its own, since hashing and syncing large files would keep a
/// worker from all other downloads.
pub(super) fn spawn(transfer: &Transfer) {
    let Some(for_task) = transfer.to_arc() else {
        return;
    };
    let tasks = &transfer.context.tasks;
    let spawned = tasks.spawn("finish", move || complete(&for_task));
    if let Err(error) = spawned {
        transfer.fail(&format!("cannot start a thread: {error}"));
    }
}

/// Checks whole files where the torrent can, and gives them their final name.
fn complete(transfer: &Transfer) {
    let Some(download) = transfer.files.end_writing() else {
        return;
    };
    let store = Arc::clone(download.store());
    match finish(transfer, download, &store) {
        Ok(()) => {}
        // The next start finds every piece and comes here again.
        Err(FinishError::Store(StoreError::Stopped)) => return,
        Err(error) => return transfer.fail(&error.to_string()),
    }
    if transfer.phase() != Phase::Finishing {
        return;
    }
    // Whoever sees that it is complete may end the peer at once, and trackers shall have heard of
    // it by then.
    if transfer.plan.listed {
        transfer.announce(Some(match transfer.plan.selection.is_all() {
            true => Event::Completed,
            false => Event::Paused,
        }));
    }
    // And a record that it is whole is there before anybody can know.
    transfer.files.set_sealed(store.sealed());
    transfer.record();
    transfer.decide(|core, now| core.on_finished(now));
    log::info!("{}: complete", transfer.name());
    transfer.context.changes.notify();
}

fn finish(
    transfer: &Transfer,
    download: Arc<Download>,
    store: &Arc<Store>,
) -> Result<(), FinishError> {
    if let Some(hashes) = &transfer.file_hashes {
        let bad = hashes.finish(store, &transfer.context.interrupt)?;
        if let Some(bad) = bad.into_iter().next() {
            return Err(FinishError::Bad(bad));
        }
    }
    // All pieces are here: no worker begins to write any more.
    transfer.wait_for_workers();
    let in_use = || StoreError::InUse(store.path().to_owned());
    Arc::into_inner(download).ok_or_else(in_use)?.finish()?;
    store.seal(&store.stamps()?);
    Ok(())
}

impl Transfer {
    /// Waits until no worker writes to it any more.
    pub(crate) fn wait_for_workers(&self) {
        let until = self.context.now() + WORKERS;
        while self.inspect(|core| core.with_workers()) > 0 && self.context.now() < until {
            self.context.stop.wait(Duration::from_millis(5));
        }
    }

    /// Waits for a download of which every piece is here to be complete or to fail.
    pub(crate) fn wait_until_finished(&self) -> Phase {
        let until = self.context.now() + FINISH;
        loop {
            let seen = self.context.changes.count();
            let phase = self.phase();
            if phase != Phase::Finishing || self.context.now() > until {
                return phase;
            }
            self.context.changes.wait(seen, Duration::from_millis(100));
        }
    }
}

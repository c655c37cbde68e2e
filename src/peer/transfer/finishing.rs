//! The end of a download: whole files are verified and get their final names.

use super::transfer::Transfer;
use crate::storage::{BadFile, Download, FinishedDownload, Store, StoreError};
use crate::swarm::Phase;
use crate::wire::AnnounceEvent;
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The longest wait for workers that still write to a download.
const WORKERS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a command waits for a download that is being finished.
const FINISH_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a download with all pieces cannot be finished.
#[derive(Debug, thiserror::Error)]
enum FinishError {
    #[error("{} has SHA-1 {} where the torrent says {}", .0.path.display(), .0.found, .0.expected)]
    Bad(BadFile),
    #[error(
        "{} belongs to {name} too, which this peer shares or downloads: end {name}, or cancel \
         this download",
        .path.display()
    )]
    PlaceInUse { path: PathBuf, name: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Finishes a download on its own thread. Hashing and syncing large files on a pool worker would
/// delay all other downloads.
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

/// Verifies whole files, if the torrent contains their SHA-1, and renames them to their final
/// names.
fn complete(transfer: &Transfer) {
    let Some(download) = transfer.files.end_writing() else {
        return;
    };
    let store = Arc::clone(download.store());
    match finish(transfer, download, &store) {
        Ok(()) => {}
        // The record still says that the download is not complete. The next start finishes it.
        Err(FinishError::Store(StoreError::Stopped)) => return,
        Err(FinishError::Store(error)) => return transfer.wait_or_fail(&error),
        Err(error @ (FinishError::Bad(_) | FinishError::PlaceInUse { .. })) => {
            return transfer.fail(&error.to_string());
        }
    }
    if transfer.phase() != Phase::Finishing {
        return;
    }
    // Until now the version that was here before was served.
    transfer.end_former_versions();
    // Announced before the phase changes. So the trackers learn that the download is complete, even
    // if a person sees the new phase and stops the peer at once.
    if !transfer.plan.is_of_closed_run {
        transfer.announce_soon(Some(match transfer.plan.selection.is_all() {
            true => AnnounceEvent::Completed,
            false => AnnounceEvent::Paused,
        }));
    }
    // The record is also written before the phase changes.
    transfer.files.set_sealed(store.sealed());
    transfer.update_record();
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
        let bad = hashes.finish(store, &transfer.context.tasks.interrupt)?;
        if let Some(bad) = bad.into_iter().next() {
            return Err(FinishError::Bad(bad));
        }
    }
    // All pieces are owned, so no worker begins to write.
    transfer.wait_for_workers();
    if transfer.phase() != Phase::Finishing {
        return Err(StoreError::Stopped.into());
    }
    if transfer.is_update()
        && let Some(name) = transfer.trackers.other_user_of_place(transfer)
    {
        let path = transfer.plan.path();
        return Err(FinishError::PlaceInUse { path, name });
    }
    let in_use = || StoreError::InUse(store.path().to_owned());
    let mut download = Arc::into_inner(download).ok_or_else(in_use)?;
    // This checks that nobody has changed the files that are replaced.
    download.set_replaced(transfer.replaced_files());
    // The first note takes the rename lock. The lock is held until this rename has ended, so that
    // commands that recover an interrupted rename wait until then.
    let renaming = RefCell::new(None);
    let note = |steps| {
        let mut renaming = renaming.borrow_mut();
        renaming.get_or_insert_with(|| transfer.files.lock_rename());
        transfer.note_rename_steps(steps)
    };
    let finished = download.finish(transfer.files.times().as_ref(), &note);
    drop(renaming);
    if let Err(error) = &finished {
        transfer.on_rename_failed(error)?;
    }
    let FinishedDownload { path, stamps, left } = finished?;
    transfer.note_left(left);
    store.seal(&stamps);
    // The store of a download keeps its file or folder open. A finished share gets a store that
    // does not. If the files have changed already, the share keeps the old store, and the thread
    // `watch` notices the change later.
    let whole = transfer.plan.open_whole(transfer.info(), &path);
    if let Some(whole) = whole.ok().filter(|whole| whole.are_all_unchanged(&stamps)) {
        whole.seal(&stamps);
        transfer.files.replace_whole(store, whole);
    }
    Ok(())
}

impl Transfer {
    /// Waits until no worker writes to the download, for [`WORKERS_TIMEOUT`] at most.
    pub(crate) fn wait_for_workers(&self) {
        let until = self.context.now() + WORKERS_TIMEOUT;
        while self.inspect(|core| core.blocks_at_workers()) > 0 && self.context.now() < until {
            self.context.stop.wait(Duration::from_millis(5));
        }
    }

    /// Waits until a download with all pieces is complete or has failed, for [`FINISH_TIMEOUT`] at
    /// most.
    pub(crate) fn wait_while_finishing(&self) -> Phase {
        self.wait_while(|phase| *phase == Phase::Finishing)
    }

    /// Waits as long as `keeps_waiting` is true for the phase, [`FINISH_TIMEOUT`] at most. Returns
    /// the phase after that.
    pub(super) fn wait_while(&self, keeps_waiting: impl Fn(&Phase) -> bool) -> Phase {
        let until = self.context.now() + FINISH_TIMEOUT;
        loop {
            let change_count = self.context.changes.count();
            let phase = self.phase();
            if !keeps_waiting(&phase) || self.context.now() > until {
                return phase;
            }
            self.context
                .changes
                .wait(change_count, Duration::from_millis(100));
        }
    }
}

//! The end of a download: whole files are verified and get their final names.

use super::transfer::Transfer;
use crate::storage::{BadFile, Download, FinishedDownload, Store, StoreError};
use crate::swarm::Phase;
use crate::wire::AnnounceEvent;
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
    let prepared = prepare(transfer, download, &store);
    match prepared.and_then(|download| take_final_name(transfer, download, &store)) {
        Ok(()) => {}
        // The record still says that the download is not complete. The next start finishes it.
        Err(FinishError::Store(StoreError::Stopped)) => {}
        Err(FinishError::Store(error)) => transfer.wait_or_fail(&error),
        Err(error @ (FinishError::Bad(_) | FinishError::PlaceInUse { .. })) => {
            transfer.fail(&error.to_string());
        }
    }
}

/// Verifies whole files and syncs all files, which may take minutes. A command can end the download
/// meanwhile.
fn prepare(
    transfer: &Transfer,
    download: Arc<Download>,
    store: &Arc<Store>,
) -> Result<Download, FinishError> {
    if let Some(hashes) = &transfer.file_hashes {
        let bad = hashes.finish(store, &transfer.files.interrupt)?;
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
    download.set_replaced(transfer.replaced_files());
    download.complete_files(transfer.files.times().as_ref())?;
    Ok(download)
}

/// Renames a prepared download, and makes the transfer complete. Until it is complete, no command
/// can end it: a command ends a download either before it has its final name, or as a complete one.
fn take_final_name(
    transfer: &Transfer,
    download: Download,
    store: &Arc<Store>,
) -> Result<(), FinishError> {
    let renaming = transfer.files.lock_rename();
    if transfer.phase() != Phase::Finishing {
        return Err(StoreError::Stopped.into());
    }
    transfer.set_places_taken(true);
    let note = |steps| transfer.note_rename_steps(steps);
    // This checks that nobody has changed the files that are replaced.
    let finished = match download.finish(transfer.files.times().as_ref(), &note) {
        Ok(finished) => finished,
        Err(error) => {
            transfer.set_places_taken(false);
            drop(renaming);
            transfer.on_rename_failed(&error)?;
            return Err(error.into());
        }
    };
    let FinishedDownload { path, stamps, left } = finished;
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
    become_complete(transfer, store);
    Ok(())
}

fn become_complete(transfer: &Transfer, store: &Store) {
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

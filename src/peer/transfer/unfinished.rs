//! The files of a download that is not complete: they may be missing at the start of the peer, a
//! crash may have interrupted their last rename, and a cancelled download removes them.

use super::transfer::Transfer;
use crate::storage::{
    Destination, Download, Record, RecordKind, RecordState, RenameSteps, StoreError,
    remove_parts_file, undo_moves, undo_steps,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The longest wait for a thread that has the files open.
const OPENER_TIMEOUT: Duration = Duration::from_secs(5);

impl Transfer {
    /// Makes the download wait until its missing files are there again. Does not block.
    pub(super) fn wait_for_files(&self, missing: &StoreError) {
        let reason = format!(
            "{missing}, and this download had begun: mount its disk or put the files back, then \
             the download goes on by itself; or cancel it and start it again"
        );
        if self.decide(|core, now| core.on_files_missing(&reason, now)) {
            log::warn!("{}: waits: {reason}", self.name());
            self.context.changes.notify();
        }
    }

    /// Resumes a download that waits for its files, if they are there again.
    pub(crate) fn look_for_files(self: &Arc<Self>) {
        let RecordKind::Download(place) = &self.plan.kind else {
            return;
        };
        if !self.are_files_there(place) || !self.decide(|core, now| core.on_files_found(now)) {
            return;
        }
        log::info!("{}: its files are there again", self.name());
        self.context.changes.notify();
        if let Err(error) = self.resume(RecordState::Partial) {
            self.fail(&format!("cannot start a thread: {error}"));
        }
    }

    /// Whether an attempt to resume the download would find its files, and not wait for them again.
    fn are_files_there(&self, place: &Destination) -> bool {
        // If nothing was at the final path at first, what is there now is this download: a crash
        // came after its last rename.
        let final_path_was_free = !self.plan.replaces && !self.plan.extends;
        if final_path_was_free && place.path().symlink_metadata().is_ok() {
            return true;
        }
        let opened = self.plan.open_download(self.info(), place);
        !opened.is_err_and(|error| error.is_absence())
    }

    /// Whether its partial file or folder exists.
    pub(super) fn has_partial_files(&self, place: &Destination) -> bool {
        let partial = self.plan.partial.as_ref();
        let path = partial.map(|partial| place.folder.join(partial));
        path.is_some_and(|path| path.symlink_metadata().is_ok())
    }

    /// Reads from the record which steps of the rename to the final name were noted.
    pub(crate) fn restore_steps(&self, record: &Record) {
        self.files.set_steps(record.unfinished.steps.clone());
    }

    /// Writes into the record that the download is about to take its final name in several steps.
    /// `aside` is the name that the replaced folder gets meanwhile, if one is replaced.
    pub(super) fn note_rename_steps(&self, aside: Option<&str>) -> Result<(), StoreError> {
        let aside = aside.map(str::to_owned);
        self.files.set_steps(Some(RenameSteps { aside }));
        if !self.plan.is_of_closed_run {
            let updated = self.context.records.update(&self.to_record());
            updated.map_err(Box::new)?;
        }
        Ok(())
    }

    /// Undoes the steps of the rename to the final name, if they were interrupted, and forgets
    /// them.
    pub(crate) fn undo_steps(&self) -> Result<(), StoreError> {
        if self.undo_steps_on_disk()? {
            self.forget_steps();
        }
        Ok(())
    }

    /// Undoes the steps of the rename to the final name, if they were interrupted. They stay noted,
    /// so that this can be repeated. Returns whether there was something to undo.
    pub(crate) fn undo_steps_on_disk(&self) -> Result<bool, StoreError> {
        let RecordKind::Download(place) = &self.plan.kind else {
            return Ok(false);
        };
        let (Some(steps), Some(partial)) = (self.files.steps(), &self.plan.partial) else {
            return Ok(false);
        };
        match self.plan.extends {
            true => undo_moves(&self.plan.layout(self.info()), place, partial),
            false => undo_steps(place, partial, self.info().layout(), &steps),
        }
    }

    /// Handles a rename to the final name that failed with `error`.
    pub(super) fn on_rename_failed(&self, error: &StoreError) -> Result<(), StoreError> {
        let steps = self.files.steps();
        let replaces_nothing = steps.is_some_and(|steps| steps.aside.is_none());
        // Another file took the final name first. Nothing is undone: undoing would remove that file
        // if it is empty, as if it were our placeholder.
        if replaces_nothing && matches!(error, StoreError::Exists(_)) {
            self.forget_steps();
            return Ok(());
        }
        self.undo_steps()
    }

    fn forget_steps(&self) {
        self.files.set_steps(None);
        self.update_record();
    }

    /// Makes sure that the files are not opened from now on, because the download is cancelled.
    /// Returns the files to discard, if they are open.
    pub(crate) fn cancel_files(&self) -> Option<Arc<Download>> {
        self.files.cancel()
    }

    /// Removes the partial files of a cancelled download that are not open.
    pub(crate) fn discard_closed(&self) -> Result<(), StoreError> {
        let RecordKind::Download(place) = &self.plan.kind else {
            return Ok(());
        };
        let until = self.context.now() + OPENER_TIMEOUT;
        loop {
            match self.plan.open_to_discard(self.info(), place) {
                Ok(download) => return download.discard(),
                // A thread that is opening them removes them when it sees the cancel.
                Err(StoreError::InUse(_)) if self.context.now() < until => {
                    self.context.stop.wait(Duration::from_millis(10));
                }
                Err(StoreError::Missing(_)) if self.plan.extends => return Ok(()),
                Err(StoreError::Missing(_)) => return remove_parts_file(self.info(), place),
                Err(error) => return Err(error),
            }
        }
    }

    /// The paths that it uses, now or when it is complete.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let mut paths = vec![self.plan.path()];
        if let RecordKind::Download(place) = &self.plan.kind
            && !self.phase().was_complete()
        {
            let steps = self.files.steps();
            let aside = steps.and_then(|steps| steps.aside);
            let names = self.plan.partial.iter().chain(&aside);
            paths.extend(names.map(|name| place.folder.join(name)));
        }
        paths
    }
}

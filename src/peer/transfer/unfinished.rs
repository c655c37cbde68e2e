//! The files of a download that is not complete: a crash may have interrupted their last rename,
//! and a cancelled download removes them.

use super::transfer::Transfer;
use crate::storage::{
    Destination, Download, ExtraFiles, Record, RecordKind, RecoveredRename, RenameSteps,
    StoreError, recover_rename, remove_parts_file, remove_replaced, undo_moves,
};
use crate::swarm::Phase;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The longest wait for a thread that has the files open.
pub(super) const OPENER_TIMEOUT: Duration = Duration::from_secs(5);

/// The message about the part of a replaced file or folder that is left.
pub(super) fn left_text(left: &Path) -> String {
    format!(
        "files that were here before are kept as {}: move from there what you need, and remove \
         the rest",
        left.display()
    )
}

impl Transfer {
    /// Fails if something else has the final name of this download. Does not read files.
    pub(crate) fn check_final_name(&self) -> Result<(), StoreError> {
        let RecordKind::Download(place) = &self.plan.kind else {
            return Ok(());
        };
        let path = place.path();
        let final_path_may_exist =
            self.plan.replaces || self.plan.extends || self.files.steps().is_some();
        if final_path_may_exist || path.symlink_metadata().is_err() {
            return Ok(());
        }
        // A download that has taken its final name has no partial files any more.
        let opened = self.plan.open_whole(self.info(), &path);
        let is_other = opened.is_err_and(|error| error.is_mismatch());
        match is_other || self.has_partial_files(place) {
            true => Err(StoreError::OtherContent(path)),
            false => Ok(()),
        }
    }

    /// Whether the partial file or folder of this download exists.
    pub(super) fn has_partial_files(&self, place: &Destination) -> bool {
        let partial = self.plan.partial.as_ref();
        let path = partial.map(|partial| place.folder.join(partial));
        path.is_some_and(|path| path.symlink_metadata().is_ok())
    }

    /// Takes from the record the note about the rename to the final name, and what is left of the
    /// replaced files.
    pub(crate) fn restore_rename(&self, record: &Record) {
        self.files.restore_steps(record.unfinished.steps.clone());
        let name = record.group.as_ref().and_then(|group| group.left.as_ref());
        if let (Some(name), RecordKind::Download(place)) = (name, &record.kind) {
            self.files.set_left(Some(place.folder.join(name)));
        }
    }

    /// Where a part of the files that this download has replaced is. If it is not there any more,
    /// this is forgotten.
    pub(crate) fn left(&self) -> Option<PathBuf> {
        self.files.left()
    }

    /// Writes into the record how the download is about to take its final name.
    pub(super) fn note_rename_steps(&self, steps: RenameSteps) -> Result<(), StoreError> {
        self.files.set_steps(Some(steps));
        if !self.plan.is_of_closed_run {
            let _writing = self.context.records.lock_writing();
            let updated = self.context.records.update(&self.to_record());
            updated.map_err(Box::new)?;
        }
        Ok(())
    }

    /// Returns the phase that a command acts on. If a crash interrupted the rename to the final
    /// name, or came right after the rename, first recovers the rename, and waits until the files
    /// are checked and the download is complete. So the result of a command does not depend on
    /// whether it comes before or after this check.
    ///
    /// # Errors
    /// [`StoreError::NotChecked`] if the check does not end in time. An error of the file system.
    pub(crate) fn settled_phase(self: &Arc<Self>) -> Result<Phase, StoreError> {
        let phase = self.wait_while_finishing();
        let RecordKind::Download(place) = &self.plan.kind else {
            return Ok(phase);
        };
        match phase {
            Phase::Checking | Phase::Failed { .. } => {}
            Phase::Waiting { .. } => {
                self.end_wait_if_possible();
            }
            phase => return Ok(phase),
        }
        self.recover_rename()?;
        let has_only_final_name = || {
            let is_unfinished = self.plan.partial.is_some();
            is_unfinished
                && !self.has_partial_files(place)
                && place.path().symlink_metadata().is_ok()
        };
        if !self.files.was_being_renamed() && !has_only_final_name() {
            return Ok(self.phase());
        }
        let is_being_completed =
            |phase: &Phase| matches!(phase, Phase::Checking | Phase::Finishing);
        let phase = self.wait_while(is_being_completed);
        match is_being_completed(&phase) {
            true => Err(StoreError::NotChecked(place.path())),
            false => Ok(phase),
        }
    }

    /// Ends the download, unless it is complete. Waits for a rename to its final name that has
    /// begun: after that, it is complete. `before` is called first if it ends. Returns whether it
    /// has ended.
    pub(crate) fn end_unless_complete(&self, reason: &str, before: impl FnOnce()) -> bool {
        let _renaming = self.files.lock_rename();
        if self.phase().was_complete() {
            return false;
        }
        before();
        self.fail(reason);
        true
    }

    /// Recovers the rename to the final name, if a crash has interrupted it. Records the result.
    pub(crate) fn recover_rename(&self) -> Result<RecoveredRename, StoreError> {
        let before = self.files.steps();
        let recovered = self.recover_rename_on_disk()?;
        if self.files.steps() != before {
            self.update_record();
        }
        Ok(recovered)
    }

    /// Undoes the rename to the final name, if a crash has interrupted its noted steps. If all of
    /// them were done, removes the folder that was replaced. Does not change the record, so that a
    /// later call can repeat the work.
    pub(crate) fn recover_rename_on_disk(&self) -> Result<RecoveredRename, StoreError> {
        let RecordKind::Download(place) = &self.plan.kind else {
            return Ok(RecoveredRename::Undone);
        };
        let _renaming = self.files.lock_rename();
        let (Some(steps), Some(partial)) = (self.files.steps(), &self.plan.partial) else {
            return Ok(RecoveredRename::Undone);
        };
        let recovered = match self.plan.extends {
            true => undo_moves(&self.plan.layout(self.info()), place, partial)?,
            false => recover_rename(place, partial, self.info().layout(), &steps)?,
        };
        match recovered {
            RecoveredRename::Undone => self.files.set_steps(None),
            RecoveredRename::Done if steps != RenameSteps::Done => {
                self.remove_replaced(place, partial, &steps);
            }
            RecoveredRename::Done | RecoveredRename::Unknown => {}
        }
        Ok(recovered)
    }

    /// Removes the folder that the download has replaced. The caller has checked that the files
    /// under the final name are this download.
    pub(super) fn complete_replacement(&self, place: &Destination) {
        let _renaming = self.files.lock_rename();
        let steps = self.files.steps();
        if let Some(partial) = &self.plan.partial
            && steps != Some(RenameSteps::Done)
        {
            self.remove_replaced(place, partial, &steps.unwrap_or(RenameSteps::New));
        }
    }

    fn remove_replaced(&self, place: &Destination, partial: &str, steps: &RenameSteps) {
        let aside = match steps {
            RenameSteps::SetAside { aside } => Some(aside.as_str()),
            _ => None,
        };
        let extra_files = self.replaced_files().unwrap_or(ExtraFiles::Leave);
        let left = remove_replaced(place, partial, aside, &extra_files);
        self.note_left(left);
        self.files.set_steps(Some(RenameSteps::Done));
    }

    /// Notes that a part of the replaced file or folder is left at this path.
    pub(super) fn note_left(&self, left: Option<PathBuf>) {
        if let Some(left) = &left {
            log::warn!("{}: {}", self.name(), left_text(left));
        }
        self.files.set_left(left);
    }

    /// Handles a rename to the final name that failed with `error`.
    pub(super) fn on_rename_failed(&self, error: &StoreError) -> Result<(), StoreError> {
        let replaces_nothing = self.files.steps() == Some(RenameSteps::New);
        // Another file took the final name first. Nothing is undone: undoing would remove that file
        // if it is empty, as if it were our placeholder.
        if replaces_nothing && matches!(error, StoreError::Exists(_)) {
            self.files.set_steps(None);
            self.update_record();
            return Ok(());
        }
        self.recover_rename().map(drop)
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
                // Another thread has the files open. It discards them when it finds that the
                // download was cancelled.
                Err(StoreError::InUse(_)) if self.context.now() < until => {
                    self.context.stop.wait(Duration::from_millis(10));
                }
                Err(StoreError::Missing(_)) if self.plan.extends => return Ok(()),
                Err(StoreError::Missing(_)) => return remove_parts_file(self.info(), place),
                Err(error) => return Err(error),
            }
        }
    }

    /// The paths that this transfer uses now, or will use when it is complete.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let mut paths = vec![self.plan.path()];
        if let RecordKind::Download(place) = &self.plan.kind
            && !self.phase().was_complete()
        {
            let aside = match self.files.steps() {
                Some(RenameSteps::SetAside { aside }) => Some(aside),
                _ => None,
            };
            let names = self.plan.partial.iter().chain(&aside);
            paths.extend(names.map(|name| place.folder.join(name)));
        }
        paths
    }
}

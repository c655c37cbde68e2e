//! Downloads that wait: for files that are missing, or for room on a full disk. The thread `watch`
//! looks regularly whether they can go on.

use super::transfer::Transfer;
use crate::storage::{
    Destination, RecordKind, RecordState, RecoveredRename, StoreError, has_room, space_needed,
};
use crate::swarm::{Awaited, Phase};
use std::sync::Arc;

impl Transfer {
    /// Makes the download wait until its missing files are there again. Does not block.
    pub(super) fn wait_for_files(&self, missing: &StoreError) {
        let reason = format!(
            "{missing}, and this download had begun: mount its disk or put the files back, then \
             the download goes on by itself; or run {} and start it again",
            self.command_to_end()
        );
        self.wait_for(Awaited::Files, &reason);
    }

    /// Handles an error that keeps the transfer from going on: a download waits if the disk is full
    /// and fails otherwise. A closed run expects a result, so there it fails too.
    pub(super) fn wait_or_fail(&self, error: &StoreError) {
        if !error.is_full() || !self.plan.is_download() || self.plan.is_of_closed_run {
            return self.fail(&error.to_string());
        }
        let (awaited, what) = match error {
            StoreError::Record(error) => {
                let what = format!("cannot write {}", error.path().display());
                (Awaited::RoomForRecord, what)
            }
            error => {
                let needed = self.space_needed(error);
                let what = format!("{} needs {needed} more bytes", self.plan.path().display());
                (Awaited::Room(needed), what)
            }
        };
        // The files are opened and checked again when there is room: what could not be written may
        // have been lost, even if it was verified before.
        self.files.close();
        let reason = format!(
            "the disk or the quota is full, {what}: make room, and the download goes on by itself"
        );
        self.wait_for(awaited, &reason);
    }

    /// Lets a download that waits go on, if what it waits for is there.
    pub(crate) fn end_wait_if_possible(self: &Arc<Self>) {
        let RecordKind::Download(place) = &self.plan.kind else {
            return;
        };
        let Phase::Waiting { awaited, .. } = self.phase() else {
            return;
        };
        let is_there = match awaited {
            Awaited::Files => self.recover_files(place),
            Awaited::Room(needed) => has_room(&place.folder, needed),
            Awaited::RoomForRecord => has_room(self.context.records.folder(), 0),
        };
        // A worker that still writes has the files open.
        let is_idle = self.inspect(|core| core.blocks_at_workers()) == 0;
        if !is_there || !is_idle || !self.decide(|core, now| core.end_wait(now)) {
            return;
        }
        let what = match awaited {
            Awaited::Files => "its files are there again",
            Awaited::Room(_) | Awaited::RoomForRecord => "the disk has room again",
        };
        log::info!("{}: {what}", self.name());
        self.context.changes.notify();
        if let Err(error) = self.resume(RecordState::Partial) {
            self.fail(&format!("cannot start a thread: {error}"));
        }
    }

    fn wait_for(&self, awaited: Awaited, reason: &str) {
        let (served, waits) = self.decide(|core, now| {
            let served = core.phase().serves();
            (served, core.wait_for(awaited, reason, now))
        });
        if !waits {
            return;
        }
        if served {
            self.leave_swarm();
        }
        log::warn!("{}: waits: {reason}", self.name());
        self.context.changes.notify();
    }

    /// The bytes that the disk of the files lacks.
    fn space_needed(&self, error: &StoreError) -> u64 {
        if let StoreError::NoSpace { needed, .. } = error {
            return *needed;
        }
        let missing = self.inspect(|core| self.missing_bytes(core.owned()));
        let store = self.store();
        store.map_or(missing, |store| space_needed(&store, missing))
    }

    /// Returns whether an attempt to resume the download would find its files. Recovers an
    /// interrupted rename if that is necessary to find them.
    fn recover_files(&self, place: &Destination) -> bool {
        // If the final path was free when the download began, the files there now are this
        // download: a crash came after its last rename.
        let final_path_was_free = !self.plan.replaces && !self.plan.extends;
        if final_path_was_free && place.path().symlink_metadata().is_ok() {
            return true;
        }
        if self
            .recover_rename()
            .is_ok_and(|it| it == RecoveredRename::Done)
        {
            return true;
        }
        let opened = self.plan.open_download(self.info(), place);
        !opened.is_err_and(|error| error.is_absence())
    }
}

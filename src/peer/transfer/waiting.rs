//! Downloads that wait: for files that are missing, or for room on a full disk. The thread `watch`
//! looks regularly whether they can go on.

use super::transfer::Transfer;
use crate::storage::{
    Destination, RecordKind, RecordState, RecoveredRename, StoreError, has_room, space_needed,
};
use crate::swarm::{Awaited, Phase};
use crate::system::lock;
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

    /// Handles an error because of which the transfer cannot go on. If the disk is full, a download
    /// waits. Otherwise, and in a closed run, it fails: a closed run expects a result.
    pub(super) fn wait_or_fail(&self, error: &StoreError) {
        if !error.is_full() || !self.plan.is_download() || self.plan.is_of_closed_run {
            return self.fail(&error.to_string());
        }
        let (awaited, path) = match error {
            StoreError::Record(error) => (Awaited::RoomForRecord, error.path().to_owned()),
            error => (Awaited::Room(self.space_needed(error)), self.plan.path()),
        };
        // The files are opened and checked again when there is room: what could not be written may
        // have been lost, even if it was verified before.
        self.files.close();
        let path = path.display();
        let what = match awaited {
            Awaited::Room(needed @ 1..) => format!("{path} needs {needed} more bytes"),
            _ => format!("cannot write {path}"),
        };
        let reason = format!(
            "the disk or the quota is full, {what}: make room, and the download goes on by itself"
        );
        self.wait_for(awaited, &reason);
    }

    /// Ends the wait of a download, if what it waits for is there. Returns whether the download
    /// goes on.
    pub(crate) fn end_wait_if_possible(self: &Arc<Self>) -> bool {
        let RecordKind::Download(place) = &self.plan.kind else {
            return false;
        };
        let Phase::Waiting { awaited, reason } = self.phase() else {
            return false;
        };
        let is_look_due = || lock(&self.files.room_looks).is_due(self.context.now());
        // A worker that still writes has the files open. So the download also waits for workers.
        let is_written_to = self.inspect(|core| core.blocks_at_workers()) > 0;
        let is_there = match awaited {
            _ if is_written_to => false,
            Awaited::Files => self.recover_files(place),
            Awaited::Room(needed) => is_look_due() && has_room(&place.folder, needed),
            Awaited::RoomForRecord => is_look_due() && has_room(self.context.records.folder(), 0),
        };
        if !is_there || !self.decide(|core, now| core.end_wait(now)) {
            return false;
        }
        let what = match awaited {
            Awaited::Files => "its files are there again",
            Awaited::Room(_) | Awaited::RoomForRecord => "the disk has room again",
        };
        log::info!("{}: {what}", self.name());
        self.context.changes.notify();
        if let Err(error) = self.resume(RecordState::Partial) {
            log::warn!("{}: cannot start a thread: {error}", self.name());
            self.wait_for(awaited, &reason);
            return false;
        }
        true
    }

    fn wait_for(&self, awaited: Awaited, reason: &str) {
        let waits = self.decide(|core, now| {
            let waits = core.wait_for(awaited, reason, now);
            if waits && awaited != Awaited::Files {
                let verified = core.progress().verified();
                lock(&self.files.room_looks).on_full(verified, now);
            }
            waits
        });
        if waits {
            log::warn!("{}: waits: {reason}", self.name());
            self.leave_swarm();
            self.context.changes.notify();
        }
    }

    /// The number of bytes for which the disk of the files must have room.
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

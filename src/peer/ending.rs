//! Ends shares and downloads at this peer: for a command of a person, or for a mirror.

use super::{PeerError, Services, SwarmEntry, Transfer};
use crate::storage::{RecordError, RecordKind, RecoveredRename, remove_parts_file};
use std::sync::Arc;

/// The reason that links and the status show for a complete share that `stop_share` ended.
const SHARING_STOPPED: &str = "its sharing was stopped here";
/// The reason for a download that was cancelled.
const CANCELLED: &str = "cancelled";
/// The reason for an unfinished download that `stop_share` ended.
const DOWNLOAD_ENDED: &str = "stop_share ended it";
/// The reason for a share that a mirror has removed.
const REMOVED: &str = "its mirror does not keep it";

/// What was removed of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// Everything.
    All,
    /// All but files that were changed or added here.
    Some,
}

impl Services {
    /// Ends an unfinished download and removes its files. Returns whether it was in the map.
    ///
    /// # Errors
    /// Its files or records cannot be removed.
    pub(super) fn cancel_one(&self, entry: &SwarmEntry) -> Result<bool, PeerError> {
        let SwarmEntry::Transfer(transfer) = entry else {
            self.hooks.on_ended_by_user(entry);
            entry.fail(CANCELLED);
            return self.forget(entry);
        };
        let note = || self.hooks.on_ended_by_user(entry);
        if !transfer.end_unless_complete(CANCELLED, note) {
            let name = transfer.name_of_version();
            return Err(PeerError::Complete(name, transfer.command_to_end()));
        }
        // From now on nothing opens the files again.
        let download = transfer.cancel_files();
        // The download is recorded as stopped before its files are removed. So the next start does
        // not resume it, even if the files cannot be removed now.
        if let Err(error) = self.forget_unfinished(transfer) {
            log::warn!("{}: {error}", transfer.name());
            self.transfers.forget(entry);
        }
        transfer.wait_for_workers();
        // A folder that the download was about to replace gets its name back first.
        let recovered = transfer.recover_rename_on_disk();
        let discarded = recovered.and_then(|recovered| match (recovered, download) {
            (RecoveredRename::Done, _) => Ok(()),
            (_, Some(download)) => download.discard(),
            (_, None) => transfer.discard_closed(),
        });
        // The records go last, so that files that cannot be removed stay recorded.
        let removed = discarded.map_err(PeerError::from);
        let removed = removed.and_then(|()| self.remove_records(entry));
        if removed.is_err() {
            // The user can cancel the download again, unless another download of the share has
            // entered the map meanwhile.
            let _ = self.transfers.enter(entry.clone());
        }
        removed.map(|()| true)
    }

    /// Ends a share or download. Its files stay. Returns whether it was in the map.
    ///
    /// # Errors
    /// The check of its files does not end in time. Its record or its parts file cannot be changed
    /// or removed.
    pub(super) fn stop_one(&self, entry: &SwarmEntry) -> Result<bool, PeerError> {
        let SwarmEntry::Transfer(transfer) = entry else {
            self.hooks.on_ended_by_user(entry);
            entry.fail(DOWNLOAD_ENDED);
            return self.forget(entry);
        };
        transfer.settled_phase()?;
        let note = || self.hooks.on_ended_by_user(entry);
        if transfer.end_unless_complete(DOWNLOAD_ENDED, note) {
            transfer.wait_for_workers();
            transfer.recover_rename()?;
            self.forget_unfinished(transfer)?;
            return Ok(true);
        }
        // The download may have become complete in this moment.
        self.hooks.on_leaving(entry);
        transfer.end_sharing(SHARING_STOPPED);
        let was_there = self.forget(entry)?;
        // The wanted files stay, but nothing uses the parts file any more.
        if let RecordKind::Download(place) = &transfer.plan.kind
            && !transfer.plan.selection.is_all()
        {
            remove_parts_file(transfer.info(), place)?;
        }
        Ok(was_there)
    }

    /// Ends a download that is complete or not, and removes its files. A file that has changed
    /// since it was verified stays.
    ///
    /// # Errors
    /// The check of its files does not end in time. Its files or records cannot be removed.
    pub(super) fn remove_one(&self, transfer: &Arc<Transfer>) -> Result<Removed, PeerError> {
        let entry = SwarmEntry::Transfer(Arc::clone(transfer));
        if !transfer.settled_phase()?.was_complete() {
            return self.cancel_one(&entry).map(|_| Removed::All);
        }
        self.hooks.on_leaving(&entry);
        transfer.end_sharing(REMOVED);
        // The record goes last: it has the stamps, if a crash interrupts this.
        let path = transfer.plan.path();
        let removed = match transfer.as_former_version() {
            Some(version) => version.remove(&path)?,
            None => path.symlink_metadata().is_err(),
        };
        self.forget(&entry)?;
        self.context.changes.notify();
        Ok(match removed {
            true => Removed::All,
            false => Removed::Some,
        })
    }

    /// Removes an unfinished download from the map. Records it as stopped first, so that no other
    /// download can take the name of its partial file between these two steps.
    fn forget_unfinished(&self, transfer: &Arc<Transfer>) -> Result<(), PeerError> {
        let was_recorded = match transfer.record_as_stopped() {
            // The thread that starts the download has not recorded it yet.
            Err(RecordError::Unknown(_)) => false,
            recorded => recorded.map(|()| true)?,
        };
        self.transfers
            .forget(&SwarmEntry::Transfer(Arc::clone(transfer)));
        if was_recorded {
            return Ok(());
        }
        // The starting thread may have recorded the download meanwhile.
        match transfer.record_as_stopped() {
            // If the thread records it later, it sees that the download has ended, and removes the
            // record again.
            Err(RecordError::Unknown(_)) => Ok(()),
            recorded => Ok(recorded?),
        }
    }

    /// Removes an entry from the map and deletes its records. Returns whether it was in the map.
    fn forget(&self, entry: &SwarmEntry) -> Result<bool, PeerError> {
        let was_there = self.transfers.forget(entry);
        self.remove_records(entry)?;
        Ok(was_there)
    }

    /// Deletes the records of an entry, unless another entry of the share has replaced it.
    fn remove_records(&self, entry: &SwarmEntry) -> Result<(), PeerError> {
        if self.transfers.entry(entry.info_hash()).is_some() {
            return Ok(());
        }
        let records = &self.context.records;
        records.remove(entry.info_hash())?;
        records.remove_magnet(entry.info_hash())?;
        Ok(())
    }
}

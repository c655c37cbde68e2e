//! The commands `cancel`, and `stop_share` in open swarms: the peer leaves the swarm and forgets
//! the transfer.
//!
//! The module `groups` has `stop_share` for the shares of groups: there the command can also
//! withdraw the share from the catalogue.

use crate::peer::{Peer, PeerError, SwarmEntry, Transfer};
use crate::storage::{RecordError, RecordKind, RecoveredRename, remove_parts_file};
use crate::swarm::Phase;
use std::sync::Arc;

/// The reason that links and the status show for a complete share that `stop_share` ended.
const SHARING_STOPPED: &str = "its sharing was stopped here";
/// The reason for a download that was cancelled.
const CANCELLED: &str = "cancelled";
/// The reason for an unfinished download that `stop_share` ended.
const DOWNLOAD_ENDED: &str = "stop_share ended it";

impl Peer {
    /// Ends an unfinished download and removes its files. Complete downloads and shares are not
    /// touched.
    ///
    /// # Errors
    /// No unfinished download has that name, or several have it. The check of its files does not
    /// end in time. Its files or records cannot be removed.
    pub fn cancel(&self, name: &str) -> Result<(), PeerError> {
        self.settle(name)?;
        let found = self.only_entry(name, is_unfinished)?;
        let found = found.ok_or_else(|| self.nothing_to_cancel(name))?;
        self.end_with_successor(found, |entry| self.cancel_one(entry))
    }

    /// The error if no unfinished download has this name.
    fn nothing_to_cancel(&self, name: &str) -> PeerError {
        let entries = self.transfers.sorted().into_iter();
        let mut named = entries.filter(|entry| entry.is_named(name));
        let complete = named.find_map(|entry| {
            let transfer = entry.into_transfer()?;
            let is_complete = transfer.plan.is_download() && transfer.phase().was_complete();
            is_complete.then(|| transfer.command_to_end())
        });
        match complete {
            Some(command) => PeerError::Complete(name.to_owned(), command),
            None => PeerError::NoSuchDownload(name.to_owned()),
        }
    }

    /// Ends a share or download in an open swarm: the trackers receive `stopped`, and the next
    /// start does not resume it. Files stay. If the download is unfinished, a later download to the
    /// same place can continue its files.
    ///
    /// # Errors
    /// No share or download has that name, or several have it. The check of its files does not end
    /// in time. Its record or its parts file cannot be changed or removed.
    pub fn stop_open_share(&self, name: &str) -> Result<(), PeerError> {
        let is_open = |entry: &SwarmEntry| match entry {
            SwarmEntry::Search(_) => true,
            SwarmEntry::Transfer(transfer) => {
                transfer.plan.group.is_none() && !transfer.plan.is_of_closed_run
            }
        };
        let found = self.only_entry(name, is_open)?;
        let found = found.ok_or_else(|| PeerError::NoSuchShare(name.to_owned()))?;
        self.end_with_successor(found, |entry| self.stop_one(entry))
    }

    /// For downloads with this name: undoes or completes a rename that a crash has interrupted, and
    /// waits for the check of the files after it.
    fn settle(&self, name: &str) -> Result<(), PeerError> {
        let entries = self.transfers.entries().into_iter();
        let named = entries.filter(|entry| entry.is_named(name));
        for transfer in named.filter_map(SwarmEntry::into_transfer) {
            transfer.settled_phase()?;
        }
        Ok(())
    }

    /// The entry with this name or info-hash for which `is_meant` is true. `None` if there is none.
    pub(super) fn only_entry(
        &self,
        name: &str,
        is_meant: impl Fn(&SwarmEntry) -> bool,
    ) -> Result<Option<SwarmEntry>, PeerError> {
        let mut found = self.transfers.entries();
        found.retain(|entry| entry.is_named(name) && is_meant(entry));
        if found.len() > 1 {
            let hashes = found.iter().map(|entry| entry.info_hash().to_string());
            let hashes: Vec<_> = hashes.collect();
            return Err(PeerError::SeveralShares(name.to_owned(), hashes.join(", ")));
        }
        Ok(found.pop())
    }

    /// Ends an entry. `end` returns whether the entry was still in the map. If the entry is a
    /// magnet search that a download has replaced meanwhile, that download is ended too.
    fn end_with_successor(
        &self,
        mut entry: SwarmEntry,
        end: impl Fn(&SwarmEntry) -> Result<bool, PeerError>,
    ) -> Result<(), PeerError> {
        loop {
            let was_there = end(&entry)?;
            match (&entry, self.transfers.entry(entry.info_hash())) {
                (SwarmEntry::Search(_), Some(next)) if !was_there => entry = next,
                _ => break,
            }
        }
        self.context.changes.notify();
        Ok(())
    }

    fn cancel_one(&self, entry: &SwarmEntry) -> Result<bool, PeerError> {
        let hooks = &self.services.hooks;
        let SwarmEntry::Transfer(transfer) = entry else {
            hooks.on_ended_by_user(entry);
            entry.fail(CANCELLED);
            return self.forget(entry);
        };
        let note = || hooks.on_ended_by_user(entry);
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

    /// Ends a share or download. Returns whether it was in the map.
    pub(super) fn stop_one(&self, entry: &SwarmEntry) -> Result<bool, PeerError> {
        let SwarmEntry::Transfer(transfer) = entry else {
            self.services.hooks.on_ended_by_user(entry);
            entry.fail(DOWNLOAD_ENDED);
            return self.forget(entry);
        };
        transfer.settled_phase()?;
        let note = || self.services.hooks.on_ended_by_user(entry);
        if transfer.end_unless_complete(DOWNLOAD_ENDED, note) {
            transfer.wait_for_workers();
            transfer.recover_rename()?;
            self.forget_unfinished(transfer)?;
            return Ok(true);
        }
        // The download may have become complete in this moment.
        self.services.hooks.on_leaving(entry);
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

/// Whether the entry is a download that is not complete and has not left the map of transfers.
/// First waits for a download that is being finished.
fn is_unfinished(entry: &SwarmEntry) -> bool {
    match entry {
        SwarmEntry::Search(_) => true,
        SwarmEntry::Transfer(transfer) if transfer.plan.is_download() => {
            let phase = transfer.wait_while_finishing();
            !phase.was_complete() && phase != Phase::Retired
        }
        SwarmEntry::Transfer(_) => false,
    }
}

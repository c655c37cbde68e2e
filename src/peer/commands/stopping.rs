//! The commands `cancel`, and `stop_share` in open swarms: the peer leaves the swarm and forgets
//! the transfer.
//!
//! The module `groups` has `stop_share` for the shares of groups: there the command can also
//! withdraw the share from the catalogue.

use crate::peer::{Peer, PeerError, SwarmEntry};
use crate::swarm::Phase;

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
        self.mirrors.on_ended_by_user(found.info_hash());
        self.end_with_successor(found, |entry| self.services.cancel_one(entry))
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
        self.end_with_successor(found, |entry| self.services.stop_one(entry))
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

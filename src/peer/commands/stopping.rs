//! The end of an open share or download at a person's wish: it leaves the swarm and is forgotten.
//!
//! What a group shares ends in `groups`, as its catalogue is asked too.

use crate::peer::{Entry, Peer, PeerError, Transfer};
use crate::storage::{RecordKind, remove_parts_file};
use crate::swarm::Phase;

/// The reason that its links and its status give.
pub(super) const STOPPED: &str = "its sharing was stopped here";

impl Peer {
    /// Ends a download and removes what is there of it; a complete one or a share is not touched.
    ///
    /// # Errors
    /// When there is no unfinished download of that name.
    pub fn cancel(&self, name: &str) -> Result<(), PeerError> {
        let mut called = self.transfers.entries().into_iter();
        let found = called.find(|entry| entry.is_called(name) && is_unfinished(entry));
        let found = found.ok_or_else(|| PeerError::NoSuchDownload(name.to_owned()))?;
        self.end_with_successor(found, |entry| self.cancel_one(entry))
    }

    /// Ends the sharing of what is shared or downloaded here in an open swarm: trackers are told, and
    /// nothing of it is remembered. Its files stay, those of an unfinished download as they are, so
    /// that another download to the same place goes on.
    ///
    /// # Errors
    /// When nothing is called so, or more than one.
    pub fn stop_open_share(&self, name: &str) -> Result<(), PeerError> {
        let is_open = |entry: &Entry| match entry {
            Entry::Search(_) => true,
            Entry::Transfer(transfer) => transfer.plan.group.is_none() && transfer.plan.listed,
        };
        let open = self.transfers.entries().into_iter().filter(is_open);
        let mut called = open.filter(|entry| entry.is_called(name));
        let found = called.next();
        let found = found.ok_or_else(|| PeerError::NoSuchShare(name.to_owned()))?;
        let others: Vec<_> = called.map(|other| other.info_hash().to_string()).collect();
        if !others.is_empty() {
            let hashes = [vec![found.info_hash().to_string()], others].concat();
            return Err(PeerError::SeveralShares(name.to_owned(), hashes.join(", ")));
        }
        self.end_with_successor(found, |entry| self.stop_one(entry))
    }

    /// Ends an entry; `end` returns whether it was in the map still. A download that has come in the
    /// place of its search meanwhile is meant too.
    fn end_with_successor(
        &self,
        mut entry: Entry,
        end: impl Fn(&Entry) -> Result<bool, PeerError>,
    ) -> Result<(), PeerError> {
        loop {
            let was_there = end(&entry)?;
            match (&entry, self.transfers.entry(entry.info_hash())) {
                (Entry::Search(_), Some(next)) if !was_there => entry = next,
                _ => break,
            }
        }
        self.context.changes.notify();
        Ok(())
    }

    fn cancel_one(&self, entry: &Entry) -> Result<bool, PeerError> {
        let download = match entry {
            Entry::Search(_) => None,
            Entry::Transfer(transfer) => transfer.download().or_else(|| transfer.reopen_partial()),
        };
        entry.fail("cancelled");
        let was_there = self.forget(entry)?;
        if let Entry::Transfer(transfer) = entry {
            transfer.wait_for_workers();
        }
        if let Some(download) = download {
            download.discard()?;
        }
        Ok(was_there)
    }

    fn stop_one(&self, entry: &Entry) -> Result<bool, PeerError> {
        let Entry::Transfer(transfer) = entry else {
            entry.fail(STOPPED);
            return self.forget(entry);
        };
        let whole = transfer.wait_until_finished().was_complete();
        if whole {
            leave_whole(transfer);
        } else {
            transfer.fail(STOPPED);
            transfer.wait_for_workers();
        }
        let was_there = self.forget(entry)?;
        if let RecordKind::Download(place) = &transfer.plan.kind
            && whole
            && !transfer.plan.selection.is_all()
        {
            remove_parts_file(transfer.info(), place)?;
        }
        Ok(was_there)
    }

    /// Takes an entry out of the map, and its records away; returns whether it was in the map.
    fn forget(&self, entry: &Entry) -> Result<bool, PeerError> {
        let was_there = self.transfers.forget(entry);
        let records = &self.context.records;
        records.remove(entry.info_hash())?;
        records.remove_magnet(entry.info_hash())?;
        Ok(was_there)
    }
}

/// Serves what is complete no longer, and tells its trackers.
pub(super) fn leave_whole(transfer: &Transfer) {
    // A caller is not let in from now on.
    transfer.decide(|core, now| core.withdraw(STOPPED, now));
    transfer.leave_swarm();
    transfer.close_files();
}

/// Whether it is a download that is not complete. One that is being finished comes to its end first.
fn is_unfinished(entry: &Entry) -> bool {
    match entry {
        Entry::Search(_) => true,
        Entry::Transfer(transfer) if transfer.plan.is_download() => {
            let phase = transfer.wait_until_finished();
            !phase.was_complete() && phase != Phase::Retired
        }
        Entry::Transfer(_) => false,
    }
}

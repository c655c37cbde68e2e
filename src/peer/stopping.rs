//! The end of an open share or download at a person's wish: it leaves the swarm and is forgotten, and what is on the disk stays.
//!
//! What a group shares ends by `group/commands.rs`, as its catalogue has a say in it.

use super::transfer::{Kind, Phase, Transfer};
use super::{Peer, PeerError};
use crate::storage::remove_parts_file;
use std::sync::Arc;

/// Why its links end.
const NOT_SHARED: &str = "it is not shared any more";

impl Peer {
    /// Ends the sharing of what is shared or downloaded here in an open swarm: trackers are told, and nothing of it is remembered.
    /// Its files stay, those of an unfinished download as they are, so that another download to the same place goes on.
    ///
    /// # Errors
    /// When nothing is called so, or more than one.
    pub fn stop_open_share(&self, name: &str) -> Result<(), PeerError> {
        let open = self.shared.transfers().into_iter();
        let mut called =
            open.filter(|other| other.group.is_none() && other.listed && other.is_called(name));
        let found = called.next();
        let found = found.ok_or_else(|| PeerError::NoSuchShare(name.to_owned()))?;
        let others: Vec<_> = called.map(|other| other.info_hash().to_string()).collect();
        if !others.is_empty() {
            let hashes = [vec![found.info_hash().to_string()], others].concat();
            return Err(PeerError::SeveralShares(name.to_owned(), hashes.join(", ")));
        }
        let mut transfer = found;
        loop {
            let was_there = self.end_open(&transfer)?;
            // The download that a magnet link's metadata was made into has come in its place: that is meant too.
            match self.shared.transfer(transfer.info_hash()) {
                Some(next) if !was_there && transfer.sought().is_some() => transfer = next,
                _ => break,
            }
        }
        self.shared.notify_change();
        Ok(())
    }

    /// Ends one; says whether it was there still.
    fn end_open(&self, transfer: &Arc<Transfer>) -> Result<bool, PeerError> {
        let shared = &self.shared;
        let phase = transfer.wait_until_finished(shared);
        let whole = matches!(phase, Phase::Complete | Phase::Lost(_));
        if whole {
            // Who calls now is not let in any more.
            transfer.state().out = true;
            shared.leave(transfer);
            shared.owned.remove(transfer.info_hash());
            transfer.close_links(NOT_SHARED);
            transfer.close_files();
        } else {
            transfer.fail(shared, NOT_SHARED);
            transfer.wait_for_pool(shared);
        }
        let was_there = shared.forget(transfer);
        shared.records.remove(transfer.info_hash())?;
        shared.records.remove_magnet(transfer.info_hash())?;
        if let Kind::Download(place) = &transfer.kind
            && whole
            && !transfer.selection.is_all()
        {
            remove_parts_file(transfer.info(), place)?;
        }
        Ok(was_there)
    }
}

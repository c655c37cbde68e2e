//! The owned map: which pieces of which share this peer serves.
//!
//! One map behind one lock. The listener checks whether a swarm is served. Writing threads of links
//! check whether a block may be sent. Workers publish verified pieces. The lock is held for one
//! look-up or insertion.

use crate::system::lock;
use crate::torrent::{InfoHash, PieceIndex, PieceSet};
use std::collections::HashMap;
use std::sync::Mutex;

/// All shares that this peer serves.
#[derive(Debug, Default)]
pub(super) struct OwnedMap {
    shares: Mutex<HashMap<InfoHash, OwnedPieces>>,
}

/// The owned pieces of one share.
#[derive(Debug)]
struct OwnedPieces {
    pieces: PieceSet,
    /// The pieces verified since the share was inserted, the earliest first. Links send their
    /// `have` messages from this list.
    journal: Vec<PieceIndex>,
}

impl OwnedMap {
    /// Begins to serve a share.
    pub(super) fn insert(&self, info_hash: InfoHash, pieces: PieceSet) {
        let journal = Vec::new();
        lock(&self.shares).insert(info_hash, OwnedPieces { pieces, journal });
    }

    /// Stops serving a share.
    pub(super) fn remove(&self, info_hash: InfoHash) {
        lock(&self.shares).remove(&info_hash);
    }

    /// Whether a share is served.
    pub(super) fn serves(&self, info_hash: InfoHash) -> bool {
        lock(&self.shares).contains_key(&info_hash)
    }

    /// Adds a piece that was verified and written.
    pub(super) fn publish(&self, info_hash: InfoHash, piece: PieceIndex) {
        if let Some(share) = lock(&self.shares).get_mut(&info_hash)
            && share.pieces.insert(piece)
        {
            share.journal.push(piece);
        }
    }

    /// Whether a piece may be served.
    pub(super) fn contains(&self, info_hash: InfoHash, piece: PieceIndex) -> bool {
        lock(&self.shares)
            .get(&info_hash)
            .is_some_and(|share| share.pieces.contains(piece))
    }

    /// All pieces owned now, and the current end of the journal. `None` if the share is not served.
    pub(super) fn snapshot(&self, info_hash: InfoHash) -> Option<(PieceSet, usize)> {
        let shares = lock(&self.shares);
        let share = shares.get(&info_hash)?;
        Some((share.pieces.clone(), share.journal.len()))
    }

    /// The pieces added to the journal since `position`. Advances `position` past them.
    pub(super) fn published_since(
        &self,
        info_hash: InfoHash,
        position: &mut usize,
    ) -> Vec<PieceIndex> {
        let shares = lock(&self.shares);
        let journal = shares
            .get(&info_hash)
            .map(|share| share.journal.as_slice())
            .unwrap_or_default();
        let new = journal.get(*position..).unwrap_or_default().to_vec();
        *position += new.len();
        new
    }
}

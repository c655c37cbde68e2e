//! The owned segments: which pieces of which share may be served now.
//!
//! One map behind one lock. The listener asks it whether a swarm is served here, the writing
//! threads of links whether a block may go out, and workers publish verified pieces in it. The lock
//! is held for a look-up or an insertion only.

use crate::system::lock;
use crate::torrent::{InfoHash, PieceIndex, PieceSet};
use std::collections::HashMap;
use std::sync::Mutex;

/// All shares that are served.
#[derive(Debug, Default)]
pub(super) struct OwnedMap {
    shares: Mutex<HashMap<InfoHash, OwnedPieces>>,
}

/// What is owned of one share.
#[derive(Debug)]
struct OwnedPieces {
    pieces: PieceSet,
    /// Pieces in the order they were verified since the share came in. Links send their `have`s
    /// from it.
    journal: Vec<PieceIndex>,
}

impl OwnedMap {
    /// Serves a share from now on.
    pub(super) fn insert(&self, info_hash: InfoHash, pieces: PieceSet) {
        let journal = Vec::new();
        lock(&self.shares).insert(info_hash, OwnedPieces { pieces, journal });
    }

    /// Serves it no longer.
    pub(super) fn remove(&self, info_hash: InfoHash) {
        lock(&self.shares).remove(&info_hash);
    }

    /// Whether a share is served.
    pub(super) fn serves(&self, info_hash: InfoHash) -> bool {
        lock(&self.shares).contains_key(&info_hash)
    }

    /// A piece is verified and written.
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

    /// All pieces owned now, and the place in the journal where further ones will be.
    pub(super) fn snapshot(&self, info_hash: InfoHash) -> Option<(PieceSet, usize)> {
        let shares = lock(&self.shares);
        let share = shares.get(&info_hash)?;
        Some((share.pieces.clone(), share.journal.len()))
    }

    /// The pieces that came since `place` in the journal; `place` moves on.
    pub(super) fn published_since(
        &self,
        info_hash: InfoHash,
        place: &mut usize,
    ) -> Vec<PieceIndex> {
        let shares = lock(&self.shares);
        let journal = shares
            .get(&info_hash)
            .map(|share| share.journal.as_slice())
            .unwrap_or_default();
        let new = journal.get(*place..).unwrap_or_default().to_vec();
        *place += new.len();
        new
    }
}

//! The owned segments: which pieces of which share may be served now.
//!
//! One map behind one lock, shared by the listener (is this swarm served here?), the writing threads of links (may this
//! block go out?) and the workers that publish a verified piece. The lock is held for a look-up or an insertion only.

use super::transfer::Transfer;
use crate::torrent::{InfoHash, PieceIndex, PieceSet};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All shares that are served.
#[derive(Debug, Default)]
pub(super) struct Owned {
    shares: Mutex<HashMap<InfoHash, Segments>>,
}

/// What is owned of one share.
#[derive(Debug)]
struct Segments {
    pieces: PieceSet,
    /// Pieces in the order they were verified since the share came in: links tell their `have`s from it.
    journal: Vec<PieceIndex>,
    transfer: Arc<Transfer>,
}

impl Owned {
    /// Serves a share from now on.
    pub(super) fn insert(&self, transfer: Arc<Transfer>, pieces: PieceSet) {
        let segments = Segments {
            pieces,
            journal: Vec::new(),
            transfer,
        };
        self.shares()
            .insert(segments.transfer.info_hash(), segments);
    }

    /// Serves it no more.
    pub(super) fn remove(&self, info_hash: InfoHash) {
        self.shares().remove(&info_hash);
    }

    /// The share a caller names.
    pub(super) fn transfer(&self, info_hash: InfoHash) -> Option<Arc<Transfer>> {
        self.shares()
            .get(&info_hash)
            .map(|segments| Arc::clone(&segments.transfer))
    }

    /// A piece is verified and written.
    pub(super) fn publish(&self, info_hash: InfoHash, piece: PieceIndex) {
        if let Some(segments) = self.shares().get_mut(&info_hash)
            && segments.pieces.insert(piece)
        {
            segments.journal.push(piece);
        }
    }

    /// Whether a piece may be served.
    pub(super) fn has(&self, info_hash: InfoHash, piece: PieceIndex) -> bool {
        self.shares()
            .get(&info_hash)
            .is_some_and(|segments| segments.pieces.contains(piece))
    }

    /// All pieces owned now, and the place in the journal after which further ones stand.
    pub(super) fn snapshot(&self, info_hash: InfoHash) -> Option<(PieceSet, usize)> {
        let shares = self.shares();
        let segments = shares.get(&info_hash)?;
        Some((segments.pieces.clone(), segments.journal.len()))
    }

    /// The pieces that came since `place` in the journal; `place` moves on.
    pub(super) fn since(&self, info_hash: InfoHash, place: &mut usize) -> Vec<PieceIndex> {
        let shares = self.shares();
        let journal = shares
            .get(&info_hash)
            .map(|segments| segments.journal.as_slice())
            .unwrap_or_default();
        let new = journal.get(*place..).unwrap_or_default().to_vec();
        *place += new.len();
        new
    }

    fn shares(&self) -> MutexGuard<'_, HashMap<InfoHash, Segments>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

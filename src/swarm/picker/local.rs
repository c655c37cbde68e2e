//! The pieces that have local blocks.
//!
//! A link begins a piece with some local blocks like any other piece, and requests the other
//! blocks. No link begins a piece whose blocks are all local.

#[cfg(test)]
use crate::swarm::mutation::{Mutation, is_planted};
use crate::swarm::{BlockRun, LocalBlocks};
use crate::torrent::{Lengths, PieceIndex};
use std::collections::BTreeSet;

/// The pieces that have local blocks, until they are owned or lose their local blocks.
#[derive(Debug, Default)]
pub(super) struct LocalPieces {
    blocks: LocalBlocks,
    /// The pieces that were not begun and whose blocks are all local.
    waiting: BTreeSet<PieceIndex>,
    /// Runs that were begun and of which no link has to deliver anything. The caller takes them.
    complete: Vec<BlockRun>,
}

impl LocalPieces {
    /// The local blocks of a download that has not begun. `wants` says whether a piece is needed
    /// and not owned.
    pub(super) fn new(
        blocks: LocalBlocks,
        lengths: &Lengths,
        wants: impl Fn(PieceIndex) -> bool,
    ) -> Self {
        let whole = blocks.pieces();
        let whole = whole.filter(|piece| wants(*piece) && blocks.covers(*piece, lengths));
        Self {
            waiting: whole.collect(),
            blocks,
            complete: Vec::new(),
        }
    }

    /// The local blocks.
    pub(super) fn blocks(&self) -> &LocalBlocks {
        &self.blocks
    }

    /// The pieces that were not begun and whose blocks are all local.
    pub(super) fn waiting(&self) -> &BTreeSet<PieceIndex> {
        &self.waiting
    }

    /// A piece returns to waiting. Returns whether it waits here, because all its blocks are local.
    pub(super) fn on_waits(&mut self, piece: PieceIndex, lengths: &Lengths) -> bool {
        self.blocks.covers(piece, lengths) && {
            self.waiting.insert(piece);
            true
        }
    }

    /// A run of this piece is begun. Returns whether the piece was one of
    /// [`LocalPieces::waiting`]. It is not any more.
    pub(super) fn on_begun(&mut self, piece: PieceIndex) -> bool {
        self.waiting.remove(&piece)
    }

    /// A run was begun. It is `complete` if no link has to deliver anything.
    pub(super) fn on_run_begun(&mut self, complete: Option<BlockRun>) {
        self.complete.extend(complete);
    }

    /// The runs that were begun and of which no link has to deliver anything. Each is returned
    /// once.
    pub(super) fn take_complete(&mut self) -> Vec<BlockRun> {
        std::mem::take(&mut self.complete)
    }

    /// A piece is owned, or its local blocks cannot be read or are wrong: it has no local blocks
    /// from now on.
    pub(super) fn forget(&mut self, piece: PieceIndex) {
        #[cfg(test)]
        if is_planted(Mutation::LocalKept) {
            return;
        }
        self.blocks.forget(piece);
        self.waiting.remove(&piece);
    }
}

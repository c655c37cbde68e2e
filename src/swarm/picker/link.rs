//! One link as the picker sees it: its pieces, whether it sends them, and the requests to it.

use super::requests::Requests;
use crate::swarm::LinkId;
#[cfg(test)]
use crate::swarm::mutation::{Mutation, is_planted};
use crate::torrent::{Lengths, PieceIndex, PieceSet};

/// How many pieces are kept that a link allows while it chokes us, and how many that it suggests;
/// BEP 6 has ten of them.
const HINTS: usize = 32;

/// One link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) has: PieceSet,
    /// It has announced its pieces.
    pub(super) told: bool,
    /// Pieces it has that are not owned here.
    wanted: u32,
    pub(super) choked: bool,
    /// Pieces that may be asked for while choked.
    allowed: Vec<PieceIndex>,
    /// Pieces that it would like to send, the latest last.
    suggested: Vec<PieceIndex>,
    /// For one that delivers long stretches best: the piece after the last that it began.
    pub(super) stretch: Option<u32>,
    pub(super) requests: Requests,
}

impl Link {
    /// A link that is choked and has announced no piece.
    pub(super) fn new(id: LinkId, lengths: &Lengths, largest_window: u32) -> Self {
        Self {
            id,
            has: PieceSet::empty(lengths),
            told: false,
            wanted: 0,
            choked: true,
            allowed: Vec::new(),
            suggested: Vec::new(),
            stretch: None,
            requests: Requests::new(largest_window),
        }
    }

    /// Whether it has a piece that is not owned here.
    pub(super) fn is_interesting(&self) -> bool {
        self.wanted > 0
    }

    /// How many pieces it has that are wanted here.
    #[cfg(test)]
    pub(super) fn wanted(&self) -> u32 {
        self.wanted
    }

    /// Whether it has the piece and would send it.
    pub(super) fn offers(&self, piece: PieceIndex) -> bool {
        #[cfg(test)]
        if is_planted(Mutation::AskedWhileChoked) {
            return self.has.contains(piece);
        }
        self.has.contains(piece) && (!self.choked || self.allowed.contains(&piece))
    }

    /// Whether it would send any piece that is wanted.
    pub(super) fn serves(&self, wants: impl Fn(PieceIndex) -> bool) -> bool {
        #[cfg(test)]
        if is_planted(Mutation::AskedWhileChoked) {
            return self.wanted > 0;
        }
        let mut allowed = self.allowed.iter();
        self.wanted > 0
            && (!self.choked || allowed.any(|piece| self.has.contains(*piece) && wants(*piece)))
    }

    /// The pieces it would like to send, the latest first.
    pub(super) fn suggested(&self) -> impl Iterator<Item = PieceIndex> {
        self.suggested.iter().rev().copied()
    }

    /// A piece of it is begun: its stretch goes on after that.
    pub(super) fn begin(&mut self, piece: PieceIndex) {
        self.stretch = self.stretch.map(|_| piece.number() + 1);
    }

    /// It announced all its pieces, of which `wanted` are missing here.
    pub(super) fn set_pieces(&mut self, has: PieceSet, wanted: u32) {
        (self.has, self.wanted, self.told) = (has, wanted, true);
    }

    /// It announced one piece; returns whether that is new.
    pub(super) fn add_piece(&mut self, piece: PieceIndex, wanted: bool) -> bool {
        self.told = true;
        let is_new = self.has.insert(piece);
        self.wanted += u32::from(is_new && wanted);
        is_new
    }

    /// A piece is owned here now.
    pub(super) fn owned_here(&mut self, piece: PieceIndex) {
        if self.has.contains(piece) {
            self.wanted -= 1;
        }
    }

    /// It will send this piece even while it chokes us.
    pub(super) fn allow(&mut self, piece: PieceIndex) {
        if self.allowed.len() < HINTS && !self.allowed.contains(&piece) {
            self.allowed.push(piece);
        }
    }

    /// BEP 6: what is refused though it was allowed is not asked for again.
    pub(super) fn disallow(&mut self, piece: PieceIndex) {
        self.allowed.retain(|allowed| *allowed != piece);
    }

    /// It would like to send this piece before others.
    pub(super) fn suggest(&mut self, piece: PieceIndex) {
        self.suggested.retain(|other| *other != piece);
        if self.suggested.len() >= HINTS {
            self.suggested.remove(0);
        }
        self.suggested.push(piece);
    }
}

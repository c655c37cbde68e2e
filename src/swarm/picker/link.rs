//! One link as the picker sees it: the peer's pieces, whether it sends them, and the requests in
//! flight.

use super::requests::Requests;
use crate::swarm::LinkId;
#[cfg(test)]
use crate::swarm::mutation::{Mutation, is_planted};
use crate::torrent::{Lengths, PieceIndex, PieceSet};

/// The largest number of allowed-fast pieces kept for a link, and of suggested ones. In BEP 6 the
/// allowed-fast set has ten pieces.
const MAX_KEPT_PIECES: usize = 32;

/// One link.
#[derive(Debug)]
pub(super) struct PickerLink {
    pub(super) id: LinkId,
    pub(super) pieces: PieceSet,
    /// The peer has announced its pieces.
    pub(super) announced: bool,
    /// The number of the peer's pieces that are wanted here.
    wanted: u32,
    /// Whether the peer chokes us.
    pub(super) choked: bool,
    /// Pieces that we may request while the peer chokes us.
    allowed: Vec<PieceIndex>,
    /// Pieces that the peer suggests, the latest last.
    suggested: Vec<PieceIndex>,
    /// For a web seed: the piece after the one that it began last. The search for its next piece
    /// starts there.
    pub(super) next_in_range: Option<u32>,
    /// The value of [`Pieces::waiting_changes`](super::pieces::Pieces) when a search found that the
    /// peer has no waiting piece outside `alone`. As long as this value and the pieces of the peer
    /// stay the same, another search finds none either.
    has_no_waiting_at: Option<u64>,
    pub(super) requests: Requests,
    pub(super) merit: Merit,
}

/// What a link has delivered so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Merit {
    /// Whether a block from the peer was in a piece that was verified.
    pub(super) has_verified_blocks: bool,
    /// Whether the peer is cleared: see `alone`.
    pub(super) is_cleared: bool,
    /// The number of deadlines that the peer has missed in a row: see `alone`. The number begins
    /// again at 0 when a piece that came from this peer alone is verified.
    pub(super) missed_deadlines: u32,
}

impl Merit {
    /// A piece with blocks from the peer was verified. `is_only_source`: all blocks of the piece
    /// came from this peer.
    pub(super) fn on_verified(&mut self, is_only_source: bool) {
        self.has_verified_blocks = true;
        if is_only_source {
            self.is_cleared = true;
            self.missed_deadlines = 0;
        }
    }

    /// The peer did not complete a piece that was reserved for it within the deadline.
    pub(super) fn on_deadline_missed(&mut self) {
        self.is_cleared = false;
        self.missed_deadlines = self.missed_deadlines.saturating_add(1);
    }
}

impl PickerLink {
    /// A link to a peer that chokes us and has announced no piece.
    pub(super) fn new(id: LinkId, lengths: &Lengths, largest_window: u32) -> Self {
        Self {
            id,
            pieces: PieceSet::empty(lengths),
            announced: false,
            wanted: 0,
            choked: true,
            allowed: Vec::new(),
            suggested: Vec::new(),
            next_in_range: None,
            has_no_waiting_at: None,
            requests: Requests::new(largest_window),
            merit: Merit::default(),
        }
    }

    /// Whether the link is a web seed.
    pub(super) fn is_web_seed(&self) -> bool {
        self.next_in_range.is_some()
    }

    /// Whether the peer has a piece that is wanted here.
    pub(super) fn is_interesting(&self) -> bool {
        self.wanted > 0
    }

    /// The number of the peer's pieces that are wanted here.
    #[cfg(any(test, fuzzing))]
    pub(super) fn wanted(&self) -> u32 {
        self.wanted
    }

    /// Whether the peer has the piece and would send it.
    pub(super) fn offers(&self, piece: PieceIndex) -> bool {
        #[cfg(test)]
        if is_planted(Mutation::RequestedWhileChoked) {
            return self.pieces.contains(piece);
        }
        self.pieces.contains(piece) && (!self.choked || self.allowed.contains(&piece))
    }

    /// Whether the peer would send at least one wanted piece.
    pub(super) fn serves(&self, wants: impl Fn(PieceIndex) -> bool) -> bool {
        #[cfg(test)]
        if is_planted(Mutation::RequestedWhileChoked) {
            return self.wanted > 0;
        }
        let mut allowed = self.allowed.iter();
        self.wanted > 0
            && (!self.choked || allowed.any(|piece| self.pieces.contains(*piece) && wants(*piece)))
    }

    /// Pieces that we may request while the peer chokes us.
    pub(super) fn allowed(&self) -> impl Iterator<Item = PieceIndex> {
        self.allowed.iter().copied()
    }

    /// Whether a search has found that the peer has no waiting piece outside `alone`, and
    /// `waiting_changes` is still the same.
    pub(super) fn has_no_waiting_piece(&self, waiting_changes: u64) -> bool {
        self.has_no_waiting_at == Some(waiting_changes)
    }

    /// A search has found that the peer has no waiting piece outside `alone`.
    pub(super) fn on_no_waiting_piece(&mut self, waiting_changes: u64) {
        self.has_no_waiting_at = Some(waiting_changes);
    }

    /// The pieces that the peer suggests, the latest first.
    pub(super) fn suggested(&self) -> impl Iterator<Item = PieceIndex> {
        self.suggested.iter().rev().copied()
    }

    /// The link begins this piece. For a web seed, the search for its next piece starts after this
    /// one.
    pub(super) fn on_piece_begun(&mut self, piece: PieceIndex) {
        self.next_in_range = self.next_in_range.map(|_| piece.number() + 1);
    }

    /// The peer announced all its pieces. `wanted` is the number of them that are wanted here.
    pub(super) fn set_pieces(&mut self, pieces: PieceSet, wanted: u32) {
        (self.pieces, self.wanted, self.announced) = (pieces, wanted, true);
        self.has_no_waiting_at = None;
    }

    /// The peer announced one piece. Returns whether this piece is new.
    pub(super) fn add_piece(&mut self, piece: PieceIndex, is_wanted: bool) -> bool {
        self.announced = true;
        let is_new = self.pieces.insert(piece);
        self.wanted += u32::from(is_new && is_wanted);
        if is_new && is_wanted {
            self.has_no_waiting_at = None;
        }
        is_new
    }

    /// A wanted piece is owned here now.
    pub(super) fn on_owned(&mut self, piece: PieceIndex) {
        if self.pieces.contains(piece) {
            self.wanted -= 1;
        }
    }

    /// The peer serves requests for this piece even while it chokes us.
    pub(super) fn add_allowed(&mut self, piece: PieceIndex) {
        if self.allowed.len() < MAX_KEPT_PIECES && !self.allowed.contains(&piece) {
            self.allowed.push(piece);
        }
    }

    /// The peer rejected a request for this piece while it choked us. So the piece is not requested
    /// again before the peer unchokes us (BEP 6).
    pub(super) fn remove_allowed(&mut self, piece: PieceIndex) {
        self.allowed.retain(|allowed| *allowed != piece);
    }

    /// The peer suggests to request this piece before others.
    pub(super) fn add_suggested(&mut self, piece: PieceIndex) {
        self.suggested.retain(|other| *other != piece);
        if self.suggested.len() >= MAX_KEPT_PIECES {
            self.suggested.remove(0);
        }
        self.suggested.push(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_allowed_and_of_suggested_pieces_is_bounded() {
        let lengths = Lengths::new(1_000 * 16_384, 16_384).unwrap();
        let mut link = PickerLink::new(LinkId(1), &lengths, 1);
        for piece in lengths.all_pieces() {
            link.add_allowed(piece);
            link.add_suggested(piece);
        }
        assert_eq!(link.allowed.len(), MAX_KEPT_PIECES);
        assert_eq!(link.suggested.len(), MAX_KEPT_PIECES);
        assert_eq!(link.suggested.last(), lengths.piece(999).as_ref());
    }
}

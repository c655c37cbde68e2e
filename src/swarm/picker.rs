//! The picker: which blocks to request from which link. Rarest first; no block twice outside
//! endgame.
//!
//! Each piece of the share is in exactly one of four sets:
//!
//! | set | held in | a piece enters by | a piece leaves by |
//! |---|---|---|---|
//! | not needed | neither `needed` nor `owned` | `with_needed` | `on_verified` |
//! | waiting | `Rarity` | `with_needed`, `on_failed`, `abandon_active` | `next_blocks`, which begins it |
//! | active | `active` | `next_blocks` | `on_verified`, `on_failed`, `abandon_active` |
//! | owned | `owned` | `with_needed`, `on_verified` | never |
//!
//! Further invariants:
//!
//! - An active piece is in `open` if and only if it has blocks to request.
//! - A piece that failed with several sources is in `doubtful` until it is owned.
//! - A block of an active piece is free, requested from one link (in endgame from two), or has
//!   arrived.
//! - A request is in flight at a link if and only if its block is requested from that link.
//!
//! `Picker::check` asserts all of them.

mod link;
mod pieces;
mod requests;
#[cfg(test)]
mod tests;

pub use pieces::Verdict;

#[cfg(test)]
use super::active::ActivePiece;
#[cfg(test)]
use super::mutation::{Mutation, is_planted};
use super::{LinkId, RUN_BLOCKS, Run};
use crate::torrent::{BlockRange, Lengths, PieceIndex, PieceSet};
use link::Link;
use pieces::Pieces;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a block that arrived means for the download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The block was never requested from this link: a breach of the protocol.
    Unasked,
    /// The block is no longer needed. Its bytes are dropped.
    Late,
    /// The block is wanted.
    Fresh {
        /// Links at which the same request is to be cancelled.
        cancel: [Option<LinkId>; 2],
        /// The run, if this was its last missing block.
        completed: Option<Run>,
    },
}

/// Which waiting piece is begun next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The piece with the fewest owners; among equals a random one.
    #[default]
    RarestFirst,
    /// The first piece.
    InOrder,
    /// The first piece while every link is to a seed and none is a web seed, because then nobody
    /// else could use what we fetch; otherwise the rarest. When pieces come in order, whole files
    /// can be hashed while they arrive.
    InOrderAmongSeeds,
}

/// All pieces and links of one download.
#[derive(Debug)]
pub struct Picker {
    pieces: Pieces,
    links: BTreeMap<LinkId, Link>,
    order: Order,
}

impl Picker {
    /// For a share that needs every piece and has `owned` already. Equal seeds give equal choices.
    pub fn new(lengths: Lengths, owned: PieceSet, seed: u64) -> Self {
        Self::of(lengths, owned, PieceSet::full(&lengths), seed)
    }

    /// The same, for a share that needs only the pieces in `needed`.
    pub fn of(lengths: Lengths, owned: PieceSet, needed: PieceSet, seed: u64) -> Self {
        Self {
            pieces: Pieces::new(lengths, owned, needed, seed),
            links: BTreeMap::new(),
            order: Order::default(),
        }
    }

    /// The pieces that were verified.
    pub fn owned(&self) -> &PieceSet {
        &self.pieces.owned
    }

    /// Changes which waiting piece is begun next.
    pub fn set_order(&mut self, order: Order) {
        self.order = order;
    }

    /// Whether every piece that is needed is owned.
    pub fn is_complete(&self) -> bool {
        self.pieces.missing == 0
    }

    /// A link is open. It chokes us and has announced no piece. At most `largest_window` of its
    /// requests are in flight.
    pub fn add_link(&mut self, id: LinkId, largest_window: u32) {
        let link = Link::new(id, &self.pieces.lengths, largest_window);
        self.links.insert(id, link);
    }

    /// A web seed is used from now on: it has every piece and serves every request. Long ranges of
    /// pieces suit it best.
    pub fn add_server(&mut self, id: LinkId, largest_window: u32) {
        self.add_link(id, largest_window);
        self.on_pieces(id, PieceSet::full(&self.pieces.lengths));
        self.on_unchoke(id);
        if let Some(link) = self.links.get_mut(&id) {
            link.stretch = Some(0);
        }
    }

    /// A link is closed. The blocks requested from it are free again.
    pub fn remove_link(&mut self, id: LinkId) {
        #[cfg(test)]
        if is_planted(Mutation::LostLinkKeepsBlocks)
            && let Some(link) = self.links.get_mut(&id)
        {
            while link.requests.cancel_first().is_some() {}
        }
        self.release_all(id);
        let Some(link) = self.links.remove(&id) else {
            return;
        };
        self.pieces.let_others_fetch(id);
        if !link.has.is_full() {
            self.pieces.remove_owner(&link.has);
        }
    }

    /// The peer announced all its pieces at once.
    pub fn on_pieces(&mut self, id: LinkId, has: PieceSet) {
        if let Some(link) = self.links.get_mut(&id) {
            let wanted = self.pieces.wanted_of(&has);
            if !has.is_full() {
                self.pieces.add_owner(&has);
            }
            link.set_pieces(has, wanted);
        }
    }

    /// The peer announced all its pieces again. Returns `false`, and changes nothing, if a piece is
    /// missing that it had announced before.
    pub fn on_pieces_again(&mut self, id: LinkId, has: &PieceSet) -> bool {
        let Some(link) = self.links.get_mut(&id) else {
            return true;
        };
        if link.has.is_full() {
            return has.is_full();
        }
        let lengths = self.pieces.lengths;
        let mut told = lengths.all_pieces();
        if told.any(|piece| link.has.contains(piece) && !has.contains(piece)) {
            return false;
        }
        link.told = true;
        for piece in lengths.all_pieces().filter(|piece| has.contains(*piece)) {
            self.on_have(id, piece);
        }
        true
    }

    /// The peer owns one more piece.
    pub fn on_have(&mut self, id: LinkId, piece: PieceIndex) {
        let wanted = self.pieces.wants(piece);
        if let Some(link) = self.links.get_mut(&id)
            && link.add_piece(piece, wanted)
        {
            self.pieces.add_owner_of(piece, link.has.is_full());
        }
    }

    /// The pieces that the peer has announced.
    pub fn pieces_of(&self, id: LinkId) -> Option<&PieceSet> {
        self.links.get(&id).map(|link| &link.has)
    }

    /// Whether the peer has announced its pieces.
    pub fn has_announced(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|link| link.told)
    }

    /// Whether the peer has a piece that is wanted here.
    pub fn is_interesting(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(Link::is_interesting)
    }

    /// Whether requests to the link are in flight.
    pub fn is_fetching(&self, id: LinkId) -> bool {
        let link = self.links.get(&id);
        link.is_some_and(|link| link.requests.flying() > 0)
    }

    /// The peer serves our requests from now on.
    pub fn on_unchoke(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.choked = false;
        }
    }

    /// The peer no longer serves our requests. With `forget`, all requests in flight are dropped:
    /// in BEP 3 a choke drops them, with BEP 6 the peer rejects each on its own.
    pub fn on_choke(&mut self, id: LinkId, forget: bool) {
        #[cfg(test)]
        let forget = forget && !is_planted(Mutation::ChokeKeepsRequests);
        if let Some(link) = self.links.get_mut(&id) {
            link.choked = true;
            if forget {
                link.requests.dropped();
            }
        }
        if forget {
            self.release_all(id);
        }
        self.pieces.let_others_fetch(id);
    }

    /// Whether the peer does not serve our requests.
    pub fn is_choked(&self, id: LinkId) -> bool {
        self.links.get(&id).is_none_or(|link| link.choked)
    }

    /// The peer serves requests for this piece even while it chokes us (BEP 6, "allowed fast").
    pub fn on_allowed_fast(&mut self, id: LinkId, piece: PieceIndex) {
        if let Some(link) = self.links.get_mut(&id) {
            link.allow(piece);
        }
    }

    /// The peer suggests to request this piece before others (BEP 6, "suggest piece").
    pub fn on_suggest(&mut self, id: LinkId, piece: PieceIndex) {
        if let Some(link) = self.links.get_mut(&id) {
            link.suggest(piece);
        }
    }

    /// Nothing arrived because we did not read: the link is not late.
    pub fn excuse(&mut self, id: LinkId, now: Duration) {
        if let Some(link) = self.links.get_mut(&id) {
            link.requests.excuse(now);
        }
    }

    /// The peer keeps at most this many requests.
    pub fn limit_window(&mut self, id: LinkId, largest: u32) {
        if let Some(link) = self.links.get_mut(&id) {
            link.requests.limit(largest);
        }
    }

    /// Appends to `out` the blocks to request from a link now. Before a run is begun, `reserve` is
    /// called to reserve buffers for its blocks. If that fails, only blocks of runs that were begun
    /// before are taken.
    pub fn next_blocks(
        &mut self,
        id: LinkId,
        now: Duration,
        reserve: &mut dyn FnMut(u32) -> bool,
        out: &mut Vec<BlockRange>,
    ) {
        let Some(room) = self.room(id, now) else {
            return;
        };
        let (has_others, in_order) = (self.links.len() > 1, self.is_in_order());
        let pieces = &mut self.pieces;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (window, flying) = (link.requests.window(), link.requests.flying());
        let start = out.len();
        #[cfg(test)]
        if is_planted(Mutation::AskedTwice) {
            let is_late = |_, asked| now >= asked + Duration::from_millis(200);
            pieces.take_again(link, &is_late, room, out);
        }
        let fast = window >= RUN_BLOCKS as usize / 2;
        loop {
            let left = (start + room).saturating_sub(out.len());
            // A seed first delivers what no other link has: other links can deliver the rest of an
            // open piece.
            let own = fast || has_others && pieces.is_unique_of(link);
            let begun = own
                && left > 0
                && (pieces.take_where(link, now, left, out, |active| active.was_begun_by(id))
                    || pieces.begin_run(link, in_order, reserve));
            let more = begun
                || left > 0
                    && (pieces.take_where(link, now, left, out, |_| true)
                        || !fast && pieces.begin_run(link, in_order, reserve));
            if !more {
                break;
            }
        }
        if out.len() == start && flying == 0 {
            self.take_again(id, now, room, out);
        }
        let asked = out.get(start..).unwrap_or_default();
        if let Some(link) = self.links.get_mut(&id) {
            link.requests.sent(asked, now);
        }
    }

    /// How many blocks to request from the link now; `None` if it is not to get requests.
    fn room(&mut self, id: LinkId, now: Duration) -> Option<usize> {
        let link = self.links.get_mut(&id)?;
        let (window, flying) = (link.requests.window(), link.requests.flying());
        let room = window.saturating_sub(flying);
        // Requests go in batches: single ones would cost a system call each.
        let is_trickle = flying > 0 && room < (window / 4).max(1);
        let pieces = &self.pieces;
        let is_asked = !link.requests.rests(now) && !is_trickle;
        (is_asked && link.serves(|piece| pieces.wants(piece))).then_some(room)
    }

    /// Whether pieces are begun in order now.
    fn is_in_order(&self) -> bool {
        let is_seed = |link: &Link| link.has.is_full() && link.stretch.is_none();
        match self.order {
            Order::RarestFirst => false,
            Order::InOrder => true,
            Order::InOrderAmongSeeds => self.links.values().all(is_seed),
        }
    }

    /// Endgame: only blocks are left that other links are late with.
    fn take_again(&mut self, id: LinkId, now: Duration, room: usize, out: &mut Vec<BlockRange>) {
        let Self { pieces, links, .. } = self;
        let is_late = |of: LinkId, asked: Duration| {
            let patience = links.get(&of).map(|link| link.requests.patience());
            now.saturating_sub(asked) >= patience.unwrap_or_default()
        };
        if let Some(link) = links.get(&id) {
            pieces.take_again(link, &is_late, room, out);
        }
    }

    /// A complete block arrived.
    pub fn on_block(&mut self, id: LinkId, range: BlockRange, now: Duration) -> Arrival {
        let link = self.links.get_mut(&id);
        if !link.is_some_and(|link| link.requests.arrived(range, now)) {
            return Arrival::Unasked;
        }
        let Some(arrived) = self.pieces.arrived(id, range) else {
            return Arrival::Late;
        };
        for other in arrived.also_asked.into_iter().flatten() {
            if let Some(other) = self.links.get_mut(&other) {
                other.requests.cancel(range);
            }
        }
        Arrival::Fresh {
            cancel: arrived.also_asked,
            completed: arrived.completed,
        }
    }

    /// Whether a block that was requested from the link is still wanted from it.
    pub fn awaits(&self, id: LinkId, range: BlockRange) -> bool {
        let may_bring = |link: &Link| link.requests.may_bring(range);
        self.pieces.awaits(id, range) && self.links.get(&id).is_some_and(may_bring)
    }

    /// The peer will not send this block.
    pub fn on_reject(&mut self, id: LinkId, range: BlockRange) {
        if let Some(link) = self.links.get_mut(&id)
            && link.requests.rejected(range)
        {
            if link.choked {
                link.disallow(range.piece());
            }
            #[cfg(test)]
            if is_planted(Mutation::RejectKeepsBlock) {
                return;
            }
            self.pieces.release(id, range);
        }
    }

    /// A piece is verified and written. The caller frees its buffers.
    pub fn on_verified(&mut self, piece: PieceIndex) {
        if self.pieces.verified(piece) {
            for link in self.links.values_mut() {
                link.owned_here(piece);
            }
        }
    }

    /// All blocks of a piece arrived, and it does not verify. The piece waits to be fetched again.
    pub fn on_failed(&mut self, piece: PieceIndex) -> Verdict {
        self.pieces.failed(piece)
    }

    /// Whether every block of an active piece has arrived.
    pub fn all_arrived(&self, piece: PieceIndex) -> bool {
        self.pieces.all_arrived(piece)
    }

    /// Takes the requests away from links that deliver nothing. Returns links and blocks, so that
    /// the requests can be cancelled.
    pub fn take_from_stalled(&mut self, now: Duration) -> Vec<(LinkId, Vec<BlockRange>)> {
        let stalled = self.links.values();
        let stalled = stalled.filter(|link| link.requests.is_stalled(now));
        let stalled: Vec<(LinkId, Vec<BlockRange>)> = stalled
            .map(|link| (link.id, link.requests.in_flight().collect()))
            .collect();
        for (id, _) in &stalled {
            #[cfg(test)]
            if is_planted(Mutation::StalledKeepsBlocks) {
                continue;
            }
            self.release_all(*id);
            // The answer to a request for a long range may begin late.
            if let Some(link) = self.links.get_mut(id)
                && link.stretch.is_none()
            {
                link.requests.shrink();
            }
        }
        stalled
    }

    /// Gives up all active pieces, so that their buffers can serve other downloads. The pieces wait
    /// to be fetched again. Returns the requests that are to be cancelled. To be called only while
    /// no run is being written.
    pub fn abandon_active(&mut self) -> Vec<(LinkId, Vec<BlockRange>)> {
        let asked = self.links.values();
        let asked = asked.filter(|link| link.requests.flying() > 0);
        let asked: Vec<(LinkId, Vec<BlockRange>)> = asked
            .map(|link| (link.id, link.requests.in_flight().collect()))
            .collect();
        for (id, _) in &asked {
            self.release_all(*id);
        }
        self.pieces.abandon_active();
        asked
    }

    /// Whether pieces are active.
    pub fn has_active(&self) -> bool {
        !self.pieces.active.is_empty()
    }

    /// Missing pieces that no link has.
    pub fn without_owner(&self) -> impl Iterator<Item = PieceIndex> {
        let any_full = self.links.values().any(|link| link.has.is_full());
        let pieces = self.pieces.without_owner();
        pieces.filter(move |_| !any_full)
    }

    /// Panics if an invariant of the module documentation does not hold.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        let links: Vec<&Link> = self.links.values().collect();
        self.pieces.check(&links);
        let in_flight: usize = links.iter().map(|link| link.requests.flying()).sum();
        let asked = self.pieces.active.values().map(ActivePiece::asked);
        assert_eq!(
            in_flight,
            asked.sum::<usize>(),
            "blocks are asked of links that are gone"
        );
        for link in links {
            let mut in_flight: Vec<BlockRange> = link.requests.in_flight().collect();
            in_flight.sort();
            let mut asked = self.pieces.asked_of(link.id);
            asked.sort();
            assert_eq!(in_flight, asked, "requests to {:?}", link.id);
        }
    }

    /// The requests in flight at a link, in order.
    #[cfg(test)]
    pub(crate) fn in_flight(&self, id: LinkId) -> Vec<BlockRange> {
        let link = self.links.get(&id);
        let mut blocks: Vec<BlockRange> =
            link.map_or_else(Vec::new, |link| link.requests.in_flight().collect());
        blocks.sort();
        blocks
    }

    /// The runs that were begun and lack blocks.
    #[cfg(test)]
    pub(crate) fn unfinished_runs(&self) -> Vec<Run> {
        let active = self.pieces.active.values();
        active.flat_map(|active| active.unfinished_runs()).collect()
    }

    fn release_all(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            while let Some(range) = link.requests.cancel_first() {
                self.pieces.release(id, range);
            }
        }
    }
}

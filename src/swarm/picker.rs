//! The picker: which blocks to request from which link. Rarest first; no block twice outside
//! endgame.
//!
//! Each piece of the share is in exactly one of five sets:
//!
//! | set | held in | a piece enters by | a piece leaves by |
//! |---|---|---|---|
//! | not needed | neither `needed` nor `owned` | `with_needed` | `on_verified` |
//! | waiting | `Rarity` | `with_needed`, `on_failed`, `abandon_active` | `next_blocks` (begun) |
//! | waiting, all blocks local | `LocalPieces` | `set_local`, `abandon_active` | `begin_local` |
//! | active | `active` | being begun | `on_verified`, `on_failed`, `abandon_active` |
//! | owned | `owned` | `with_needed`, `on_verified` | never |
//!
//! Further invariants:
//!
//! - An active piece is in `open_pieces` if and only if it has blocks to request.
//! - A piece that only one link may deliver is in `alone` until it is owned.
//! - A block of an active piece is free, requested from one link (in endgame from two), has
//!   arrived, or is local: this machine reads it itself when no link has to deliver a block of its
//!   run any more.
//! - A request is in flight at a link if and only if its block is requested from that link.
//!
//! `Picker::check` asserts all of them.

mod alone;
mod link;
mod local;
mod pieces;
mod requests;
mod slow;
#[cfg(test)]
mod tests;

pub use pieces::Verdict;

use super::active::ActivePiece;
#[cfg(test)]
use super::mutation::{Mutation, is_planted};
use super::{BlockRun, LinkId, LocalBlocks, MAX_RUN_BLOCKS};
use crate::torrent::{BlockRange, Lengths, PieceIndex, PieceSet};
use alone::RankedLink;
use link::PickerLink;
use pieces::{Begun, Pieces, local_runs};
use std::collections::BTreeMap;
use std::time::Duration;

/// The time in which we do not read from a link does not count for the deadline of a piece that is
/// reserved for the link. One call of [`Picker::mark_not_stalled`] extends the deadline by at most
/// this much.
const MAX_UNREAD_TIME: Duration = Duration::from_secs(1);

/// What a block that arrived means for the download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The block was never requested from this link: a breach of the protocol.
    Unrequested,
    /// The block is no longer needed. Its bytes are dropped.
    NotNeeded,
    /// The block is needed.
    Needed {
        /// Other links with the same request. Each is to get a `cancel`.
        cancel: [Option<LinkId>; 2],
        /// The run, if this was the last block of it that a link has to deliver.
        completed: Option<BlockRun>,
    },
}

/// Which waiting piece is begun next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PieceOrder {
    /// The piece that the fewest links have; among equals a random one.
    #[default]
    RarestFirst,
    /// The first piece.
    InOrder,
    /// The first piece while all links are to seeds and none is a web seed; otherwise the rarest.
    /// Among seeds rarity does not matter, because no other peer needs what we fetch. When pieces
    /// come in order, whole files can be hashed while they arrive.
    InOrderAmongSeeds,
}

/// All pieces and links of one download.
#[derive(Debug)]
pub struct Picker {
    pieces: Pieces,
    links: BTreeMap<LinkId, PickerLink>,
    order: PieceOrder,
    /// When [`Picker::take_from_slow`] was last called.
    last_tick: Duration,
}

impl Picker {
    /// A picker that fetches all pieces of a share except those in `owned`. `seed` starts the
    /// generator of random numbers, so the same number leads to the same choices.
    pub fn new(lengths: Lengths, owned: PieceSet, seed: u64) -> Self {
        Self::with_needed(lengths, owned, PieceSet::full(&lengths), seed)
    }

    /// Like [`Picker::new`], but the picker fetches only pieces in `needed`.
    pub fn with_needed(lengths: Lengths, owned: PieceSet, needed: PieceSet, seed: u64) -> Self {
        Self {
            pieces: Pieces::new(lengths, owned, needed, seed),
            links: BTreeMap::new(),
            order: PieceOrder::default(),
            last_tick: Duration::ZERO,
        }
    }

    /// The pieces that were verified.
    pub fn owned(&self) -> &PieceSet {
        &self.pieces.owned
    }

    /// Changes which waiting piece is begun next.
    pub fn set_order(&mut self, order: PieceOrder) {
        self.order = order;
    }

    /// These blocks are local: no link has to deliver them. To be called before a piece is begun.
    pub fn set_local(&mut self, blocks: LocalBlocks) {
        local_runs::set(&mut self.pieces, blocks);
    }

    /// Begins a run whose blocks are all local. `reserve` is called to reserve buffers for its
    /// blocks. Returns whether a run was begun.
    pub fn begin_local(&mut self, reserve: &mut dyn FnMut(u32) -> bool) -> bool {
        local_runs::begin(&mut self.pieces, reserve)
    }

    /// Whether a piece waits of which every block is local.
    pub fn has_waiting_local(&self) -> bool {
        !self.pieces.local.waiting().is_empty()
    }

    /// The runs that were begun and of which no link has to deliver anything. Each is returned
    /// once.
    pub fn take_complete(&mut self) -> Vec<BlockRun> {
        self.pieces.local.take_complete()
    }

    /// The local blocks of this run, which is complete, cannot be read. The piece loses its local
    /// blocks. Returns whether the piece is active: then links have to deliver these blocks.
    pub fn on_unreadable(&mut self, run: BlockRun) -> bool {
        local_runs::on_unreadable(&mut self.pieces, run)
    }

    /// Whether every piece that is needed is owned.
    pub fn is_complete(&self) -> bool {
        self.pieces.missing == 0
    }

    /// A link is open. It chokes us and has announced no piece. At most `largest_window` requests
    /// to it are in flight.
    pub fn add_link(&mut self, id: LinkId, largest_window: u32) {
        let link = PickerLink::new(id, &self.pieces.lengths, largest_window);
        self.links.insert(id, link);
    }

    /// A web seed is used from now on: it has these pieces and serves every request for them. Long
    /// ranges of pieces suit it best.
    pub fn add_web_seed(&mut self, id: LinkId, pieces: PieceSet, largest_window: u32) {
        self.add_link(id, largest_window);
        self.on_pieces(id, pieces);
        self.on_unchoke(id);
        if let Some(link) = self.links.get_mut(&id) {
            link.next_in_range = Some(0);
        }
    }

    /// A link is closed. The blocks requested from it are free again.
    pub fn remove_link(&mut self, id: LinkId) {
        #[cfg(test)]
        if is_planted(Mutation::LostLinkKeepsRequests)
            && let Some(link) = self.links.get_mut(&id)
        {
            while link.requests.cancel_first().is_some() {}
        }
        self.release_all(id);
        let Some(link) = self.links.remove(&id) else {
            return;
        };
        self.pieces.end_reservations(id);
        self.pieces.forget_link(id);
        if !link.pieces.is_full() {
            self.pieces.remove_partial_link(&link.pieces);
        }
    }

    /// The peer announced all its pieces at once.
    pub fn on_pieces(&mut self, id: LinkId, pieces: PieceSet) {
        if let Some(link) = self.links.get_mut(&id) {
            let wanted = self.pieces.wanted_of(&pieces);
            if !pieces.is_full() {
                self.pieces.add_partial_link(&pieces);
            }
            link.set_pieces(pieces, wanted);
        }
    }

    /// The peer announced all its pieces again. Returns `false`, and changes nothing, if a piece
    /// that it had announced before is missing now.
    pub fn on_pieces_again(&mut self, id: LinkId, pieces: &PieceSet) -> bool {
        let Some(link) = self.links.get_mut(&id) else {
            return true;
        };
        if link.pieces == *pieces || link.pieces.is_full() {
            link.announced = true;
            return link.pieces == *pieces;
        }
        let lengths = self.pieces.lengths;
        let mut all = lengths.all_pieces();
        if all.any(|piece| link.pieces.contains(piece) && !pieces.contains(piece)) {
            return false;
        }
        link.announced = true;
        for piece in lengths.all_pieces().filter(|piece| pieces.contains(*piece)) {
            self.on_have(id, piece);
        }
        true
    }

    /// The peer announced that it has every piece. Returns `false` if it had announced every piece
    /// before. This takes almost no time: a message of five bytes must not cause a search.
    pub fn on_have_all(&mut self, id: LinkId) -> bool {
        let Some(link) = self.links.get(&id) else {
            return false;
        };
        if link.announced && link.pieces.is_full() {
            return false;
        }
        let all = PieceSet::full(&self.pieces.lengths);
        match link.pieces.is_empty() {
            true => self.on_pieces(id, all),
            false => _ = self.on_pieces_again(id, &all),
        }
        true
    }

    /// The peer has one more piece.
    pub fn on_have(&mut self, id: LinkId, piece: PieceIndex) {
        let wanted = self.pieces.wants(piece);
        if let Some(link) = self.links.get_mut(&id)
            && link.add_piece(piece, wanted)
        {
            self.pieces.add_piece_of_link(piece, link.pieces.is_full());
        }
    }

    /// The pieces that the peer has announced.
    pub fn pieces_of(&self, id: LinkId) -> Option<&PieceSet> {
        self.links.get(&id).map(|link| &link.pieces)
    }

    /// Whether the peer has announced its pieces.
    pub fn has_announced(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|link| link.announced)
    }

    /// Whether the peer has a piece that is wanted here.
    pub fn is_interesting(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(PickerLink::is_interesting)
    }

    /// Whether requests to the link are in flight.
    pub fn is_fetching(&self, id: LinkId) -> bool {
        let link = self.links.get(&id);
        link.is_some_and(|link| link.requests.in_flight_count() > 0)
    }

    /// The peer serves our requests from now on.
    pub fn on_unchoke(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.choked = false;
        }
    }

    /// The peer no longer serves our requests. With `forget`, the choke also drops all requests in
    /// flight, as in BEP 3. With BEP 6 it does not, and the peer rejects each of them separately.
    pub fn on_choke(&mut self, id: LinkId, forget: bool) {
        #[cfg(test)]
        let forget = forget && !is_planted(Mutation::ChokeKeepsRequests);
        if let Some(link) = self.links.get_mut(&id) {
            link.choked = true;
            if forget {
                link.requests.on_all_dropped();
            }
        }
        if forget {
            self.release_all(id);
        }
        self.pieces.end_reservations(id);
    }

    /// Whether the peer does not serve our requests.
    pub fn is_choked(&self, id: LinkId) -> bool {
        self.links.get(&id).is_none_or(|link| link.choked)
    }

    /// The peer serves requests for this piece even while it chokes us (BEP 6, "allowed fast").
    pub fn on_allowed_fast(&mut self, id: LinkId, piece: PieceIndex) {
        if let Some(link) = self.links.get_mut(&id) {
            link.add_allowed(piece);
        }
    }

    /// The peer suggests to request this piece before others (BEP 6, "suggest piece").
    pub fn on_suggest(&mut self, id: LinkId, piece: PieceIndex) {
        if let Some(link) = self.links.get_mut(&id) {
            link.add_suggested(piece);
        }
    }

    /// Nothing arrived because we did not read: the link has not stalled.
    pub fn mark_not_stalled(&mut self, id: LinkId, now: Duration) {
        if let Some(link) = self.links.get_mut(&id) {
            link.requests.mark_not_stalled(now);
            let since_tick = now.saturating_sub(self.last_tick).min(MAX_UNREAD_TIME);
            self.pieces.extend_reservations(id, since_tick);
        }
    }

    /// The peer queues at most this many of our requests (`reqq`, BEP 10).
    pub fn limit_window(&mut self, id: LinkId, largest: u32) {
        if let Some(link) = self.links.get_mut(&id) {
            link.requests.limit_window(largest);
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
        let Some(free_window) = self.free_window(id, now) else {
            return;
        };
        let (has_others, in_order) = (self.links.len() > 1, self.is_in_order());
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let (window, in_flight_count) = (link.requests.window(), link.requests.in_flight_count());
        let start = out.len();
        #[cfg(test)]
        if is_planted(Mutation::RequestedTwice) {
            let is_late = |_, requested| now >= requested + Duration::from_millis(200);
            let links = &self.links;
            self.pieces
                .take_late(RankedLink { link, links }, &is_late, free_window, out);
        }
        let has_large_window = window >= MAX_RUN_BLOCKS as usize / 2;
        // Each round takes free blocks of one piece, or only begins a run. The next round takes the
        // blocks of that run.
        loop {
            let room = (start + free_window).saturating_sub(out.len());
            // A link with a large window prefers runs that it begins itself. A link to a seed does
            // so too, if some waiting piece is available from seeds only, and if there are other
            // links, which can deliver the missing blocks of open pieces.
            let prefers_own = has_large_window || has_others && self.has_piece_of_seeds_only(id);
            let took_own = prefers_own
                && room > 0
                && (self.take_free(id, now, room, out, |active| active.latest_run_is_of(id))
                    || self.begin_run(id, in_order, now, reserve));
            // Any other link, and a link that found nothing so far, takes free blocks of any open
            // piece. If there are none, it begins a run. A link with a large window has tried that
            // already.
            let took_any = took_own
                || room > 0
                    && (self.take_free(id, now, room, out, |_| true)
                        || !has_large_window && self.begin_run(id, in_order, now, reserve));
            if !took_any {
                break;
            }
        }
        if out.len() == start && in_flight_count == 0 {
            self.take_late(id, now, free_window, out);
        }
        let requested = out.get(start..).unwrap_or_default();
        if let Some(link) = self.links.get_mut(&id) {
            link.requests.on_sent(requested, now);
        }
    }

    /// Whether the link is to a seed, and there is a waiting piece that only seeds have.
    fn has_piece_of_seeds_only(&self, id: LinkId) -> bool {
        let link = self.links.get(&id);
        link.is_some_and(|link| self.pieces.has_piece_of_seeds_only(link))
    }

    /// See [`Pieces::take_free`].
    fn take_free(
        &mut self,
        id: LinkId,
        now: Duration,
        count: usize,
        out: &mut Vec<BlockRange>,
        suits: impl Fn(&ActivePiece) -> bool,
    ) -> bool {
        let Self { pieces, links, .. } = self;
        let ranked = links.get(&id).map(|link| RankedLink { link, links });
        ranked.is_some_and(|ranked| pieces.take_free(ranked, now, count, out, suits))
    }

    /// Begins a run for the link: see [`Pieces::begin_run`]. Returns whether a run was begun.
    fn begin_run(
        &mut self,
        id: LinkId,
        in_order: bool,
        now: Duration,
        reserve: &mut dyn FnMut(u32) -> bool,
    ) -> bool {
        let Self { pieces, links, .. } = self;
        let begun = match links.get(&id) {
            Some(link) => pieces.begin_run(RankedLink { link, links }, in_order, now, reserve),
            None => Begun::Nothing,
        };
        if let Some(link) = links.get_mut(&id) {
            match begun {
                Begun::NothingWaits => link.on_no_waiting_piece(pieces.waiting_changes()),
                Begun::Piece(piece) => link.on_piece_begun(piece),
                Begun::Nothing | Begun::Run => {}
            }
        }
        matches!(begun, Begun::Run | Begun::Piece(_))
    }

    /// How many blocks to request from the link now; `None` if it is not to get requests.
    fn free_window(&mut self, id: LinkId, now: Duration) -> Option<usize> {
        let link = self.links.get_mut(&id)?;
        let (window, in_flight_count) = (link.requests.window(), link.requests.in_flight_count());
        let free_window = window.saturating_sub(in_flight_count);
        // Requests go in batches: single ones would cost a system call each.
        let is_trickle = in_flight_count > 0 && free_window < (window / 4).max(1);
        let pieces = &self.pieces;
        let is_paused = link.requests.update_pause(now);
        let may_request = !is_paused && !is_trickle;
        (may_request && link.serves(|piece| pieces.wants(piece))).then_some(free_window)
    }

    /// Whether pieces are begun in order now.
    fn is_in_order(&self) -> bool {
        let is_seed = |link: &PickerLink| link.pieces.is_full() && !link.is_web_seed();
        match self.order {
            PieceOrder::RarestFirst => false,
            PieceOrder::InOrder => true,
            PieceOrder::InOrderAmongSeeds => self.links.values().all(is_seed),
        }
    }

    /// Endgame: there are no free blocks. Takes blocks that other links have not delivered in time.
    fn take_late(
        &mut self,
        id: LinkId,
        now: Duration,
        free_window: usize,
        out: &mut Vec<BlockRange>,
    ) {
        let Self { pieces, links, .. } = self;
        let is_late = |of: LinkId, requested: Duration| {
            let late_after = links.get(&of).map(|link| link.requests.late_after());
            now.saturating_sub(requested) >= late_after.unwrap_or_default()
        };
        if let Some(link) = links.get(&id) {
            pieces.take_late(RankedLink { link, links }, &is_late, free_window, out);
        }
    }

    /// A complete block arrived.
    pub fn on_block(&mut self, id: LinkId, range: BlockRange, now: Duration) -> Arrival {
        let link = self.links.get_mut(&id);
        if !link.is_some_and(|link| link.requests.on_block(range, now)) {
            return Arrival::Unrequested;
        }
        let Some(arrived) = self.pieces.on_block(id, range) else {
            return Arrival::NotNeeded;
        };
        for other in arrived.also_requested_from.into_iter().flatten() {
            if let Some(other) = self.links.get_mut(&other) {
                other.requests.cancel(range);
            }
        }
        Arrival::Needed {
            cancel: arrived.also_requested_from,
            completed: arrived.completed,
        }
    }

    /// Whether a block that was requested from the link is still wanted from it.
    pub fn awaits(&self, id: LinkId, range: BlockRange) -> bool {
        let may_deliver = |link: &PickerLink| link.requests.may_deliver(range);
        self.pieces.awaits(id, range) && self.links.get(&id).is_some_and(may_deliver)
    }

    /// The peer will not send this block.
    pub fn on_reject(&mut self, id: LinkId, range: BlockRange) {
        if let Some(link) = self.links.get_mut(&id)
            && link.requests.on_reject(range)
        {
            if link.choked {
                link.remove_allowed(range.piece());
            }
            #[cfg(test)]
            if is_planted(Mutation::RejectKeepsRequest) {
                return;
            }
            self.pieces.release(id, range);
        }
    }

    /// A piece is verified and written. The caller frees its buffers.
    pub fn on_verified(&mut self, piece: PieceIndex) {
        let (was_wanted, sources) = self.pieces.on_verified(piece);
        if was_wanted {
            for link in self.links.values_mut() {
                link.on_owned(piece);
            }
        }
        let is_only_source = sources.len() == 1;
        for source in sources {
            if let Some(link) = self.links.get_mut(&source) {
                link.merit.on_verified(is_only_source);
            }
        }
    }

    /// All blocks of a piece arrived, but its hash is wrong. The piece waits to be fetched again.
    pub fn on_failed(&mut self, piece: PieceIndex) -> Verdict {
        let (verdict, sources) = self.pieces.on_failed(piece);
        for source in sources {
            if let Some(link) = self.links.get_mut(&source) {
                link.merit.is_cleared = false;
            }
        }
        verdict
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
            if is_planted(Mutation::StalledKeepsRequests) {
                continue;
            }
            self.release_all(*id);
            // A web seed keeps its window: its answer to a request for a long range may begin late.
            if let Some(link) = self.links.get_mut(id)
                && !link.is_web_seed()
            {
                link.requests.shrink();
                link.merit.is_cleared = false;
            }
        }
        stalled
    }

    /// To be called in each tick. Takes requests away from links that hold pieces back: see
    /// `alone`. Returns links and blocks, so that the requests can be cancelled. Takes no time as
    /// long as no piece has failed.
    pub fn take_from_slow(&mut self, now: Duration) -> Vec<(LinkId, Vec<BlockRange>)> {
        self.last_tick = now;
        if !self.pieces.alone.any_failed {
            return Vec::new();
        }
        let mut taken = Vec::new();
        for withdrawal in slow::withdrawals(&self.pieces, &self.links, now) {
            let (piece, id) = (withdrawal.piece, withdrawal.link);
            if let Some(link) = self.links.get_mut(&id) {
                if withdrawal.is_overdue {
                    link.merit.on_deadline_missed();
                }
                let blocks = link.requests.in_flight();
                taken.push((id, blocks.filter(|block| block.piece() == piece).collect()));
            }
            self.pieces.give_up(piece, id);
        }
        taken.extend(slow::late_at_strangers(&self.pieces, &self.links, now));
        for (id, blocks) in &taken {
            for block in blocks {
                if let Some(link) = self.links.get_mut(id) {
                    link.requests.cancel(*block);
                }
                self.pieces.release(*id, *block);
            }
        }
        taken
    }

    /// Whether a block from the link was in a piece that was verified.
    pub fn has_verified_blocks(&self, id: LinkId) -> bool {
        self.links
            .get(&id)
            .is_some_and(|link| link.merit.has_verified_blocks)
    }

    /// The number of deadlines that the link has missed in a row: see `alone`.
    pub fn missed_deadlines(&self, id: LinkId) -> u32 {
        self.links
            .get(&id)
            .map_or(0, |link| link.merit.missed_deadlines)
    }

    /// Whether a piece has failed and the link is not cleared: see `alone`.
    #[cfg(test)]
    pub(crate) fn is_in_doubt(&self, id: LinkId) -> bool {
        let is_cleared = self
            .links
            .get(&id)
            .is_some_and(|link| link.merit.is_cleared);
        self.pieces.alone.any_failed && !is_cleared
    }

    /// Whether only one link may deliver the piece.
    #[cfg(test)]
    pub(crate) fn is_alone(&self, piece: PieceIndex) -> bool {
        self.pieces.alone.attempts.contains_key(&piece)
    }

    /// Gives up all active pieces, so that other downloads can use their buffers. The pieces wait
    /// to be fetched again. Returns the requests that are to be cancelled. To be called only while
    /// no run is being written.
    pub fn abandon_active(&mut self) -> Vec<(LinkId, Vec<BlockRange>)> {
        let requested = self.links.values();
        let requested = requested.filter(|link| link.requests.in_flight_count() > 0);
        let requested: Vec<(LinkId, Vec<BlockRange>)> = requested
            .map(|link| (link.id, link.requests.in_flight().collect()))
            .collect();
        for (id, _) in &requested {
            self.release_all(*id);
        }
        self.pieces.abandon_active();
        requested
    }

    /// Whether pieces are active.
    pub fn has_active(&self) -> bool {
        !self.pieces.active.is_empty()
    }

    /// Missing pieces that no link has.
    pub fn unavailable(&self) -> impl Iterator<Item = PieceIndex> {
        let any_full = self.links.values().any(|link| link.pieces.is_full());
        let pieces = self.pieces.unavailable();
        pieces.filter(move |_| !any_full)
    }

    /// Panics if an invariant of the module documentation does not hold.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check(&self) {
        pieces::check::check(&self.pieces, &self.links);
    }

    /// The requests in flight at a link, in order.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn in_flight(&self, id: LinkId) -> Vec<BlockRange> {
        let link = self.links.get(&id);
        let mut blocks: Vec<BlockRange> =
            link.map_or_else(Vec::new, |link| link.requests.in_flight().collect());
        blocks.sort();
        blocks
    }

    /// The runs that were begun and lack blocks.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn unfinished_runs(&self) -> Vec<BlockRun> {
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

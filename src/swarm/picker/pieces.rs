//! All pieces of a share: not needed, waiting to be fetched, active or owned; and which blocks to
//! request from a link next.

#[cfg(any(test, fuzzing))]
pub(super) mod check;
pub(super) mod local_runs;

use super::alone::{AlonePieces, Attempts, RankedLink};
use super::link::PickerLink;
use super::local::LocalPieces;
use crate::swarm::LinkId;
use crate::swarm::active::{ActivePiece, Delivery, NeededArrival, Reservation};
#[cfg(test)]
use crate::swarm::mutation::{Mutation, is_planted};
use crate::swarm::rarity::Rarity;
use crate::torrent::{BlockRange, Lengths, PieceIndex, PieceSet};
use fastrand::Rng;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Who is to blame for a piece that did not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All blocks of the piece came from this link, which is proven to send bad data.
    Proven(LinkId),
    /// The blocks came from several links. The piece will be fetched again from one link alone.
    Unclear,
    /// Some blocks of the piece were local blocks, which may be wrong. So no link is to blame. The
    /// piece will be fetched again without local blocks.
    Local,
}

/// What a link begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// Nothing: there are no buffers, or no piece suits the link.
    Nothing,
    /// Nothing, because the peer has no waiting piece: see [`PickerLink::has_no_waiting_piece`].
    NothingWaits,
    /// A further run of a piece.
    Run,
    /// This piece.
    Piece(PieceIndex),
}

/// The largest number of pieces that one search of [`Pieces::waiting_alone`] considers.
const MAX_CONSIDERED: usize = 64;

/// All pieces of a share.
#[derive(Debug)]
pub(super) struct Pieces {
    pub(super) lengths: Lengths,
    pub(super) owned: PieceSet,
    /// Pieces that the download needs, owned or not. The others are not fetched.
    needed: PieceSet,
    /// The number of wanted pieces: needed, and not owned.
    pub(super) missing: u32,
    /// No piece before this one waits.
    first_waiting: u32,
    rarity: Rarity,
    /// How many times a piece has returned to waiting.
    waiting_changes: u64,
    pub(super) active: BTreeMap<PieceIndex, ActivePiece>,
    /// Active pieces with blocks to request, in the order in which they were begun. A piece that
    /// has left the list comes back, at the front, when one of its blocks becomes free.
    open_pieces: VecDeque<PieceIndex>,
    pub(super) alone: AlonePieces,
    pub(super) local: LocalPieces,
    /// The number of pieces that searches have looked at.
    #[cfg(test)]
    pub(super) searched: std::cell::Cell<u64>,
}

impl Pieces {
    /// The pieces of a share. Those in `owned` are here already. Only those in `needed` are
    /// fetched.
    pub(super) fn new(lengths: Lengths, owned: PieceSet, needed: PieceSet, seed: u64) -> Self {
        let missing = lengths
            .all_pieces()
            .filter(|piece| needed.contains(*piece) && !owned.contains(*piece));
        let missing: Vec<PieceIndex> = missing.collect();
        let count = missing.len() as u32;
        let rng = Rng::with_seed(seed);
        let rarity = Rarity::new(lengths.pieces(), missing.into_iter(), rng);
        Self {
            lengths,
            owned,
            needed,
            missing: count,
            first_waiting: 0,
            rarity,
            waiting_changes: 0,
            active: BTreeMap::new(),
            open_pieces: VecDeque::new(),
            alone: AlonePieces::default(),
            local: LocalPieces::default(),
            #[cfg(test)]
            searched: std::cell::Cell::default(),
        }
    }

    /// Whether the piece is needed and not owned.
    pub(super) fn wants(&self, piece: PieceIndex) -> bool {
        self.needed.contains(piece) && !self.owned.contains(piece)
    }

    /// How many of these pieces are wanted.
    pub(super) fn wanted_of(&self, pieces: &PieceSet) -> u32 {
        if pieces.is_full() {
            return self.missing;
        }
        let wanted = self.lengths.all_pieces().filter(|piece| self.wants(*piece));
        wanted.filter(|piece| pieces.contains(*piece)).count() as u32
    }

    /// Whether every block of an active piece has arrived.
    pub(super) fn all_arrived(&self, piece: PieceIndex) -> bool {
        let active = self.active.get(&piece);
        active.is_some_and(ActivePiece::is_complete)
    }

    /// Whether the block would be kept if it arrived from `link` now.
    pub(super) fn awaits(&self, link: LinkId, range: BlockRange) -> bool {
        let active = self.active.get(&range.piece());
        active.is_some_and(|active| active.awaits(link, range.number()))
    }

    /// Wanted pieces that no link has and whose blocks have not all arrived. The caller makes sure
    /// that no link is to a seed, because links to seeds are not counted.
    pub(super) fn unavailable(&self) -> impl Iterator<Item = PieceIndex> {
        let wanted = self.lengths.all_pieces().filter(|piece| self.wants(*piece));
        let waits_for_link =
            |piece| !self.all_arrived(piece) && !self.local.waiting().contains(&piece);
        wanted.filter(move |piece| self.rarity.availability(*piece) == 0 && waits_for_link(*piece))
    }

    /// A link has these pieces, but not every piece.
    pub(super) fn add_partial_link(&mut self, pieces: &PieceSet) {
        for piece in self
            .lengths
            .all_pieces()
            .filter(|piece| pieces.contains(*piece))
        {
            self.rarity.increase(piece);
        }
    }

    /// A link that had these pieces, but not every piece, is gone.
    pub(super) fn remove_partial_link(&mut self, pieces: &PieceSet) {
        for piece in self
            .lengths
            .all_pieces()
            .filter(|piece| pieces.contains(*piece))
        {
            self.rarity.decrease(piece);
        }
    }

    /// A link has one more piece. `is_full`: it has all pieces now.
    pub(super) fn add_piece_of_link(&mut self, piece: PieceIndex, is_full: bool) {
        if is_full {
            // Links to seeds are not counted. So the other pieces of this link no longer count.
            for other in self.lengths.all_pieces().filter(|other| *other != piece) {
                self.rarity.decrease(other);
            }
        } else {
            self.rarity.increase(piece);
        }
    }

    /// A block arrived from `link`. Returns `None` if the block is no longer needed.
    pub(super) fn on_block(&mut self, link: LinkId, range: BlockRange) -> Option<NeededArrival> {
        let active = self.active.get_mut(&range.piece())?;
        if !active.may_come_from(link) {
            // The block was requested before another link was chosen to fetch the piece alone.
            self.release(link, range);
            return None;
        }
        let had_free = active.has_free();
        let arrived = active.on_block(link, range.number());
        // A block whose request was given up is free, but may still arrive. If this was the last
        // free block and no run is left to begin, the piece has no more blocks to request.
        if had_free && !active.has_free() && active.next_run().is_none() {
            self.open_pieces.retain(|piece| *piece != range.piece());
        }
        arrived
    }

    /// A piece is verified and written. Returns whether it was wanted, and the links that delivered
    /// its blocks.
    pub(super) fn on_verified(&mut self, piece: PieceIndex) -> (bool, Vec<LinkId>) {
        let sources = self.forget_active(piece);
        self.alone.attempts.remove(&piece);
        self.local.forget(piece);
        let was_wanted = self.owned.insert(piece) && self.needed.contains(piece);
        if was_wanted {
            self.missing -= 1;
            self.rarity.remove(piece);
        }
        (was_wanted, sources)
    }

    /// All blocks of a piece arrived, and it does not verify. The piece waits to be fetched again.
    /// Returns who is to blame, and the links that delivered the blocks.
    pub(super) fn on_failed(&mut self, piece: PieceIndex) -> (Verdict, Vec<LinkId>) {
        let had_local = self.active.get(&piece).is_some_and(ActivePiece::had_local);
        #[cfg(test)]
        let had_local = had_local && !is_planted(Mutation::LocalBlamed);
        let sources = self.forget_active(piece);
        if had_local {
            // A link that is not cleared may have begun it. Now any link may begin it again.
            self.alone.attempts.remove(&piece);
            self.local.forget(piece);
            self.return_to_waiting(piece);
            return (Verdict::Local, Vec::new());
        }
        #[cfg(test)]
        if is_planted(Mutation::FailedNotFetched) {
            return (Verdict::Unclear, sources);
        }
        self.alone.any_failed = true;
        self.return_to_waiting(piece);
        let verdict = match sources.as_slice() {
            #[cfg(test)]
            [first, ..] if is_planted(Mutation::OneOfSeveralBlamed) => Verdict::Proven(*first),
            [only] => Verdict::Proven(*only),
            _ => {
                self.alone.attempts.entry(piece).or_default();
                Verdict::Unclear
            }
        };
        (verdict, sources)
    }

    /// `link` will not send this block.
    pub(super) fn release(&mut self, link: LinkId, range: BlockRange) {
        if let Some(active) = self.active.get_mut(&range.piece()) {
            if active.release(link, range.number()) {
                let attempts = self.alone.attempts.entry(range.piece()).or_default();
                attempts.on_given_up(link);
            }
            if active.has_free() && !self.open_pieces.contains(&range.piece()) {
                self.open_pieces.push_front(range.piece());
            }
        }
    }

    /// Pieces that are reserved for `link`, so that only it may fetch them, are no longer reserved.
    pub(super) fn end_reservations(&mut self, link: LinkId) {
        for (piece, attempts) in &mut self.alone.attempts {
            let active = self.active.get_mut(piece);
            if active.is_some_and(|active| active.end_reservation(link)) {
                attempts.on_given_up(link);
            }
        }
    }

    /// The link has ended.
    pub(super) fn forget_link(&mut self, link: LinkId) {
        self.alone
            .attempts
            .values_mut()
            .for_each(|it| it.forget(link));
    }

    /// `link` is to give up the piece that is reserved for it: ends the reservation.
    pub(super) fn give_up(&mut self, piece: PieceIndex, link: LinkId) {
        if let Some(active) = self.active.get_mut(&piece)
            && active.end_reservation(link)
        {
            self.alone
                .attempts
                .entry(piece)
                .or_default()
                .on_given_up(link);
        }
    }

    /// The reserved pieces, each with its reservation and the attempts so far.
    pub(super) fn reservations(
        &self,
    ) -> impl Iterator<Item = (PieceIndex, Reservation, &Attempts)> {
        self.alone.attempts.iter().filter_map(|(piece, attempts)| {
            let active = self.active.get(piece)?;
            Some((*piece, active.reservation()?, attempts))
        })
    }

    /// Whether several links may deliver an active piece.
    pub(super) fn is_for_several_links(&self, piece: PieceIndex) -> bool {
        let active = self.active.get(&piece);
        active.is_some_and(|active| active.delivery() == Delivery::SeveralLinks)
    }

    /// We did not read from the link `of` for the time `by`. So this time does not count for its
    /// reservations.
    pub(super) fn extend_reservations(&mut self, of: LinkId, by: Duration) {
        for piece in self.alone.attempts.keys() {
            if let Some(active) = self.active.get_mut(piece) {
                active.extend_reservation(of, by);
            }
        }
    }

    /// Gives up all active pieces.
    pub(super) fn abandon_active(&mut self) {
        for (piece, active) in std::mem::take(&mut self.active) {
            if let Some(reservation) = active.reservation() {
                let attempts = self.alone.attempts.entry(piece).or_default();
                attempts.on_given_up(reservation.link);
            }
            self.return_to_waiting(piece);
        }
        self.open_pieces.clear();
    }

    /// Whether the link is to a seed, and there is a waiting piece that only seeds have.
    pub(super) fn has_piece_of_seeds_only(&self, link: &PickerLink) -> bool {
        let rarest = self.rarity.rarest_first().next();
        rarest.is_some_and(|piece| self.rarity.availability(piece) == 0 && link.pieces.is_full())
    }

    /// Begins the next run of an open piece that the link offers. If there is none, begins a
    /// waiting piece: see `waiting_alone` and `waiting_piece`. `reserve` reserves buffers for the
    /// blocks of the run.
    pub(super) fn begin_run(
        &mut self,
        ranked: RankedLink<'_>,
        in_order: bool,
        now: Duration,
        reserve: &mut dyn FnMut(u32) -> bool,
    ) -> Begun {
        while let Some(piece) = self.lengths.piece(self.first_waiting)
            && !self.rarity.waits(piece)
        {
            self.first_waiting += 1;
        }
        let link = ranked.link;
        let mut open = self.open_pieces.iter().copied();
        let continued = open.find(|piece| {
            let active = self.active.get(piece);
            link.offers(*piece)
                && active.is_some_and(|active| {
                    active.next_run().is_some() && self.may_request(ranked, *piece, active)
                })
        });
        if let Some(active) = continued.and_then(|piece| self.active.get(&piece)) {
            if !active.next_run().is_some_and(|run| reserve(run.blocks)) {
                return Begun::Nothing;
            }
            let piece = active.piece();
            self.begin_next_run(piece, Some(link.id));
            self.reserve_piece(piece, link, now);
            return Begun::Run;
        }
        let found = self.waiting_alone(ranked);
        let found = match found {
            None if link.has_no_waiting_piece(self.waiting_changes) => return Begun::Nothing,
            None => self.waiting_piece(link, in_order),
            found => found,
        };
        let Some(piece) = found else {
            // While the peer chokes us, the search covers only a few of its pieces. So the result
            // is not remembered.
            return if link.choked {
                Begun::Nothing
            } else {
                Begun::NothingWaits
            };
        };
        let is_alone = self.alone.attempts.contains_key(&piece)
            || self.alone.any_failed && !link.merit.is_cleared;
        let delivery = if is_alone {
            Delivery::OneLink(None)
        } else {
            Delivery::SeveralLinks
        };
        let active = ActivePiece::new(piece, &self.lengths, delivery, self.local.blocks());
        if !active.next_run().is_some_and(|run| reserve(run.blocks)) {
            return Begun::Nothing;
        }
        self.rarity.remove(piece);
        self.open_pieces.push_back(piece);
        self.active.insert(piece, active);
        self.begin_next_run(piece, Some(link.id));
        self.reserve_piece(piece, link, now);
        Begun::Piece(piece)
    }

    /// Begins the next run of an active piece, on behalf of `link`: see [`ActivePiece::begin_run`].
    fn begin_next_run(&mut self, piece: PieceIndex, link: Option<LinkId>) {
        if let Some(active) = self.active.get_mut(&piece) {
            self.local.on_run_begun(active.begin_run(link));
            if !active.has_free() && active.next_run().is_none() {
                self.open_pieces.retain(|open| *open != piece);
            }
        }
    }

    /// How many times a piece has returned to waiting.
    pub(super) fn waiting_changes(&self) -> u64 {
        self.waiting_changes
    }

    /// Whether blocks of an active piece may be requested from the link.
    fn may_request(&self, ranked: RankedLink<'_>, piece: PieceIndex, active: &ActivePiece) -> bool {
        match active.delivery() {
            Delivery::SeveralLinks => !self.alone.any_failed || ranked.may_join(piece),
            Delivery::OneLink(Some(reservation)) => reservation.link == ranked.link.id,
            Delivery::OneLink(None) => {
                let attempts = self.alone.attempts.get(&piece);
                attempts.is_none_or(|attempts| ranked.may_deliver_alone(piece, attempts))
            }
        }
    }

    /// Reserves an active piece for the link if only one link may deliver the piece and no link is
    /// chosen yet.
    fn reserve_piece(&mut self, piece: PieceIndex, link: &PickerLink, now: Duration) {
        if let Some(active) = self.active.get_mut(&piece)
            && active.delivery() == Delivery::OneLink(None)
        {
            active.reserve_for(link.id, now);
            self.alone
                .attempts
                .entry(piece)
                .or_default()
                .on_reserved(link);
        }
    }

    /// The first waiting piece that only one link may deliver and for which this link may be chosen
    /// now. Considers at most [`MAX_CONSIDERED`] pieces that the link offers.
    fn waiting_alone(&self, ranked: RankedLink<'_>) -> Option<PieceIndex> {
        let alone = self.alone.attempts.iter();
        let offered =
            alone.filter(|(piece, _)| self.rarity.waits(**piece) && ranked.link.offers(**piece));
        let mut considered = offered.take(MAX_CONSIDERED);
        let found =
            considered.find(|(piece, attempts)| ranked.may_deliver_alone(**piece, attempts));
        found.map(|(piece, _)| *piece)
    }

    /// Endgame: requests blocks again that other links have not delivered in time.
    pub(super) fn take_late(
        &mut self,
        ranked: RankedLink<'_>,
        is_late: &dyn Fn(LinkId, Duration) -> bool,
        free_window: usize,
        out: &mut Vec<BlockRange>,
    ) {
        let end = out.len() + free_window;
        let any_failed = self.alone.any_failed;
        for (piece, active) in &mut self.active {
            let is_for_several = active.delivery() == Delivery::SeveralLinks;
            if is_for_several
                && ranked.link.offers(*piece)
                && (!any_failed || ranked.may_join(*piece))
            {
                let (link, count) = (ranked.link.id, end - out.len());
                active.take_late(link, is_late, count, &self.lengths, out);
            }
        }
    }

    /// Takes up to `count` free blocks of the first open piece that the link may fetch and for
    /// which `suits` is true. Returns whether there is such a piece.
    pub(super) fn take_free(
        &mut self,
        ranked: RankedLink<'_>,
        now: Duration,
        count: usize,
        out: &mut Vec<BlockRange>,
        suits: impl Fn(&ActivePiece) -> bool,
    ) -> bool {
        let link = ranked.link;
        let found = self.open_pieces.iter().position(|piece| {
            let active = self.active.get(piece);
            link.offers(*piece)
                && active.is_some_and(|active| {
                    active.has_free() && suits(active) && self.may_request(ranked, *piece, active)
                })
        });
        let piece =
            found.and_then(|index| self.open_pieces.get(index).map(|piece| (index, *piece)));
        let Some((index, piece)) = piece else {
            return false;
        };
        self.reserve_piece(piece, link, now);
        let Some(active) = self.active.get_mut(&piece) else {
            return false;
        };
        active.take(link.id, now, count, &self.lengths, out);
        if !active.has_free() && active.next_run().is_none() {
            self.open_pieces.remove(index);
        }
        true
    }

    /// Chooses the piece that a link should begin, of the waiting pieces that the link offers and
    /// that are not in `alone`. The first rule that applies decides:
    ///
    /// - While the peer chokes us, the link begins the rarest piece.
    /// - With `in_order`, it begins the first piece.
    /// - A web seed begins the first piece after the one that it began last.
    /// - If the peer suggests pieces, the link begins the latest suggestion.
    /// - Otherwise the link begins the rarest piece.
    fn waiting_piece(&self, link: &PickerLink, in_order: bool) -> Option<PieceIndex> {
        let suits = |piece: &PieceIndex| {
            #[cfg(test)]
            self.searched.set(self.searched.get() + 1);
            self.rarity.waits(*piece)
                && link.offers(*piece)
                && !self.alone.attempts.contains_key(piece)
        };
        let first_from = |number: u32| {
            let mut pieces =
                (number..self.lengths.pieces()).filter_map(|index| self.lengths.piece(index));
            pieces.find(suits)
        };
        // Without a waiting piece no search is needed.
        self.rarity.rarest_first().next()?;
        if link.choked {
            let allowed = link.allowed().filter(suits);
            return allowed.min_by_key(|piece| self.rarity.availability(*piece));
        }
        if in_order {
            return first_from(self.first_waiting);
        }
        if let Some(next) = link.next_in_range {
            return first_from(next).or_else(|| first_from(0));
        }
        let suggested = link.suggested().find(suits);
        suggested.or_else(|| match link.pieces.is_full() {
            true => self.rarity.rarest_first().find(suits),
            false => self.rarity.rarest_of_partial_links().find(suits),
        })
    }

    fn return_to_waiting(&mut self, piece: PieceIndex) {
        if self.local.on_waits(piece, &self.lengths) {
            return;
        }
        self.waiting_changes += 1;
        self.rarity.insert(piece);
        self.first_waiting = piece.number().min(self.first_waiting);
    }

    /// Removes an active piece. Returns the links that delivered blocks of it.
    fn forget_active(&mut self, piece: PieceIndex) -> Vec<LinkId> {
        self.open_pieces.retain(|other| *other != piece);
        let active = self.active.remove(&piece);
        active.map(ActivePiece::into_sources).unwrap_or_default()
    }
}

//! Which blocks a link is asked for next.

use super::{AFTER_REFUSAL, ENDGAME_AFTER, Link, LinkId, Picker};
use crate::swarm::RUN_BLOCKS;
use crate::swarm::active::ActivePiece;
use crate::torrent::{BlockRange, PieceIndex};
use std::time::Duration;

impl Picker {
    /// Appends to `out` the blocks to ask of a link now. Before a run is begun, `reserve` is asked for buffers for its
    /// blocks; where it gives none, only blocks of runs already begun are taken.
    pub fn next_blocks(
        &mut self,
        id: LinkId,
        now: Duration,
        reserve: &mut dyn FnMut(u32) -> bool,
        out: &mut Vec<BlockRange>,
    ) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if std::mem::take(&mut link.refused) {
            link.quiet_until = now + AFTER_REFUSAL;
        }
        if now < link.quiet_until {
            return;
        }
        let (window, flying) = (link.window.blocks() as usize, link.in_flight.len());
        let room = window.saturating_sub(flying);
        // Requests go in batches: a trickle of single ones costs a system call each.
        let (owned, needed) = (&self.owned, &self.needed);
        let wants = |piece| needed.contains(piece) && !owned.contains(piece);
        let serves = !link.choked
            || link
                .allowed
                .iter()
                .any(|piece| link.has.contains(*piece) && wants(*piece));
        if !serves || link.wanted == 0 || room < (window / 4).max(1) && flying > 0 {
            return;
        }
        let start = out.len();
        let fast = window >= RUN_BLOCKS as usize / 2;
        loop {
            let left = (start + room).saturating_sub(out.len());
            // A seed's blocks go to what nobody else has yet: others can give the rest of an open piece.
            let own = fast || self.offers_unique(id);
            let begun = own
                && left > 0
                && (self.take_begun_by(id, now, left, out) || self.begin_run(id, reserve));
            let more = begun
                || left > 0
                    && (self.take_open(id, now, left, out) || !fast && self.begin_run(id, reserve));
            if !more {
                break;
            }
        }
        if out.len() == start && flying == 0 {
            self.take_again(id, now, room, out);
        }
        let asked = out.get(start..).unwrap_or_default();
        if let Some(link) = self.links.get_mut(&id) {
            if flying == 0 {
                link.heard = now;
            }
            for range in asked {
                link.in_flight.push_back((*range, now));
            }
        }
    }

    /// Whether the link has a piece that waits and that no partial owner has.
    fn offers_unique(&self, id: LinkId) -> bool {
        let rarest = self.rarity.rarest_first().next();
        let link = self.links.get(&id);
        rarest.zip(link).is_some_and(|(piece, link)| {
            self.rarity.is_unique(piece) && link.has.is_full() && self.links.len() > 1
        })
    }

    fn take_begun_by(
        &mut self,
        id: LinkId,
        now: Duration,
        left: usize,
        out: &mut Vec<BlockRange>,
    ) -> bool {
        self.take_where(id, now, left, out, |active| active.opener == Some(id))
    }

    fn take_open(
        &mut self,
        id: LinkId,
        now: Duration,
        left: usize,
        out: &mut Vec<BlockRange>,
    ) -> bool {
        self.take_where(id, now, left, out, |_| true)
    }

    /// Takes free blocks of the first open piece that will do.
    fn take_where(
        &mut self,
        id: LinkId,
        now: Duration,
        left: usize,
        out: &mut Vec<BlockRange>,
        suits: impl Fn(&ActivePiece) -> bool,
    ) -> bool {
        let Some(link) = self.links.get(&id) else {
            return false;
        };
        let found = self.open.iter().enumerate().find(|(_, piece)| {
            let active = self.active.get(piece);
            link.offers(**piece)
                && active
                    .is_some_and(|active| active.has_free() && active.open_to(id) && suits(active))
        });
        let Some((at, piece)) = found.map(|(at, piece)| (at, *piece)) else {
            return false;
        };
        let Some(active) = self.active.get_mut(&piece) else {
            return false;
        };
        if active.alone && active.only.is_none() {
            active.only = Some(id);
        }
        active.take(id, now, left, &self.lengths, out);
        if !active.has_free() && active.next_run().is_none() {
            self.open.remove(at);
        }
        true
    }

    /// The piece to begin with a link: one that it hints at, else the rarest of those it has; or the next in order.
    fn waiting_piece(&self, link: &Link) -> Option<PieceIndex> {
        let from = |first: u32| {
            let pieces = (first..self.lengths.pieces()).filter_map(|at| self.lengths.piece(at));
            let mut waiting = pieces.filter(|piece| self.rarity.waits(*piece));
            waiting.find(|piece| link.offers(*piece))
        };
        self.rarity.rarest_first().next()?;
        if let Some(first) = self.in_order {
            return from(first);
        }
        if let Some(next) = link.stretch {
            return from(next).or_else(|| from(0));
        }
        let suggested = link.suggested.iter().rev().copied();
        let mut waiting = suggested.filter(|piece| self.rarity.waits(*piece));
        let hinted = waiting.find(|piece| link.offers(*piece));
        hinted.or_else(|| self.rarity.rarest_first().find(|piece| link.offers(*piece)))
    }

    /// Begins the next run of an open piece, or another piece that the link has.
    fn begin_run(&mut self, id: LinkId, reserve: &mut dyn FnMut(u32) -> bool) -> bool {
        while let Some(first) = self.in_order
            && let Some(piece) = self.lengths.piece(first)
            && !self.rarity.waits(piece)
        {
            self.in_order = Some(first + 1);
        }
        let Some(link) = self.links.get(&id) else {
            return false;
        };
        let open = self.open.iter().copied().find(|piece| {
            let active = self.active.get(piece);
            link.offers(*piece)
                && active.is_some_and(|active| active.open_to(id) && active.next_run().is_some())
        });
        let Some(piece) = open.or_else(|| self.waiting_piece(link)) else {
            return false;
        };
        if open.is_none() {
            let alone = self.doubtful.contains(&piece);
            let fresh = ActivePiece::new(piece, &self.lengths, id, alone);
            if !fresh.next_run().is_some_and(|run| reserve(run.blocks)) {
                return false;
            }
            self.rarity.remove(piece);
            self.open.push_back(piece);
            self.active.entry(piece).or_insert(fresh).begin_run();
            if let Some(link) = self.links.get_mut(&id) {
                link.stretch = link.stretch.map(|_| piece.number() + 1);
            }
            return true;
        }
        let Some(active) = self.active.get_mut(&piece) else {
            return false;
        };
        if !active.next_run().is_some_and(|run| reserve(run.blocks)) {
            return false;
        }
        active.begin_run();
        active.opener = Some(id);
        true
    }

    /// Endgame: nothing is left to ask for but what others were asked for a while ago.
    fn take_again(&mut self, id: LinkId, now: Duration, room: usize, out: &mut Vec<BlockRange>) {
        let Some(before) = now.checked_sub(ENDGAME_AFTER) else {
            return;
        };
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let end = out.len() + room;
        let suits = |active: &&mut ActivePiece| active.open_to(id) && link.offers(active.piece);
        for active in self.active.values_mut().filter(suits) {
            active.take_again(id, before, end - out.len(), &self.lengths, out);
        }
    }
}

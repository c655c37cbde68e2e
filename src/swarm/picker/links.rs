//! What links have, allow and say, and what follows for what is asked of them.

use super::{HINTS, Link, LinkId, Picker};
use crate::swarm::Window;
use crate::torrent::{PieceIndex, PieceSet};
use std::collections::VecDeque;
use std::time::Duration;

impl Picker {
    /// A link came up; it is choked and has told of no piece. At most `largest_window` blocks are asked of it at a time.
    pub fn add_link(&mut self, id: LinkId, largest_window: u32) {
        let link = Link {
            has: PieceSet::empty(&self.lengths),
            told: false,
            wanted: 0,
            choked: true,
            allowed: Vec::new(),
            suggested: Vec::new(),
            window: Window::new(largest_window),
            in_flight: VecDeque::new(),
            forgiven: VecDeque::new(),
            heard: Duration::ZERO,
            refused: false,
            quiet_until: Duration::ZERO,
            stretch: None,
        };
        self.links.insert(id, link);
    }

    /// A source that has everything came up, and serves whatever it is asked for; long stretches of pieces best.
    pub fn add_server(&mut self, id: LinkId, largest_window: u32) {
        self.add_link(id, largest_window);
        self.has(id, PieceSet::full(&self.lengths));
        self.choked(id, false, false);
        if let Some(link) = self.links.get_mut(&id) {
            link.stretch = Some(0);
        }
    }

    /// A link is gone; what it was asked for is free again.
    pub fn remove_link(&mut self, id: LinkId) {
        self.release_all(id);
        let Some(link) = self.links.remove(&id) else {
            return;
        };
        self.let_others_fetch(id);
        if !link.has.is_full() {
            for piece in self
                .lengths
                .all_pieces()
                .filter(|piece| link.has.contains(*piece))
            {
                self.rarity.decrease(piece, &mut self.rng);
            }
        }
    }

    /// The link told of all its pieces at once.
    pub fn has(&mut self, id: LinkId, has: PieceSet) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (owned, needed) = (&self.owned, &self.needed);
        let missing = self
            .lengths
            .all_pieces()
            .filter(|piece| needed.contains(*piece) && !owned.contains(*piece));
        link.wanted = missing.filter(|piece| has.contains(*piece)).count() as u32;
        if !has.is_full() {
            for piece in self
                .lengths
                .all_pieces()
                .filter(|piece| has.contains(*piece))
            {
                self.rarity.increase(piece, &mut self.rng);
            }
        }
        link.has = has;
        link.told = true;
    }

    /// The link told again of all its pieces. Gives `false`, and changes nothing, if it takes back what it told before.
    pub fn has_more(&mut self, id: LinkId, has: &PieceSet) -> bool {
        let Some(link) = self.links.get_mut(&id) else {
            return true;
        };
        if link.has.is_full() {
            return has.is_full();
        }
        let mut told = self.lengths.all_pieces();
        if told.any(|piece| link.has.contains(piece) && !has.contains(piece)) {
            return false;
        }
        link.told = true;
        let more = self.lengths.all_pieces();
        let more = more.filter(|piece| has.contains(*piece) && !link.has.contains(*piece));
        let more: Vec<PieceIndex> = more.collect();
        for piece in more {
            self.have(id, piece);
        }
        true
    }

    /// The link owns one piece more.
    pub fn have(&mut self, id: LinkId, piece: PieceIndex) {
        let wanted = self.wants(piece);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.told = true;
        if !link.has.insert(piece) {
            return;
        }
        link.wanted += u32::from(wanted);
        if link.has.is_full() {
            // Owners of everything are not counted: take back what was counted of this one.
            for other in self.lengths.all_pieces().filter(|other| *other != piece) {
                self.rarity.decrease(other, &mut self.rng);
            }
        } else {
            self.rarity.increase(piece, &mut self.rng);
        }
    }

    /// The pieces a link told of.
    pub fn pieces_of(&self, id: LinkId) -> Option<&PieceSet> {
        self.links.get(&id).map(|link| &link.has)
    }

    /// Whether the link has a piece that is wanted here.
    pub fn is_interesting(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|link| link.wanted > 0)
    }

    /// Whether blocks of the link are under way.
    pub fn is_fetching(&self, id: LinkId) -> bool {
        self.links
            .get(&id)
            .is_some_and(|link| !link.in_flight.is_empty())
    }

    /// The link serves requests, or does so no more. With `forget`, what it was asked for will not come (BEP 3: a choke
    /// drops requests; with BEP 6 each is rejected on its own).
    pub fn choked(&mut self, id: LinkId, choked: bool, forget: bool) {
        if let Some(link) = self.links.get_mut(&id) {
            link.choked = choked;
            link.refused |= choked && forget && !link.in_flight.is_empty();
        }
        if choked && forget {
            self.release_all(id);
        }
        if choked {
            self.let_others_fetch(id);
        }
    }

    /// Whether the link does not serve requests.
    pub fn is_choked(&self, id: LinkId) -> bool {
        self.links.get(&id).is_none_or(|link| link.choked)
    }

    /// The link will send this piece even while it chokes us (BEP 6, "allowed fast").
    pub fn allowed(&mut self, id: LinkId, piece: PieceIndex) {
        if let Some(link) = self.links.get_mut(&id)
            && link.allowed.len() < HINTS
            && !link.allowed.contains(&piece)
        {
            link.allowed.push(piece);
        }
    }

    /// The link would like to send this piece before others (BEP 6, "suggest piece").
    pub fn suggested(&mut self, id: LinkId, piece: PieceIndex) {
        if let Some(link) = self.links.get_mut(&id) {
            link.suggested.retain(|other| *other != piece);
            if link.suggested.len() >= HINTS {
                link.suggested.remove(0);
            }
            link.suggested.push(piece);
        }
    }

    /// That nothing arrived from the link is not its fault: it is we who do not read on.
    pub fn excuse(&mut self, id: LinkId, now: Duration) {
        if let Some(link) = self.links.get_mut(&id) {
            link.heard = now;
        }
    }

    /// The other side keeps at most this many requests.
    pub fn limit_window(&mut self, id: LinkId, largest: u32) {
        if let Some(link) = self.links.get_mut(&id) {
            link.window.limit(largest);
        }
    }

    /// Whether the link has told which pieces it has.
    pub fn has_told(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|link| link.told)
    }
}

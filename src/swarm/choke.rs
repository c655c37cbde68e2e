//! Who is served: choking, unchoking and upload slots (BEP 3, "choking and optimistic unchoking").
//!
//! A *slot* is the right of an interested peer to have its requests served. Most slots are *regular*: they go by rank, anew
//! every 10 seconds. The others are *turns*: they go round, so that everyone is tried or served now and then.
//!
//! - While we lack pieces, rank is what a peer gave us lately, and turns are BEP 3's optimistic unchokes: drawn at random
//!   every 30 seconds, those who never had a slot being three times as likely as others. Whoever owes us what we asked for
//!   and delivers nothing for a minute has no rank.
//! - As a seed, rank is how fast a peer takes what it is given, and turns go to those who waited longest.
//!
//! As long as everyone who is interested can have a slot, everyone has one at once, and keeps it through a loss of
//! interest unless another needs it: never are more unchoked than there are slots. In scope: who. Out of scope: what a choke does to requests.

#[cfg(test)]
use super::mutation::{Mutation, is_planted};
use super::{LinkId, Rate};
use fastrand::Rng;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

/// Regular slots are given anew this often.
const RANK_EVERY: Duration = Duration::from_secs(10);
/// A turn lasts this long.
const TURN: Duration = Duration::from_secs(30);
/// What peers gave and took counts for this long.
const LATELY: Duration = Duration::from_secs(20);
/// Over how long it is seen whether there is bandwidth for more slots.
const NOW: Duration = Duration::from_secs(2);
/// A peer that delivers nothing of what it owes for this long has snubbed us.
const SNUBBED: Duration = Duration::from_secs(60);
/// How much likelier one that never had a slot is drawn for a turn.
const NEWCOMER: u32 = 3;
/// The fewest slots where their number is not fixed.
const FEWEST_SLOTS: u64 = 8;
/// There is a slot more for each so many bytes a second that go out: on a fast network everyone has one.
const BYTES_PER_SLOT: u64 = 512 << 10;
/// Under a limit, a slot is to carry at least so many bytes a second: a block each second.
const LEAST_PER_SLOT: u64 = 16 << 10;

/// How many peers of one share are served at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadSlots {
    /// So many, at least one.
    Fixed(usize),
    /// As many as the rate of what goes out allows: at least eight, fewer only below a low limit of upload.
    ByRate {
        /// The limit in bytes a second, if there is one.
        limit: Option<u64>,
    },
}

/// What is seen of a peer now and then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Bytes it sent since its link began.
    pub gave: u64,
    /// Bytes it was sent since then.
    pub took: u64,
    /// It has unchoked us and owes us blocks that we asked for.
    pub owes: bool,
}

/// What is to be told to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whom.
    pub link: LinkId,
    /// Whether it is choked from now on, or unchoked.
    pub choked: bool,
}

/// The slots of one share.
#[derive(Debug)]
pub struct Choker {
    slots: UploadSlots,
    /// How many there are now.
    number: usize,
    peers: BTreeMap<LinkId, Peer>,
    seeding: bool,
    /// All that went out.
    out_now: Rate,
    out_lately: Rate,
    rank_at: Duration,
    /// One that held a slot went or lost interest, or what counts has changed.
    disturbed: bool,
    rng: Rng,
}

#[derive(Debug)]
struct Peer {
    interested: bool,
    slot: Slot,
    gave: Rate,
    took: Rate,
    seen: Seen,
    /// Since when it owes us and delivers nothing, and when it was last seen to.
    owes: Option<(Duration, Duration)>,
    /// When it last held a slot; never, at first.
    served: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Choked,
    Regular,
    /// A turn, since when, and what had been taken by then.
    Turn {
        since: Duration,
        took: u64,
    },
}

impl Peer {
    fn is_served(&self) -> bool {
        self.slot != Slot::Choked
    }

    fn has_snubbed(&self, now: Duration) -> bool {
        self.owes
            .is_some_and(|(since, _)| now.saturating_sub(since) >= SNUBBED)
    }

    /// A turn of which nothing was made is over early.
    fn has_its_turn(&self, now: Duration) -> bool {
        let Slot::Turn { since, took } = self.slot else {
            return false;
        };
        let lasts = if self.seen.took > took {
            TURN
        } else {
            RANK_EVERY
        };
        now.saturating_sub(since) < lasts
    }
}

impl Choker {
    /// Slots that nobody has yet. Equal seeds give equal choices.
    pub fn new(slots: UploadSlots, seed: u64) -> Self {
        let number = match slots {
            UploadSlots::Fixed(number) => number.max(1),
            UploadSlots::ByRate { limit } => fewest(limit),
        };
        #[cfg(test)]
        let number = number + usize::from(is_planted(Mutation::SlotTooMany));
        Self {
            slots,
            number,
            peers: BTreeMap::new(),
            seeding: false,
            out_now: Rate::over(NOW),
            out_lately: Rate::over(LATELY),
            rank_at: Duration::ZERO,
            disturbed: false,
            rng: Rng::with_seed(seed),
        }
    }

    /// A link came up; its peer is choked and not interested.
    pub fn add(&mut self, id: LinkId) {
        let peer = Peer {
            interested: false,
            slot: Slot::Choked,
            gave: Rate::over(LATELY),
            took: Rate::over(LATELY),
            seen: Seen::default(),
            owes: None,
            served: None,
        };
        self.peers.insert(id, peer);
    }

    /// A link is gone.
    pub fn remove(&mut self, id: LinkId) {
        let held = self
            .peers
            .remove(&id)
            .is_some_and(|peer| peer.interested && peer.is_served());
        self.disturbed |= held;
    }

    /// The peer is interested in our pieces, or is so no more.
    pub fn on_interested(&mut self, id: LinkId, interested: bool) {
        if let Some(peer) = self.peers.get_mut(&id) {
            self.disturbed |= peer.interested && !interested && peer.is_served();
            peer.interested = interested;
        }
    }

    /// Whether the peer is interested in our pieces.
    pub fn is_interested(&self, id: LinkId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.interested)
    }

    /// Whether the requests of the peer are served.
    pub fn is_served(&self, id: LinkId) -> bool {
        self.peers.get(&id).is_some_and(Peer::is_served)
    }

    /// Takes in what is seen of a peer.
    pub fn observe(&mut self, id: LinkId, now: Duration, seen: Seen) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let gave = seen.gave.saturating_sub(peer.seen.gave);
        let took = seen.took.saturating_sub(peer.seen.took);
        if gave > 0 {
            peer.gave.add(now, gave);
        }
        if took > 0 {
            peer.took.add(now, took);
            self.out_now.add(now, took);
            self.out_lately.add(now, took);
        }
        // Between two tries nothing is owed for a moment, which clears nothing.
        let over = |(_, last)| gave > 0 || now.saturating_sub(last) > RANK_EVERY;
        if peer.owes.is_some_and(over) {
            peer.owes = None;
        }
        if seen.owes {
            peer.owes.get_or_insert((now, now)).1 = now;
        }
        peer.seen = seen;
    }

    /// The peer choked us: it owes us nothing any more.
    pub fn on_choke(&mut self, id: LinkId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.owes = None;
        }
    }

    /// How many slots there are now.
    pub fn slots(&self) -> usize {
        self.number
    }

    /// Gives out the slots and names what changed. To be called after each change and now and then besides; what is not
    /// due yet stays as it is.
    pub fn decide(&mut self, now: Duration, seeding: bool) -> Vec<Change> {
        self.disturbed |= seeding != self.seeding;
        self.seeding = seeding;
        let due = now >= self.rank_at;
        self.count_slots(now, due);
        if due {
            self.rank_at = now + RANK_EVERY;
        }
        let interested = self.peers.values().filter(|peer| peer.interested).count();
        let mut changes = Vec::new();
        if interested <= self.number {
            self.disturbed = false;
            for (id, peer) in &mut self.peers {
                if peer.interested && !peer.is_served() {
                    set_slot(*id, peer, Slot::Regular, now, &mut changes);
                }
            }
            self.choke_idle(now, &mut changes);
            return changes;
        }
        let held = self.peers.values().filter(|peer| peer.is_served());
        let (kept, idle): (Vec<&Peer>, Vec<&Peer>) = held.partition(|peer| peer.interested);
        let crowded = kept.len() > self.number || !idle.is_empty();
        if due || crowded || std::mem::take(&mut self.disturbed) {
            self.disturbed = false;
            self.rank(now, &mut changes);
        } else {
            self.fill(now, &mut changes);
        }
        changes
    }

    /// Those who lost interest make room where there are more unchoked than slots.
    fn choke_idle(&mut self, now: Duration, changes: &mut Vec<Change>) {
        let held = self.peers.values().filter(|peer| peer.is_served()).count();
        let idle = self
            .peers
            .iter_mut()
            .filter(|(_, peer)| peer.is_served() && !peer.interested);
        for (id, peer) in idle.take(held.saturating_sub(self.number)) {
            set_slot(*id, peer, Slot::Choked, now, changes);
        }
    }

    /// The number of slots follows the rate at once when it grows, at the next ranking when it falls.
    fn count_slots(&mut self, now: Duration, ranking: bool) {
        let UploadSlots::ByRate { limit } = self.slots else {
            return;
        };
        let carried = |rate: &Rate| {
            usize::try_from(rate.bytes_per_second(now) / BYTES_PER_SLOT).unwrap_or(usize::MAX)
        };
        let least = if ranking { 0 } else { self.number };
        self.number = carried(&self.out_now)
            .max(carried(&self.out_lately))
            .max(fewest(limit))
            .max(least);
    }

    /// How many of the slots are turns: one in five while we trade, half of them as a seed, at least one.
    fn turns(&self) -> usize {
        let part = if self.seeding { 2 } else { 5 };
        (self.number / part).max(1)
    }

    /// Gives out all slots anew.
    fn rank(&mut self, now: Duration, changes: &mut Vec<Change>) {
        let seeding = self.seeding;
        let mut ranked: Vec<(LinkId, &Peer)> = self
            .peers
            .iter()
            .map(|(id, peer)| (*id, peer))
            .filter(|(_, peer)| peer.interested && (seeding || !peer.has_snubbed(now)))
            .collect();
        // Among equals, whoever has a slot keeps it.
        ranked.sort_by_cached_key(|(id, peer)| {
            let rate = if seeding { &peer.took } else { &peer.gave };
            (
                Reverse(rate.bytes_per_second(now)),
                !matches!(peer.slot, Slot::Regular),
                *id,
            )
        });
        let regular = self.number - self.turns().min(self.number);
        let regular: Vec<LinkId> = ranked.iter().take(regular).map(|(id, _)| *id).collect();
        let mut left = self.number - regular.len();
        let mut ended = Vec::new();
        for (id, peer) in &mut self.peers {
            if regular.contains(id) {
                if peer.is_served() {
                    peer.slot = Slot::Regular;
                } else {
                    set_slot(*id, peer, Slot::Regular, now, changes);
                }
            } else if peer.interested && left > 0 && peer.has_its_turn(now) {
                left -= 1;
            } else if peer.is_served() {
                ended.push(*id);
            }
        }
        // Those who had theirs are drawn again only if nobody else waits.
        let waiting = self.waiting(&ended);
        let mut drawn = self.draw(waiting, left, now);
        if drawn.len() < left {
            let had = ended.iter().copied().filter(|id| self.is_interested(*id));
            let had = had.take(left - drawn.len()).collect::<Vec<_>>();
            drawn.extend(had);
        }
        for id in ended.into_iter().filter(|id| !drawn.contains(id)) {
            if let Some(peer) = self.peers.get_mut(&id) {
                set_slot(id, peer, Slot::Choked, now, changes);
            }
        }
        self.begin_turns(&drawn, now, changes);
    }

    /// Gives slots that nobody has to those who wait.
    fn fill(&mut self, now: Duration, changes: &mut Vec<Change>) {
        let held = self.peers.values().filter(|peer| peer.is_served()).count();
        let waiting = self.waiting(&[]);
        let drawn = self.draw(waiting, self.number.saturating_sub(held), now);
        self.begin_turns(&drawn, now, changes);
    }

    /// Interested peers without a slot.
    fn waiting(&self, except: &[LinkId]) -> Vec<LinkId> {
        self.peers
            .iter()
            .filter(|(id, peer)| peer.interested && !peer.is_served() && !except.contains(id))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Draws up to `count` of `waiting` for a turn.
    fn draw(&mut self, mut waiting: Vec<LinkId>, count: usize, now: Duration) -> Vec<LinkId> {
        let served = |id: &LinkId| self.peers.get(id).and_then(|peer| peer.served);
        if self.seeding {
            waiting.sort_by_key(|id| (served(id).is_some(), served(id).unwrap_or(now), *id));
            waiting.truncate(count);
            return waiting;
        }
        let mut drawn = Vec::new();
        let mut weighed: Vec<(LinkId, u32)> = waiting
            .into_iter()
            .map(|id| (id, if served(&id).is_none() { NEWCOMER } else { 1 }))
            .collect();
        while drawn.len() < count && !weighed.is_empty() {
            let all: u32 = weighed.iter().map(|(_, weight)| weight).sum();
            let mut at = self.rng.u32(0..all.max(1));
            let chosen = weighed.iter().position(|(_, weight)| {
                let here = at < *weight;
                at = at.saturating_sub(*weight);
                here
            });
            drawn.push(weighed.swap_remove(chosen.unwrap_or(0)).0);
        }
        drawn
    }

    fn begin_turns(&mut self, drawn: &[LinkId], now: Duration, changes: &mut Vec<Change>) {
        for id in drawn {
            if let Some(peer) = self.peers.get_mut(id) {
                let took = peer.seen.took;
                let turn = Slot::Turn { since: now, took };
                if peer.is_served() {
                    peer.slot = turn;
                } else {
                    set_slot(*id, peer, turn, now, changes);
                }
            }
        }
    }
}

/// The fewest slots under a limit of upload.
fn fewest(limit: Option<u64>) -> usize {
    let carried = limit.map_or(FEWEST_SLOTS, |limit| limit / LEAST_PER_SLOT);
    carried.clamp(2, FEWEST_SLOTS) as usize
}

fn set_slot(link: LinkId, peer: &mut Peer, slot: Slot, now: Duration, changes: &mut Vec<Change>) {
    peer.slot = slot;
    peer.served = Some(now);
    let choked = slot == Slot::Choked;
    changes.push(Change { link, choked });
}

#[cfg(test)]
mod tests;

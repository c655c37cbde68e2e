//! Choking and upload slots: which peers are served (BEP 3, "choking and optimistic unchoking").
//!
//! An upload *slot* is the right of an interested peer to have its requests served. Most slots are
//! *regular*: every 10 seconds they go to the peers of the highest rank. The other slots are
//! *turns*: they go round, so that every peer is tried or served from time to time.
//!
//! | | while we download | as a seed |
//! |---|---|---|
//! | rank | the rate at which the peer sent to us lately | the rate at which the peer takes what we send |
//! | turns | BEP 3's optimistic unchokes: drawn at random every 30 seconds; a peer that never had a slot is three times as likely | the peers that have waited longest |
//! | no rank | a peer that has owed us requested blocks for a minute and delivered none | |
//!
//! While there are slots for all interested peers, each gets one at once. A peer that loses
//! interest keeps its slot until another one needs it. There are never more unchoked peers than
//! slots.
//!
//! In scope: which peers are choked. Out of scope: what a choke does to requests.

#[cfg(test)]
use super::mutation::{Mutation, is_planted};
use super::{LinkId, Rate};
use fastrand::Rng;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

/// Interval between two rankings, which give out the regular slots.
const RANK_EVERY: Duration = Duration::from_secs(10);
/// Length of a turn.
const TURN: Duration = Duration::from_secs(30);
/// Traffic counts for this long in the ranking.
const LATELY: Duration = Duration::from_secs(20);
/// Span over which the upload rate is measured, to see whether there is bandwidth for more slots.
const NOW: Duration = Duration::from_secs(2);
/// A peer that owes us blocks and has delivered nothing for this long has snubbed us.
const SNUBBED: Duration = Duration::from_secs(60);
/// Weight of a peer that never had a slot, when turns are drawn. All others have 1.
const NEWCOMER: u32 = 3;
/// The smallest number of slots by rate, unless a low upload limit reduces it.
const FEWEST_SLOTS: u64 = 8;
/// Upload rate in bytes a second for each additional slot. On a fast network every peer gets one.
const BYTES_PER_SLOT: u64 = 512 << 10;
/// With an upload limit, each slot is to carry at least this many bytes a second: one block a
/// second.
const LEAST_PER_SLOT: u64 = 16 << 10;

/// How many peers of one share are served at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadSlots {
    /// This number, but at least one.
    Fixed(usize),
    /// As many as the upload rate allows: at least eight, or fewer with a low upload limit.
    ByRate {
        /// The limit in bytes a second, if there is one.
        limit: Option<u64>,
    },
}

/// The traffic of a peer so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Bytes that we received from the peer since its link began.
    pub gave: u64,
    /// Bytes that we sent to the peer since its link began.
    pub took: u64,
    /// The peer has unchoked us and owes us blocks that we requested.
    pub owes: bool,
}

/// A peer is to be choked or unchoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The link to the peer.
    pub link: LinkId,
    /// Whether the peer is choked from now on.
    pub choked: bool,
}

/// The upload slots of one share.
#[derive(Debug)]
pub struct Choker {
    slots: UploadSlots,
    /// The number of slots now.
    number: usize,
    peers: BTreeMap<LinkId, Peer>,
    seeding: bool,
    /// All uploads, over two spans.
    out_now: Rate,
    out_lately: Rate,
    rank_at: Duration,
    /// The slots must be ranked again: a peer that held one is gone or lost interest, or the kind
    /// of rank has changed.
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
    /// Since when the peer owes us blocks without delivering any, and when it last did owe.
    owes: Option<(Duration, Duration)>,
    /// When the peer last held a slot.
    served: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Choked,
    Regular,
    /// A turn: when it began, and how much we had sent to the peer by then.
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

    /// A turn that the peer does not use ends early.
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
    /// Nobody has a slot yet. Equal seeds give equal choices.
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

    /// A link came up. Its peer is choked and not interested.
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

    /// The peer is interested in our pieces, or no longer.
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

    /// Whether the peer's requests are served.
    pub fn is_served(&self, id: LinkId) -> bool {
        self.peers.get(&id).is_some_and(Peer::is_served)
    }

    /// Takes in the traffic of a peer.
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
        // Between two requests the peer owes nothing for a moment. That does not clear the debt.
        let over = |(_, last)| gave > 0 || now.saturating_sub(last) > RANK_EVERY;
        if peer.owes.is_some_and(over) {
            peer.owes = None;
        }
        if seen.owes {
            peer.owes.get_or_insert((now, now)).1 = now;
        }
        peer.seen = seen;
    }

    /// The peer choked us, so it no longer owes us anything.
    pub fn on_choke(&mut self, id: LinkId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.owes = None;
        }
    }

    /// The number of slots now.
    pub fn slots(&self) -> usize {
        self.number
    }

    /// Gives out the slots and returns what changed. To be called after each change, and regularly.
    /// What is not due stays as it is.
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

    /// Chokes peers that lost interest, where there are more unchoked peers than slots.
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

    /// The number of slots grows with the rate at once. It falls at the next ranking only.
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

    /// The number of slots that are turns: one in five while we download, half of them as a seed,
    /// at least one.
    fn turns(&self) -> usize {
        let part = if self.seeding { 2 } else { 5 };
        (self.number / part).max(1)
    }

    /// Gives out all slots again.
    fn rank(&mut self, now: Duration, changes: &mut Vec<Change>) {
        let seeding = self.seeding;
        let mut ranked: Vec<(LinkId, &Peer)> = self
            .peers
            .iter()
            .map(|(id, peer)| (*id, peer))
            .filter(|(_, peer)| peer.interested && (seeding || !peer.has_snubbed(now)))
            .collect();
        // Among equals, a peer that has a slot keeps it.
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
        // Peers whose turn has ended are drawn again only if no other waits.
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

    /// Gives free slots to peers that wait.
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

/// The smallest number of slots with this upload limit.
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

//! Choking and upload slots: which peers are served (BEP 3, "choking and optimistic unchoking").
//!
//! An upload *slot* is the right of an interested peer to have its requests served. There are two
//! kinds of slots. *Regular* slots go to the peers of the highest rank. They are assigned again
//! every 10 seconds. The other slots are *turns*: they rotate, so that every peer is tried or
//! served from time to time.
//!
//! | | while we download | as a seed |
//! |---|---|---|
//! | turns | one slot in five | half of the slots |
//! | rank | the recent rate from the peer to us | the recent rate from us to the peer |
//! | has no rank | a peer that has owed us blocks for a minute and sent none | nobody |
//! | a turn goes to | a random peer (BEP 3's optimistic unchoke) | the peer that waited longest |
//!
//! A turn lasts 30 seconds. It ends after 10 seconds if we have sent the peer nothing in it. When
//! turns are drawn at random, a peer that never had a slot is three times as likely as another.
//!
//! While there are slots for all interested peers, each gets one at once. A peer that loses
//! interest keeps its slot until another peer needs it. There are never more unchoked peers than
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

/// Interval between two rankings, which assign the regular slots.
const RANK_INTERVAL: Duration = Duration::from_secs(10);
/// Length of a turn.
const TURN_LENGTH: Duration = Duration::from_secs(30);
/// Traffic counts for this long in the ranking.
const RANKED_SPAN: Duration = Duration::from_secs(20);
/// Span over which the upload rate is measured, to see whether there is bandwidth for more slots.
const BANDWIDTH_SPAN: Duration = Duration::from_secs(2);
/// A peer that owes us blocks and has delivered nothing for this long has snubbed us.
const SNUBBED_AFTER: Duration = Duration::from_secs(60);
/// Weight of a peer that never had a slot, when turns are drawn. All others have 1.
const NEWCOMER_WEIGHT: u32 = 3;
/// The smallest number of slots with [`UploadSlots::ByRate`], unless a low upload limit reduces it.
const MIN_SLOTS: u64 = 8;
/// Upload rate per slot, in bytes a second. The rate divided by this is the number of slots, so on
/// a fast network every peer gets one. See [`MIN_SLOTS`] for the minimum.
const BYTES_PER_SLOT: u64 = 512 << 10;
/// With an upload limit, each slot is to carry at least this many bytes a second: one block a
/// second.
const MIN_BYTES_PER_SLOT: u64 = 16 << 10;

/// How many peers of one share are served at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadSlots {
    /// This number, but at least one.
    Fixed(usize),
    /// As many as the upload rate carries, but at least eight. An upload limit below 128 KiB/s
    /// lowers this minimum, down to two.
    ByRate {
        /// The limit in bytes a second, if there is one.
        limit: Option<u64>,
    },
}

/// The traffic of a peer so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeerTraffic {
    /// Bytes that we received from the peer since its link began.
    pub received: u64,
    /// Bytes that we sent to the peer since its link began.
    pub sent: u64,
    /// The peer has unchoked us and owes us blocks that we requested.
    pub owes_blocks: bool,
}

/// A peer is to be choked or unchoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChokeChange {
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
    slot_count: usize,
    peers: BTreeMap<LinkId, Peer>,
    seeding: bool,
    /// The rate of all uploads, over [`BANDWIDTH_SPAN`] and over [`RANKED_SPAN`].
    rate_now: Rate,
    rate_lately: Rate,
    next_ranking: Duration,
    /// The slots must be assigned again before the next ranking is due: a peer that held one is
    /// gone or lost interest, or `seeding` has changed.
    must_rank: bool,
    rng: Rng,
}

#[derive(Debug)]
struct Peer {
    interested: bool,
    slot: SlotState,
    received_rate: Rate,
    sent_rate: Rate,
    traffic: PeerTraffic,
    /// Since when the peer owes us blocks without delivering any, and when it last owed us some.
    debt: Option<(Duration, Duration)>,
    /// When the peer last got or lost a slot. `None` if it never had one.
    slot_changed: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotState {
    Choked,
    Regular,
    /// A turn: when it began, and how much we had sent to the peer by then.
    Turn {
        since: Duration,
        sent: u64,
    },
}

impl Peer {
    fn is_served(&self) -> bool {
        self.slot != SlotState::Choked
    }

    fn has_snubbed(&self, now: Duration) -> bool {
        self.debt
            .is_some_and(|(since, _)| now.saturating_sub(since) >= SNUBBED_AFTER)
    }

    /// Whether the peer has a turn that has not ended yet. A turn that the peer does not use ends
    /// early.
    fn is_in_turn(&self, now: Duration) -> bool {
        let SlotState::Turn { since, sent } = self.slot else {
            return false;
        };
        let length = if self.traffic.sent > sent {
            TURN_LENGTH
        } else {
            RANK_INTERVAL
        };
        now.saturating_sub(since) < length
    }
}

impl Choker {
    /// Nobody has a slot yet. The same `seed` gives the same random choices.
    pub fn new(slots: UploadSlots, seed: u64) -> Self {
        let slot_count = match slots {
            UploadSlots::Fixed(slot_count) => slot_count.max(1),
            UploadSlots::ByRate { limit } => min_slots(limit),
        };
        #[cfg(test)]
        let slot_count = slot_count + usize::from(is_planted(Mutation::OneSlotTooMany));
        Self {
            slots,
            slot_count,
            peers: BTreeMap::new(),
            seeding: false,
            rate_now: Rate::over(BANDWIDTH_SPAN),
            rate_lately: Rate::over(RANKED_SPAN),
            next_ranking: Duration::ZERO,
            must_rank: false,
            rng: Rng::with_seed(seed),
        }
    }

    /// A link came up. Its peer is choked and not interested.
    pub fn add(&mut self, id: LinkId) {
        let peer = Peer {
            interested: false,
            slot: SlotState::Choked,
            received_rate: Rate::over(RANKED_SPAN),
            sent_rate: Rate::over(RANKED_SPAN),
            traffic: PeerTraffic::default(),
            debt: None,
            slot_changed: None,
        };
        self.peers.insert(id, peer);
    }

    /// A link is gone.
    pub fn remove(&mut self, id: LinkId) {
        let used_slot = self
            .peers
            .remove(&id)
            .is_some_and(|peer| peer.interested && peer.is_served());
        self.must_rank |= used_slot;
    }

    /// The peer is interested in our pieces, or no longer.
    pub fn on_interested(&mut self, id: LinkId, interested: bool) {
        if let Some(peer) = self.peers.get_mut(&id) {
            self.must_rank |= peer.interested && !interested && peer.is_served();
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

    /// Records the traffic of a peer.
    pub fn observe(&mut self, id: LinkId, now: Duration, traffic: PeerTraffic) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let received = traffic.received.saturating_sub(peer.traffic.received);
        let sent = traffic.sent.saturating_sub(peer.traffic.sent);
        if received > 0 {
            peer.received_rate.add(now, received);
        }
        if sent > 0 {
            peer.sent_rate.add(now, sent);
            self.rate_now.add(now, sent);
            self.rate_lately.add(now, sent);
        }
        // Between two requests the peer owes nothing for a moment. That does not clear the debt.
        let is_over = |(_, last)| received > 0 || now.saturating_sub(last) > RANK_INTERVAL;
        if peer.debt.is_some_and(is_over) {
            peer.debt = None;
        }
        if traffic.owes_blocks {
            peer.debt.get_or_insert((now, now)).1 = now;
        }
        peer.traffic = traffic;
    }

    /// The peer choked us, so it no longer owes us anything.
    pub fn on_choke(&mut self, id: LinkId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.debt = None;
        }
    }

    /// The number of slots now.
    pub fn slot_count(&self) -> usize {
        self.slot_count
    }

    /// Assigns the slots for which a change is due, and returns what changed. The caller calls
    /// this after each event, and regularly.
    pub fn decide(&mut self, now: Duration, seeding: bool) -> Vec<ChokeChange> {
        self.must_rank |= seeding != self.seeding;
        self.seeding = seeding;
        let due = now >= self.next_ranking;
        self.update_slot_count(now, due);
        if due {
            self.next_ranking = now + RANK_INTERVAL;
        }
        let interested = self.peers.values().filter(|peer| peer.interested).count();
        let mut changes = Vec::new();
        if interested <= self.slot_count {
            self.must_rank = false;
            for (id, peer) in &mut self.peers {
                if peer.interested && !peer.is_served() {
                    set_slot(*id, peer, SlotState::Regular, now, &mut changes);
                }
            }
            self.choke_idle(now, &mut changes);
            return changes;
        }
        let served = self.peers.values().filter(|peer| peer.is_served());
        let (active, idle): (Vec<&Peer>, Vec<&Peer>) = served.partition(|peer| peer.interested);
        let must_choke = active.len() > self.slot_count || !idle.is_empty();
        if due || must_choke || std::mem::take(&mut self.must_rank) {
            self.must_rank = false;
            self.rank(now, &mut changes);
        } else {
            self.fill_free_slots(now, &mut changes);
        }
        changes
    }

    /// Chokes peers that lost interest, as long as there are more unchoked peers than slots.
    fn choke_idle(&mut self, now: Duration, changes: &mut Vec<ChokeChange>) {
        let held = self.peers.values().filter(|peer| peer.is_served()).count();
        let idle = self
            .peers
            .iter_mut()
            .filter(|(_, peer)| peer.is_served() && !peer.interested);
        for (id, peer) in idle.take(held.saturating_sub(self.slot_count)) {
            set_slot(*id, peer, SlotState::Choked, now, changes);
        }
    }

    /// The number of slots grows with the rate at once. It falls at the next ranking only.
    fn update_slot_count(&mut self, now: Duration, ranking: bool) {
        let UploadSlots::ByRate { limit } = self.slots else {
            return;
        };
        let carried = |rate: &Rate| {
            usize::try_from(rate.bytes_per_second(now) / BYTES_PER_SLOT).unwrap_or(usize::MAX)
        };
        let least = if ranking { 0 } else { self.slot_count };
        self.slot_count = carried(&self.rate_now)
            .max(carried(&self.rate_lately))
            .max(min_slots(limit))
            .max(least);
    }

    /// The number of slots that are turns: one in five while we download, half of them as a seed,
    /// at least one.
    fn turns(&self) -> usize {
        let part = if self.seeding { 2 } else { 5 };
        (self.slot_count / part).max(1)
    }

    /// Assigns all slots again.
    fn rank(&mut self, now: Duration, changes: &mut Vec<ChokeChange>) {
        let seeding = self.seeding;
        let mut ranked: Vec<(LinkId, &Peer)> = self
            .peers
            .iter()
            .map(|(id, peer)| (*id, peer))
            .filter(|(_, peer)| peer.interested && (seeding || !peer.has_snubbed(now)))
            .collect();
        // Among equals, a peer that has a regular slot keeps it.
        ranked.sort_by_cached_key(|(id, peer)| {
            let rate = if seeding {
                &peer.sent_rate
            } else {
                &peer.received_rate
            };
            (
                Reverse(rate.bytes_per_second(now)),
                !matches!(peer.slot, SlotState::Regular),
                *id,
            )
        });
        let count = self.slot_count - self.turns().min(self.slot_count);
        let regular: Vec<LinkId> = ranked.iter().take(count).map(|(id, _)| *id).collect();
        let mut free = self.slot_count - regular.len();
        let mut losing = Vec::new();
        for (id, peer) in &mut self.peers {
            if regular.contains(id) {
                if peer.is_served() {
                    peer.slot = SlotState::Regular;
                } else {
                    set_slot(*id, peer, SlotState::Regular, now, changes);
                }
            } else if peer.interested && free > 0 && peer.is_in_turn(now) {
                free -= 1;
            } else if peer.is_served() {
                losing.push(*id);
            }
        }
        // Peers that lose their slot now are drawn only if too few others wait.
        let waiting = self.waiting(&losing);
        let mut drawn = self.draw(waiting, free, now);
        if drawn.len() < free {
            let kept = losing.iter().copied().filter(|id| self.is_interested(*id));
            let kept = kept.take(free - drawn.len()).collect::<Vec<_>>();
            drawn.extend(kept);
        }
        for id in losing.into_iter().filter(|id| !drawn.contains(id)) {
            if let Some(peer) = self.peers.get_mut(&id) {
                set_slot(id, peer, SlotState::Choked, now, changes);
            }
        }
        self.begin_turns(&drawn, now, changes);
    }

    /// Assigns free slots to peers that wait.
    fn fill_free_slots(&mut self, now: Duration, changes: &mut Vec<ChokeChange>) {
        let held = self.peers.values().filter(|peer| peer.is_served()).count();
        let waiting = self.waiting(&[]);
        let drawn = self.draw(waiting, self.slot_count.saturating_sub(held), now);
        self.begin_turns(&drawn, now, changes);
    }

    /// Interested peers without a slot, except these.
    fn waiting(&self, except: &[LinkId]) -> Vec<LinkId> {
        self.peers
            .iter()
            .filter(|(id, peer)| peer.interested && !peer.is_served() && !except.contains(id))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Chooses up to `count` of `waiting` for a turn: as a seed those that have waited longest
    /// (first those that never had a slot), otherwise at random.
    fn draw(&mut self, mut waiting: Vec<LinkId>, count: usize, now: Duration) -> Vec<LinkId> {
        let changed = |id: &LinkId| self.peers.get(id).and_then(|peer| peer.slot_changed);
        if self.seeding {
            waiting.sort_by_key(|id| (changed(id).is_some(), changed(id).unwrap_or(now), *id));
            waiting.truncate(count);
            return waiting;
        }
        let mut drawn = Vec::new();
        let mut weighed: Vec<(LinkId, u32)> = waiting
            .into_iter()
            .map(|id| {
                (
                    id,
                    if changed(&id).is_none() {
                        NEWCOMER_WEIGHT
                    } else {
                        1
                    },
                )
            })
            .collect();
        while drawn.len() < count && !weighed.is_empty() {
            let all: u32 = weighed.iter().map(|(_, weight)| weight).sum();
            let mut at = self.rng.u32(0..all.max(1));
            let chosen = weighed.iter().position(|(_, weight)| {
                let is_chosen = at < *weight;
                at = at.saturating_sub(*weight);
                is_chosen
            });
            drawn.push(weighed.swap_remove(chosen.unwrap_or(0)).0);
        }
        drawn
    }

    fn begin_turns(&mut self, drawn: &[LinkId], now: Duration, changes: &mut Vec<ChokeChange>) {
        for id in drawn {
            if let Some(peer) = self.peers.get_mut(id) {
                let sent = peer.traffic.sent;
                let turn = SlotState::Turn { since: now, sent };
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
fn min_slots(limit: Option<u64>) -> usize {
    let carried = limit.map_or(MIN_SLOTS, |limit| limit / MIN_BYTES_PER_SLOT);
    carried.clamp(2, MIN_SLOTS) as usize
}

fn set_slot(
    link: LinkId,
    peer: &mut Peer,
    slot: SlotState,
    now: Duration,
    changes: &mut Vec<ChokeChange>,
) {
    peer.slot = slot;
    peer.slot_changed = Some(now);
    let choked = slot == SlotState::Choked;
    changes.push(ChokeChange { link, choked });
}

#[cfg(test)]
mod tests;

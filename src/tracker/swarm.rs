//! One swarm at a tracker: who is in it, where each listens, and who of them is told to whom.
//!
//! In scope: the peers of one info-hash. Out of scope: other swarms, caps over all of them, and locks.

mod best;
mod peer;

use super::announcing::Announcing;
use crate::base::AddressPrefix;
use crate::wire::{Event, PeerId, SwarmCounts, SwarmPeer};
use best::Best;
use peer::Peer;
use std::collections::HashMap;
use std::time::Duration;

pub(super) use peer::{Place, SavedPeer, Traffic};

/// One of how many peers in an answer is drawn at random, so that newcomers get their chance.
const NEWCOMERS: usize = 4;

/// Somebody announces with the id of a peer that lives at another address and has another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdTaken;

/// The peers of one info-hash.
#[derive(Debug)]
pub(super) struct Swarm {
    /// Who announced to it first, and pays for it.
    pub(super) founder: AddressPrefix,
    downloaded: u32,
    index: HashMap<PeerId, Slot>,
    leeches: Side,
    seeds: Side,
    traffic: Traffic,
}

/// All peers of one kind.
#[derive(Debug, Default)]
struct Side {
    peers: Vec<Peer>,
    best: Best,
}

/// Where in which list a peer stands.
#[derive(Clone, Copy, Debug)]
struct Slot {
    is_seed: bool,
    at: usize,
}

impl Swarm {
    pub(super) fn new(founder: AddressPrefix) -> Self {
        Self {
            founder,
            downloaded: 0,
            index: HashMap::new(),
            leeches: Side::default(),
            seeds: Side::default(),
            traffic: Traffic::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// How many seeds there are.
    pub(super) fn seeds(&self) -> usize {
        self.seeds.peers.len()
    }

    pub(super) fn counts(&self) -> SwarmCounts {
        let count = |side: &Side| u32::try_from(side.peers.len()).unwrap_or(u32::MAX);
        SwarmCounts {
            complete: count(&self.seeds),
            downloaded: self.downloaded,
            incomplete: count(&self.leeches),
        }
    }

    /// Notes what a peer that is known already says, or gives `Ok(None)` for one that is not. A peer that stops is gone
    /// at once: its origin is given back.
    pub(super) fn renew(&mut self, peer: &Announcing) -> Result<Option<Renewed>, IdTaken> {
        let Some(&slot) = self.index.get(&peer.id) else {
            return Ok(None);
        };
        let Some(known) = self.side(slot.is_seed).peers.get_mut(slot.at) else {
            return Ok(None);
        };
        if !known.is(peer) {
            return Err(IdTaken);
        }
        let (traffic, rank) = (known.hear(peer), known.rank());
        self.traffic += traffic;
        if peer.event == Some(Event::Stopped) {
            return Ok(self.remove(&peer.id).map(Renewed::Left));
        }
        if let Some(rank) = rank.filter(|_| traffic.uploaded > 0) {
            self.side(slot.is_seed).best.put(slot.at, rank);
        }
        if slot.is_seed != peer.is_seed {
            if let Some(moved) = self.take(slot) {
                self.push(peer.is_seed, moved);
            }
            self.count_completion(peer);
        }
        Ok(Some(Renewed::Stays))
    }

    /// Takes in a peer that is not known yet.
    pub(super) fn join(&mut self, peer: &Announcing) {
        self.push(peer.is_seed, Peer::new(peer));
        self.count_completion(peer);
    }

    /// The bytes moved that were told since the last time this was asked.
    pub(super) fn take_traffic(&mut self) -> Traffic {
        std::mem::take(&mut self.traffic)
    }

    /// Up to `amount` other peers, for a seed none but leeches: first those that lately uploaded most, then, for a
    /// quarter of the answer and whatever else is left, others at random. Each of these is about equally likely: the
    /// list is cut into as many strata as peers are wanted, and one is drawn from each. Nothing is copied but them.
    pub(super) fn choose(
        &self,
        asking: &Announcing,
        amount: usize,
        now: Duration,
    ) -> Vec<SwarmPeer> {
        let ranked = amount - amount.div_ceil(NEWCOMERS);
        let (mut chosen, mut taken) = (Vec::with_capacity(amount.min(self.len())), Vec::new());
        for position in self.best(asking.is_seed) {
            if chosen.len() == ranked {
                break;
            }
            if let Some(peer) = self
                .at(position)
                .and_then(|peer| peer.as_seen_by(asking, now))
            {
                chosen.push(peer);
                taken.push(position);
            }
        }
        taken.sort_unstable();
        let seeds = if asking.is_seed {
            0
        } else {
            self.seeds.peers.len()
        };
        let candidates = self.leeches.peers.len() + seeds;
        // As many more than are wanted as may turn out to be taken already or the one who asks.
        let strata = candidates.min(amount + 1);
        if strata == 0 || amount == 0 {
            return Vec::new();
        }
        let first = fastrand::usize(..strata);
        for stratum in (first..strata).chain(0..first) {
            if chosen.len() == amount {
                break;
            }
            let (start, end) = (
                stratum * candidates / strata,
                (stratum + 1) * candidates / strata,
            );
            let drawn = fastrand::usize(start..end);
            if taken.binary_search(&drawn).is_err() {
                let peer = self.at(drawn);
                chosen.extend(peer.and_then(|peer| peer.as_seen_by(asking, now)));
            }
        }
        chosen
    }

    /// Drops every peer that has been silent for too long, telling `gone` whose it was.
    pub(super) fn expire(&mut self, now: Duration, mut gone: impl FnMut(AddressPrefix)) {
        for is_seed in [false, true] {
            // From the back: what is moved into a gap has been looked at already.
            for at in (0..self.side(is_seed).peers.len()).rev() {
                let Some(peer) = self.side(is_seed).peers.get_mut(at) else {
                    continue;
                };
                if !peer.is_alive(now) {
                    let id = peer.id;
                    self.remove(&id).into_iter().for_each(&mut gone);
                }
            }
            let list = &mut self.side(is_seed).peers;
            if list.len() < list.capacity() / 4 {
                list.shrink_to_fit();
            }
        }
        if self.index.len() < self.index.capacity() / 4 {
            self.index.shrink_to_fit();
        }
    }

    /// What is to be known of it after a restart: how often it was completed, and its living peers.
    pub(super) fn save(&self, now: Duration) -> (u32, Vec<SavedPeer>) {
        let sides = [(false, &self.leeches), (true, &self.seeds)];
        let peers = sides.into_iter().flat_map(|(is_seed, side)| {
            let saved = move |peer: &Peer| peer.save(is_seed, now);
            side.peers.iter().filter_map(saved)
        });
        (self.downloaded, peers.collect())
    }

    /// Takes back a saved peer that is not known yet.
    pub(super) fn restore(&mut self, peer: &SavedPeer, origin: AddressPrefix, now: Duration) {
        self.push(peer.is_seed, Peer::restore(peer, origin, now));
    }

    /// Whether a peer of this id is in it.
    pub(super) fn knows(&self, id: &PeerId) -> bool {
        self.index.contains_key(id)
    }

    /// Takes back how often it was completed.
    pub(super) fn set_downloaded(&mut self, downloaded: u32) {
        self.downloaded = downloaded;
    }

    fn count_completion(&mut self, peer: &Announcing) {
        if peer.is_seed && peer.event == Some(Event::Completed) {
            self.downloaded = self.downloaded.saturating_add(1);
        }
    }

    /// Where the best uploaders stand in the list of leeches with that of seeds behind it, most first; for a seed none but
    /// leeches.
    fn best(&self, for_seed: bool) -> impl Iterator<Item = usize> {
        let behind = self.leeches.peers.len();
        let mut leeches = self.leeches.best.iter().peekable();
        let seeds = self.seeds.best.iter().filter(move |_| !for_seed);
        let mut seeds = seeds.map(move |(rank, at)| (rank, behind + at)).peekable();
        std::iter::from_fn(move || {
            let next = match (leeches.peek(), seeds.peek()) {
                (Some((leech, _)), Some((seed, _))) if leech < seed => seeds.next(),
                (None, Some(_)) => seeds.next(),
                _ => leeches.next(),
            };
            next.map(|(_, position)| position)
        })
    }

    /// The peer at a position in the list of leeches with that of seeds behind it.
    fn at(&self, position: usize) -> Option<&Peer> {
        match position.checked_sub(self.leeches.peers.len()) {
            None => self.leeches.peers.get(position),
            Some(position) => self.seeds.peers.get(position),
        }
    }

    fn side(&mut self, is_seed: bool) -> &mut Side {
        if is_seed {
            &mut self.seeds
        } else {
            &mut self.leeches
        }
    }

    fn push(&mut self, is_seed: bool, peer: Peer) {
        let side = self.side(is_seed);
        let (id, at) = (peer.id, side.peers.len());
        if let Some(rank) = peer.rank() {
            side.best.put(at, rank);
        }
        side.peers.push(peer);
        self.index.insert(id, Slot { is_seed, at });
    }

    fn remove(&mut self, id: &PeerId) -> Option<AddressPrefix> {
        let slot = self.index.remove(id)?;
        self.take(slot).map(|peer| peer.origin)
    }

    /// Takes a peer out of its list; the last one fills the gap.
    fn take(&mut self, slot: Slot) -> Option<Peer> {
        let side = self.side(slot.is_seed);
        if slot.at >= side.peers.len() {
            return None;
        }
        let peer = side.peers.swap_remove(slot.at);
        if peer.rank().is_some() {
            side.best.remove(slot.at);
        }
        let last = side.peers.len();
        if let Some(moved) = side.peers.get(slot.at).map(|moved| moved.id) {
            side.best.moved(last, slot.at);
            self.index.insert(moved, slot);
        }
        Some(peer)
    }
}

/// What became of a known peer that announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewed {
    /// It is still there.
    Stays,
    /// It stopped; this is whose it was.
    Left(AddressPrefix),
}

#[cfg(test)]
mod tests;

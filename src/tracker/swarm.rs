//! One swarm at a tracker: its peers, and which of them an answer contains.
//!
//! In scope: the peers of one info-hash. Out of scope: other swarms, limits over all swarms, and
//! locks.

mod best;
mod peer;

use super::announcing::PeerAnnounce;
use crate::base::AddressPrefix;
use crate::wire::{AnnounceEvent, PeerId, SwarmCounts, SwarmPeer};
use best::BestUploaders;
use peer::Peer;
use std::collections::HashMap;
use std::time::Duration;

pub(super) use peer::{SavedPeer, TimedAddress, Traffic};

/// One of this number of peers in an answer is chosen at random, so that new peers are listed too.
const RANDOM_SHARE: usize = 4;

/// An announce uses the id of a peer that has another address and another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdTaken;

/// The peers of one info-hash.
#[derive(Debug)]
pub(super) struct Swarm {
    /// The address that announced to it first. The swarm counts towards its quota.
    pub(super) founder: AddressPrefix,
    /// Number of completed downloads.
    downloaded: u32,
    index: HashMap<PeerId, Slot>,
    leeches: RankedPeers,
    seeds: RankedPeers,
    traffic: Traffic,
}

/// All seeds or all leeches of a swarm.
#[derive(Debug, Default)]
struct RankedPeers {
    peers: Vec<Peer>,
    best: BestUploaders,
}

/// Index of a peer in the list of seeds or of leeches.
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
            leeches: RankedPeers::default(),
            seeds: RankedPeers::default(),
            traffic: Traffic::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Number of seeds.
    pub(super) fn seeds(&self) -> usize {
        self.seeds.peers.len()
    }

    pub(super) fn counts(&self) -> SwarmCounts {
        let count = |ranked: &RankedPeers| u32::try_from(ranked.peers.len()).unwrap_or(u32::MAX);
        SwarmCounts {
            complete: count(&self.seeds),
            downloaded: self.downloaded,
            incomplete: count(&self.leeches),
        }
    }

    /// Updates a known peer. Returns `Ok(None)` if the peer is not known. A peer that stops is
    /// removed at once, and [`Renewal::Left`] is returned.
    pub(super) fn renew(&mut self, peer: &PeerAnnounce) -> Result<Option<Renewal>, IdTaken> {
        let Some(&slot) = self.index.get(&peer.id) else {
            return Ok(None);
        };
        let Some(known) = self.ranked(slot.is_seed).peers.get_mut(slot.at) else {
            return Ok(None);
        };
        if !known.is_same_peer(peer) {
            return Err(IdTaken);
        }
        let (traffic, rank) = (known.update(peer), known.rank());
        self.traffic += traffic;
        if peer.event == Some(AnnounceEvent::Stopped) {
            return Ok(self.remove(&peer.id).map(Renewal::Left));
        }
        if let Some(rank) = rank.filter(|_| traffic.uploaded > 0) {
            self.ranked(slot.is_seed).best.put(slot.at, rank);
        }
        if slot.is_seed != peer.is_seed {
            if let Some(moved) = self.remove_slot(slot) {
                self.push(peer.is_seed, moved);
            }
            self.count_completion(peer);
        }
        Ok(Some(Renewal::Stays))
    }

    /// Adds a peer that is not known yet.
    pub(super) fn join(&mut self, peer: &PeerAnnounce) {
        self.push(peer.is_seed, Peer::new(peer));
        self.count_completion(peer);
    }

    /// Traffic reported since the last call.
    pub(super) fn take_traffic(&mut self) -> Traffic {
        std::mem::take(&mut self.traffic)
    }

    /// Up to `amount` other peers. A seed gets only leeches. First come the peers that recently
    /// uploaded the most, up to three quarters of the answer. The rest is chosen at random with
    /// about equal chances: the list is cut into as many strata as peers are wanted, and one peer
    /// is drawn from each. Only chosen peers are copied.
    pub(super) fn choose(
        &self,
        asking: &PeerAnnounce,
        amount: usize,
        now: Duration,
    ) -> Vec<SwarmPeer> {
        let ranked = amount - amount.div_ceil(RANDOM_SHARE);
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
        // One more than wanted, because a drawn peer may be the announcing one.
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

    /// Removes every peer that has been silent for too long, and calls `gone` with its address
    /// prefix.
    pub(super) fn expire(&mut self, now: Duration, mut gone: impl FnMut(AddressPrefix)) {
        for is_seed in [false, true] {
            // From the back: a peer that moves into a gap has been checked already.
            for at in (0..self.ranked(is_seed).peers.len()).rev() {
                let Some(peer) = self.ranked(is_seed).peers.get_mut(at) else {
                    continue;
                };
                if !peer.expire_addresses(now) {
                    let id = peer.id;
                    self.remove(&id).into_iter().for_each(&mut gone);
                }
            }
            let list = &mut self.ranked(is_seed).peers;
            if list.len() < list.capacity() / 4 {
                list.shrink_to_fit();
            }
        }
        if self.index.len() < self.index.capacity() / 4 {
            self.index.shrink_to_fit();
        }
    }

    /// State that outlives a restart: the number of completed downloads, and the living peers.
    pub(super) fn save(&self, now: Duration) -> (u32, Vec<SavedPeer>) {
        let kinds = [(false, &self.leeches), (true, &self.seeds)];
        let peers = kinds.into_iter().flat_map(|(is_seed, ranked)| {
            let saved = move |peer: &Peer| peer.save(is_seed, now);
            ranked.peers.iter().filter_map(saved)
        });
        (self.downloaded, peers.collect())
    }

    /// Restores a saved peer that is not known yet.
    pub(super) fn restore(&mut self, peer: &SavedPeer, prefix: AddressPrefix, now: Duration) {
        self.push(peer.is_seed, Peer::restore(peer, prefix, now));
    }

    /// Whether a peer with this id is in the swarm.
    pub(super) fn knows(&self, id: &PeerId) -> bool {
        self.index.contains_key(id)
    }

    /// Restores the number of completed downloads.
    pub(super) fn set_downloaded(&mut self, downloaded: u32) {
        self.downloaded = downloaded;
    }

    fn count_completion(&mut self, peer: &PeerAnnounce) {
        if peer.is_seed && peer.event == Some(AnnounceEvent::Completed) {
            self.downloaded = self.downloaded.saturating_add(1);
        }
    }

    /// Positions of the best uploaders, best first, in the list of leeches followed by seeds.
    /// Without the seeds if `for_seed`.
    fn best(&self, for_seed: bool) -> impl Iterator<Item = usize> {
        let offset = self.leeches.peers.len();
        let mut leeches = self.leeches.best.iter().peekable();
        let seeds = self.seeds.best.iter().filter(move |_| !for_seed);
        let mut seeds = seeds.map(move |(rank, at)| (rank, offset + at)).peekable();
        std::iter::from_fn(move || {
            let next = match (leeches.peek(), seeds.peek()) {
                (Some((leech, _)), Some((seed, _))) if leech < seed => seeds.next(),
                (None, Some(_)) => seeds.next(),
                _ => leeches.next(),
            };
            next.map(|(_, position)| position)
        })
    }

    /// The peer at a position in the list of leeches followed by seeds.
    fn at(&self, position: usize) -> Option<&Peer> {
        match position.checked_sub(self.leeches.peers.len()) {
            None => self.leeches.peers.get(position),
            Some(position) => self.seeds.peers.get(position),
        }
    }

    fn ranked(&mut self, is_seed: bool) -> &mut RankedPeers {
        if is_seed {
            &mut self.seeds
        } else {
            &mut self.leeches
        }
    }

    fn push(&mut self, is_seed: bool, peer: Peer) {
        let ranked = self.ranked(is_seed);
        let (id, at) = (peer.id, ranked.peers.len());
        if let Some(rank) = peer.rank() {
            ranked.best.put(at, rank);
        }
        ranked.peers.push(peer);
        self.index.insert(id, Slot { is_seed, at });
    }

    fn remove(&mut self, id: &PeerId) -> Option<AddressPrefix> {
        let slot = self.index.remove(id)?;
        self.remove_slot(slot).map(|peer| peer.prefix)
    }

    /// Removes a peer from its list. The last one fills the gap.
    fn remove_slot(&mut self, slot: Slot) -> Option<Peer> {
        let ranked = self.ranked(slot.is_seed);
        if slot.at >= ranked.peers.len() {
            return None;
        }
        let peer = ranked.peers.swap_remove(slot.at);
        if peer.rank().is_some() {
            ranked.best.remove(slot.at);
        }
        let last = ranked.peers.len();
        if let Some(moved) = ranked.peers.get(slot.at).map(|moved| moved.id) {
            ranked.best.moved(last, slot.at);
            self.index.insert(moved, slot);
        }
        Some(peer)
    }
}

/// What became of a known peer that announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// It is still in the swarm.
    Stays,
    /// It stopped. This is its address prefix.
    Left(AddressPrefix),
}

#[cfg(test)]
mod tests;

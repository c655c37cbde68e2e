//! One swarm at a tracker: its peers, and which of them an answer contains.
//!
//! In scope: the peers of one info-hash. Out of scope: other swarms, limits over all swarms, and
//! locks.

mod address_counts;
mod answer;
mod best;
mod index;
mod lists;
mod peer;
mod probing;
mod record;
mod room;

use super::announcing::{IdHash, PeerAnnounce};
use crate::base::{AddressPrefix, SipKey};
use crate::wire::{AnnounceEvent, SwarmCounts};
use address_counts::{AddressCounts, AddressHash};
use best::BestUploaders;
use index::{IdIndex, MAX_WITHOUT_TABLE};
use lists::{Lists, Slot};
use peer::Peer;
use std::time::Duration;

pub(super) use lists::MAX_PEERS;
pub(super) use peer::{SavedId, SavedPeer, TimedAddress, Traffic};

/// A swarm with more peers than this keeps only hashes of their ids.
const MAX_WITH_IDS: usize = 50;

/// An announce uses the id of a peer that has another address and another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdTaken;

/// How many peers an answer may contain, and whether it contains their ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerSize {
    /// The most peers in total.
    pub(super) peers: usize,
    /// The most peers of one address. The address of the asking peer has another limit.
    pub(super) of_one_address: usize,
    /// Whether the answer contains the whole ids of peers, if the swarm keeps them.
    pub(super) with_ids: bool,
}

/// The settings of a swarm. They never change.
#[derive(Clone, Copy, Debug)]
pub(super) struct SwarmSettings {
    /// The key of the hashes of addresses.
    pub(super) key: SipKey,
    /// Whether answers may contain peer ids.
    pub(super) ids_in_answers: bool,
    /// The most peers of one address among the best uploaders and in an answer.
    pub(super) peers_per_answer_and_address: usize,
}

/// The peers of one info-hash.
#[derive(Debug)]
pub(super) struct Swarm {
    /// The address that announced to the swarm first. The swarm counts towards the quota of this
    /// address.
    pub(super) founder: AddressPrefix,
    settings: SwarmSettings,
    /// Number of completed downloads.
    downloaded: u32,
    lists: Lists,
    index: IdIndex,
    /// The number of peers of each address. Not used while the swarm has few peers.
    addresses: AddressCounts,
    best_leeches: BestUploaders,
    best_seeds: BestUploaders,
    traffic: Traffic,
    /// Before this time, no room is made for newcomers.
    room_due: Duration,
}

impl Swarm {
    pub(super) fn new(founder: AddressPrefix, settings: SwarmSettings) -> Self {
        Self {
            founder,
            settings,
            downloaded: 0,
            lists: Lists::new(settings.ids_in_answers),
            index: IdIndex::default(),
            addresses: AddressCounts::default(),
            best_leeches: BestUploaders::default(),
            best_seeds: BestUploaders::default(),
            traffic: Traffic::default(),
            room_due: Duration::ZERO,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lists.len()
    }

    /// Number of seeds.
    pub(super) fn seeds(&self) -> usize {
        self.lists.seeds()
    }

    pub(super) fn counts(&self) -> SwarmCounts {
        let count = |peers| u32::try_from(peers).unwrap_or(u32::MAX);
        SwarmCounts {
            complete: count(self.lists.seeds()),
            downloaded: self.downloaded,
            incomplete: count(self.lists.leeches()),
        }
    }

    /// Updates a known peer. Returns `Ok(None)` if the peer is not known. A peer that stops is
    /// removed at once, and [`Renewal::Left`] is returned.
    pub(super) fn renew(&mut self, announce: &PeerAnnounce) -> Result<Option<Renewal>, IdTaken> {
        let slot = self.index.find(announce.id_hash, &self.lists);
        let Some((slot, before)) = slot.and_then(|slot| Some((slot, self.lists.get(slot)?))) else {
            return Ok(None);
        };
        if !before.is_same_peer(announce) {
            return Err(IdTaken);
        }
        let mut peer = before;
        let traffic = peer.update(announce);
        self.traffic += traffic;
        let (from, to) = (before.prefix(), peer.prefix());
        if announce.event == Some(AnnounceEvent::Stopped) {
            self.remove(slot);
            return Ok(Some(Renewal::Left(from)));
        }
        let stays_in_list = self.lists.replace(slot, announce.is_seed, &peer);
        if stays_in_list {
            if from != to {
                self.count_move(from, to);
            }
            if let Some(rank) = peer.state.rank.filter(|_| traffic.uploaded > 0) {
                self.put_best(slot, rank, to);
            }
        } else {
            self.remove(slot);
            self.push(announce.is_seed, &peer);
        }
        if slot.is_seed() != announce.is_seed {
            self.count_completion(announce);
        }
        Ok(Some(if from == to {
            Renewal::Stays
        } else {
            Renewal::Moved { from, to }
        }))
    }

    /// Adds a peer that is not known yet.
    pub(super) fn join(&mut self, announce: &PeerAnnounce) {
        self.push(announce.is_seed, &Peer::new(announce));
        self.count_completion(announce);
    }

    /// Traffic reported since the last call.
    pub(super) fn take_traffic(&mut self) -> Traffic {
        std::mem::take(&mut self.traffic)
    }

    /// Number of peers with this address prefix.
    pub(super) fn count_of(&self, prefix: AddressPrefix) -> usize {
        if self.addresses.has_table() {
            let count = self.addresses.count(self.address_hash(prefix));
            return usize::try_from(count).unwrap_or(usize::MAX);
        }
        let prefixes = self.lists.slots().map(|slot| self.lists.prefix(slot));
        prefixes.filter(|known| *known == Some(prefix)).count()
    }

    /// Removes every peer that has been silent for too long, and calls `left_prefix` with its
    /// address prefix and `None`. If only one of two addresses of a peer has expired, the peer
    /// stays, but it may now count towards another prefix. If it does, `left_prefix` is called with
    /// the former and the present prefix.
    pub(super) fn expire(
        &mut self,
        now: Duration,
        mut left_prefix: impl FnMut(AddressPrefix, Option<AddressPrefix>),
    ) {
        let mut to_put_back = Vec::new();
        for slot in self.lists.slots() {
            if self.lists.is_live(slot, now) {
                continue;
            }
            let Some(mut peer) = self.remove(slot) else {
                continue;
            };
            let prefix = peer.prefix();
            if !peer.expire_addresses(now) {
                left_prefix(prefix, None);
                continue;
            }
            if peer.prefix() != prefix {
                left_prefix(prefix, Some(peer.prefix()));
            }
            // During the loop, peers may only be removed (see `Lists::slots`). So this peer is put
            // back after the loop.
            to_put_back.push((slot.is_seed(), peer));
        }
        for (is_seed, peer) in to_put_back {
            self.push(is_seed, &peer);
        }
        self.lists.shrink();
        self.index.shrink(&self.lists);
        if self.len() <= MAX_WITHOUT_TABLE / 2 {
            self.addresses = AddressCounts::default();
        } else {
            self.addresses.shrink();
        }
        if self.settings.ids_in_answers && !self.lists.has_ids() && self.len() <= MAX_WITH_IDS / 2 {
            self.lists.keep_ids(true);
        }
    }

    /// State that outlives a restart: the number of completed downloads, and the living peers.
    pub(super) fn save(&self, now: Duration) -> (u32, Vec<SavedPeer>) {
        let saved = |slot: Slot| self.lists.get(slot)?.save(slot.is_seed(), now);
        (
            self.downloaded,
            self.lists.slots().filter_map(saved).collect(),
        )
    }

    /// Restores a saved peer that is not known yet.
    pub(super) fn restore(&mut self, peer: &SavedPeer, id_hash: IdHash, now: Duration) {
        self.push(peer.is_seed, &Peer::restore(peer, id_hash, now));
    }

    /// Whether a peer with this id is in the swarm.
    pub(super) fn knows(&self, id: IdHash) -> bool {
        self.index.find(id, &self.lists).is_some()
    }

    /// Restores the number of completed downloads.
    pub(super) fn set_downloaded(&mut self, downloaded: u32) {
        self.downloaded = downloaded;
    }

    fn count_completion(&mut self, announce: &PeerAnnounce) {
        if announce.is_seed && announce.event == Some(AnnounceEvent::Completed) {
            self.downloaded = self.downloaded.saturating_add(1);
        }
    }

    /// The best uploaders, best first. Without seeds if `for_seed`.
    fn best(&self, for_seed: bool) -> impl Iterator<Item = Slot> {
        let mut leeches = self.best_leeches.iter().peekable();
        let mut seeds = self.best_seeds.iter().filter(move |_| !for_seed).peekable();
        std::iter::from_fn(move || {
            let next = match (leeches.peek(), seeds.peek()) {
                (Some(leech), Some(seed)) if leech.rank < seed.rank => seeds.next(),
                (None, Some(_)) => seeds.next(),
                _ => leeches.next(),
            };
            next.map(|best| best.slot)
        })
    }

    fn best_mut(&mut self, slot: Slot) -> &mut BestUploaders {
        if slot.is_seed() {
            &mut self.best_seeds
        } else {
            &mut self.best_leeches
        }
    }

    fn put_best(&mut self, slot: Slot, rank: record::Rank, prefix: AddressPrefix) {
        let (hash, most) = (
            self.address_hash(prefix),
            self.settings.peers_per_answer_and_address,
        );
        self.best_mut(slot).put(slot, rank, hash, most);
    }

    fn push(&mut self, is_seed: bool, peer: &Peer) {
        if self.lists.has_ids() && self.len() >= MAX_WITH_IDS {
            self.lists.keep_ids(false);
        }
        let slot = self.lists.push(is_seed, peer);
        self.index.on_added(peer.state.id_hash(), slot, &self.lists);
        let prefix = peer.prefix();
        if self.addresses.has_table() {
            self.addresses.add(self.address_hash(prefix));
        } else if self.len() > MAX_WITHOUT_TABLE {
            self.count_addresses();
        }
        if let Some(rank) = peer.state.rank {
            self.put_best(slot, rank, prefix);
        }
    }

    /// Removes a peer from its list. The last peer of the list moves into the gap.
    fn remove(&mut self, slot: Slot) -> Option<Peer> {
        let peer = self.lists.get(slot)?;
        self.index.remove(peer.state.id_hash(), slot, &self.lists);
        if self.addresses.has_table() {
            let hash = self.address_hash(peer.prefix());
            self.addresses.remove(hash);
        }
        if peer.state.rank.is_some() {
            self.best_mut(slot).remove(slot);
        }
        let last = self.lists.remove(slot);
        if last != slot
            && let Some(moved) = self.lists.get(slot)
        {
            self.index.on_moved(moved.state.id_hash(), last, slot);
            if moved.state.rank.is_some() {
                self.best_mut(slot).on_moved(last, slot);
            }
        }
        Some(peer)
    }

    /// Updates the table of addresses after a peer has moved from one address to another.
    fn count_move(&mut self, from: AddressPrefix, to: AddressPrefix) {
        if self.addresses.has_table() {
            let (from, to) = (self.address_hash(from), self.address_hash(to));
            self.addresses.remove(from);
            self.addresses.add(to);
        }
    }

    fn count_addresses(&mut self) {
        let most = self.settings.peers_per_answer_and_address;
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        self.addresses = AddressCounts::new(self.len(), most);
        for slot in self.lists.slots() {
            if let Some(prefix) = self.lists.prefix(slot) {
                self.addresses.add(self.address_hash(prefix));
            }
        }
    }

    fn address_hash(&self, prefix: AddressPrefix) -> AddressHash {
        let hash = self.settings.key.hash(&prefix.number().to_le_bytes());
        AddressHash(hash as u32)
    }
}

/// What became of a known peer that announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// It is still in the swarm.
    Stays,
    /// It is still in the swarm, and counts towards another address prefix.
    Moved {
        /// The former prefix.
        from: AddressPrefix,
        /// The present one.
        to: AddressPrefix,
    },
    /// It stopped. This is its address prefix.
    Left(AddressPrefix),
}

#[cfg(test)]
mod tests;

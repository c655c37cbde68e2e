//! All swarms of a tracker. They are soft state in memory, in shards with a lock each, so that
//! announces do not wait for one lock.
//!
//! In scope: answers to announces and scrapes, removal of silent peers, and limits on memory. Out
//! of scope: sockets and clocks; the caller passes the time since an epoch of its choice.
//!
//! Locks: a thread may take the lock of the quotas while it holds the lock of a shard. It never
//! holds the locks of two shards.

use super::{
    AnnounceRefusal, AnswerFamilies, AnswerSize, IdHash, MAX_PEERS, PeerAnnounce, Quotas, Renewal,
    SavedError, SavedId, SavedSwarm, SavedSwarms, Stats, Swarm, SwarmLimits, SwarmSettings, Totals,
    Traffic,
};
use crate::base::{AddressPrefix, SipKey};
use crate::system::lock;
use crate::torrent::InfoHash;
use crate::wire::{
    AnnounceEvent, AnnounceRequest, AnnounceResponse, MAX_NUM_WANT, PeerId, ScrapeRequest,
    ScrapeResponse, SwarmCounts, SwarmPeer,
};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

/// Number of shards: many times the number of threads that can run at once.
const SHARDS: usize = 64;
/// Number of peers in an answer if the announce does not say how many it wants.
const DEFAULT_NUM_WANT: u32 = 50;
/// Announce interval for clients other than `pieceful`. If an address has many peers, its
/// `pieceful` peers get a longer interval than usual, but not longer than this.
const OTHER_CLIENT_INTERVAL: Duration = Duration::from_secs(120);
/// How long clients other than `pieceful` may be silent. They raise short intervals by
/// themselves, to 300 s and more.
const OTHER_CLIENT_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The swarms of a tracker.
#[derive(Debug)]
pub struct Swarms {
    /// The announce interval for `pieceful` peers, in milliseconds.
    interval_ms: AtomicU64,
    shards: Box<[Mutex<Shard>; SHARDS]>,
    limits: SwarmLimits,
    quotas: Quotas,
    totals: Totals,
    shard_hasher: RandomState,
    /// The key of the hashes of addresses.
    address_key: SipKey,
    /// The key of the hashes of peer ids. It is saved and restored with the swarms.
    id_key: OnceLock<SipKey>,
}

type Shard = HashMap<InfoHash, Box<Swarm>>;

/// The answer to an announce, except the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Time until the next announce.
    pub interval: Duration,
    /// How long the peer may be silent.
    pub lifetime: Duration,
    /// The size of the swarm.
    pub counts: SwarmCounts,
}

impl Swarms {
    /// Creates a set without swarms. `interval` is the announce interval for `pieceful` peers.
    pub fn new(interval: Duration, limits: SwarmLimits) -> Self {
        let address_key = random_key();
        Self {
            interval_ms: AtomicU64::new(millis(interval)),
            shards: Box::new(std::array::from_fn(|_| Mutex::default())),
            limits: SwarmLimits {
                peers_per_swarm: limits.peers_per_swarm.min(MAX_PEERS),
                ..limits
            },
            quotas: Quotas::new(limits, address_key),
            totals: Totals::default(),
            shard_hasher: RandomState::new(),
            address_key,
            id_key: OnceLock::new(),
        }
    }

    /// Handles an announce from `from` and returns its answer.
    ///
    /// # Errors
    /// Any [`AnnounceRefusal`]. Nothing has changed then.
    pub fn announce(
        &self,
        now: Duration,
        request: &AnnounceRequest,
        from: IpAddr,
        families: AnswerFamilies,
    ) -> Result<AnnounceResponse, AnnounceRefusal> {
        let mut peers = Vec::new();
        let announced = self.announce_to(now, request, from, families, |peer| peers.push(peer))?;
        Ok(AnnounceResponse {
            interval: announced.interval,
            min_interval: request
                .pieceful
                .then_some(self.interval() / 2)
                .filter(|min| min.as_secs() > 0),
            complete: Some(announced.counts.complete),
            incomplete: Some(announced.counts.incomplete),
            peers,
            named_peers: Vec::new(),
            external_ip: Some(from.to_canonical()),
            pieceful: request.pieceful,
            tracker_id: None,
            warning: None,
        })
    }

    /// Like [`Swarms::announce`], but passes the peers to `chosen`, one by one.
    ///
    /// # Errors
    /// Any [`AnnounceRefusal`]. Nothing has changed then.
    pub fn announce_to(
        &self,
        now: Duration,
        request: &AnnounceRequest,
        from: IpAddr,
        families: AnswerFamilies,
        chosen: impl FnMut(SwarmPeer),
    ) -> Result<Announced, AnnounceRefusal> {
        let (interval, lifetime) = self.interval_and_lifetime(request.pieceful, from);
        let own_family_only = families == AnswerFamilies::OwnFamily;
        let (id_hash, until) = (
            IdHash(self.id_key().hash(&request.peer_id.0)),
            now + lifetime,
        );
        let peer = PeerAnnounce::new(request, id_hash, from, own_family_only, now, until);
        let amount = match request.event {
            Some(AnnounceEvent::Stopped) => 0,
            _ => request
                .num_want
                .unwrap_or(DEFAULT_NUM_WANT)
                .min(MAX_NUM_WANT),
        };
        let size = AnswerSize {
            peers: usize::try_from(amount).unwrap_or(0),
            of_one_address: self.limits.peers_per_answer_and_address,
            with_ids: !request.compact && !request.no_peer_id,
        };
        let mut shard = self.shard(&request.info_hash);
        self.apply_announce(&mut shard, &request.info_hash, &peer)?;
        let mut counts = SwarmCounts::default();
        if let Some(swarm) = shard.get(&request.info_hash) {
            counts = swarm.counts();
            swarm.choose(&peer, size, now, chosen);
        }
        drop(shard);
        self.totals.count_announce();
        Ok(Announced {
            interval,
            lifetime,
            counts,
        })
    }

    /// The counts of the requested swarms that exist.
    pub fn scrape(&self, request: &ScrapeRequest) -> ScrapeResponse {
        self.totals.count_scrape();
        let counts = request.info_hashes().iter().filter_map(|info_hash| {
            let shard = self.shard(info_hash);
            Some((*info_hash, shard.get(info_hash)?.counts()))
        });
        ScrapeResponse {
            files: counts.collect(),
        }
    }

    /// For each of these ids, whether a peer with the id is in the swarm.
    pub(super) fn knows(
        &self,
        info_hash: &InfoHash,
        ids: impl Iterator<Item = PeerId>,
    ) -> Vec<bool> {
        let key = self.id_key();
        let shard = self.shard(info_hash);
        let swarm = shard.get(info_hash);
        let knows = |id: PeerId| swarm.is_some_and(|it| it.knows(IdHash(key.hash(&id.0))));
        ids.map(knows).collect()
    }

    /// The counts of one swarm, zero if it does not exist.
    pub(super) fn counts(&self, info_hash: &InfoHash) -> SwarmCounts {
        let shard = self.shard(info_hash);
        let swarm = shard.get(info_hash);
        swarm.map(|swarm| swarm.counts()).unwrap_or_default()
    }

    /// Removes silent peers and empty swarms. Returns the number of removed peers.
    pub fn expire(&self, now: Duration) -> usize {
        let mut dropped = 0;
        for shard in self.shards.iter() {
            let mut shard = lock(shard);
            shard.retain(|_, swarm| {
                let seeds = swarm.seeds();
                swarm.expire(now, |from, to| match to {
                    None => {
                        dropped += 1;
                        self.quotas.remove_peer(from);
                    }
                    // The peer stays at its other address.
                    Some(to) => self.quotas.move_peer(from, to),
                });
                self.totals.update_seeds(seeds, swarm.seeds());
                if swarm.len() == 0 {
                    self.quotas.remove_swarm(swarm.founder);
                }
                swarm.len() > 0
            });
            if shard.len() < shard.capacity() / 4 {
                shard.shrink_to_fit();
            }
        }
        dropped
    }

    /// Number of peers in all swarms.
    pub fn peers(&self) -> usize {
        self.quotas.peers()
    }

    /// Number of swarms.
    pub fn swarms(&self) -> usize {
        self.quotas.swarms()
    }

    /// All counts. They name no swarm and no peer.
    pub fn stats(&self) -> Stats {
        self.totals.stats(self.swarms(), self.peers())
    }

    /// Encodes all swarms for [`Swarms::restore`] by a later process. `wall_clock` is the time
    /// since the Unix epoch.
    pub fn save(&self, now: Duration, wall_clock: Duration) -> Vec<u8> {
        let swarms = self.shards.iter().flat_map(|shard| {
            let shard = lock(shard);
            let saved = shard.iter().map(|(info_hash, swarm)| {
                let (downloaded, peers) = swarm.save(now);
                SavedSwarm {
                    info_hash: *info_hash,
                    downloaded,
                    founder: swarm.founder.ip(),
                    peers,
                }
            });
            saved.collect::<Vec<_>>()
        });
        SavedSwarms::encode(wall_clock, self.id_key(), swarms)
    }

    /// Restores the swarms that [`Swarms::save`] encoded, except peers that have expired since
    /// then, by the wall clock. Peers that are already here stay unchanged, and all limits apply.
    /// Returns the number of restored peers.
    ///
    /// # Errors
    /// Any [`SavedError`]. Nothing has changed then.
    pub fn restore(
        &self,
        bytes: &[u8],
        now: Duration,
        wall_clock: Duration,
    ) -> Result<usize, SavedError> {
        let saved = SavedSwarms::parse(bytes)?;
        // If the clock was set back, the age is zero.
        let age = wall_clock.saturating_sub(saved.wall_clock);
        if let Some(key) = saved.id_key {
            // This fails if ids have been hashed under another key already. Then the saved hashes
            // are useless, and a peer that was saved without its whole id is left out.
            let _ = self.id_key.set(key);
        }
        let hashes_are_usable = saved.id_key == Some(self.id_key());
        let mut restored = 0;
        for saved_swarm in saved.swarms {
            let mut shard = self.shard(&saved_swarm.info_hash);
            let founder = AddressPrefix::of(saved_swarm.founder);
            for mut peer in saved_swarm.peers {
                peer.age_by(age, OTHER_CLIENT_LIFETIME);
                let id_hash = match peer.id {
                    SavedId::Whole(id) => IdHash(self.id_key().hash(&id.0)),
                    SavedId::Hash(hash) if hashes_are_usable => hash,
                    SavedId::Hash(_) => continue,
                };
                let Some(prefix) = peer.prefix() else {
                    continue;
                };
                let admitted = match shard.entry(saved_swarm.info_hash) {
                    Entry::Occupied(swarm) if swarm.get().knows(id_hash) => continue,
                    Entry::Occupied(swarm) => {
                        let admitted = self.admit(swarm.get(), prefix);
                        admitted.map(|()| swarm.into_mut())
                    }
                    Entry::Vacant(vacant) => {
                        let started = self.quotas.add_swarm_and_peer(founder, prefix);
                        started.map(|()| {
                            let swarm = vacant.insert(self.new_swarm(founder));
                            swarm.set_downloaded(saved_swarm.downloaded);
                            swarm
                        })
                    }
                };
                if let Ok(swarm) = admitted {
                    let seeds = swarm.seeds();
                    swarm.restore(&peer, id_hash, now);
                    self.totals.update_seeds(seeds, swarm.seeds());
                    restored += 1;
                }
            }
        }
        Ok(restored)
    }

    /// Sets the announce interval for `pieceful` peers from now on. Until a peer announces again,
    /// it expires according to the interval that it received last.
    pub(super) fn set_interval(&self, interval: Duration) {
        self.interval_ms.store(millis(interval), Ordering::Relaxed);
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.load(Ordering::Relaxed))
    }

    /// The announce interval of a peer at `from`, and how long it may be silent. A `pieceful` peer
    /// keeps to the interval. So it expires after two and a half intervals: one announce may be
    /// missed, and the next one may be late by half an interval.
    fn interval_and_lifetime(&self, pieceful: bool, from: IpAddr) -> (Duration, Duration) {
        if pieceful {
            let shortest = self.quotas.shortest_interval(AddressPrefix::of(from));
            let interval = self.interval().max(shortest.min(OTHER_CLIENT_INTERVAL));
            (interval, interval * 5 / 2)
        } else {
            (OTHER_CLIENT_INTERVAL, OTHER_CLIENT_LIFETIME)
        }
    }

    fn apply_announce(
        &self,
        shard: &mut Shard,
        info_hash: &InfoHash,
        peer: &PeerAnnounce,
    ) -> Result<(), AnnounceRefusal> {
        let renewed = match shard.get_mut(info_hash) {
            Some(swarm) => {
                let seeds = swarm.seeds();
                let renewed = swarm.renew(peer).map_err(|_| AnnounceRefusal::IdTaken)?;
                self.totals.update_seeds(seeds, swarm.seeds());
                let Traffic {
                    uploaded,
                    downloaded,
                } = swarm.take_traffic();
                self.totals.count_traffic(uploaded, downloaded);
                renewed
            }
            None => None,
        };
        match renewed {
            Some(Renewal::Stays) => {}
            Some(Renewal::Moved { from, to }) => self.quotas.move_peer(from, to),
            Some(Renewal::Left(prefix)) => {
                self.quotas.remove_peer(prefix);
                if let Entry::Occupied(swarm) = shard.entry(*info_hash)
                    && swarm.get().len() == 0
                {
                    self.quotas.remove_swarm(swarm.remove().founder);
                }
            }
            None if peer.event == Some(AnnounceEvent::Stopped) => {}
            None => self.join(shard, info_hash, peer)?,
        }
        Ok(())
    }

    /// Adds a peer that is not known yet.
    fn join(
        &self,
        shard: &mut Shard,
        info_hash: &InfoHash,
        peer: &PeerAnnounce,
    ) -> Result<(), AnnounceRefusal> {
        let prefix = AddressPrefix::of(peer.address.ip());
        match shard.entry(*info_hash) {
            Entry::Occupied(mut swarm) => {
                let swarm = swarm.get_mut();
                let seeds = swarm.seeds();
                match self.admit(swarm, prefix) {
                    Ok(()) => swarm.join(peer),
                    Err(AnnounceRefusal::SwarmFull) => {
                        self.quotas.add_peer(prefix)?;
                        let gone = |prefix| self.quotas.remove_peer(prefix);
                        if !swarm.make_room(prefix, peer.now, gone) {
                            self.quotas.remove_peer(prefix);
                            return Err(AnnounceRefusal::SwarmFull);
                        }
                        swarm.join(peer);
                    }
                    Err(refusal) => return Err(refusal),
                }
                self.totals.update_seeds(seeds, swarm.seeds());
            }
            Entry::Vacant(vacant) => {
                self.quotas.add_swarm_and_peer(prefix, prefix)?;
                vacant.insert(self.new_swarm(prefix)).join(peer);
                self.totals.update_seeds(0, usize::from(peer.is_seed));
            }
        }
        Ok(())
    }

    /// Counts a new peer with this address prefix, if the limits admit it to the swarm.
    fn admit(&self, swarm: &Swarm, prefix: AddressPrefix) -> Result<(), AnnounceRefusal> {
        let most = self.limits.peers_per_swarm_and_address;
        // A swarm with fewer than `most` peers needs no count, which can be slow.
        if swarm.len() >= most && swarm.count_of(prefix) >= most {
            return Err(AnnounceRefusal::AddressFull);
        }
        if swarm.len() >= self.limits.peers_per_swarm {
            return Err(AnnounceRefusal::SwarmFull);
        }
        self.quotas.add_peer(prefix)
    }

    fn new_swarm(&self, founder: AddressPrefix) -> Box<Swarm> {
        let settings = SwarmSettings {
            key: self.address_key,
            ids_in_answers: self.limits.ids_in_answers,
            peers_per_answer_and_address: self.limits.peers_per_answer_and_address,
        };
        Box::new(Swarm::new(founder, settings))
    }

    fn id_key(&self) -> SipKey {
        *self.id_key.get_or_init(random_key)
    }

    fn shard(&self, info_hash: &InfoHash) -> MutexGuard<'_, Shard> {
        // The hash is keyed, so that clients cannot choose info-hashes that all fall into one
        // shard.
        let number = self.shard_hasher.hash_one(info_hash) % SHARDS as u64;
        lock(&self.shards[number as usize])
    }
}

/// A key that nobody knows. A [`RandomState`] is made from random numbers of the system.
fn random_key() -> SipKey {
    let half = || RandomState::new().hash_one(0u64).to_le_bytes();
    let mut bytes = [0; 16];
    let random = half().into_iter().chain(half());
    bytes
        .iter_mut()
        .zip(random)
        .for_each(|(to, from)| *to = from);
    SipKey::from_bytes(bytes)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

//! All swarms of a tracker. They are soft state in memory, in shards with a lock each, so that
//! announces do not wait for one lock.
//!
//! In scope: answers to announces and scrapes, removal of silent peers, and limits on memory. Out
//! of scope: sockets and clocks; the caller passes the time since an epoch of its choice.
//!
//! Locks: a shard's, then that of the quotas. Never two shards at once.

use super::{
    AnnounceRefusal, AnswerFamilies, PeerAnnounce, Quotas, Renewal, SavedError, SavedSwarm,
    SavedSwarms, Stats, Swarm, SwarmLimits, Totals, Traffic,
};
use crate::base::AddressPrefix;
use crate::system::lock;
use crate::torrent::InfoHash;
use crate::wire::{
    AnnounceEvent, AnnounceRequest, AnnounceResponse, MAX_NUM_WANT, ScrapeRequest, ScrapeResponse,
    SwarmCounts,
};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// Number of shards: many times the number of threads that can run at once.
const SHARDS: usize = 64;
/// Number of peers in an answer if the announce asks for no number.
const DEFAULT_NUM_WANT: u32 = 50;
/// Announce interval for other clients, and the longest one for `pieceful` peers with many swarms.
const OTHER_CLIENT_INTERVAL: Duration = Duration::from_secs(120);
/// How long other clients may be silent. They raise short intervals by themselves, to 300 s and
/// more.
const OTHER_CLIENT_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The swarms of a tracker.
#[derive(Debug)]
pub struct Swarms {
    interval: Duration,
    shards: Box<[Mutex<HashMap<InfoHash, Swarm>>; SHARDS]>,
    quotas: Quotas,
    totals: Totals,
    shard_hasher: RandomState,
}

impl Swarms {
    /// Creates a set without swarms. `interval` is the announce interval for `pieceful` peers.
    pub fn new(interval: Duration, limits: SwarmLimits) -> Self {
        Self {
            interval,
            shards: Box::new(std::array::from_fn(|_| Mutex::default())),
            quotas: Quotas::new(limits),
            totals: Totals::default(),
            shard_hasher: RandomState::new(),
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
        let (interval, lifetime) = self.interval_and_lifetime(request.pieceful, from);
        let own_family_only = families == AnswerFamilies::OwnFamily;
        let peer = PeerAnnounce::new(request, from, own_family_only, now, now + lifetime);
        let amount = match request.event {
            Some(AnnounceEvent::Stopped) => 0,
            _ => request
                .num_want
                .unwrap_or(DEFAULT_NUM_WANT)
                .min(MAX_NUM_WANT),
        };
        let mut shard = self.shard(&request.info_hash);
        self.apply_announce(&mut shard, &request.info_hash, &peer)?;
        let swarm = shard.get(&request.info_hash);
        let counts = swarm.map(Swarm::counts).unwrap_or_default();
        let amount = usize::try_from(amount).unwrap_or(0);
        let mut peers = swarm.map_or_else(Vec::new, |swarm| swarm.choose(&peer, amount, now));
        drop(shard);
        self.totals.count_announce();
        if request.no_peer_id {
            peers.iter_mut().for_each(|peer| peer.id = None);
        }
        Ok(AnnounceResponse {
            interval,
            min_interval: request
                .pieceful
                .then_some(self.interval / 2)
                .filter(|min| min.as_secs() > 0),
            complete: Some(counts.complete),
            incomplete: Some(counts.incomplete),
            peers,
            named_peers: Vec::new(),
            external_ip: Some(peer.address.ip()),
            pieceful: request.pieceful,
            tracker_id: None,
            warning: None,
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

    /// The counts of one swarm, zero if it does not exist.
    pub(super) fn counts(&self, info_hash: &InfoHash) -> SwarmCounts {
        let shard = self.shard(info_hash);
        shard.get(info_hash).map(Swarm::counts).unwrap_or_default()
    }

    /// Removes silent peers and empty swarms. Returns the number of removed peers.
    pub fn expire(&self, now: Duration) -> usize {
        let mut dropped = 0;
        for shard in self.shards.iter() {
            let mut shard = lock(shard);
            shard.retain(|_, swarm| {
                let seeds = swarm.seeds();
                swarm.expire(now, |prefix| {
                    dropped += 1;
                    self.quotas.remove_peer(prefix);
                });
                self.totals.seeds_changed(seeds, swarm.seeds());
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
        SavedSwarms::encode(wall_clock, swarms)
    }

    /// Restores the swarms that [`Swarms::save`] encoded, except peers that have expired since
    /// then, by the wall clock. Peers that are already here stay unchanged, and limits hold.
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
        let mut restored = 0;
        for swarm in saved.swarms {
            let mut shard = self.shard(&swarm.info_hash);
            let founder = AddressPrefix::of(swarm.founder);
            for mut peer in swarm.peers {
                peer.age_by(age, OTHER_CLIENT_LIFETIME);
                let Some(prefix) = peer.prefix() else {
                    continue;
                };
                let admitted = match shard.entry(swarm.info_hash) {
                    Entry::Occupied(known) if known.get().knows(&peer.id) => continue,
                    Entry::Occupied(known) => self
                        .quotas
                        .add_peer(prefix, known.get().len())
                        .map(|()| known.into_mut()),
                    Entry::Vacant(vacant) => {
                        let started = self.quotas.add_swarm_and_peer(founder, prefix);
                        started.map(|()| {
                            let known = vacant.insert(Swarm::new(founder));
                            known.set_downloaded(swarm.downloaded);
                            known
                        })
                    }
                };
                if let Ok(known) = admitted {
                    let seeds = known.seeds();
                    known.restore(&peer, prefix, now);
                    self.totals.seeds_changed(seeds, known.seeds());
                    restored += 1;
                }
            }
        }
        Ok(restored)
    }

    /// The announce interval of a peer at `from`, and how long it may be silent. A `pieceful` peer
    /// keeps to the interval: it expires after two and a half intervals, so that two announces may
    /// be missed and the third may be late.
    fn interval_and_lifetime(&self, pieceful: bool, from: IpAddr) -> (Duration, Duration) {
        if pieceful {
            let shortest = self.quotas.shortest_interval(AddressPrefix::of(from));
            let interval = self.interval.max(shortest.min(OTHER_CLIENT_INTERVAL));
            (interval, interval * 5 / 2)
        } else {
            (OTHER_CLIENT_INTERVAL, OTHER_CLIENT_LIFETIME)
        }
    }

    fn apply_announce(
        &self,
        shard: &mut HashMap<InfoHash, Swarm>,
        info_hash: &InfoHash,
        peer: &PeerAnnounce,
    ) -> Result<(), AnnounceRefusal> {
        let renewed = match shard.get_mut(info_hash) {
            Some(swarm) => {
                let seeds = swarm.seeds();
                let renewed = swarm.renew(peer).map_err(|_| AnnounceRefusal::IdTaken)?;
                self.totals.seeds_changed(seeds, swarm.seeds());
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
            Some(Renewal::Left(prefix)) => {
                self.quotas.remove_peer(prefix);
                if let Entry::Occupied(swarm) = shard.entry(*info_hash)
                    && swarm.get().len() == 0
                {
                    self.quotas.remove_swarm(swarm.remove().founder);
                }
            }
            None if peer.event == Some(AnnounceEvent::Stopped) => {}
            None => {
                let prefix = AddressPrefix::of(peer.address.ip());
                match shard.entry(*info_hash) {
                    Entry::Occupied(mut swarm) => {
                        let size = swarm.get().len();
                        self.quotas.add_peer(prefix, size)?;
                        swarm.get_mut().join(peer);
                    }
                    Entry::Vacant(vacant) => {
                        self.quotas.add_swarm_and_peer(prefix, prefix)?;
                        vacant.insert(Swarm::new(prefix)).join(peer);
                    }
                }
                self.totals.seeds_changed(0, usize::from(peer.is_seed));
            }
        }
        Ok(())
    }

    fn shard(&self, info_hash: &InfoHash) -> MutexGuard<'_, HashMap<InfoHash, Swarm>> {
        // The hash is keyed, so that clients cannot choose info-hashes that all fall into one
        // shard.
        let number = self.shard_hasher.hash_one(info_hash) % SHARDS as u64;
        lock(&self.shards[number as usize])
    }
}

#[cfg(test)]
mod tests;

//! All swarms of a tracker: soft state in memory, in shards of a lock each so that announces do not queue on one.
//!
//! In scope: who is told what, when a silent peer counts as gone, and caps that keep strangers from filling the
//! memory. Out of scope: sockets and clocks: the time is handed in, since an epoch of the caller's choosing. Order of
//! locks: a shard's before that of the quotas, never two of a kind.

use super::{
    Announcing, Limits, Quotas, Reach, Refusal, Renewed, Saved, SavedError, SavedSwarm, Stats,
    Swarm, Totals, Traffic,
};
use crate::base::AddressPrefix;
use crate::system::lock;
use crate::torrent::InfoHash;
use crate::wire::{
    AnnounceRequest, AnnounceResponse, Event, MAX_NUM_WANT, ScrapeRequest, ScrapeResponse,
    SwarmCounts,
};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// How many shards there are: many times the threads that can run at once.
const SHARDS: usize = 64;
/// How many peers are given to one that names no number.
const DEFAULT_NUM_WANT: u32 = 50;
/// How many peers are given at most.
/// When other clients are asked to announce again.
const OTHER_INTERVAL: Duration = Duration::from_secs(120);
/// How long other clients may be silent: they raise short intervals by themselves, to 300 s and more.
const OTHER_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The swarms of a tracker.
#[derive(Debug)]
pub struct Swarms {
    interval: Duration,
    shards: Box<[Mutex<HashMap<InfoHash, Swarm>>; SHARDS]>,
    quotas: Quotas,
    totals: Totals,
    keyed: RandomState,
}

impl Swarms {
    /// No swarms yet. `interval` is how often our own peers are told to announce.
    pub fn new(interval: Duration, limits: Limits) -> Self {
        Self {
            interval,
            shards: Box::new(std::array::from_fn(|_| Mutex::default())),
            quotas: Quotas::new(limits),
            totals: Totals::default(),
            keyed: RandomState::new(),
        }
    }

    /// Takes an announce that came from `from`, and answers it.
    ///
    /// # Errors
    /// Any [`Refusal`]; nothing has changed then.
    pub fn announce(
        &self,
        now: Duration,
        request: &AnnounceRequest,
        from: IpAddr,
        reach: Reach,
    ) -> Result<AnnounceResponse, Refusal> {
        let (interval, lifetime) = self.terms(request.pieceful);
        let family = reach == Reach::OwnFamily;
        let peer = Announcing::new(request, from, family, now, now + lifetime);
        let amount = match request.event {
            Some(Event::Stopped) => 0,
            _ => request
                .num_want
                .unwrap_or(DEFAULT_NUM_WANT)
                .min(MAX_NUM_WANT),
        };
        let mut shard = self.shard(&request.info_hash);
        self.take(&mut shard, &request.info_hash, &peer)?;
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
                .then_some(interval / 2)
                .filter(|min| min.as_secs() > 0),
            complete: Some(counts.complete),
            incomplete: Some(counts.incomplete),
            peers,
            external_ip: Some(peer.address.ip()),
            pieceful: request.pieceful,
            tracker_id: None,
            warning: None,
        })
    }

    /// The counts of the swarms asked about, as far as there are any.
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

    /// How many peers a swarm has.
    pub(super) fn counts(&self, info_hash: &InfoHash) -> SwarmCounts {
        let shard = self.shard(info_hash);
        shard.get(info_hash).map(Swarm::counts).unwrap_or_default()
    }

    /// Drops the peers that have been silent for too long, and swarms that nobody is left in; says how many peers.
    pub fn expire(&self, now: Duration) -> usize {
        let mut dropped = 0;
        for shard in self.shards.iter() {
            let mut shard = lock(shard);
            shard.retain(|_, swarm| {
                let seeds = swarm.seeds();
                swarm.expire(now, |origin| {
                    dropped += 1;
                    self.quotas.remove_peer(origin);
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

    /// How many peers there are in all swarms.
    pub fn peers(&self) -> usize {
        self.quotas.peers()
    }

    /// How many swarms there are.
    pub fn swarms(&self) -> usize {
        self.quotas.swarms()
    }

    /// How much there is of everything, naming nothing.
    pub fn stats(&self) -> Stats {
        self.totals.stats(self.swarms(), self.peers())
    }

    /// All of it as bytes, for [`Swarms::restore`] of a later process. `wall_clock` is the time since the Unix epoch.
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
        Saved::encode(wall_clock, swarms)
    }

    /// Takes back what [`Swarms::save`] gave, but for what has expired since by the wall clock; says how many peers.
    /// What is here already stays as it is, and limits hold.
    ///
    /// # Errors
    /// Any [`SavedError`]; nothing has changed then.
    pub fn restore(
        &self,
        bytes: &[u8],
        now: Duration,
        wall_clock: Duration,
    ) -> Result<usize, SavedError> {
        let saved = Saved::parse(bytes)?;
        // A clock that was set back makes the age nothing, not a failure.
        let age = wall_clock.saturating_sub(saved.wall_clock);
        let mut restored = 0;
        for swarm in saved.swarms {
            let mut shard = self.shard(&swarm.info_hash);
            let founder = AddressPrefix::of(swarm.founder);
            for mut peer in swarm.peers {
                peer.grow_older(age, OTHER_LIFETIME);
                let Some(origin) = peer.origin() else {
                    continue;
                };
                let booked = match shard.entry(swarm.info_hash) {
                    Entry::Occupied(known) if known.get().knows(&peer.id) => continue,
                    Entry::Occupied(known) => self
                        .quotas
                        .add_peer(origin, known.get().len())
                        .map(|()| known.into_mut()),
                    Entry::Vacant(vacant) => {
                        let started = self.quotas.add_swarm_and_peer(founder, origin);
                        started.map(|()| {
                            let known = vacant.insert(Swarm::new(founder));
                            known.set_downloaded(swarm.downloaded);
                            known
                        })
                    }
                };
                if let Ok(known) = booked {
                    let seeds = known.seeds();
                    known.restore(&peer, origin, now);
                    self.totals.seeds_changed(seeds, known.seeds());
                    restored += 1;
                }
            }
        }
        Ok(restored)
    }

    /// The interval a peer is told, and how long it may be silent. Our own do what they are told: one that missed two
    /// announces, and half an interval for the way of the third, is gone.
    fn terms(&self, pieceful: bool) -> (Duration, Duration) {
        if pieceful {
            (self.interval, self.interval * 5 / 2)
        } else {
            (OTHER_INTERVAL, OTHER_LIFETIME)
        }
    }

    fn take(
        &self,
        shard: &mut HashMap<InfoHash, Swarm>,
        info_hash: &InfoHash,
        peer: &Announcing,
    ) -> Result<(), Refusal> {
        let renewed = match shard.get_mut(info_hash) {
            Some(swarm) => {
                let seeds = swarm.seeds();
                let renewed = swarm.renew(peer).map_err(|_| Refusal::IdTaken)?;
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
            Some(Renewed::Stays) => {}
            Some(Renewed::Left(origin)) => {
                self.quotas.remove_peer(origin);
                if let Entry::Occupied(swarm) = shard.entry(*info_hash)
                    && swarm.get().len() == 0
                {
                    self.quotas.remove_swarm(swarm.remove().founder);
                }
            }
            None if peer.event == Some(Event::Stopped) => {}
            None => {
                let origin = AddressPrefix::of(peer.address.ip());
                match shard.entry(*info_hash) {
                    Entry::Occupied(mut swarm) => {
                        let size = swarm.get().len();
                        self.quotas.add_peer(origin, size)?;
                        swarm.get_mut().join(peer);
                    }
                    Entry::Vacant(vacant) => {
                        self.quotas.add_swarm_and_peer(origin, origin)?;
                        vacant.insert(Swarm::new(origin)).join(peer);
                    }
                }
                self.totals.seeds_changed(0, usize::from(peer.is_seed));
            }
        }
        Ok(())
    }

    fn shard(&self, info_hash: &InfoHash) -> MutexGuard<'_, HashMap<InfoHash, Swarm>> {
        // By a keyed hash, so that nobody can choose info-hashes that all fall on one shard.
        let number = self.keyed.hash_one(info_hash) % SHARDS as u64;
        lock(&self.shards[number as usize])
    }
}

#[cfg(test)]
mod tests;

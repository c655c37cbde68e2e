//! All swarms of a tracker: soft state in memory, in shards of a lock each so that announces do not queue on one.
//!
//! In scope: who is told what, when a silent peer counts as gone, and caps that keep strangers from filling the
//! memory. Out of scope: sockets and clocks: the time is handed in, since an epoch of the caller's choosing. Order of
//! locks: a shard's before one of the ledger's, never two of a kind.

use super::announcing::{Announcing, Origin};
use super::ledger::{Ledger, Limits};
use super::saved::{Saved, SavedError, SavedSwarm};
use super::swarm::{Renewed, Swarm, Traffic};
use super::totals::{Stats, Totals};
use crate::torrent::InfoHash;
use crate::wire::SwarmCounts;
use crate::wire::{AnnounceRequest, AnnounceResponse, Event, ScrapeRequest, ScrapeResponse};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many shards there are: many times the threads that can run at once.
const SHARDS: usize = 64;
/// How many peers are given to one that names no number.
const DEFAULT_NUM_WANT: u32 = 50;
/// How many peers are given at most.
const MAX_NUM_WANT: u32 = crate::wire::MAX_NUM_WANT;
/// When other clients are asked to announce again.
const OTHER_INTERVAL: Duration = Duration::from_secs(120);
/// How long other clients may be silent: they raise short intervals by themselves, to 300 s and more.
const OTHER_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The swarms of a tracker.
#[derive(Debug)]
pub struct Swarms {
    interval: Duration,
    shards: Box<[Mutex<HashMap<InfoHash, Swarm>>; SHARDS]>,
    ledger: Ledger,
    totals: Totals,
    keyed: RandomState,
}

/// What kinds of addresses an answer can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Both, those of the asking peer's own family first.
    Both,
    /// Only those of the asking peer's family, as over UDP (BEP 15).
    OwnFamily,
}

/// Why an announce is not taken. What it displays is fit to be the tracker's `failure reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The id belongs to a peer at another address whose `key` the announce does not show.
    #[error(
        "another peer uses this peer_id; announce with the key used before, or choose a new peer_id"
    )]
    IdTaken,
    /// The swarm has as many peers as one may have.
    #[error("this swarm is full; try again later")]
    SwarmFull,
    /// The tracker holds as much as it may.
    #[error("this tracker is full; try again later")]
    TrackerFull,
    /// One address has brought as much as one may.
    #[error("too many swarms or peers from your address; try again later")]
    AddressFull,
}

impl Swarms {
    /// No swarms yet. `interval` is how often our own peers are told to announce.
    pub fn new(interval: Duration, limits: Limits) -> Self {
        Self {
            interval,
            shards: Box::new(std::array::from_fn(|_| Mutex::default())),
            ledger: Ledger::new(limits),
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
                    self.ledger.peer_left(origin);
                });
                self.totals.seeds_changed(seeds, swarm.seeds());
                if swarm.len() == 0 {
                    self.ledger.swarm_left(swarm.founder);
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
        self.ledger.peers()
    }

    /// How many swarms there are.
    pub fn swarms(&self) -> usize {
        self.ledger.swarms()
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
            let founder = Origin::of(swarm.founder);
            for mut peer in swarm.peers {
                peer.grow_older(age, OTHER_LIFETIME);
                let Some(origin) = peer.origin() else {
                    continue;
                };
                let booked = match shard.entry(swarm.info_hash) {
                    Entry::Occupied(known) if known.get().knows(&peer.id) => continue,
                    Entry::Occupied(known) => self
                        .ledger
                        .peer_joins(origin, known.get().len())
                        .map(|()| known.into_mut()),
                    Entry::Vacant(vacant) => {
                        let started = self.ledger.swarm_restored(founder, origin);
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
                self.ledger.peer_left(origin);
                if let Entry::Occupied(swarm) = shard.entry(*info_hash)
                    && swarm.get().len() == 0
                {
                    self.ledger.swarm_left(swarm.remove().founder);
                }
            }
            None if peer.event == Some(Event::Stopped) => {}
            None => {
                let origin = Origin::of(peer.address.ip());
                match shard.entry(*info_hash) {
                    Entry::Occupied(mut swarm) => {
                        let size = swarm.get().len();
                        self.ledger.peer_joins(origin, size)?;
                        swarm.get_mut().join(peer);
                    }
                    Entry::Vacant(vacant) => {
                        self.ledger.swarm_starts(origin)?;
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::PeerId;
    use std::num::NonZeroU16;

    const INTERVAL: Duration = Duration::from_secs(20);

    fn swarms() -> Swarms {
        Swarms::new(INTERVAL, Limits::default())
    }

    fn request(swarm: u8, peer: u8) -> AnnounceRequest {
        AnnounceRequest {
            info_hash: InfoHash([swarm; 20]),
            peer_id: PeerId([peer; 20]),
            port: NonZeroU16::MIN,
            uploaded: 0,
            downloaded: 0,
            left: 1,
            event: None,
            num_want: None,
            compact: true,
            no_peer_id: false,
            key: None,
            pieceful: true,
        }
    }

    fn announce(
        swarms: &Swarms,
        now: Duration,
        request: &AnnounceRequest,
        from: IpAddr,
    ) -> Result<AnnounceResponse, Refusal> {
        swarms.announce(now, request, from, Reach::Both)
    }

    fn ip(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    fn seen(swarms: &Swarms, seconds: u64, peer: u8) -> usize {
        let now = Duration::from_secs(seconds);
        let response = announce(swarms, now, &request(1, peer), ip(peer)).unwrap();
        response.peers.len()
    }

    #[test]
    fn our_own_are_gone_after_missing_two_announces_even_before_the_sweep() {
        let swarms = swarms();
        assert_eq!(seen(&swarms, 0, 1), 0);
        assert_eq!(seen(&swarms, 49, 2), 1);
        assert_eq!(seen(&swarms, 50, 2), 0);
        assert_eq!(swarms.peers(), 2);
        assert_eq!(swarms.expire(Duration::from_secs(50)), 1);
        assert_eq!(swarms.expire(Duration::from_secs(100)), 1);
        assert_eq!((swarms.peers(), swarms.swarms()), (0, 0));
    }

    #[test]
    fn others_are_gone_after_fifteen_minutes() {
        let swarms = swarms();
        let other = AnnounceRequest {
            pieceful: false,
            ..request(1, 1)
        };
        let told = announce(&swarms, Duration::ZERO, &other, ip(1)).unwrap();
        assert_eq!((told.interval, told.min_interval), (OTHER_INTERVAL, None));
        assert_eq!(seen(&swarms, 899, 2), 1);
        assert_eq!(seen(&swarms, 900, 2), 0);
        let told = announce(&swarms, Duration::ZERO, &request(2, 1), ip(1)).unwrap();
        assert_eq!(
            (told.interval, told.min_interval),
            (INTERVAL, Some(INTERVAL / 2))
        );
    }

    #[test]
    fn one_that_stops_is_gone_at_once_and_an_empty_swarm_with_it() {
        let swarms = swarms();
        let stopped = AnnounceRequest {
            event: Some(Event::Stopped),
            ..request(1, 1)
        };
        for _ in 0..2 {
            let told = announce(&swarms, Duration::ZERO, &stopped, ip(1)).unwrap();
            assert_eq!(
                (swarms.swarms(), told.peers.len()),
                (0, 0),
                "a stranger that stops makes no swarm"
            );
            assert_eq!(seen(&swarms, 0, 1), 0);
            assert_eq!(seen(&swarms, 0, 2), 1);
            let told = announce(&swarms, Duration::ZERO, &stopped, ip(1)).unwrap();
            assert_eq!((told.incomplete, told.peers.len()), (Some(1), 0));
            let other = AnnounceRequest {
                peer_id: PeerId([2; 20]),
                ..stopped.clone()
            };
            announce(&swarms, Duration::ZERO, &other, ip(2)).unwrap();
            assert_eq!((swarms.peers(), swarms.swarms()), (0, 0));
        }
    }

    #[test]
    fn as_many_as_wanted_fifty_by_default_two_hundred_at_most() {
        let swarms = swarms();
        for number in 0..=255 {
            announce(&swarms, Duration::ZERO, &request(1, number), ip(number)).unwrap();
        }
        for (want, given) in [
            (None, 50),
            (Some(0), 0),
            (Some(3), 3),
            (Some(200), 200),
            (Some(u32::MAX), 200),
        ] {
            let request = AnnounceRequest {
                num_want: want,
                ..request(1, 0)
            };
            let told = announce(&swarms, Duration::ZERO, &request, ip(0)).unwrap();
            assert_eq!(told.peers.len(), given);
        }
    }

    #[test]
    fn an_ipv4_peer_over_an_ipv6_socket_is_an_ipv4_peer() {
        let swarms = swarms();
        let mapped = "::ffff:10.0.0.7".parse().unwrap();
        let told = announce(&swarms, Duration::ZERO, &request(1, 7), mapped).unwrap();
        assert_eq!(told.external_ip, Some(ip(7)));
        let told = announce(&swarms, Duration::ZERO, &request(1, 8), ip(8)).unwrap();
        assert_eq!(told.peers[0].address.ip(), ip(7));
    }

    #[test]
    fn ids_are_told_unless_not_wanted() {
        let swarms = swarms();
        seen(&swarms, 0, 1);
        for no_peer_id in [false, true] {
            let request = AnnounceRequest {
                no_peer_id,
                ..request(1, 2)
            };
            let told = announce(&swarms, Duration::ZERO, &request, ip(2)).unwrap();
            assert_eq!(told.peers[0].id.is_none(), no_peer_id);
        }
    }

    #[test]
    fn each_cap_refuses_what_is_past_it_and_what_goes_makes_room() {
        let limits = Limits {
            swarms: 4,
            peers: 6,
            peers_per_swarm: 3,
            swarms_per_address: 2,
            peers_per_address: 4,
        };
        let swarms = Swarms::new(INTERVAL, limits);
        let come = |swarm, peer, from| {
            announce(&swarms, Duration::ZERO, &request(swarm, peer), ip(from)).map(drop)
        };
        assert_eq!([come(1, 1, 1), come(2, 1, 1)], [Ok(()); 2]);
        assert_eq!(
            come(3, 1, 1),
            Err(Refusal::AddressFull),
            "a third swarm of one address"
        );
        assert_eq!([come(1, 2, 1), come(1, 3, 1)], [Ok(()); 2]);
        assert_eq!(
            come(2, 2, 1),
            Err(Refusal::AddressFull),
            "a fifth peer of one address"
        );
        assert_eq!(come(1, 4, 2), Err(Refusal::SwarmFull));
        assert_eq!([come(3, 1, 2), come(4, 1, 2)], [Ok(()); 2]);
        assert_eq!(come(5, 1, 3), Err(Refusal::TrackerFull), "a fifth swarm");
        assert_eq!(come(4, 2, 3), Err(Refusal::TrackerFull), "a seventh peer");
        assert_eq!(come(1, 1, 1), Ok(()), "who is there may stay");
        assert_eq!((swarms.swarms(), swarms.peers()), (4, 6));

        let stopped = AnnounceRequest {
            event: Some(Event::Stopped),
            ..request(2, 1)
        };
        announce(&swarms, Duration::ZERO, &stopped, ip(1)).unwrap();
        assert_eq!((swarms.swarms(), swarms.peers()), (3, 5));
        assert_eq!(come(5, 1, 1), Ok(()));
        assert_eq!(swarms.expire(INTERVAL * 3), 6);
        assert_eq!((swarms.swarms(), swarms.peers()), (0, 0));
        assert_eq!([come(6, 1, 1), come(7, 1, 1)], [Ok(()); 2]);
    }

    #[test]
    fn a_scrape_counts_the_swarms_that_are_known() {
        let swarms = swarms();
        seen(&swarms, 0, 1);
        let done = AnnounceRequest {
            left: 0,
            event: Some(Event::Completed),
            ..request(1, 2)
        };
        announce(&swarms, Duration::ZERO, &done, ip(2)).unwrap();
        let asked = vec![InfoHash([1; 20]), InfoHash([2; 20]), InfoHash([1; 20])];
        let told = swarms.scrape(&ScrapeRequest::new(asked).unwrap());
        assert_eq!(told.files.len(), 1);
        let counts = told.files[&InfoHash([1; 20])];
        assert_eq!(
            (counts.complete, counts.downloaded, counts.incomplete),
            (1, 1, 1)
        );
    }

    #[test]
    fn one_address_may_be_in_as_many_swarms_of_groups_as_there_are() {
        let most = Limits::default().swarms_per_address;
        let in_all = |limits| {
            let swarms = Swarms::new(INTERVAL, limits);
            let taken = (0..=most as u32).map(|number| {
                let mut request = request(0, 1);
                request.info_hash.0[..4].copy_from_slice(&number.to_be_bytes());
                announce(&swarms, Duration::ZERO, &request, ip(1)).map(drop)
            });
            taken.last()
        };
        assert_eq!(in_all(Limits::default()), Some(Err(Refusal::AddressFull)));
        assert_eq!(in_all(Limits::of_groups()), Some(Ok(())));
    }

    #[test]
    fn the_stats_count_and_name_nobody() {
        let swarms = swarms();
        let told = |peer, left, bytes, event, at| {
            let request = AnnounceRequest {
                left,
                uploaded: bytes,
                downloaded: 2 * bytes,
                event,
                ..request(1, peer)
            };
            announce(&swarms, Duration::from_secs(at), &request, ip(peer)).unwrap();
            let stats = swarms.stats();
            (stats.swarms, stats.seeds, stats.leeches)
        };
        assert_eq!(told(1, 1, 100, None, 0), (1, 0, 1));
        assert_eq!(told(2, 0, 0, None, 0), (1, 1, 1));
        assert_eq!(told(1, 0, 150, Some(Event::Completed), 1), (1, 2, 0));
        assert_eq!(told(2, 0, 7, Some(Event::Stopped), 1), (1, 1, 0));
        let stats = swarms.stats();
        assert_eq!((stats.uploaded, stats.downloaded), (57, 114));
        let asked = vec![InfoHash([1; 20])];
        swarms.scrape(&ScrapeRequest::new(asked).unwrap());
        let stats = swarms.stats();
        assert_eq!((stats.announces, stats.scrapes), (4, 1));
        swarms.expire(Duration::from_secs(1_000));
        let stats = swarms.stats();
        assert_eq!((stats.swarms, stats.seeds, stats.leeches), (0, 0, 0));
    }

    #[test]
    fn a_restart_keeps_whoever_has_not_expired_meanwhile() {
        let before = swarms();
        let wall = |seconds: u64| Duration::from_secs(1_000_000 + seconds);
        let other = AnnounceRequest {
            pieceful: false,
            left: 0,
            key: Some(b"secret".to_vec()),
            ..request(1, 1)
        };
        announce(&before, Duration::ZERO, &other, ip(1)).unwrap();
        seen(&before, 0, 2);
        announce(&before, Duration::ZERO, &request(2, 3), ip(3)).unwrap();
        let saved = before.save(Duration::from_secs(10), wall(0));

        // 10 s before the save and 39 after it make less than the 50 s that our own may be silent.
        let after = swarms();
        assert_eq!(after.restore(&saved, Duration::ZERO, wall(39)), Ok(3));
        assert_eq!(
            (after.swarms(), after.peers(), after.stats().seeds),
            (2, 3, 1)
        );
        assert_eq!(seen(&after, 0, 9), 2);
        assert_eq!(seen(&after, 1, 9), 1, "with their time");
        assert_eq!(
            after.restore(&saved, Duration::ZERO, wall(0)),
            Ok(0),
            "once"
        );

        let after = swarms();
        assert_eq!(after.restore(&saved, Duration::ZERO, wall(41)), Ok(1));
        assert_eq!(after.swarms(), 1);
        let moved = announce(&after, Duration::ZERO, &other, ip(77));
        assert!(moved.is_ok(), "it is known by its key");
        let stranger = AnnounceRequest {
            key: Some(b"guess".to_vec()),
            ..other
        };
        let stranger = announce(&after, Duration::ZERO, &stranger, ip(88));
        assert_eq!(stranger, Err(Refusal::IdTaken));
        after.expire(Duration::from_secs(10_000));
        assert_eq!((after.swarms(), after.peers()), (0, 0));

        let backwards = swarms();
        assert_eq!(
            backwards.restore(&saved, Duration::ZERO, Duration::ZERO),
            Ok(3)
        );
        let late = swarms();
        assert_eq!(late.restore(&saved, Duration::ZERO, wall(100_000)), Ok(0));
        assert_eq!(late.swarms(), 0);
        let one = Limits {
            peers: 1,
            ..Limits::default()
        };
        let small = Swarms::new(INTERVAL, one);
        assert_eq!(
            small.restore(&saved, Duration::ZERO, wall(0)),
            Ok(1),
            "limits hold"
        );
    }
}

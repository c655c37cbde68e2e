//! One swarm at a tracker: who is in it, where each listens, and a random choice among them.
//!
//! In scope: the peers of one info-hash. Out of scope: other swarms, caps over all of them, and locks.

use super::announcing::{Announcing, Origin};
use crate::wire::{Event, PeerId, SwarmCounts, SwarmPeer};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Somebody announces with the id of a peer that lives at another address and has another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdTaken;

/// The peers of one info-hash.
#[derive(Debug)]
pub(super) struct Swarm {
    /// Who announced to it first, and pays for it.
    pub(super) founder: Origin,
    downloaded: u32,
    index: HashMap<PeerId, Slot>,
    leeches: Vec<Peer>,
    seeds: Vec<Peer>,
}

/// Where in which list a peer stands.
#[derive(Clone, Copy, Debug)]
struct Slot {
    is_seed: bool,
    at: usize,
}

#[derive(Debug)]
struct Peer {
    id: PeerId,
    key: Option<u64>,
    origin: Origin,
    /// Where it listens over IPv4 and over IPv6: a peer may announce over both.
    places: [Option<Place>; 2],
}

#[derive(Clone, Copy, Debug)]
struct Place {
    address: SocketAddr,
    until: Duration,
}

impl Swarm {
    pub(super) fn new(founder: Origin) -> Self {
        Self {
            founder,
            downloaded: 0,
            index: HashMap::new(),
            leeches: Vec::new(),
            seeds: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn counts(&self) -> SwarmCounts {
        let count = |peers: &Vec<Peer>| u32::try_from(peers.len()).unwrap_or(u32::MAX);
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
        let Some(known) = self.list(slot.is_seed).get_mut(slot.at) else {
            return Ok(None);
        };
        if !known.is(peer) {
            return Err(IdTaken);
        }
        if peer.event == Some(Event::Stopped) {
            return Ok(self.remove(&peer.id).map(Renewed::Left));
        }
        known.key = peer.key.or(known.key);
        known.put(peer);
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
        let mut joining = Peer {
            id: peer.id,
            key: peer.key,
            origin: Origin::of(peer.address.ip()),
            places: [None; 2],
        };
        joining.put(peer);
        self.push(peer.is_seed, joining);
        self.count_completion(peer);
    }

    /// Up to `amount` other peers at random, for a seed none but leeches. Each of them is about equally likely: the
    /// list is cut into as many strata as peers are wanted, and one is drawn from each. Nothing is copied but them.
    pub(super) fn choose(
        &self,
        asking: &Announcing,
        amount: usize,
        now: Duration,
    ) -> Vec<SwarmPeer> {
        let seeds = if asking.is_seed { 0 } else { self.seeds.len() };
        let candidates = self.leeches.len() + seeds;
        // One more than wanted, as the one who asks may be among them.
        let strata = candidates.min(amount + 1);
        if strata == 0 || amount == 0 {
            return Vec::new();
        }
        let first = fastrand::usize(..strata);
        let mut chosen = Vec::with_capacity(strata);
        for stratum in (first..strata).chain(0..first) {
            let (start, end) = (
                stratum * candidates / strata,
                (stratum + 1) * candidates / strata,
            );
            let drawn = fastrand::usize(start..end);
            let peer = match drawn.checked_sub(self.leeches.len()) {
                None => self.leeches.get(drawn),
                Some(drawn) => self.seeds.get(drawn),
            };
            chosen.extend(peer.and_then(|peer| peer.as_seen_by(asking, now)));
            if chosen.len() == amount {
                break;
            }
        }
        chosen
    }

    /// Drops every peer that has been silent for too long, telling `gone` whose it was.
    pub(super) fn expire(&mut self, now: Duration, mut gone: impl FnMut(Origin)) {
        for is_seed in [false, true] {
            // From the back: what is moved into a gap has been looked at already.
            for at in (0..self.list(is_seed).len()).rev() {
                let Some(peer) = self.list(is_seed).get_mut(at) else {
                    continue;
                };
                for place in &mut peer.places {
                    *place = place.filter(|place| place.until > now);
                }
                if peer.places.iter().all(Option::is_none) {
                    let id = peer.id;
                    self.remove(&id).into_iter().for_each(&mut gone);
                }
            }
            let list = self.list(is_seed);
            if list.len() < list.capacity() / 4 {
                list.shrink_to_fit();
            }
        }
        if self.index.len() < self.index.capacity() / 4 {
            self.index.shrink_to_fit();
        }
    }

    fn count_completion(&mut self, peer: &Announcing) {
        if peer.is_seed && peer.event == Some(Event::Completed) {
            self.downloaded = self.downloaded.saturating_add(1);
        }
    }

    fn list(&mut self, is_seed: bool) -> &mut Vec<Peer> {
        if is_seed {
            &mut self.seeds
        } else {
            &mut self.leeches
        }
    }

    fn push(&mut self, is_seed: bool, peer: Peer) {
        let list = self.list(is_seed);
        let (id, at) = (peer.id, list.len());
        list.push(peer);
        self.index.insert(id, Slot { is_seed, at });
    }

    fn remove(&mut self, id: &PeerId) -> Option<Origin> {
        let slot = self.index.remove(id)?;
        self.take(slot).map(|peer| peer.origin)
    }

    /// Takes a peer out of its list; the last one fills the gap.
    fn take(&mut self, slot: Slot) -> Option<Peer> {
        let list = self.list(slot.is_seed);
        if slot.at >= list.len() {
            return None;
        }
        let peer = list.swap_remove(slot.at);
        if let Some(moved) = list.get(slot.at).map(|moved| moved.id) {
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
    Left(Origin),
}

impl Peer {
    /// Whether whoever announces under this peer's id is this peer: ids are known to the whole swarm, so it must come
    /// from an address of the peer's or show its key (BEP 7 gives the key for that).
    fn is(&self, announcing: &Announcing) -> bool {
        let ip = announcing.address.ip();
        let mut places = self.places.iter().flatten();
        places.any(|place| place.address.ip() == ip)
            || (announcing.key.is_some() && announcing.key == self.key)
    }

    fn put(&mut self, announcing: &Announcing) {
        let [v4, v6] = &mut self.places;
        let place = if announcing.address.is_ipv4() { v4 } else { v6 };
        *place = Some(Place {
            address: announcing.address,
            until: announcing.until,
        });
    }

    /// The peer as others are told of it: by an address of the asking one's family if it has one.
    fn as_seen_by(&self, asking: &Announcing, now: Duration) -> Option<SwarmPeer> {
        let is_live = |place: &Option<Place>| place.filter(|place| place.until > now);
        let [v4, v6] = &self.places;
        let (near, far) = if asking.address.is_ipv4() {
            (v4, v6)
        } else {
            (v6, v4)
        };
        let address = is_live(near).or_else(|| is_live(far))?.address;
        (self.id != asking.id && address != asking.address).then_some(SwarmPeer {
            address,
            id: Some(self.id),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::net::IpAddr;

    const LATER: Duration = Duration::from_secs(50);

    fn announcing(number: u32, is_seed: bool) -> Announcing {
        let mut id = [0; 20];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let ip = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
        Announcing {
            id: PeerId(id),
            key: None,
            address: SocketAddr::new(ip, 6881),
            is_seed,
            event: None,
            until: LATER,
        }
    }

    fn swarm(leeches: u32, seeds: u32) -> Swarm {
        let mut swarm = Swarm::new(Origin::of([127, 0, 0, 1].into()));
        for number in 0..leeches + seeds {
            swarm.join(&announcing(number, number >= leeches));
        }
        swarm
    }

    #[test]
    fn a_choice_is_of_others_each_once_and_as_many_as_asked_for() {
        let swarm = swarm(60, 40);
        for amount in [0, 1, 7, 50, 98, 99, 100, 200] {
            for asking in [announcing(3, false), announcing(500, false)] {
                let others = if asking.id == announcing(3, false).id {
                    99
                } else {
                    100
                };
                let chosen = swarm.choose(&asking, amount, Duration::ZERO);
                let distinct: HashSet<_> = chosen.iter().map(|peer| peer.address).collect();
                assert_eq!(
                    (chosen.len(), distinct.len()),
                    (amount.min(others), amount.min(others))
                );
                assert!(!distinct.contains(&asking.address));
            }
        }
    }

    #[test]
    fn a_choice_is_fair() {
        let swarm = swarm(70, 30);
        let mut drawn: HashMap<SocketAddr, u32> = HashMap::new();
        for _ in 0..4_000 {
            for peer in swarm.choose(&announcing(500, false), 10, Duration::ZERO) {
                *drawn.entry(peer.address).or_default() += 1;
            }
        }
        assert_eq!(drawn.len(), 100);
        // 400 expected of each, with a standard deviation of 19.
        assert!(
            drawn.values().all(|&times| (200..650).contains(&times)),
            "{drawn:?}"
        );
    }

    #[test]
    fn a_seed_is_given_no_seeds() {
        let swarm = swarm(2, 50);
        assert_eq!(
            swarm
                .choose(&announcing(10, true), 50, Duration::ZERO)
                .len(),
            2
        );
        assert_eq!(
            swarm
                .choose(&announcing(0, false), 50, Duration::ZERO)
                .len(),
            50
        );
    }

    #[test]
    fn a_restarted_peer_is_not_given_its_former_self() {
        let mut restarted = announcing(7, false);
        restarted.id = PeerId([0xff; 20]);
        let chosen = swarm(10, 0).choose(&restarted, 50, Duration::ZERO);
        assert_eq!(chosen.len(), 9);
        assert!(chosen.iter().all(|peer| peer.address != restarted.address));
        let mut moved = announcing(7, false);
        moved.address = announcing(500, false).address;
        let chosen = swarm(10, 0).choose(&moved, 50, Duration::ZERO);
        assert!(chosen.iter().all(|peer| peer.id != Some(moved.id)));
    }

    #[test]
    fn only_a_download_that_ended_counts_as_one() {
        let mut swarm = swarm(3, 0);
        let completed = |number| Announcing {
            event: Some(Event::Completed),
            ..announcing(number, true)
        };
        assert_eq!(swarm.renew(&completed(0)), Ok(Some(Renewed::Stays)));
        assert_eq!(
            swarm.renew(&completed(0)),
            Ok(Some(Renewed::Stays)),
            "said twice"
        );
        assert_eq!(
            swarm.renew(&announcing(1, true)),
            Ok(Some(Renewed::Stays)),
            "a re-check"
        );
        assert_eq!(swarm.renew(&completed(9)), Ok(None));
        assert_eq!(
            swarm.counts(),
            SwarmCounts {
                complete: 2,
                downloaded: 1,
                incomplete: 1
            }
        );
    }

    #[test]
    fn an_id_belongs_to_its_address_and_key() {
        let mut swarm = swarm(0, 0);
        let owner = Announcing {
            key: Some(1),
            ..announcing(1, false)
        };
        swarm.join(&owner);
        let elsewhere = |key, event| Announcing {
            key,
            event,
            id: owner.id,
            ..announcing(2, false)
        };
        for key in [None, Some(2)] {
            assert_eq!(swarm.renew(&elsewhere(key, None)), Err(IdTaken));
            assert_eq!(
                swarm.renew(&elsewhere(key, Some(Event::Stopped))),
                Err(IdTaken)
            );
        }
        assert_eq!(
            swarm.renew(&elsewhere(Some(1), None)),
            Ok(Some(Renewed::Stays))
        );
        let chosen = swarm.choose(&announcing(3, false), 50, Duration::ZERO);
        assert_eq!(
            chosen[0].address,
            announcing(2, false).address,
            "it has moved"
        );
        let stopped = elsewhere(None, Some(Event::Stopped));
        let origin = Origin::of(owner.address.ip());
        assert_eq!(swarm.renew(&stopped), Ok(Some(Renewed::Left(origin))));
        assert_eq!(swarm.len(), 0);
    }

    #[test]
    fn a_peer_of_two_families_is_one_and_seen_by_the_asking_ones_own() {
        let mut swarm = swarm(0, 0);
        let v4 = Announcing {
            key: Some(1),
            ..announcing(1, false)
        };
        let v6 = Announcing {
            address: "[2001:db8::1]:7000".parse().unwrap(),
            until: LATER * 2,
            ..v4
        };
        swarm.join(&v4);
        assert_eq!(swarm.renew(&v6), Ok(Some(Renewed::Stays)));
        assert_eq!(swarm.counts().incomplete, 1);
        let ask = |address: &str, now| {
            let asking = Announcing {
                address: address.parse().unwrap(),
                ..announcing(9, false)
            };
            let chosen = swarm.choose(&asking, 50, now);
            chosen.iter().map(|peer| peer.address).collect::<Vec<_>>()
        };
        assert_eq!(ask("10.9.9.9:1", Duration::ZERO), [v4.address]);
        assert_eq!(ask("[2001:db8::9]:1", Duration::ZERO), [v6.address]);
        assert_eq!(
            ask("10.9.9.9:1", LATER),
            [v6.address],
            "its other address is silent"
        );
        assert_eq!(ask("10.9.9.9:1", LATER * 2), []);
    }

    #[test]
    fn the_silent_go_and_the_index_stays_true() {
        let mut swarm = swarm(50, 50);
        for number in (0..100).filter(|number| number % 3 == 0) {
            let heard = Announcing {
                until: LATER * 2,
                ..announcing(number, number % 2 == 0)
            };
            assert_eq!(swarm.renew(&heard), Ok(Some(Renewed::Stays)));
        }
        let mut gone = 0;
        swarm.expire(LATER, |_| gone += 1);
        assert_eq!((gone, swarm.len()), (66, 34));
        for (id, slot) in swarm.index.clone() {
            assert_eq!(swarm.list(slot.is_seed)[slot.at].id, id);
        }
        assert_eq!(swarm.leeches.len() + swarm.seeds.len(), 34);
        swarm.expire(LATER * 2, |_| gone += 1);
        assert_eq!((gone, swarm.len()), (100, 0));
    }
}

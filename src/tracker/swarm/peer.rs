//! One peer of a swarm: where it listens, and what it gave lately.

use super::super::announcing::Announcing;
use crate::base::AddressPrefix;
use crate::wire::{Event, PeerId, SwarmPeer};
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::time::Duration;

/// After how long an upload counts for half as much.
const HALF_LIFE: Duration = Duration::from_secs(600);
/// No more bytes a second are believed.
const MAX_RATE: u64 = 1 << 30;

/// A peer as its swarm knows it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: PeerId,
    key: Option<u64>,
    pub(super) origin: AddressPrefix,
    /// Where it listens over IPv4 and over IPv6: a peer may announce over both.
    places: [Option<Place>; 2],
    /// What it told last.
    told: Traffic,
    heard: Duration,
    rank: Option<f64>,
}

/// Where a peer listens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::tracker) struct Place {
    pub(in crate::tracker) address: SocketAddr,
    /// When it counts as gone unless it announces again; of a saved peer: in how long.
    pub(in crate::tracker) until: Duration,
}

/// Bytes moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::tracker) struct Traffic {
    pub(in crate::tracker) uploaded: u64,
    pub(in crate::tracker) downloaded: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.uploaded = self.uploaded.saturating_add(other.uploaded);
        self.downloaded = self.downloaded.saturating_add(other.downloaded);
    }
}

/// A peer as it outlives a restart.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::tracker) struct SavedPeer {
    pub(in crate::tracker) id: PeerId,
    pub(in crate::tracker) key: Option<u64>,
    pub(in crate::tracker) is_seed: bool,
    pub(in crate::tracker) places: [Option<Place>; 2],
    pub(in crate::tracker) told: Traffic,
    /// What its uploads count for, in bytes.
    pub(in crate::tracker) recent: u64,
}

impl SavedPeer {
    /// Takes `age` off the time it has left, which was `most` at most; a place without any is forgotten.
    pub(in crate::tracker) fn grow_older(&mut self, age: Duration, most: Duration) {
        for place in &mut self.places {
            *place = place.and_then(|place| {
                let until = place.until.min(most).checked_sub(age)?;
                (!until.is_zero()).then_some(Place { until, ..place })
            });
        }
        let half_lives = age.as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.recent = (self.recent as f64 * (-half_lives).exp2()) as u64;
    }

    /// Whom it counts as: who announced from the first address known.
    pub(in crate::tracker) fn origin(&self) -> Option<AddressPrefix> {
        let place = self.places.iter().flatten().next()?;
        Some(AddressPrefix::of(place.address.ip()))
    }
}

impl Peer {
    pub(super) fn new(announcing: &Announcing) -> Self {
        let mut peer = Self {
            id: announcing.id,
            key: announcing.key,
            origin: AddressPrefix::of(announcing.address.ip()),
            places: [None; 2],
            told: Traffic::default(),
            heard: announcing.now,
            rank: None,
        };
        peer.told = traffic(announcing);
        peer.put(announcing);
        peer
    }

    /// Whether whoever announces under this peer's id is this peer: ids are known to the whole swarm, so it must come
    /// from an address of the peer's or show its key (BEP 7 gives the key for that).
    pub(super) fn is(&self, announcing: &Announcing) -> bool {
        let ip = announcing.address.ip();
        let mut places = self.places.iter().flatten();
        places.any(|place| place.address.ip() == ip)
            || (announcing.key.is_some() && announcing.key == self.key)
    }

    /// Notes what it says now; gives what it moved since its last word. Of that no more is believed than a fast network
    /// could have carried: who boasts would stand first in every answer.
    pub(super) fn hear(&mut self, announcing: &Announcing) -> Traffic {
        self.key = announcing.key.or(self.key);
        self.put(announcing);
        let now = announcing.now;
        let passed = now.saturating_sub(self.heard).as_secs().max(1);
        let most = MAX_RATE.saturating_mul(passed);
        let (before, told) = (self.told, traffic(announcing));
        (self.told, self.heard) = (told, now);
        if announcing.event == Some(Event::Started) {
            return Traffic::default();
        }
        let moved = Traffic {
            uploaded: told.uploaded.saturating_sub(before.uploaded).min(most),
            downloaded: told.downloaded.saturating_sub(before.downloaded).min(most),
        };
        if moved.uploaded > 0 {
            self.rank = Some(rank(self.recent(now) + moved.uploaded as f64, now));
        }
        moved
    }

    /// Its rank by what it uploaded, more being better. Ranks decay alike, so that of two the better one stays it.
    pub(super) fn rank(&self) -> Option<f64> {
        self.rank
    }

    /// What its uploads count for now, in bytes.
    fn recent(&self, now: Duration) -> f64 {
        let bytes = |rank: f64| (rank - half_lives(now)).exp2();
        self.rank.map_or(0.0, bytes)
    }

    fn put(&mut self, announcing: &Announcing) {
        let [v4, v6] = &mut self.places;
        let place = if announcing.address.is_ipv4() { v4 } else { v6 };
        *place = Some(Place {
            address: announcing.address,
            until: announcing.until,
        });
    }

    /// Forgets where it was silent for too long; says whether any place is left.
    pub(super) fn is_alive(&mut self, now: Duration) -> bool {
        for place in &mut self.places {
            *place = place.filter(|place| place.until > now);
        }
        self.places.iter().any(Option::is_some)
    }

    /// The peer as others are told of it: by an address of the asking one's family if it has one.
    pub(super) fn as_seen_by(&self, asking: &Announcing, now: Duration) -> Option<SwarmPeer> {
        let is_live = |place: &Option<Place>| place.filter(|place| place.until > now);
        let [v4, v6] = &self.places;
        let (near, far) = if asking.address.is_ipv4() {
            (v4, v6)
        } else {
            (v6, v4)
        };
        let far = far.filter(|_| !asking.own_family_only);
        let address = is_live(near).or_else(|| is_live(&far))?.address;
        (self.id != asking.id && address != asking.address).then_some(SwarmPeer {
            address,
            id: Some(self.id),
        })
    }

    pub(super) fn save(&self, is_seed: bool, now: Duration) -> Option<SavedPeer> {
        let left = |place: Place| {
            let until = place
                .until
                .checked_sub(now)
                .filter(|left| !left.is_zero())?;
            Some(Place { until, ..place })
        };
        let places = self.places.map(|place| place.and_then(left));
        places.iter().any(Option::is_some).then(|| SavedPeer {
            id: self.id,
            key: self.key,
            is_seed,
            places,
            told: self.told,
            recent: self.recent(now) as u64,
        })
    }

    pub(super) fn restore(saved: &SavedPeer, origin: AddressPrefix, now: Duration) -> Self {
        let places = saved.places.map(|place| {
            place.map(|place| Place {
                until: now + place.until,
                ..place
            })
        });
        Self {
            id: saved.id,
            key: saved.key,
            origin,
            places,
            told: saved.told,
            heard: now,
            rank: (saved.recent > 0).then(|| rank(saved.recent as f64, now)),
        }
    }
}

fn traffic(announcing: &Announcing) -> Traffic {
    Traffic {
        uploaded: announcing.uploaded,
        downloaded: announcing.downloaded,
    }
}

/// Bytes that count in full at `now`, on a scale on which nothing decays.
fn rank(bytes: f64, now: Duration) -> f64 {
    bytes.max(1.0).log2() + half_lives(now)
}

fn half_lives(now: Duration) -> f64 {
    now.as_secs_f64() / HALF_LIFE.as_secs_f64()
}

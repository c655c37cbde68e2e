//! One peer of a swarm: where it listens, and what it uploaded recently.

use super::super::announcing::PeerAnnounce;
use crate::base::AddressPrefix;
use crate::wire::{AnnounceEvent, PeerId, SwarmPeer};
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::time::Duration;

/// After this time an upload counts for half as much.
const HALF_LIFE: Duration = Duration::from_secs(600);
/// Maximum credible upload or download rate in bytes per second.
const MAX_RATE: u64 = 1 << 30;

/// State of a peer in its swarm.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: PeerId,
    key: Option<u64>,
    /// Prefix of its first address. The peer counts towards the quota of this prefix.
    pub(super) prefix: AddressPrefix,
    /// Where it listens over IPv4 and over IPv6. A peer may announce over both.
    addresses: [Option<TimedAddress>; 2],
    /// Its last reported totals.
    reported: Traffic,
    last_announce: Duration,
    rank: Option<f64>,
}

/// Where a peer listens, with an expiry time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::tracker) struct TimedAddress {
    pub(in crate::tracker) address: SocketAddr,
    /// When the address expires unless the peer announces again. For a saved peer: the time left.
    pub(in crate::tracker) until: Duration,
}

/// Bytes uploaded and downloaded.
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

/// State of a peer that outlives a restart.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::tracker) struct SavedPeer {
    pub(in crate::tracker) id: PeerId,
    pub(in crate::tracker) key: Option<u64>,
    pub(in crate::tracker) is_seed: bool,
    pub(in crate::tracker) addresses: [Option<TimedAddress>; 2],
    pub(in crate::tracker) reported: Traffic,
    /// Weight of its uploads in bytes.
    pub(in crate::tracker) recent: u64,
}

impl SavedPeer {
    /// Subtracts `age` from the time left of each address, after limiting that time to `max_left`.
    /// Removes expired addresses. Lets `recent` decay by `age`.
    pub(in crate::tracker) fn age_by(&mut self, age: Duration, max_left: Duration) {
        for timed in &mut self.addresses {
            *timed = timed.and_then(|timed| {
                let until = timed.until.min(max_left).checked_sub(age)?;
                (!until.is_zero()).then_some(TimedAddress { until, ..timed })
            });
        }
        let half_lives = age.as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.recent = (self.recent as f64 * (-half_lives).exp2()) as u64;
    }

    /// Prefix of its first address. The peer counts towards the quota of this prefix.
    pub(in crate::tracker) fn prefix(&self) -> Option<AddressPrefix> {
        let timed = self.addresses.iter().flatten().next()?;
        Some(AddressPrefix::of(timed.address.ip()))
    }
}

impl Peer {
    pub(super) fn new(announce: &PeerAnnounce) -> Self {
        let mut peer = Self {
            id: announce.id,
            key: announce.key,
            prefix: AddressPrefix::of(announce.address.ip()),
            addresses: [None; 2],
            reported: Traffic::default(),
            last_announce: announce.now,
            rank: None,
        };
        peer.reported = traffic(announce);
        peer.set_address(announce);
        peer
    }

    /// Whether the announce comes from this peer. Ids are known to the whole swarm, so it must come
    /// from an address of the peer or show its key (BEP 7 defines the key for this).
    pub(super) fn is_same_peer(&self, announce: &PeerAnnounce) -> bool {
        let ip = announce.address.ip();
        let mut addresses = self.addresses.iter().flatten();
        addresses.any(|timed| timed.address.ip() == ip)
            || (announce.key.is_some() && announce.key == self.key)
    }

    /// Updates the peer. Returns its traffic since the last announce, limited to what a fast
    /// network can carry: otherwise a peer with false reports would be first in every answer.
    pub(super) fn update(&mut self, announce: &PeerAnnounce) -> Traffic {
        self.key = announce.key.or(self.key);
        self.set_address(announce);
        let now = announce.now;
        let passed = now.saturating_sub(self.last_announce).as_secs().max(1);
        let max_bytes = MAX_RATE.saturating_mul(passed);
        let (before, reported) = (self.reported, traffic(announce));
        (self.reported, self.last_announce) = (reported, now);
        if announce.event == Some(AnnounceEvent::Started) {
            return Traffic::default();
        }
        let transferred = Traffic {
            uploaded: reported
                .uploaded
                .saturating_sub(before.uploaded)
                .min(max_bytes),
            downloaded: reported
                .downloaded
                .saturating_sub(before.downloaded)
                .min(max_bytes),
        };
        if transferred.uploaded > 0 {
            self.rank = Some(rank(self.recent(now) + transferred.uploaded as f64, now));
        }
        transferred
    }

    /// Rank by recent uploads; higher is better. The weight of all uploads decays equally. So a
    /// stored rank stays right while its peer is silent, and ranks of different times can be
    /// compared.
    pub(super) fn rank(&self) -> Option<f64> {
        self.rank
    }

    /// Present weight of its uploads in bytes.
    fn recent(&self, now: Duration) -> f64 {
        let bytes = |rank: f64| (rank - half_lives(now)).exp2();
        self.rank.map_or(0.0, bytes)
    }

    fn set_address(&mut self, announce: &PeerAnnounce) {
        let [v4, v6] = &mut self.addresses;
        let timed = if announce.address.is_ipv4() { v4 } else { v6 };
        *timed = Some(TimedAddress {
            address: announce.address,
            until: announce.until,
        });
    }

    /// Removes expired addresses. Returns whether any is left.
    pub(super) fn expire_addresses(&mut self, now: Duration) -> bool {
        for timed in &mut self.addresses {
            *timed = timed.filter(|timed| timed.until > now);
        }
        self.addresses.iter().any(Option::is_some)
    }

    /// The peer as it appears in an answer: by an address of the asking peer's family if it has
    /// one.
    pub(super) fn as_seen_by(&self, asking: &PeerAnnounce, now: Duration) -> Option<SwarmPeer> {
        let is_live = |timed: &Option<TimedAddress>| timed.filter(|timed| timed.until > now);
        let [v4, v6] = &self.addresses;
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
        let left = |timed: TimedAddress| {
            let until = timed
                .until
                .checked_sub(now)
                .filter(|left| !left.is_zero())?;
            Some(TimedAddress { until, ..timed })
        };
        let addresses = self.addresses.map(|timed| timed.and_then(left));
        addresses.iter().any(Option::is_some).then(|| SavedPeer {
            id: self.id,
            key: self.key,
            is_seed,
            addresses,
            reported: self.reported,
            recent: self.recent(now) as u64,
        })
    }

    pub(super) fn restore(saved: &SavedPeer, prefix: AddressPrefix, now: Duration) -> Self {
        let addresses = saved.addresses.map(|timed| {
            timed.map(|timed| TimedAddress {
                until: now + timed.until,
                ..timed
            })
        });
        Self {
            id: saved.id,
            key: saved.key,
            prefix,
            addresses,
            reported: saved.reported,
            last_announce: now,
            rank: (saved.recent > 0).then(|| rank(saved.recent as f64, now)),
        }
    }
}

fn traffic(announce: &PeerAnnounce) -> Traffic {
    Traffic {
        uploaded: announce.uploaded,
        downloaded: announce.downloaded,
    }
}

/// The rank of `bytes` with full weight at `now`. Ranks of different times are comparable.
fn rank(bytes: f64, now: Duration) -> f64 {
    bytes.max(1.0).log2() + half_lives(now)
}

fn half_lives(now: Duration) -> f64 {
    now.as_secs_f64() / HALF_LIFE.as_secs_f64()
}

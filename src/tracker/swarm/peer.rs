//! One peer of a swarm: where it listens, and what it uploaded recently.

use super::super::announcing::{IdHash, PeerAnnounce};
use super::record::{Rank, State, StoredAddress, StoredAddress4, StoredAddress6, Total, decay};
use crate::base::AddressPrefix;
use crate::wire::{AnnounceEvent, PeerId};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::AddAssign;
use std::time::Duration;

/// Maximum credible upload or download rate in bytes per second.
const MAX_RATE: u64 = 1 << 30;

/// A peer in a form to work with. It has at least one address. A swarm keeps the parts of its peers
/// in compact lists: a `Peer` is read from them, and written back after a change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) state: State,
    /// Where it listens over IPv4 and over IPv6. A peer may announce over both.
    pub(super) v4: Option<StoredAddress4>,
    pub(super) v6: Option<StoredAddress6>,
    /// Its id. `None` if only the hash of the id is known, which is in `state`.
    pub(super) id: Option<PeerId>,
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

/// The state of a peer that the tracker saves for its next start.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::tracker) struct SavedPeer {
    pub(in crate::tracker) id: SavedId,
    /// A hash of the peer's `key`.
    pub(in crate::tracker) key: Option<NonZeroU32>,
    pub(in crate::tracker) is_seed: bool,
    /// Where it listens over IPv4 and over IPv6.
    pub(in crate::tracker) addresses: [Option<TimedAddress>; 2],
    /// The totals that it reported last.
    pub(in crate::tracker) reported: Traffic,
    /// The bytes that it uploaded recently. Older uploads count for less.
    pub(in crate::tracker) recent: u64,
}

/// The id of a saved peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tracker) enum SavedId {
    Whole(PeerId),
    /// A keyed hash of the id. The key of the hash is saved with the swarms.
    Hash(IdHash),
}

/// Where a saved peer listens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::tracker) struct TimedAddress {
    pub(in crate::tracker) address: SocketAddr,
    /// The time left until the address expires.
    pub(in crate::tracker) left: Duration,
}

impl SavedPeer {
    /// Subtracts `age` from the time left of each address, after limiting that time to `max_left`.
    /// Removes expired addresses. Lets `recent` decay by `age`.
    pub(in crate::tracker) fn age_by(&mut self, age: Duration, max_left: Duration) {
        for timed in &mut self.addresses {
            *timed = timed.and_then(|timed| {
                let left = timed.left.min(max_left).checked_sub(age)?;
                (!left.is_zero()).then_some(TimedAddress { left, ..timed })
            });
        }
        self.recent = (self.recent as f64 * decay(age)) as u64;
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
            state: State::new(announce.id_hash),
            v4: None,
            v6: None,
            id: Some(announce.id),
        };
        peer.state.key = announce.key;
        peer.set_reported(traffic(announce));
        peer.set_address(announce);
        peer
    }

    /// The prefix of its IPv4 address, or else of its IPv6 address. The peer counts towards the
    /// quota of this prefix.
    pub(super) fn prefix(&self) -> AddressPrefix {
        let v4 = self.v4.map(|stored| stored.ip());
        let ip = v4.or_else(|| self.v6.map(|stored| stored.ip()));
        // A peer without any address is in no list.
        AddressPrefix::of(ip.unwrap_or([0; 4].into()))
    }

    /// Whether the announce comes from this peer. Ids are known to the whole swarm, so it must come
    /// from an address of the peer or show its key (BEP 7 defines the key for this).
    pub(super) fn is_same_peer(&self, announce: &PeerAnnounce) -> bool {
        let ip = announce.address.ip();
        self.v4.is_some_and(|stored| stored.ip() == ip)
            || self.v6.is_some_and(|stored| stored.ip() == ip)
            || (announce.key.is_some() && announce.key == self.state.key)
    }

    /// Updates the peer. Returns its traffic since the last announce, limited to what a fast
    /// network can carry: otherwise a peer with false reports would be first in every answer. A
    /// `started` announce returns no traffic: it begins new totals.
    pub(super) fn update(&mut self, announce: &PeerAnnounce) -> Traffic {
        let now = announce.now;
        let last = self.v4.map(|stored| stored.seen());
        let last = last.max(self.v6.map(|stored| stored.seen()));
        let passed = now.saturating_sub(last.unwrap_or(now)).as_secs().max(1);
        self.state.key = announce.key.or(self.state.key);
        self.id = Some(announce.id);
        self.set_address(announce);
        let (before, reported) = (self.reported(), traffic(announce));
        self.set_reported(reported);
        if announce.event == Some(AnnounceEvent::Started) {
            return Traffic::default();
        }
        let max_bytes = MAX_RATE.saturating_mul(passed);
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
            let recent = self.state.rank.map_or(0.0, |rank| rank.weight(now));
            self.state.rank = Some(Rank::of(recent + transferred.uploaded as f64, now));
        }
        transferred
    }

    /// Removes expired addresses. Returns whether any is left.
    pub(super) fn expire_addresses(&mut self, now: Duration) -> bool {
        self.v4 = self.v4.filter(|stored| stored.is_live(now));
        self.v6 = self.v6.filter(|stored| stored.is_live(now));
        self.v4.is_some() || self.v6.is_some()
    }

    pub(super) fn save(&self, is_seed: bool, now: Duration) -> Option<SavedPeer> {
        let v4 = self.v4.and_then(|stored| timed(&stored, now));
        let v6 = self.v6.and_then(|stored| timed(&stored, now));
        let weight = self.state.rank.map_or(0.0, |rank| rank.weight(now));
        let hash = SavedId::Hash(self.state.id_hash());
        (v4.is_some() || v6.is_some()).then(|| SavedPeer {
            id: self.id.map_or(hash, SavedId::Whole),
            key: self.state.key,
            is_seed,
            addresses: [v4, v6],
            reported: self.reported(),
            recent: weight.round() as u64,
        })
    }

    /// The peer that was saved. `id_hash` is the hash of its id.
    pub(super) fn restore(saved: &SavedPeer, id_hash: IdHash, now: Duration) -> Self {
        let mut peer = Self {
            state: State::new(id_hash),
            v4: None,
            v6: None,
            id: match saved.id {
                SavedId::Whole(id) => Some(id),
                SavedId::Hash(_) => None,
            },
        };
        for TimedAddress { address, left } in saved.addresses.into_iter().flatten() {
            peer.store_address(address, now, now + left);
        }
        peer.state.key = saved.key;
        peer.set_reported(saved.reported);
        let recent = (saved.recent > 0).then_some(saved.recent as f64);
        peer.state.rank = recent.map(|recent| Rank::of(recent, now));
        peer
    }

    fn set_address(&mut self, announce: &PeerAnnounce) {
        self.store_address(announce.address, announce.now, announce.until);
    }

    fn store_address(&mut self, address: SocketAddr, now: Duration, until: Duration) {
        let port = address.port();
        match address.ip() {
            IpAddr::V4(ip) => self.v4 = Some(StoredAddress::new(ip.octets(), port, now, until)),
            IpAddr::V6(ip) => self.v6 = Some(StoredAddress::new(ip.octets(), port, now, until)),
        }
    }

    fn reported(&self) -> Traffic {
        Traffic {
            uploaded: self.state.uploaded.bytes(),
            downloaded: self.state.downloaded.bytes(),
        }
    }

    fn set_reported(&mut self, traffic: Traffic) {
        self.state.uploaded = Total::of(traffic.uploaded);
        self.state.downloaded = Total::of(traffic.downloaded);
    }
}

fn traffic(announce: &PeerAnnounce) -> Traffic {
    Traffic {
        uploaded: announce.uploaded,
        downloaded: announce.downloaded,
    }
}

fn timed<const N: usize>(stored: &StoredAddress<N>, now: Duration) -> Option<TimedAddress>
where
    IpAddr: From<[u8; N]>,
{
    let left = stored.until().checked_sub(now)?;
    (!left.is_zero()).then(|| TimedAddress {
        address: stored.address(),
        left,
    })
}

//! Quotas: limits on the memory that swarms and peers use, in total, for each swarm and for each
//! address.

use super::announcing::AnnounceRefusal;
use crate::base::AddressPrefix;
use crate::system::lock;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// The limits of a tracker. A peer takes about 300 bytes, a swarm about 500 more. An address is an
/// IPv4 address, or the first 64 bits of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwarmLimits {
    /// All swarms.
    pub swarms: usize,
    /// Peers in all swarms.
    pub peers: usize,
    /// Peers of one swarm.
    pub peers_per_swarm: usize,
    /// Swarms to which one address announced first.
    pub swarms_per_address: usize,
    /// Peers that announced from one address, in all swarms.
    pub peers_per_address: usize,
    /// Announces per second that the `pieceful` peers of one address should make together. If the
    /// address has more peers in all swarms, their interval is longer.
    pub announces_per_address: usize,
}

impl Default for SwarmLimits {
    fn default() -> Self {
        Self {
            swarms: 50_000,
            peers: 500_000,
            peers_per_swarm: 50_000,
            swarms_per_address: 10_000,
            peers_per_address: 100_000,
            announces_per_address: 50,
        }
    }
}

impl SwarmLimits {
    /// The limits for swarms of groups. Their number has no limit, because each belongs to a share
    /// that a member published. One request announces many of them.
    pub fn for_groups() -> Self {
        Self {
            swarms: usize::MAX,
            swarms_per_address: usize::MAX,
            announces_per_address: usize::MAX,
            ..Self::default()
        }
    }
}

/// The numbers of swarms and peers, in total and by address. They change only when a swarm or a
/// peer is added or removed, not when a peer announces again.
#[derive(Debug)]
pub(super) struct Quotas {
    limits: SwarmLimits,
    swarms: AtomicUsize,
    peers: AtomicUsize,
    by_address: Mutex<HashMap<AddressPrefix, AddressUsage>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct AddressUsage {
    swarms: usize,
    peers: usize,
}

impl Quotas {
    pub(super) fn new(limits: SwarmLimits) -> Self {
        Self {
            limits,
            swarms: AtomicUsize::new(0),
            peers: AtomicUsize::new(0),
            by_address: Mutex::default(),
        }
    }

    pub(super) fn swarms(&self) -> usize {
        self.swarms.load(Ordering::Relaxed)
    }

    pub(super) fn peers(&self) -> usize {
        self.peers.load(Ordering::Relaxed)
    }

    /// The shortest interval in which all peers of `address` may announce.
    pub(super) fn shortest_interval(&self, address: AddressPrefix) -> Duration {
        let usage = self.by_address().get(&address).copied();
        let peers = usage.map_or(0, |usage| usage.peers);
        let seconds = peers / self.limits.announces_per_address.max(1);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX))
    }

    /// Counts a new peer of `address` in a swarm that has `size` peers.
    pub(super) fn add_peer(
        &self,
        address: AddressPrefix,
        size: usize,
    ) -> Result<(), AnnounceRefusal> {
        if size >= self.limits.peers_per_swarm {
            return Err(AnnounceRefusal::SwarmFull);
        }
        self.reserve(address, address, 0)
    }

    /// Counts a new swarm towards the quota of `founder`, and its first peer towards that of
    /// `address`.
    pub(super) fn add_swarm_and_peer(
        &self,
        founder: AddressPrefix,
        address: AddressPrefix,
    ) -> Result<(), AnnounceRefusal> {
        self.reserve(founder, address, 1)
    }

    pub(super) fn remove_peer(&self, address: AddressPrefix) {
        self.release(address, 0, 1);
    }

    pub(super) fn remove_swarm(&self, founder: AddressPrefix) {
        self.release(founder, 1, 0);
    }

    fn reserve(
        &self,
        founder: AddressPrefix,
        address: AddressPrefix,
        swarms: usize,
    ) -> Result<(), AnnounceRefusal> {
        let mut by_address = self.by_address();
        // The totals change only under this lock. They are atomic so that they can be read without
        // it.
        if self.peers() >= self.limits.peers
            || self.swarms().saturating_add(swarms) > self.limits.swarms
        {
            return Err(AnnounceRefusal::TrackerFull);
        }
        let usage_of = |address| by_address.get(&address).copied().unwrap_or_default();
        if usage_of(address).peers >= self.limits.peers_per_address
            || usage_of(founder).swarms.saturating_add(swarms) > self.limits.swarms_per_address
        {
            return Err(AnnounceRefusal::AddressFull);
        }
        by_address.entry(address).or_default().peers += 1;
        by_address.entry(founder).or_default().swarms += swarms;
        self.peers.fetch_add(1, Ordering::Relaxed);
        self.swarms.fetch_add(swarms, Ordering::Relaxed);
        Ok(())
    }

    fn release(&self, address: AddressPrefix, swarms: usize, peers: usize) {
        let mut by_address = self.by_address();
        if let Entry::Occupied(mut entry) = by_address.entry(address) {
            let usage = entry.get_mut();
            usage.swarms = usage.swarms.saturating_sub(swarms);
            usage.peers = usage.peers.saturating_sub(peers);
            if usage.swarms + usage.peers == 0 {
                entry.remove();
            }
            self.peers.fetch_sub(peers, Ordering::Relaxed);
            self.swarms.fetch_sub(swarms, Ordering::Relaxed);
        }
    }

    fn by_address(&self) -> MutexGuard<'_, HashMap<AddressPrefix, AddressUsage>> {
        lock(&self.by_address)
    }
}

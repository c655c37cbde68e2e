//! Quotas: how much of a tracker's memory swarms and peers may take, in all, per swarm and per address.

use super::announcing::Refusal;
use crate::base::AddressPrefix;
use crate::system::lock;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// How much a tracker holds at most. A peer takes about 300 bytes, a swarm about 500 more. An address is one of IPv4, or
/// a network of 64 leading bits of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Swarms in all.
    pub swarms: usize,
    /// Peers in all swarms together.
    pub peers: usize,
    /// Peers of one swarm.
    pub peers_per_swarm: usize,
    /// Swarms that one address was the first to announce to.
    pub swarms_per_address: usize,
    /// Peers that announced from one address, in all swarms together.
    pub peers_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            swarms: 50_000,
            peers: 500_000,
            peers_per_swarm: 50_000,
            swarms_per_address: 10_000,
            peers_per_address: 100_000,
        }
    }
}

impl Limits {
    /// For swarms of groups: there are no more of them than members have published shares.
    pub fn for_groups() -> Self {
        Self {
            swarms: usize::MAX,
            swarms_per_address: usize::MAX,
            ..Self::default()
        }
    }
}

/// The count of swarms and peers, in all and by address. It is touched only when one comes or goes, not by those who
/// merely announce again.
#[derive(Debug)]
pub(super) struct Quotas {
    limits: Limits,
    swarms: AtomicUsize,
    peers: AtomicUsize,
    usage: Mutex<HashMap<AddressPrefix, AddressUsage>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct AddressUsage {
    swarms: usize,
    peers: usize,
}

impl Quotas {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            swarms: AtomicUsize::new(0),
            peers: AtomicUsize::new(0),
            usage: Mutex::default(),
        }
    }

    pub(super) fn swarms(&self) -> usize {
        self.swarms.load(Ordering::Relaxed)
    }

    pub(super) fn peers(&self) -> usize {
        self.peers.load(Ordering::Relaxed)
    }

    /// Books a peer of `origin` that joins a swarm of `size` peers.
    pub(super) fn add_peer(&self, origin: AddressPrefix, size: usize) -> Result<(), Refusal> {
        if size >= self.limits.peers_per_swarm {
            return Err(Refusal::SwarmFull);
        }
        self.reserve(origin, origin, 0)
    }

    /// Books a swarm of `founder` that comes back with a peer of `origin`.
    pub(super) fn add_swarm_and_peer(
        &self,
        founder: AddressPrefix,
        origin: AddressPrefix,
    ) -> Result<(), Refusal> {
        self.reserve(founder, origin, 1)
    }

    pub(super) fn remove_peer(&self, origin: AddressPrefix) {
        self.release(origin, 0, 1);
    }

    pub(super) fn remove_swarm(&self, founder: AddressPrefix) {
        self.release(founder, 1, 0);
    }

    fn reserve(
        &self,
        founder: AddressPrefix,
        origin: AddressPrefix,
        swarms: usize,
    ) -> Result<(), Refusal> {
        let mut usage = self.usage();
        // The totals change under this lock alone; they are atomic for those who only look.
        if self.peers() >= self.limits.peers
            || self.swarms().saturating_add(swarms) > self.limits.swarms
        {
            return Err(Refusal::TrackerFull);
        }
        let of = |origin| usage.get(&origin).copied().unwrap_or_default();
        if of(origin).peers >= self.limits.peers_per_address
            || of(founder).swarms.saturating_add(swarms) > self.limits.swarms_per_address
        {
            return Err(Refusal::AddressFull);
        }
        usage.entry(origin).or_default().peers += 1;
        usage.entry(founder).or_default().swarms += swarms;
        self.peers.fetch_add(1, Ordering::Relaxed);
        self.swarms.fetch_add(swarms, Ordering::Relaxed);
        Ok(())
    }

    fn release(&self, origin: AddressPrefix, swarms: usize, peers: usize) {
        let mut usage = self.usage();
        if let Entry::Occupied(mut entry) = usage.entry(origin) {
            let left = entry.get_mut();
            left.swarms = left.swarms.saturating_sub(swarms);
            left.peers = left.peers.saturating_sub(peers);
            if left.swarms + left.peers == 0 {
                entry.remove();
            }
            self.peers.fetch_sub(peers, Ordering::Relaxed);
            self.swarms.fetch_sub(swarms, Ordering::Relaxed);
        }
    }

    fn usage(&self) -> MutexGuard<'_, HashMap<AddressPrefix, AddressUsage>> {
        lock(&self.usage)
    }
}

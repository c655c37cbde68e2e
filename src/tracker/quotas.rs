//! Quotas: limits on the numbers of swarms and peers, in total and for each address. They bound
//! the memory of a tracker.

use super::announcing::AnnounceRefusal;
use crate::base::{AddressPrefix, SipKey};
use crate::system::lock;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// The limits of a tracker. Most fields are a maximum number of swarms or peers. A swarm takes
/// about 1,000 bytes, and each of its peers over IPv4 about 50 bytes. An address is an IPv4
/// address, or the first 64 bits of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwarmLimits {
    /// All swarms.
    pub swarms: usize,
    /// Peers in all swarms.
    pub peers: usize,
    /// Peers of one swarm. At most 2^24 - 1 in any case.
    pub peers_per_swarm: usize,
    /// Swarms whose first announce came from one address.
    pub swarms_per_address: usize,
    /// Peers that announced from one address, in all swarms. The tracker only estimates this
    /// number: if it has a million peers in total, the estimate is too large by up to about 50.
    pub peers_per_address: usize,
    /// Peers of one address in one swarm.
    pub peers_per_swarm_and_address: usize,
    /// Peers of one address in one answer, and in each list of the best uploaders of a swarm. Peers
    /// with the address of the asking peer may fill half of the answer, or more if too few others
    /// are there for the other half.
    pub peers_per_answer_and_address: usize,
    /// Announces per second that the `pieceful` peers of one address should make together. If the
    /// usual interval leads to more, these peers get a longer one.
    pub announces_per_address: usize,
    /// Whether answers may contain peer ids.
    pub ids_in_answers: bool,
}

impl Default for SwarmLimits {
    fn default() -> Self {
        Self {
            swarms: 50_000,
            peers: 2_000_000,
            peers_per_swarm: 200_000,
            swarms_per_address: 10_000,
            peers_per_address: 100_000,
            peers_per_swarm_and_address: 2_000,
            peers_per_answer_and_address: 4,
            announces_per_address: 50,
            ids_in_answers: true,
        }
    }
}

impl SwarmLimits {
    /// The limits for swarms of groups. Their number has no limit, because each belongs to a share
    /// that a member published. Their announces have no limit, because one request announces to
    /// many swarms. Their peers are members, so all peers of a swarm may have one address.
    pub fn for_groups() -> Self {
        Self {
            swarms: usize::MAX,
            swarms_per_address: usize::MAX,
            peers_per_swarm_and_address: usize::MAX,
            peers_per_answer_and_address: usize::MAX,
            announces_per_address: usize::MAX,
            ids_in_answers: false,
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
    swarms_by_address: Mutex<HashMap<AddressPrefix, usize>>,
    peers_by_address: PeerEstimate,
}

impl Quotas {
    /// Starts with all counts at 0. Addresses are hashed with `key`.
    pub(super) fn new(limits: SwarmLimits, key: SipKey) -> Self {
        Self {
            limits,
            swarms: AtomicUsize::new(0),
            peers: AtomicUsize::new(0),
            swarms_by_address: Mutex::default(),
            peers_by_address: PeerEstimate {
                key,
                counts: OnceLock::new(),
            },
        }
    }

    pub(super) fn swarms(&self) -> usize {
        self.swarms.load(Ordering::Relaxed)
    }

    pub(super) fn peers(&self) -> usize {
        self.peers.load(Ordering::Relaxed)
    }

    /// The shortest interval with which the peers of `address` together keep to the limit
    /// [`SwarmLimits::announces_per_address`].
    pub(super) fn shortest_interval(&self, address: AddressPrefix) -> Duration {
        let most = self.limits.announces_per_address.max(1);
        let seconds = self.peers_by_address.count(address) / most;
        Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX))
    }

    /// Counts a new peer of `address`.
    pub(super) fn add_peer(&self, address: AddressPrefix) -> Result<(), AnnounceRefusal> {
        // Counted first, so that two threads do not both take the last place.
        if self.peers.fetch_add(1, Ordering::Relaxed) >= self.limits.peers {
            self.peers.fetch_sub(1, Ordering::Relaxed);
            return Err(AnnounceRefusal::TrackerFull);
        }
        if self.peers_by_address.add(address) > self.limits.peers_per_address {
            self.remove_peer(address);
            return Err(AnnounceRefusal::AddressFull);
        }
        Ok(())
    }

    /// Counts a new swarm towards the quota of `founder`, and its first peer towards that of
    /// `address`. The two can differ only when a saved swarm is restored: its founder may have
    /// left.
    pub(super) fn add_swarm_and_peer(
        &self,
        founder: AddressPrefix,
        address: AddressPrefix,
    ) -> Result<(), AnnounceRefusal> {
        let mut by_address = lock(&self.swarms_by_address);
        // The total changes only under this lock. It is atomic, so that reading needs no lock.
        if self.swarms() >= self.limits.swarms {
            return Err(AnnounceRefusal::TrackerFull);
        }
        let founded = by_address.get(&founder).copied().unwrap_or(0);
        if founded >= self.limits.swarms_per_address {
            return Err(AnnounceRefusal::AddressFull);
        }
        self.add_peer(address)?;
        by_address.insert(founder, founded + 1);
        self.swarms.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn remove_peer(&self, address: AddressPrefix) {
        self.peers_by_address.remove(address);
        self.peers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a peer towards the address `to` instead of `from`. Does not check the limit of `to`.
    pub(super) fn move_peer(&self, from: AddressPrefix, to: AddressPrefix) {
        self.peers_by_address.add(to);
        self.peers_by_address.remove(from);
    }

    pub(super) fn remove_swarm(&self, founder: AddressPrefix) {
        let mut by_address = lock(&self.swarms_by_address);
        if let Some(founded) = by_address.get_mut(&founder) {
            *founded -= 1;
            if *founded == 0 {
                by_address.remove(&founder);
            }
            self.swarms.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Number of rows of counts. Each address has one count in each row.
const ROWS: usize = 4;
/// Number of counts in each row.
const ROW_LENGTH: usize = 1 << 15;

/// Estimates the number of peers of each address in a fixed amount of memory (a count-min sketch).
/// An address has one count in each row, at a position that its hash chooses. Other addresses may
/// share the count. The smallest count of an address is never too small. It is too large by about
/// the number of all peers divided by the length of a row.
#[derive(Debug)]
struct PeerEstimate {
    key: SipKey,
    /// All rows. They are made when they are first needed.
    counts: OnceLock<Box<[AtomicU32]>>,
}

impl PeerEstimate {
    fn count(&self, address: AddressPrefix) -> usize {
        self.visit_counts(address, |count| count.load(Ordering::Relaxed))
    }

    /// Returns the new number.
    fn add(&self, address: AddressPrefix) -> usize {
        self.visit_counts(address, |count| count.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn remove(&self, address: AddressPrefix) {
        self.visit_counts(address, |count| count.fetch_sub(1, Ordering::Relaxed));
    }

    /// Calls `visit` for each count of this address. Returns the smallest result.
    fn visit_counts(&self, address: AddressPrefix, visit: impl Fn(&AtomicU32) -> u32) -> usize {
        let counts = self.counts.get_or_init(|| {
            let counts = (0..ROWS * ROW_LENGTH).map(|_| AtomicU32::new(0));
            counts.collect()
        });
        let hash = self.key.hash(&address.number().to_be_bytes());
        let rows = counts.chunks_exact(ROW_LENGTH).enumerate();
        let results = rows.filter_map(|(row, counts)| {
            let place = (hash >> (16 * row)) as usize % ROW_LENGTH;
            counts.get(place).map(&visit)
        });
        let smallest = results.min().unwrap_or(0);
        usize::try_from(smallest).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(number: u32) -> AddressPrefix {
        AddressPrefix::of(number.to_be_bytes().into())
    }

    #[test]
    fn the_estimate_is_never_too_small_and_rarely_much_too_large() {
        let estimate = PeerEstimate {
            key: SipKey::from_bytes([7; 16]),
            counts: OnceLock::new(),
        };
        for number in 0..100_000 {
            estimate.add(prefix(number));
        }
        for _ in 0..1_000 {
            estimate.add(prefix(5));
        }
        assert!((1_001..1_020).contains(&estimate.count(prefix(5))));
        let counts = (0..10_000).map(|number| estimate.count(prefix(number)));
        // Leaves out address 5, and any address that shares all its counts with address 5.
        let counts: Vec<_> = counts.filter(|count| *count < 1_000).collect();
        assert!(counts.iter().all(|count| (1..20).contains(count)));
        for number in 0..100_000 {
            estimate.remove(prefix(number));
        }
        assert_eq!(estimate.count(prefix(5)), 1_000);
        assert_eq!(estimate.count(prefix(6)), 0);
    }
}

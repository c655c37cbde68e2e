//! A table of bounded size. Requests of strangers create its entries. Each key contains the address
//! or the network that such a request came from.
//!
//! If the table is full, a new entry replaces the oldest entry of the network with the most
//! entries. So somebody who has many addresses in a few networks removes only entries of these
//! networks.

use crate::base::{AddressNetwork, AddressPrefix};
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

/// A key that belongs to a network.
pub(super) trait HasNetwork {
    fn network(&self) -> AddressNetwork;
}

impl HasNetwork for AddressPrefix {
    fn network(&self) -> AddressNetwork {
        AddressPrefix::network(*self)
    }
}

impl HasNetwork for AddressNetwork {
    fn network(&self) -> AddressNetwork {
        *self
    }
}

impl<T> HasNetwork for (T, AddressPrefix) {
    fn network(&self) -> AddressNetwork {
        self.1.network()
    }
}

/// A table with at most `max_entries` entries.
#[derive(Debug)]
pub(super) struct NetworkTable<K, V> {
    max_entries: usize,
    entries: HashMap<K, Entry<V>>,
    /// For each network with entries, the keys of its entries, the oldest first.
    networks: HashMap<AddressNetwork, BTreeSet<(Duration, K)>>,
    /// The networks with entries, by the number of their entries.
    sizes: BTreeSet<(usize, AddressNetwork)>,
}

/// A value, and when it was set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<V> {
    pub(super) value: V,
    pub(super) set_at: Duration,
}

impl<K: Clone + Eq + Hash + Ord + HasNetwork, V> NetworkTable<K, V> {
    pub(super) fn new(max_entries: usize) -> Self {
        Self {
            max_entries,
            entries: HashMap::new(),
            networks: HashMap::new(),
            sizes: BTreeSet::new(),
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&Entry<V>> {
        self.entries.get(key)
    }

    /// Sets the value of a key. If the table then has too many entries, removes one of them.
    pub(super) fn set(&mut self, key: K, value: V, now: Duration) {
        self.remove(&key);
        self.change_keys(key.network(), |keys| keys.insert((now, key.clone())));
        self.entries.insert(key, Entry { value, set_at: now });
        if self.entries.len() > self.max_entries
            && let Some(oldest) = self.oldest_of_largest_networks()
        {
            self.remove(&oldest);
        }
    }

    /// The key of the oldest entry in the networks with the most entries.
    fn oldest_of_largest_networks(&self) -> Option<K> {
        let (size, _) = self.sizes.last()?;
        let largest = self.sizes.iter().rev();
        let largest = largest.take_while(|(other_size, _)| other_size == size);
        let entries = largest.filter_map(|(_, network)| self.networks.get(network)?.first());
        entries.min().map(|(_, oldest)| oldest.clone())
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<Entry<V>> {
        let (key, entry) = self.entries.remove_entry(key)?;
        let item = (entry.set_at, key);
        self.change_keys(item.1.network(), |keys| keys.remove(&item));
        Some(entry)
    }

    /// Changes the keys of a network, and updates `sizes`.
    fn change_keys(
        &mut self,
        network: AddressNetwork,
        change: impl FnOnce(&mut BTreeSet<(Duration, K)>) -> bool,
    ) {
        let keys = self.networks.entry(network).or_default();
        self.sizes.remove(&(keys.len(), network));
        change(keys);
        match keys.len() {
            0 => drop(self.networks.remove(&network)),
            size => drop(self.sizes.insert((size, network))),
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn prefix(ip: [u8; 4]) -> AddressPrefix {
        AddressPrefix::of(IpAddr::from(ip))
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_new_entry_replaces_the_oldest_entry_of_the_network_with_the_most_entries() {
        let mut table = NetworkTable::new(4);
        table.set(prefix([10, 1, 0, 1]), 1, at(0));
        for host in 1..=9 {
            table.set(prefix([10, 2, 0, host]), 2, at(host.into()));
        }
        assert_eq!(table.len(), 4);
        let has = |ip| table.get(&prefix(ip)).is_some();
        assert!(has([10, 1, 0, 1]), "the only entry of its network is gone");
        assert!(!has([10, 2, 0, 6]));
        assert!((7..=9).all(|host| has([10, 2, 0, host])));
        // A new entry of another network replaces an entry of the largest network.
        table.set(prefix([10, 3, 0, 1]), 3, at(10));
        assert!(table.get(&prefix([10, 3, 0, 1])).is_some());
        assert!(table.get(&prefix([10, 2, 0, 7])).is_none());
    }

    #[test]
    fn an_entry_that_is_set_again_becomes_the_newest_and_a_removed_one_leaves_nothing() {
        let mut table = NetworkTable::new(2);
        table.set(prefix([10, 1, 0, 1]), 1, at(0));
        table.set(prefix([10, 1, 0, 2]), 1, at(1));
        table.set(prefix([10, 1, 0, 1]), 2, at(2));
        table.set(prefix([10, 1, 0, 3]), 1, at(3));
        assert!(table.get(&prefix([10, 1, 0, 2])).is_none());
        let removed = table.remove(&prefix([10, 1, 0, 1])).unwrap();
        assert_eq!((removed.value, removed.set_at), (2, at(2)));
        assert!(table.remove(&prefix([10, 1, 0, 3])).is_some());
        assert!(table.networks.is_empty() && table.sizes.is_empty());
    }
}

//! Counts the peers of each address in one swarm.
//!
//! The counts are in a table with open addressing and linear probing. Each entry has 4 bytes: 24
//! bits of a keyed hash of the address, and the count. Two addresses with the same 24 bits count as
//! one. In a swarm of 200,000 addresses, this concerns one address in a hundred. A swarm of few
//! peers has no table.

use super::probing;
use std::collections::HashMap;

/// The largest count in an entry, and the mask of the count. Larger counts are in a map.
const MAX_IN_ENTRY: u32 = 255;
const COUNT_BITS: u32 = 8;
const TAG_BITS: u32 = 24;
/// An entry that is not used. No other entry has the count 0.
const EMPTY: u32 = 0;

/// A keyed hash of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AddressHash(pub(super) u32);

/// The table. Invariants: at least a twelfth of its entries is free. No entry is free between the
/// position where the search for an address begins ([`home`]) and the entry of that address.
#[derive(Debug, Default)]
pub(super) struct AddressCounts {
    entries: Vec<u32>,
    used: usize,
    /// The counts above [`MAX_IN_ENTRY`], by tag: the 24 bits of the hash.
    large: HashMap<u32, u32>,
    /// The number of addresses with more than `crowd_limit` peers.
    crowded: usize,
    crowd_limit: u32,
}

impl AddressCounts {
    /// An empty table for about `peers` peers. An address with more than `crowd_limit` of them is
    /// crowded.
    pub(super) fn new(peers: usize, crowd_limit: u32) -> Self {
        Self {
            entries: vec![EMPTY; peers * 7 / 6 + 1],
            crowd_limit,
            ..Self::default()
        }
    }

    /// Whether peers are counted here. A swarm of few peers has no table: it does not count them.
    pub(super) fn has_table(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Whether some address is crowded.
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded > 0
    }

    /// Number of peers of this address.
    pub(super) fn count(&self, address: AddressHash) -> u32 {
        let tag = tag_of(address);
        let entry = self.position(tag).and_then(|at| self.entries.get(at));
        entry.map_or(0, |entry| self.count_in(*entry))
    }

    /// The largest number of peers of one address.
    pub(super) fn largest(&self) -> u32 {
        let in_entries = self.entries.iter().map(|entry| entry & MAX_IN_ENTRY).max();
        self.large
            .values()
            .copied()
            .max()
            .or(in_entries)
            .unwrap_or(0)
    }

    pub(super) fn add(&mut self, address: AddressHash) {
        let (tag, count) = (tag_of(address), self.count(address) + 1);
        if count == 1 && (self.used + 1) * 12 > self.entries.len() * 11 {
            self.resize((self.used + 1) * 7 / 6 + 1);
        }
        self.crowded += usize::from(count == self.crowd_limit.saturating_add(1));
        self.set(tag, count);
    }

    pub(super) fn remove(&mut self, address: AddressHash) {
        let (tag, count) = (tag_of(address), self.count(address));
        self.crowded -= usize::from(count == self.crowd_limit.saturating_add(1));
        match count {
            0 => {}
            1 => self.remove_entry(tag),
            _ => self.set(tag, count - 1),
        }
    }

    /// Releases memory that is no longer needed.
    pub(super) fn shrink(&mut self) {
        if self.used < self.entries.len() / 2 {
            self.resize(self.used * 7 / 6 + 1);
        }
    }

    fn set(&mut self, tag: u32, count: u32) {
        let at = self.position(tag).or_else(|| self.free_position(tag));
        let Some(entry) = at.and_then(|at| self.entries.get_mut(at)) else {
            return;
        };
        self.used += usize::from(*entry == EMPTY);
        *entry = tag << COUNT_BITS | count.min(MAX_IN_ENTRY);
        if count > MAX_IN_ENTRY {
            self.large.insert(tag, count);
        } else {
            self.large.remove(&tag);
        }
    }

    fn remove_entry(&mut self, tag: u32) {
        let Some(position) = self.position(tag) else {
            return;
        };
        self.used -= 1;
        let length = self.entries.len();
        let home_of_entry = |entry: u32| Some(home(entry >> COUNT_BITS, length));
        probing::free(&mut self.entries, EMPTY, position, home_of_entry);
    }

    fn resize(&mut self, length: usize) {
        let old = std::mem::replace(&mut self.entries, vec![EMPTY; length]);
        for entry in old.into_iter().filter(|entry| *entry != EMPTY) {
            if let Some(at) = self.free_position(entry >> COUNT_BITS) {
                probing::put(&mut self.entries, at, entry);
            }
        }
    }

    fn count_in(&self, entry: u32) -> u32 {
        match entry & MAX_IN_ENTRY {
            MAX_IN_ENTRY => {
                let large = self.large.get(&(entry >> COUNT_BITS));
                large.copied().unwrap_or(MAX_IN_ENTRY)
            }
            count => count,
        }
    }

    fn position(&self, tag: u32) -> Option<usize> {
        self.search(tag, |entry| entry >> COUNT_BITS == tag && entry != EMPTY)
    }

    fn free_position(&self, tag: u32) -> Option<usize> {
        self.search(tag, |entry| entry == EMPTY)
    }

    /// The first position whose entry passes `fits`. `None` if a free entry comes before it.
    fn search(&self, tag: u32, fits: impl Fn(u32) -> bool) -> Option<usize> {
        let start = home(tag, self.entries.len());
        probing::search(&self.entries, EMPTY, start, fits)
    }
}

/// Where the search for a tag begins.
fn home(tag: u32, length: usize) -> usize {
    ((u64::from(tag) * length as u64) >> TAG_BITS) as usize
}

fn tag_of(address: AddressHash) -> u32 {
    address.0 >> COUNT_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_table_counts_like_a_map(steps in proptest::collection::vec((0u32..40, 0u32..6), 1..600)) {
            let (mut table, mut map) = (AddressCounts::new(4, 3), HashMap::<u32, u32>::new());
            for (number, step) in steps {
                // The search for several of these addresses begins at the same position.
                let address = AddressHash((number / 8) << 27 | (number % 8) << COUNT_BITS);
                let count = map.entry(number).or_default();
                match step {
                    0..3 => {
                        table.add(address);
                        *count += 1;
                    }
                    3 => for _ in 0..260 {
                        table.add(address);
                        *count += 1;
                    },
                    4 => for _ in 0..*count {
                        table.remove(address);
                        *count -= 1;
                    },
                    _ if *count > 0 => {
                        table.remove(address);
                        *count -= 1;
                        table.shrink();
                    }
                    _ => {}
                }
                prop_assert_eq!(table.count(address), *count);
                prop_assert_eq!(table.largest(), map.values().copied().max().unwrap_or(0));
                prop_assert_eq!(table.is_crowded(), map.values().any(|count| *count > 3));
            }
            for (number, count) in &map {
                let address = AddressHash((number / 8) << 27 | (number % 8) << COUNT_BITS);
                prop_assert_eq!(table.count(address), *count);
            }
        }
    }
}

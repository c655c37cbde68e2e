//! Finds a peer of a swarm by the hash of its id.
//!
//! A table with open addressing and linear probing. Each entry has 4 bytes: the peer's slot, and
//! five bits of its hash, so that few other peers are looked at. A swarm of few peers has no table:
//! its peers are looked at one by one.

use super::super::announcing::IdHash;
use super::lists::{Lists, Slot};
use super::probing;

/// A swarm of more peers has a table.
pub(super) const MAX_WITHOUT_TABLE: usize = 32;

/// Bits of an entry that contain the slot.
const SLOT_BITS: u32 = 27;
/// No peer has this entry: its slot would be in list 7, but the lists have the numbers 0 to 5.
const EMPTY: u32 = u32::MAX;

/// The table. Invariants: there is no table, or it has a used entry for each peer, and at least a
/// twelfth of all its entries is free. No entry is free between the position where the search for a
/// peer begins ([`home`]) and the entry of that peer.
#[derive(Debug, Default)]
pub(super) struct IdIndex {
    entries: Vec<u32>,
    used: usize,
}

impl IdIndex {
    pub(super) fn find(&self, id: IdHash, lists: &Lists) -> Option<Slot> {
        let is_peer = |slot: &Slot| lists.id_hash(*slot) == Some(id);
        if self.entries.is_empty() {
            return lists.slots().find(is_peer);
        }
        let at = self.position(id, |slot| is_peer(&slot))?;
        self.entries.get(at).map(|entry| slot_of(*entry))
    }

    /// A peer has been added to `lists` at `slot`.
    pub(super) fn on_added(&mut self, id: IdHash, slot: Slot, lists: &Lists) {
        if self.entries.is_empty() {
            if lists.len() > MAX_WITHOUT_TABLE {
                self.rebuild(lists);
            }
        } else if (self.used + 1) * 12 > self.entries.len() * 11 {
            self.rebuild(lists);
        } else {
            self.insert(id, slot);
        }
    }

    /// A peer has moved from one slot to another.
    pub(super) fn on_moved(&mut self, id: IdHash, from: Slot, to: Slot) {
        let at = self.position(id, |slot| slot == from);
        if let Some(entry) = at.and_then(|at| self.entries.get_mut(at)) {
            *entry = entry_of(id, to);
        }
    }

    /// Removes the entry of the peer at `slot`. The caller then removes the peer from `lists`.
    pub(super) fn remove(&mut self, id: IdHash, slot: Slot, lists: &Lists) {
        let Some(position) = self.position(id, |other| other == slot) else {
            return;
        };
        self.used -= 1;
        let length = self.entries.len();
        let home = |entry: u32| Some(home(lists.id_hash(slot_of(entry))?, length));
        probing::free(&mut self.entries, EMPTY, position, home);
    }

    /// Frees memory that is no longer needed.
    pub(super) fn shrink(&mut self, lists: &Lists) {
        if lists.len() <= MAX_WITHOUT_TABLE / 2 {
            *self = Self::default();
        } else if !self.entries.is_empty() && lists.len() < self.entries.len() / 2 {
            self.rebuild(lists);
        }
    }

    /// Makes the table anew, with one free entry for each six used ones.
    fn rebuild(&mut self, lists: &Lists) {
        // The old table is freed first, so that there are never two in memory.
        self.entries = Vec::new();
        self.entries = vec![EMPTY; lists.len() * 7 / 6 + 1];
        self.used = 0;
        for slot in lists.slots() {
            if let Some(id) = lists.id_hash(slot) {
                self.insert(id, slot);
            }
        }
    }

    fn insert(&mut self, id: IdHash, slot: Slot) {
        let length = self.entries.len();
        let mut at = home(id, length);
        while self.entries.get(at).is_some_and(|entry| *entry != EMPTY) {
            at = (at + 1) % length;
        }
        probing::put(&mut self.entries, at, entry_of(id, slot));
        self.used += 1;
    }

    /// Position of the entry for this hash whose slot passes `fits`.
    fn position(&self, id: IdHash, fits: impl Fn(Slot) -> bool) -> Option<usize> {
        let (tag, start) = (tag_of(id), home(id, self.entries.len()));
        probing::search(&self.entries, EMPTY, start, |entry| {
            entry != EMPTY && entry & !SLOT_MASK == tag && fits(slot_of(entry))
        })
    }
}

const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;

/// Where the search for an id begins, by the high bits of its hash.
fn home(id: IdHash, length: usize) -> usize {
    ((u128::from(id.0) * length as u128) >> 64) as usize
}

/// The low five bits of the hash, shifted to their place in an entry.
fn tag_of(id: IdHash) -> u32 {
    (id.0 as u32) << SLOT_BITS
}

fn entry_of(id: IdHash, slot: Slot) -> u32 {
    tag_of(id) | slot.number()
}

fn slot_of(entry: u32) -> Slot {
    Slot::from_number(entry & SLOT_MASK)
}

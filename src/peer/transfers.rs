//! The map of all transfers and magnet searches, by info-hash.

use super::{Context, MagnetSearch, Transfer};
use crate::swarm::{Contacts, Phase};
use crate::system::lock;
use crate::torrent::InfoHash;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// A swarm that this peer takes part in.
#[derive(Clone, Debug)]
pub(super) enum SwarmEntry {
    /// A magnet link without metadata.
    Search(Arc<MagnetSearch>),
    /// A share or download.
    Transfer(Arc<Transfer>),
}

impl SwarmEntry {
    pub(super) fn info_hash(&self) -> InfoHash {
        match self {
            Self::Search(search) => search.info_hash(),
            Self::Transfer(transfer) => transfer.info_hash(),
        }
    }

    /// The name that a person uses for it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Search(search) => search.name(),
            Self::Transfer(transfer) => transfer.name(),
        }
    }

    /// Whether it was withdrawn, is lost or has failed. Then another attempt may replace it.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::Search(search) => search.has_failed(),
            Self::Transfer(transfer) => transfer.has_ended(),
        }
    }

    /// Whether all wanted files of it are here.
    pub(super) fn is_complete(&self) -> bool {
        match self {
            Self::Search(_) => false,
            Self::Transfer(transfer) => transfer.phase().was_complete(),
        }
    }

    /// Its path on disk, now or when it is complete.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Search(search) => search.record.destination.clone(),
            Self::Transfer(transfer) => transfer.plan.path(),
        }
    }

    /// When a person first asked for it, in milliseconds since 1970.
    pub(super) fn added_ms(&self) -> u64 {
        match self {
            Self::Search(search) => search.record.added_ms,
            Self::Transfer(transfer) => transfer.plan.added_ms,
        }
    }

    /// Whether `name` is one of its names or its info-hash.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.names().contains(name) || self.info_hash().to_string() == name
    }

    /// The names by which a command can refer to it, besides its info-hash.
    fn names(&self) -> BTreeSet<String> {
        match self {
            Self::Search(search) => BTreeSet::from([search.name().to_owned()]),
            Self::Transfer(transfer) => transfer.plan.names(),
        }
    }

    /// Reads or changes the addresses that it calls.
    pub(super) fn contacts<R>(&self, act: impl FnOnce(&mut Contacts) -> R) -> R {
        match self {
            Self::Search(search) => search.contacts(act),
            Self::Transfer(transfer) => transfer.contacts(act),
        }
    }

    /// Ends it, with `reason`. Its files stay for another attempt.
    pub(super) fn fail(&self, reason: &str) {
        match self {
            Self::Search(search) => search.fail(reason),
            Self::Transfer(transfer) => transfer.fail(reason),
        }
    }

    /// The transfer, if it is one.
    pub(super) fn into_transfer(self) -> Option<Arc<Transfer>> {
        match self {
            Self::Search(_) => None,
            Self::Transfer(transfer) => Some(transfer),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Search(one), Self::Search(other)) => Arc::ptr_eq(one, other),
            (Self::Transfer(one), Self::Transfer(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Marks a transfer as removed from the map or put back. A removed one does not restart by
    /// itself.
    fn set_retired(&self, retired: bool) {
        if let Self::Transfer(transfer) = self {
            transfer.decide(|core, now| match retired {
                true => core.retire(now),
                false => core.put_back(now),
            });
        }
    }
}

/// All transfers and magnet searches of the peer.
#[derive(Debug)]
pub(super) struct Transfers {
    pub(super) context: Arc<Context>,
    map: Mutex<BTreeMap<InfoHash, SwarmEntry>>,
}

impl Transfers {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            map: Mutex::default(),
        }
    }

    /// All entries, by info-hash.
    pub(super) fn entries(&self) -> Vec<SwarmEntry> {
        lock(&self.map).values().cloned().collect()
    }

    /// All entries, the oldest first.
    pub(super) fn sorted(&self) -> Vec<SwarmEntry> {
        let mut entries = self.entries();
        entries.sort_by_key(|entry| (entry.added_ms(), entry.info_hash()));
        entries
    }

    /// All transfers, by info-hash.
    pub(super) fn transfers(&self) -> Vec<Arc<Transfer>> {
        let entries = self.entries().into_iter();
        entries.filter_map(SwarmEntry::into_transfer).collect()
    }

    /// Up to `count` transfers, each once, by info-hash: those from `first` on, then the others.
    pub(super) fn transfers_from(&self, first: InfoHash, count: usize) -> Vec<Arc<Transfer>> {
        let map = lock(&self.map);
        let before = (Bound::Unbounded, Bound::Excluded(first));
        let entries = map.range(first..).chain(map.range(before));
        let transfers = entries.filter_map(|(_, entry)| entry.clone().into_transfer());
        transfers.take(count).collect()
    }

    /// The transfers that fetch missing pieces.
    pub(super) fn fetching(&self) -> Vec<Arc<Transfer>> {
        self.transfers_that(|transfer| transfer.fetches())
    }

    /// The downloads that wait for their files or for room.
    pub(super) fn waiting(&self) -> Vec<Arc<Transfer>> {
        self.transfers_that(|transfer| {
            transfer.inspect(|core| matches!(core.phase(), Phase::Waiting { .. }))
        })
    }

    /// The transfers of groups.
    pub(super) fn of_groups(&self) -> Vec<Arc<Transfer>> {
        self.transfers_that(|transfer| transfer.plan.group.is_some())
    }

    fn transfers_that(&self, is_wanted: impl Fn(&Transfer) -> bool) -> Vec<Arc<Transfer>> {
        let map = lock(&self.map);
        let transfers = map.values().filter_map(|entry| match entry {
            SwarmEntry::Transfer(transfer) if is_wanted(transfer) => Some(transfer),
            SwarmEntry::Transfer(_) | SwarmEntry::Search(_) => None,
        });
        transfers.cloned().collect()
    }

    pub(super) fn entry(&self, info_hash: InfoHash) -> Option<SwarmEntry> {
        lock(&self.map).get(&info_hash).cloned()
    }

    pub(super) fn transfer(&self, info_hash: InfoHash) -> Option<Arc<Transfer>> {
        self.entry(info_hash)?.into_transfer()
    }

    /// Adds an entry. Replaces an entry with the same info-hash that has ended.
    ///
    /// # Errors
    /// The entry that has this info-hash already, if it has not ended.
    pub(super) fn enter(&self, entry: SwarmEntry) -> Result<(), SwarmEntry> {
        let mut map = lock(&self.map);
        match map.get(&entry.info_hash()) {
            Some(other) if !other.has_ended() => Err(other.clone()),
            _ => {
                entry.set_retired(false);
                if let Some(former) = self.insert(&mut map, entry) {
                    former.set_retired(true);
                }
                Ok(())
            }
        }
    }

    /// Replaces the entry `former`.
    ///
    /// # Errors
    /// The entry that is in the map instead of `former`. Or `former` itself, if it is not in the
    /// map any more or has ended.
    pub(super) fn replace(&self, former: &SwarmEntry, entry: SwarmEntry) -> Result<(), SwarmEntry> {
        let mut map = lock(&self.map);
        match map.get(&former.info_hash()) {
            Some(there) if !there.is_same(former) => Err(there.clone()),
            // The check and the insertion are under one lock of the map. If a command ends `former`
            // between the two, it gets the lock only after the insertion. Then it finds the new
            // entry in the map, and ends that too.
            Some(_) if !former.has_ended() => {
                self.insert(&mut map, entry);
                former.set_retired(true);
                Ok(())
            }
            _ => Err(former.clone()),
        }
    }

    /// Inserts an entry. Returns the one that it replaces.
    fn insert(
        &self,
        map: &mut BTreeMap<InfoHash, SwarmEntry>,
        entry: SwarmEntry,
    ) -> Option<SwarmEntry> {
        let info_hash = entry.info_hash();
        self.context.names.add(entry.names());
        let former = map.insert(info_hash, entry);
        if let Some(former) = &former {
            self.context.names.remove(former.names());
        }
        // Calls of `include` before the insertion had no effect: the thread `tick` ignores swarms
        // that are not in the map.
        self.context.ticks.include(info_hash);
        former
    }

    /// Removes an entry. Returns `false` if it was not in the map.
    pub(super) fn forget(&self, entry: &SwarmEntry) -> bool {
        let mut map = lock(&self.map);
        let info_hash = entry.info_hash();
        let is_there = map
            .get(&info_hash)
            .is_some_and(|there| there.is_same(entry));
        if is_there {
            map.remove(&info_hash);
            self.context.names.remove(entry.names());
        }
        entry.set_retired(true);
        is_there
    }
}

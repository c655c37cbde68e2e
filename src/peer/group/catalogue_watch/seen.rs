//! What has changed in the catalogue of a group since it was seen before. Pure.
//!
//! A tracker that lags behind may not list a share that another tracker has listed before. So a
//! share counts as withdrawn only if it is missing for [`CONFIRM`], in every list meanwhile.

use crate::storage::StoredCatalogue;
use crate::torrent::InfoHash;
use crate::wire::access::{FileEntry, ShortText};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a share is missing from the lists before it counts as withdrawn.
pub(super) const CONFIRM: Duration = Duration::from_secs(10);

/// A share as a catalogue lists it. A new version of a share has the same name and another swarm.
pub(super) type ShareKey = (String, InfoHash);

/// The shares of one group that were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SeenCatalogue {
    /// Since when each of them is missing from the lists. `None` for those that are listed.
    shares: HashMap<ShareKey, Option<Instant>>,
}

/// What has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// The shares that were not seen before, in the order of the list.
    pub(super) added: Vec<FileEntry>,
    /// The shares that are no longer listed, sorted.
    pub(super) withdrawn: Vec<ShareKey>,
    /// Whether a share is missing that does not count as withdrawn yet.
    pub(super) is_unsure: bool,
}

impl SeenCatalogue {
    /// A catalogue that is seen for the first time.
    pub(super) fn first(list: &[FileEntry]) -> Self {
        Self {
            shares: list.iter().map(|entry| (key(entry), None)).collect(),
        }
    }

    /// A catalogue that an earlier start has seen.
    pub(super) fn of(stored: &StoredCatalogue) -> Self {
        let shares = stored.shares.iter();
        Self {
            shares: shares
                .map(|(name, info_hash)| ((name.as_str().to_owned(), *info_hash), None))
                .collect(),
        }
    }

    /// What differs from a list that a tracker has sent now.
    pub(super) fn compare(&mut self, list: &[FileEntry], now: Instant) -> Difference {
        let listed = Self::first(list).shares;
        let mut difference = Difference::default();
        for (share, missing_since) in &mut self.shares {
            if listed.contains_key(share) {
                *missing_since = None;
                continue;
            }
            let since = *missing_since.get_or_insert(now);
            match now.saturating_duration_since(since) >= CONFIRM {
                true => difference.withdrawn.push(share.clone()),
                false => difference.is_unsure = true,
            }
        }
        difference.withdrawn.sort();
        let new = list.iter().filter(|it| !self.shares.contains_key(&key(it)));
        difference.added = new.cloned().collect();
        difference
    }

    /// Takes a difference over. From now on, its new shares have been seen.
    pub(super) fn apply(&mut self, difference: &Difference) {
        for share in &difference.withdrawn {
            self.shares.remove(share);
        }
        let added = difference.added.iter();
        self.shares.extend(added.map(|entry| (key(entry), None)));
    }

    /// The shares, as the state folder keeps them.
    pub(super) fn to_stored(&self) -> Vec<(ShortText, InfoHash)> {
        let shares = self.shares.keys();
        let shares = shares.filter_map(|(name, hash)| Some((ShortText::new(&**name)?, *hash)));
        shares.collect()
    }
}

fn key(entry: &FileEntry) -> ShareKey {
    (entry.name.as_str().to_owned(), entry.info_hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of a list. Tests set only what is compared.
    fn entry(name: &str, number: u8) -> FileEntry {
        FileEntry {
            name: ShortText::new(name).unwrap(),
            info_hash: InfoHash([number; 20]),
            length: 1,
            publisher: None,
            published_at: 0,
            complete: 0,
            partial: 0,
        }
    }

    /// The names that are added and withdrawn, when each of these lists arrives at its second.
    fn changes(lists: &[(u64, &[(&str, u8)])]) -> Vec<(Vec<String>, Vec<String>)> {
        let begin = Instant::now();
        let mut seen: Option<SeenCatalogue> = None;
        let mut all = Vec::new();
        for (second, list) in lists {
            let list: Vec<_> = list.iter().map(|(name, hash)| entry(name, *hash)).collect();
            let Some(seen) = &mut seen else {
                seen = Some(SeenCatalogue::first(&list));
                continue;
            };
            let difference = seen.compare(&list, begin + Duration::from_secs(*second));
            seen.apply(&difference);
            let added = difference
                .added
                .iter()
                .map(|it| it.name.as_str().to_owned());
            let withdrawn = difference.withdrawn.into_iter().map(|(name, _)| name);
            all.push((added.collect(), withdrawn.collect()));
        }
        all
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_there_at_first_is_not_new_and_what_comes_later_is_new_once() {
        let lists: [(u64, &[(&str, u8)]); 4] = [
            (0, &[("a", 1)]),
            (1, &[("a", 1)]),
            (2, &[("a", 1), ("b", 2)]),
            (3, &[("a", 1), ("b", 2)]),
        ];
        let nothing = || (names(&[]), names(&[]));
        let expected = [nothing(), (names(&["b"]), names(&[])), nothing()];
        assert_eq!(changes(&lists), expected);
    }

    #[test]
    fn a_new_version_has_the_name_of_the_one_before_and_is_new() {
        let lists: [(u64, &[(&str, u8)]); 3] =
            [(0, &[("a", 1)]), (1, &[("a", 2)]), (11, &[("a", 2)])];
        let expected = [(names(&["a"]), names(&[])), (names(&[]), names(&["a"]))];
        assert_eq!(changes(&lists), expected);
    }

    #[test]
    fn a_list_that_lags_behind_withdraws_nothing_and_adds_nothing_again() {
        let lists: [(u64, &[(&str, u8)]); 5] = [
            (0, &[("a", 1), ("b", 2)]),
            (1, &[("a", 1)]),
            (2, &[("a", 1), ("b", 2)]),
            (20, &[("a", 1)]),
            (29, &[("a", 1), ("b", 2)]),
        ];
        let nothing = (names(&[]), names(&[]));
        assert!(changes(&lists).iter().all(|change| *change == nothing));
        let missing: [(u64, &[(&str, u8)]); 3] = [
            (0, &[("a", 1), ("b", 2)]),
            (1, &[("a", 1)]),
            (11, &[("a", 1)]),
        ];
        assert_eq!(changes(&missing)[1], (names(&[]), names(&["b"])));
    }
}

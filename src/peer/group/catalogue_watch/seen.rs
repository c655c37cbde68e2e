//! What has changed in the catalogue of a group since it was seen before. Pure.
//!
//! A tracker that lags behind may not list a share that another tracker has listed before. So a
//! share counts as withdrawn only if it is missing for [`CONFIRM`], in every list meanwhile. A
//! tracker can lag behind for longer, so a withdrawn share that returns within [`RETURN`] is not
//! new.

use crate::storage::SeenShare;
use crate::torrent::InfoHash;
use crate::wire::access::{FileEntry, ShortText};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a share is missing from the lists before it counts as withdrawn.
pub(super) const CONFIRM: Duration = Duration::from_secs(10);

/// A share that is listed again within this time after it was withdrawn is not new.
const RETURN: Duration = Duration::from_secs(24 * 3600);

/// A share as a catalogue lists it. A new version of a share has the same name. It was published
/// later, but it may have the content and so the swarm of an earlier version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ShareKey {
    name: String,
    info_hash: InfoHash,
    published_ms: u64,
}

impl ShareKey {
    /// The share of an entry of a list.
    pub(crate) fn of(entry: &FileEntry) -> Self {
        Self {
            name: entry.name.as_str().to_owned(),
            info_hash: entry.info_hash,
            published_ms: entry.published_at,
        }
    }
}

/// The shares of one group that were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SeenCatalogue {
    shares: HashMap<ShareKey, Presence>,
}

/// Whether a share is in the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Listed,
    /// It is missing since this time.
    Missing(Instant),
    /// It was reported as withdrawn, at this time in milliseconds since 1970.
    Withdrawn(u64),
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
            shares: list
                .iter()
                .map(|entry| (ShareKey::of(entry), Presence::Listed))
                .collect(),
        }
    }

    /// A catalogue that an earlier start has seen.
    pub(super) fn of(stored: Vec<SeenShare>) -> Self {
        let shares = stored.into_iter().map(|share| {
            let presence = share.withdrawn_ms;
            let presence = presence.map_or(Presence::Listed, Presence::Withdrawn);
            let key = ShareKey {
                name: share.name.as_str().to_owned(),
                info_hash: share.info_hash,
                published_ms: share.published_ms,
            };
            (key, presence)
        });
        Self {
            shares: shares.collect(),
        }
    }

    /// What differs from a list that a tracker has sent now. `now_ms` is now in milliseconds since
    /// 1970.
    pub(super) fn compare(&mut self, list: &[FileEntry], now: Instant, now_ms: u64) -> Difference {
        let listed = Self::first(list).shares;
        let mut difference = Difference::default();
        let returns_until = |at: u64| u128::from(at) + RETURN.as_millis();
        self.shares.retain(|share, presence| match presence {
            Presence::Withdrawn(at) => {
                listed.contains_key(share) || u128::from(now_ms) < returns_until(*at)
            }
            Presence::Listed | Presence::Missing(_) => true,
        });
        for (share, presence) in &mut self.shares {
            if listed.contains_key(share) {
                *presence = Presence::Listed;
                continue;
            }
            let since = match *presence {
                Presence::Withdrawn(_) => continue,
                Presence::Missing(since) => since,
                Presence::Listed => now,
            };
            *presence = Presence::Missing(since);
            match now.saturating_duration_since(since) >= CONFIRM {
                true => difference.withdrawn.push(share.clone()),
                false => difference.is_unsure = true,
            }
        }
        difference.withdrawn.sort();
        let is_new = |entry: &&FileEntry| !self.shares.contains_key(&ShareKey::of(entry));
        difference.added = list.iter().filter(is_new).cloned().collect();
        difference
    }

    /// Takes a difference over. From now on, its new shares have been seen.
    pub(super) fn apply(&mut self, difference: &Difference, now_ms: u64) {
        for share in &difference.withdrawn {
            let presence = Presence::Withdrawn(now_ms);
            self.shares.insert(share.clone(), presence);
        }
        let added = difference.added.iter();
        let added = added.map(|entry| (ShareKey::of(entry), Presence::Listed));
        self.shares.extend(added);
    }

    /// The shares, as the state folder keeps them.
    pub(super) fn to_stored(&self) -> Vec<SeenShare> {
        let shares = self.shares.iter();
        let shares = shares.filter_map(|(share, presence)| {
            Some(SeenShare {
                name: ShortText::new(&*share.name)?,
                info_hash: share.info_hash,
                published_ms: share.published_ms,
                withdrawn_ms: match presence {
                    Presence::Withdrawn(at) => Some(*at),
                    Presence::Listed | Presence::Missing(_) => None,
                },
            })
        });
        shares.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of a list. Tests set only what is compared: the last digit of `number` makes the
    /// info-hash, and the others say when it was published.
    fn entry(name: &str, number: u8) -> FileEntry {
        FileEntry {
            name: ShortText::new(name).unwrap(),
            version: 1,
            versions: 1,
            note: None,
            info_hash: InfoHash([number % 10; 20]),
            length: 1,
            publisher: None,
            published_at: u64::from(number / 10),
            complete: 0,
            partial: 0,
        }
    }

    const BEGIN_MS: u64 = 1 << 41;

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
            let now_ms = BEGIN_MS + second * 1_000;
            let difference = seen.compare(&list, begin + Duration::from_secs(*second), now_ms);
            seen.apply(&difference, now_ms);
            // A restart changes nothing but the shares that are missing for a short time.
            if !difference.is_unsure {
                *seen = SeenCatalogue::of(seen.to_stored());
            }
            let added = difference
                .added
                .iter()
                .map(|it| it.name.as_str().to_owned());
            let withdrawn = difference.withdrawn.into_iter().map(|share| share.name);
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
    fn a_version_with_the_content_of_an_earlier_one_is_new() {
        // Version 3 has the content of version 1, and its own time.
        let lists: [(u64, &[(&str, u8)]); 4] = [
            (0, &[("a", 1)]),
            (1, &[("a", 12)]),
            (20, &[("a", 12)]),
            (21, &[("a", 21)]),
        ];
        assert_eq!(changes(&lists).pop().unwrap().0, names(&["a"]));
        // Version 1 is not new when the others are withdrawn soon.
        let lists = [lists[0], lists[1], lists[2], lists[3], (22, lists[0].1)];
        assert_eq!(changes(&lists).pop().unwrap().0, names(&[]));
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

    #[test]
    fn a_withdrawn_share_that_returns_within_a_day_is_not_new() {
        let day = 24 * 3600;
        let both: &[(&str, u8)] = &[("a", 1), ("b", 2)];
        let one: &[(&str, u8)] = &[("a", 1)];
        let returns = |second| {
            let lists = [(0, both), (1, one), (11, one), (second, both)];
            changes(&lists).pop().unwrap().0
        };
        assert_eq!(returns(20), names(&[]));
        assert_eq!(returns(day), names(&[]));
        // The list of the next day shows that it has stayed away.
        let lists = [
            (0, both),
            (1, one),
            (11, one),
            (day + 12, one),
            (day + 13, both),
        ];
        assert_eq!(changes(&lists).pop().unwrap().0, names(&["b"]));
    }
}

//! Merges what several trackers know about holders and mirrors: of two entries about the same
//! holder, the later one counts.

use crate::torrent::InfoHash;
use crate::wire::access::{
    HolderEntry, HolderId, HolderName, ListPage, MirrorEntry, NamedVersion, ShortText,
};
use std::collections::BTreeMap;

/// The holders of the shares of a group.
#[derive(Clone, Debug, Default)]
pub struct HolderList {
    /// What the name means that was asked for: of a share, its newest version. `None` without a
    /// name.
    pub named: Option<NamedVersion>,
    /// The holders, sorted by the name and number of the version. Those that have more of it come
    /// first.
    pub holders: Vec<HolderEntry>,
}

/// Answers of several trackers about holders.
#[derive(Default)]
pub(super) struct MergedHolders {
    named: Option<NamedVersion>,
    holders: BTreeMap<(InfoHash, HolderId), HolderEntry>,
}

/// Answers of several trackers about mirrors.
#[derive(Default)]
pub(super) struct MergedMirrors(BTreeMap<HolderId, MirrorEntry>);

impl MergedHolders {
    /// Adds a page. Returns the position of the next one.
    pub(super) fn add(
        &mut self,
        page: ListPage<HolderEntry>,
        named: Option<NamedVersion>,
    ) -> Option<ShortText> {
        // A tracker may not have the newest version yet.
        let number = |named: &Option<NamedVersion>| named.as_ref().map(|named| named.number);
        if number(&named) > number(&self.named) {
            self.named = named;
        }
        for entry in page.entries {
            let key = (entry.version.info_hash, entry.holder.id);
            let merged = match self.holders.remove(&key) {
                Some(known) => merged_holder(known, entry),
                None => entry,
            };
            self.holders.insert(key, merged);
        }
        page.next
    }

    /// The list for a person.
    pub(super) fn into_list(self) -> HolderList {
        let mut holders: Vec<_> = self.holders.into_values().collect();
        holders.sort_by(|a, b| {
            let key = |entry: &HolderEntry| {
                let name = entry.version.name.as_str();
                let share = name.rsplit_once('@').map_or(name, |(share, _)| share);
                (share.to_owned(), entry.version.number, entry.left)
            };
            key(a).cmp(&key(b))
        });
        HolderList {
            named: self.named,
            holders,
        }
    }
}

impl MergedMirrors {
    /// Adds a page. Returns the position of the next one.
    pub(super) fn add(&mut self, page: ListPage<MirrorEntry>) -> Option<ShortText> {
        for entry in page.entries {
            let id = entry.holder.id;
            let merged = match self.0.remove(&id) {
                Some(known) => merged_mirror(known, entry),
                None => entry,
            };
            self.0.insert(id, merged);
        }
        page.next
    }

    /// Those that mirror the group, the one that was seen last first.
    pub(super) fn into_list(self) -> Vec<MirrorEntry> {
        let mut mirrors: Vec<_> = self.0.into_values().filter(|it| it.mirrors).collect();
        mirrors.sort_by_key(|entry| (entry.silent_ms, entry.holder.id));
        mirrors
    }
}

/// Of two entries about one holder, the one that was heard of later counts. One tracker may not
/// know yet that it mirrors the group.
fn merged_holder(one: HolderEntry, other: HolderEntry) -> HolderEntry {
    let (late, early) = match other.silent_ms < one.silent_ms {
        true => (other, one),
        false => (one, other),
    };
    HolderEntry {
        holder: merged_name(late.holder, early.holder),
        mirrors: late.mirrors || early.mirrors,
        ..late
    }
}

/// Of two reports of one holder, the later one counts. It was seen when any tracker has seen it.
fn merged_mirror(one: MirrorEntry, other: MirrorEntry) -> MirrorEntry {
    let silent_ms = one.silent_ms.min(other.silent_ms);
    let (late, early) = match other.reported_ms < one.reported_ms {
        true => (other, one),
        false => (one, other),
    };
    MirrorEntry {
        holder: merged_name(late.holder, early.holder),
        silent_ms,
        ..late
    }
}

/// The host may be known to one tracker only.
fn merged_name(one: HolderName, other: HolderName) -> HolderName {
    HolderName {
        host: one.host.or(other.host),
        ..one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::access::holder_samples::{holder, mirror};

    fn page(entries: Vec<HolderEntry>) -> ListPage<HolderEntry> {
        ListPage {
            entries,
            next: None,
        }
    }

    #[test]
    fn the_latest_entry_about_a_holder_counts_and_hosts_and_mirrors_are_kept() {
        let mut merged = MergedHolders::default();
        let mut old = holder(1, 2, 50, 900);
        old.mirrors = true;
        let mut new = holder(1, 2, 0, 10);
        new.holder.host = None;
        let named = |number| Some(holder(1, number, 0, 0).version);
        merged.add(page(vec![old, holder(2, 1, 7, 5)]), named(2));
        merged.add(page(vec![new, holder(2, 2, 3, 5)]), named(1));
        let list = merged.into_list();
        assert_eq!(list.named, named(2), "one tracker is behind");
        let found = list.holders.iter();
        let found: Vec<_> = found
            .map(|entry| (entry.version.number, entry.left))
            .collect();
        assert_eq!(found, [(1, 7), (2, 0), (2, 3)]);
        let first = &list.holders[1];
        assert!(first.mirrors && first.silent_ms == 10);
        assert_eq!(first.holder.host, "host1".parse().ok());
    }

    #[test]
    fn the_latest_report_of_a_mirror_counts_whoever_has_seen_it() {
        let ended = MirrorEntry {
            mirrors: false,
            reported_ms: 500,
            ..mirror(1, 500)
        };
        let seen = MirrorEntry {
            reported_ms: 900,
            ..mirror(1, 20)
        };
        for (one, two) in [(&ended, &seen), (&seen, &ended)] {
            let merged = merged_mirror(one.clone(), two.clone());
            assert!(!merged.mirrors, "one tracker does not know of the end");
            assert_eq!((merged.silent_ms, merged.reported_ms), (20, 500));
        }
    }
}

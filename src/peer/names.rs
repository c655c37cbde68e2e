//! Counts how many shares and downloads of this peer have each name, so that a message can say
//! without doubt which share or download it means.

use crate::base::can_be_typed;
use crate::system::lock;
use crate::torrent::InfoHash;
use std::collections::BTreeSet;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Mutex;

/// How many entries of the map of transfers have each name.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<String, usize>>);

impl Names {
    /// An entry with these names enters the map of transfers. The names are that of the share and
    /// that of its file or folder at this peer, if it is another one.
    pub(super) fn add(&self, names: BTreeSet<String>) {
        let mut counts = lock(&self.0);
        for name in names {
            let count = counts.entry(name).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// An entry with these names leaves the map of transfers.
    pub(super) fn remove(&self, names: BTreeSet<String>) {
        let mut counts = lock(&self.0);
        for name in names {
            if let Entry::Occupied(mut count) = counts.entry(name) {
                match count.get().checked_sub(1) {
                    None | Some(0) => drop(count.remove()),
                    Some(left) => *count.get_mut() = left,
                }
            }
        }
    }

    /// The word by which a person names an entry in a command: its name, or its info-hash if
    /// another entry has the same name or the name cannot be typed.
    pub(super) fn word(&self, name: &str, info_hash: InfoHash) -> String {
        let is_ambiguous = lock(&self.0).get(name).is_some_and(|count| *count > 1);
        match !is_ambiguous && can_be_typed(name) {
            true => name.to_owned(),
            false => info_hash.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_info_hash_replaces_a_name_that_is_not_unique_or_cannot_be_typed() {
        let names = Names::default();
        let set = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
        let hash = InfoHash([7; 20]);
        names.add(set(&["x", "y"]));
        assert_eq!(names.word("x", hash), "x");
        names.add(set(&["x"]));
        assert_eq!(names.word("x", hash), hash.to_string());
        assert_eq!(names.word("y", hash), "y");
        names.remove(set(&["x", "y"]));
        assert_eq!(names.word("x", hash), "x");
        assert_eq!(names.word("a\nb", hash), hash.to_string());
        names.remove(set(&["x"]));
        assert!(lock(&names.0).is_empty());
    }
}

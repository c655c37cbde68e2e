//! Who may have links in the groups of this peer, kept over a restart.
//!
//! Locks: `file` is held over the write of the file. Whoever holds it may take `state`, which is
//! held for a look-up or a change.

use super::known_group::KnownGroup;
use crate::certificate::{Fingerprint, Member};
use crate::peer::AdmissionError;
use crate::storage::{KnownMembersError, KnownMembersFile, StoredGroup};
use crate::system::{lock, since_1970};
use crate::wire::access::Bar;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

/// What is known of the members of all groups.
#[derive(Debug)]
pub(crate) struct KnownMembers {
    state: Mutex<State>,
    file: Mutex<KnownMembersFile>,
}

#[derive(Debug, Default)]
struct State {
    /// By authority: a later group of the same name has another one.
    groups: HashMap<Fingerprint, KnownGroup>,
    /// Whether the file lacks something.
    is_changed: bool,
    /// Whether the last write of the file failed.
    has_failed: bool,
}

impl KnownMembers {
    /// Reads the file of the state folder. A damaged file is set aside. Then the peer knows no bars
    /// and no earlier links, and admits nobody before the first answer of a tracker.
    ///
    /// # Errors
    /// The file cannot be read or set aside, or another version of this program wrote it. It is not
    /// changed: it may know of a removal that no tracker knows.
    pub(crate) fn open(folder: &Path) -> Result<Self, KnownMembersError> {
        let file = KnownMembersFile::new(folder);
        let stored = match file.load() {
            Err(error @ KnownMembersError::Damaged(_)) => {
                let aside = file.set_aside()?;
                log::warn!(
                    "{error}: it is now {}. Until trackers answer, nobody knows who has left the \
                     groups",
                    aside.display()
                );
                Vec::new()
            }
            stored => stored?,
        };
        let groups = stored.into_iter();
        let state = State {
            groups: groups
                .map(|group| (group.authority, KnownGroup::of(group)))
                .collect(),
            ..State::default()
        };
        Ok(Self {
            state: Mutex::new(state),
            file: Mutex::new(file),
        })
    }

    /// Adds the bars of an answer, and stores them. Returns whether they have changed anything.
    pub(super) fn add_bars(&self, group: Fingerprint, bars: &[Bar]) -> bool {
        let is_changed = {
            let mut state = lock(&self.state);
            let group = state.groups.entry(group).or_default();
            let is_changed = group.add(bars, since_1970());
            state.is_changed |= is_changed;
            is_changed
        };
        if is_changed {
            self.store();
        }
        is_changed
    }

    /// Whether a member may have no links any more.
    pub(super) fn is_barred(&self, group: Fingerprint, member: &Member) -> bool {
        let state = lock(&self.state);
        let group = state.groups.get(&group);
        group.is_some_and(|group| group.is_barred(member.account, since_1970()))
    }

    /// Checks whether a member may have a link, and remembers that it has one. See
    /// [`KnownGroup::admit`].
    pub(super) fn admit(
        &self,
        group: Fingerprint,
        member: &Member,
        is_answered: bool,
    ) -> Result<(), AdmissionError> {
        let mut state = lock(&self.state);
        let group = state.groups.entry(group).or_default();
        let is_new = group.admit(member, is_answered, since_1970())?;
        state.is_changed |= is_new;
        Ok(())
    }

    /// Writes the file if something has changed. If this fails, the next call tries again.
    pub(crate) fn store(&self) {
        let file = lock(&self.file);
        let stored: Vec<StoredGroup> = {
            let mut state = lock(&self.state);
            if !std::mem::take(&mut state.is_changed) {
                return;
            }
            let now = since_1970();
            for group in state.groups.values_mut() {
                group.forget_ended(now);
            }
            let groups = state.groups.iter();
            groups
                .filter_map(|(authority, group)| group.to_stored(*authority))
                .collect()
        };
        let result = file.store(&stored);
        let mut state = lock(&self.state);
        state.is_changed |= result.is_err();
        let had_failed = std::mem::replace(&mut state.has_failed, result.is_err());
        match result {
            Err(error) if !had_failed => {
                log::warn!("a restart may forget which members have left: {error}");
            }
            Ok(left_out) if left_out > 0 => {
                log::warn!("a restart will forget which members have left {left_out} groups");
            }
            Ok(_) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_damaged_file_is_set_aside_and_an_unreadable_one_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("members"), "d6:groupsle7:versioni2ee").unwrap();
        let error = KnownMembers::open(folder.path()).unwrap_err();
        assert!(matches!(
            error,
            KnownMembersError::Version { version: 2, .. }
        ));
        fs::write(at("members"), "letter").unwrap();
        KnownMembers::open(folder.path()).unwrap();
        assert_eq!(fs::read(at("members.damaged")).unwrap(), b"letter");
        assert!(!at("members").exists());
        // Reading a folder fails.
        fs::create_dir(at("members")).unwrap();
        let error = KnownMembers::open(folder.path()).unwrap_err();
        assert!(matches!(error, KnownMembersError::Io(_)), "{error}");
        assert!(at("members").is_dir());
    }
}

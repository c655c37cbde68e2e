//! The mirrors of a peer: what the user has said, what each has fetched, and the catalogues.
//!
//! Locks: `file` is held over the write of the file. A thread that holds it may take `state`, which
//! is held for a look-up or a change. No lock of a transfer is taken while one of the two is held.

use super::mirrored::{Mirrored, Pass};
use super::plan::Here;
use crate::net::Stop;
use crate::peer::group::{CatalogueNews, CatalogueSubscriber, ShareKey};
use crate::peer::{Context, Membership, MirrorStatus, PeerError};
use crate::storage::{FileError, MirrorFile, MirrorOwner, MirrorSettings, Room, StoredMirror};
use crate::system::lock;
use crate::torrent::InfoHash;
use crate::wire::access::{FileEntry, GroupId};
use crate::wire::machine::SubjectLabel;
use crate::wire::name::Label;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The longest wait for a change before the thread looks again.
const LONG_WAIT: Duration = Duration::from_secs(1);
/// The least time between two looks at all mirrors.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// What the user wants to be mirrored.
#[derive(Clone, Debug)]
pub(crate) struct NewMirror {
    pub(crate) id: GroupId,
    pub(crate) membership: Membership,
    pub(crate) folder: PathBuf,
    pub(crate) settings: MirrorSettings,
    /// The catalogue of the group.
    pub(crate) catalogue: Vec<FileEntry>,
}

/// The mirrors of a peer.
#[derive(Debug)]
pub(crate) struct Mirrors {
    context: Arc<Context>,
    file: Mutex<MirrorFile>,
    state: Mutex<Vec<Mirrored>>,
}

impl Mirrors {
    /// The mirrors of the peer with this state folder. Reads what earlier starts have stored.
    pub(crate) fn open(context: Arc<Context>, folder: &Path) -> Self {
        let file = MirrorFile::new(folder);
        let stored = file.load().unwrap_or_else(|error| {
            log::warn!("{error}: no group is mirrored; type mirror again");
            Vec::new()
        });
        let mirrors = stored.into_iter().map(|stored| Mirrored::new(stored, None));
        Self {
            context,
            file: Mutex::new(file),
            state: Mutex::new(mirrors.collect()),
        }
    }

    /// Whether a group is mirrored.
    pub(crate) fn is_active(&self) -> bool {
        !lock(&self.state).is_empty()
    }

    /// The folder of a mirror of this group.
    pub(crate) fn folder(&self, id: GroupId, user: &SubjectLabel) -> Option<PathBuf> {
        let state = lock(&self.state);
        let found = state.iter().find(|mirror| mirror.is_of(id, user))?;
        Some(found.stored.folder.clone())
    }

    /// Begins to mirror a group, or changes the settings of its mirror.
    ///
    /// # Errors
    /// The folder is another one than before, or is inside or around that of another mirror. The
    /// file of the mirrors cannot be written.
    pub(crate) fn begin(&self, new: NewMirror) -> Result<(), PeerError> {
        let file = lock(&self.file);
        let mut stored = self.stored();
        let Membership { user, group } = new.membership;
        let is_same = |other: &StoredMirror| other.id == new.id && other.user == user;
        let at = stored.iter().position(is_same);
        check_folder(&stored, at, &new.folder)?;
        let mirror = match at.map(|at| stored.swap_remove(at)) {
            // What a person has ended gets another chance.
            Some(known) => known.begun_again(group, new.settings),
            None => StoredMirror {
                id: new.id,
                user,
                group,
                folder: new.folder,
                settings: new.settings,
                shares: Vec::new(),
                pruned_ms: Vec::new(),
            },
        };
        stored.push(mirror.clone());
        file.store(&stored).map_err(PeerError::Mirrors)?;
        let mut state = lock(&self.state);
        state.retain(|other| !other.is_of(mirror.id, &mirror.user));
        state.push(Mirrored::new(mirror, Some(Arc::new(new.catalogue))));
        drop((state, file));
        self.context.changes.notify();
        Ok(())
    }

    /// Ends the mirrors of the group of this name: those of `user` if somebody is logged in.
    /// Returns the folder of one. Nothing is removed.
    ///
    /// # Errors
    /// The group is not mirrored, or the file of the mirrors cannot be written.
    pub(crate) fn end(
        &self,
        user: Option<&SubjectLabel>,
        group: &Label,
    ) -> Result<PathBuf, PeerError> {
        let file = lock(&self.file);
        let is_meant = |stored: &StoredMirror| {
            stored.group == *group && user.is_none_or(|user| stored.user == *user)
        };
        let (ended, kept): (Vec<_>, Vec<_>) = self.stored().into_iter().partition(is_meant);
        let Some(ended) = ended.into_iter().next() else {
            return Err(PeerError::NotMirrored(group.to_string()));
        };
        file.store(&kept).map_err(PeerError::Mirrors)?;
        lock(&self.state).retain(|mirror| !is_meant(&mirror.stored));
        Ok(ended.folder)
    }

    /// A person confirms the removal of the withdrawn shares of this group that `status` has shown.
    /// Returns their names.
    ///
    /// # Errors
    /// The group is not mirrored, or `status` has shown no removal that waits.
    pub(crate) fn confirm(
        &self,
        user: Option<&SubjectLabel>,
        group: &Label,
    ) -> Result<Vec<String>, PeerError> {
        let mut state = lock(&self.state);
        let mut mirrors = state.iter_mut();
        let mirror = mirrors.find(|mirror| {
            let stored = &mirror.stored;
            stored.group == *group && user.is_none_or(|user| stored.user == *user)
        });
        let mirror = mirror.ok_or_else(|| PeerError::NotMirrored(group.to_string()))?;
        let confirmed = mirror.confirm();
        drop(state);
        match confirmed.is_empty() {
            true => Err(PeerError::NothingToConfirm(group.to_string())),
            false => {
                self.context.changes.notify();
                Ok(confirmed)
            }
        }
    }

    /// A person has asked for this version: no mirror replaces or removes it from now on.
    pub(crate) fn on_asked_for(&self, info_hash: InfoHash) {
        self.give(info_hash, MirrorOwner::Person);
    }

    /// A person has ended this version here: no mirror fetches it again.
    pub(crate) fn on_ended_by_user(&self, info_hash: InfoHash) {
        self.give(info_hash, MirrorOwner::Ended);
    }

    /// Takes a version out of the hands of all mirrors.
    fn give(&self, info_hash: InfoHash, owner: MirrorOwner) {
        let given = self.change_all(|mirror| mirror.stored.give(info_hash, owner));
        if let Err(error) = given {
            log::error!("a mirror may remove {info_hash} after a restart: {error}");
        }
    }

    /// Changes mirrors, and writes the file if one of them says that it has changed.
    fn change_all(&self, mut change: impl FnMut(&mut Mirrored) -> bool) -> Result<(), FileError> {
        let file = lock(&self.file);
        let mut state = lock(&self.state);
        let changed = state.iter_mut().map(&mut change);
        if changed.filter(|changed| *changed).count() == 0 {
            return Ok(());
        }
        drop(state);
        file.store(&self.stored())
    }

    /// What the file is to have. Nobody changes it while the lock of the file is held.
    fn stored(&self) -> Vec<StoredMirror> {
        let state = lock(&self.state);
        state.iter().map(|mirror| mirror.stored.clone()).collect()
    }

    /// Changes one mirror, and writes the file if `change` returns `true`. Does nothing if the
    /// mirror has ended meanwhile.
    pub(super) fn change(
        &self,
        id: GroupId,
        user: &SubjectLabel,
        mut change: impl FnMut(&mut Mirrored) -> bool,
    ) -> Result<(), FileError> {
        self.change_all(|mirror| mirror.is_of(id, user) && change(mirror))
    }

    /// Reads one mirror. `None` if it has ended.
    pub(super) fn read<T>(
        &self,
        id: GroupId,
        user: &SubjectLabel,
        read: impl FnOnce(&Mirrored) -> T,
    ) -> Option<T> {
        let state = lock(&self.state);
        state.iter().find(|mirror| mirror.is_of(id, user)).map(read)
    }

    /// The mirrors of a user: group and folder.
    pub(super) fn of_user(&self, user: &SubjectLabel) -> Vec<(GroupId, PathBuf)> {
        let state = lock(&self.state);
        let own = state.iter().filter(|mirror| mirror.stored.user == *user);
        own.map(|mirror| (mirror.stored.id, mirror.stored.folder.clone()))
            .collect()
    }

    /// Decides what a mirror does next. `None` if nothing can be done now.
    pub(super) fn plan(
        &self,
        id: GroupId,
        user: &SubjectLabel,
        here: &BTreeMap<InfoHash, Here>,
        room: Option<Room>,
        now_ms: u64,
    ) -> Option<Pass> {
        let mut state = lock(&self.state);
        let mirror = state.iter_mut().find(|mirror| mirror.is_of(id, user))?;
        mirror.plan(here, room, (now_ms, self.context.now()))
    }

    /// Waits for the next pass of the thread. `seen` is the number of changes before the last one.
    pub(super) fn wait(&self, seen: u64, stop: &Stop) {
        if !stop.wait(LOOK_PAUSE) {
            self.context.changes.wait(seen, LONG_WAIT);
        }
    }

    /// The mirrors, for `status`. `user` is logged in.
    pub(crate) fn status(&self, user: Option<&SubjectLabel>) -> Vec<MirrorStatus> {
        let now = self.context.now();
        let mut state = lock(&self.state);
        let mirrors = state.iter_mut();
        mirrors.map(|mirror| mirror.status(user, now)).collect()
    }
}

impl CatalogueSubscriber for Mirrors {
    fn is_active(&self) -> bool {
        self.is_active()
    }

    fn wants(&self, group: GroupId, membership: &Membership) -> bool {
        let state = lock(&self.state);
        state
            .iter()
            .any(|mirror| mirror.is_of(group, &membership.user))
    }

    fn on_catalogue(&self, news: &CatalogueNews<'_>) -> Vec<ShareKey> {
        let Membership { user, group } = news.membership;
        let stored = self.change(news.group, user, |mirror| {
            mirror.on_catalogue(group, news.catalogue)
        });
        if let Err(error) = stored {
            log::warn!("the new name of the group {group} is not stored: {error}");
        }
        self.context.changes.notify();
        Vec::new()
    }
}

/// Checks the folder of the mirror at this position, or of a new one.
fn check_folder(
    stored: &[StoredMirror],
    at: Option<usize>,
    folder: &Path,
) -> Result<(), PeerError> {
    for (number, other) in stored.iter().enumerate() {
        let is_refused = match Some(number) == at {
            true => other.folder != folder,
            false => other.folder.starts_with(folder) || folder.starts_with(&other.folder),
        };
        if is_refused {
            return Err(PeerError::Mirrored {
                group: other.group.to_string(),
                folder: other.folder.clone(),
            });
        }
    }
    Ok(())
}

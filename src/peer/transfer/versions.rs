//! Other versions of the share of a transfer, at the same place on this machine.
//!
//! A transfer *supersedes* versions that were at its place when it began: a complete one under the
//! final name, which is served until this transfer is complete, and those whose download was ended
//! because of this one. Its record names them, so that each of them ends once, whatever a crash
//! interrupts.

use super::local_source::UnchangedFiles;
use super::plan::recorded_selection;
use super::transfer::Transfer;
use super::unfinished::OPENER_TIMEOUT;
use crate::storage::{
    Download, ExtraFiles, FileLayout, FormerVersion, OldVersion, Record, RecordError, RecordKind,
    RecordState, RecordedFiles, RecordedGroup, ShareVersion, Store, StoreError, copy_equal_pieces,
    copy_from_changed_files, copy_unchanged_files, find_with_info, is_same_entry,
    remove_parts_file, take_files,
};
use crate::torrent::{Info, InfoHash, LocalFiles, PieceIndex, PieceSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Another version at the same place, as recorded.
struct OtherVersion {
    record: Record,
    info: Arc<Info>,
}

impl Transfer {
    /// The version of the share of a group. `None` in an open swarm, or if it is not known.
    pub(crate) fn version(&self) -> Option<&ShareVersion> {
        self.plan.group.as_ref()?.version.as_ref()
    }

    /// The name by which commands name this version: `NAME@N`, or the name if the version is not
    /// known.
    pub(crate) fn name_of_version(&self) -> String {
        let version = self.version().map(ToString::to_string);
        version.unwrap_or_else(|| self.name().to_owned())
    }

    /// Whether this is a version of the share that the catalogue calls `share`. A transfer whose
    /// version is not known counts by its name.
    pub(crate) fn is_of_share(&self, share: &str) -> bool {
        let version = self.version();
        version.map_or(self.name(), |version| version.share.as_str()) == share
    }

    /// What the record says about the group. `None` in an open swarm.
    pub(super) fn recorded_group(&self) -> Option<RecordedGroup> {
        let membership = self.membership()?;
        let share = self.plan.group.as_ref()?;
        let supersedes = self.supersedes();
        Some(RecordedGroup {
            user: membership.user,
            group: membership.group,
            version: share.version.clone(),
            // A replacement that never superseded anything is a forced one: see `may_replace`.
            forced: share.forced && share.is_update,
            supersedes,
            left: self.files.name_of_left(),
        })
    }

    /// The versions that this transfer supersedes and that have not ended.
    pub(crate) fn supersedes(&self) -> Vec<InfoHash> {
        self.files.supersedes()
    }

    /// Whether this transfer takes the place of other versions of its share.
    pub(super) fn is_update(&self) -> bool {
        !self.supersedes().is_empty()
    }

    /// This transfer as a version that others can replace: what is recorded if it is complete.
    pub(crate) fn as_former_version(&self) -> Option<FormerVersion> {
        match self.context.records.find(self.info_hash())?.state {
            RecordState::Complete { stamps } => {
                Some(FormerVersion::new(self.plan.layout(self.info()), stamps))
            }
            _ => None,
        }
    }

    /// The superseded version that is complete under the final name.
    pub(super) fn former_version(&self) -> Option<FormerVersion> {
        let mut others = self.other_versions().into_iter();
        others.find_map(|other| match &other.record.state {
            RecordState::Complete { stamps } => {
                let former = FormerVersion::new(other.layout(), stamps.clone());
                Some(former.forced(self.plan.is_forced()))
            }
            _ => None,
        })
    }

    /// What becomes of the files under the final name when this download replaces them. `None` if
    /// it may not replace them: the version that was there is not known any more, so they may be a
    /// person's.
    pub(super) fn replaced_files(&self) -> Option<ExtraFiles> {
        match self.former_version() {
            Some(former) => Some(ExtraFiles::KeepForeign(former)),
            None => self.plan.is_forced().then(|| self.plan.extra_files()),
        }
    }

    /// Whether this download may replace files under its final name: the user has forced it, or it
    /// supersedes a version there.
    pub(super) fn may_replace(&self) -> bool {
        self.plan.replaces && (self.plan.is_forced() || self.is_update())
    }

    /// Makes the files of the download, as far as possible as links or reflinks of the superseded
    /// version. If there is none any more, the links of an earlier attempt go. Returns the files
    /// that were empty or missing before.
    pub(crate) fn make_files(&self, download: &Download) -> Result<Vec<usize>, StoreError> {
        let is_continued = self.plan.group.is_some() && !download.is_new();
        if self.is_update() || is_continued {
            let path = self.plan.path();
            let former = self
                .former_version()
                .and_then(|former| former.open(&path).ok());
            let former = former.map(|store| OldVersion::new(store, self.info()));
            if let Err(error) = take_files(download, former.as_ref()) {
                download.undo();
                return Err(error);
            }
        }
        download.make_files()
    }

    /// The files of the superseded versions.
    pub(super) fn old_versions(&self) -> Vec<OldVersion> {
        let stores = self
            .other_versions()
            .into_iter()
            .filter_map(|other| other.open());
        stores
            .map(|store| OldVersion::new(store, self.info()))
            .collect()
    }

    /// Copies the unchanged files that are neither linked nor here. Returns the files that are here
    /// then, and the pieces that are good without being hashed.
    pub(super) fn copy_unchanged(
        &self,
        download: &Download,
        old: &[OldVersion],
        mut known_good: PieceSet,
    ) -> Result<(LocalFiles, PieceSet), StoreError> {
        let (check, interrupt) = (&self.files.check, &*self.files.interrupt);
        let mut local = LocalFiles::new(self.info(), |_| false);
        for old in old {
            let progress = |done| check.report_hashed(done);
            local.add(&copy_unchanged_files(download, old, interrupt, &progress)?);
            let pieces: Vec<PieceIndex> = self.unknown_pieces(&known_good).collect();
            let store = download.store();
            for piece in pieces
                .into_iter()
                .filter(|piece| old.has_verified(store, *piece))
            {
                known_good.insert(piece);
            }
        }
        Ok((local, known_good))
    }

    /// Copies missing pieces that the superseded versions have, and adds them to `owned`. Notes
    /// which blocks of the others are in the `local` files. Then removes the partial files of
    /// versions that were not complete.
    pub(super) fn copy_equal(
        &self,
        download: &Download,
        old: &[OldVersion],
        local: &LocalFiles,
        owned: &mut PieceSet,
    ) -> Result<(), StoreError> {
        let interrupt = &*self.files.interrupt;
        for old in old {
            let missing: Vec<PieceIndex> = self.unknown_pieces(owned).collect();
            copy_equal_pieces(download, old, missing.into_iter(), owned, interrupt)?;
            let missing: Vec<PieceIndex> = self.unknown_pieces(owned).collect();
            let missing = missing.into_iter();
            copy_from_changed_files(download, old, local, missing, owned, interrupt)?;
        }
        if !old.is_empty() {
            let missing = self.unknown_pieces(owned);
            let local = UnchangedFiles::new(download.store(), local, missing);
            self.files.set_local(Some(Arc::new(local)));
        }
        let others = self.other_versions().into_iter();
        others
            .filter(|other| other.record.state == RecordState::Stopped)
            .for_each(|other| self.discard_version(&other));
        Ok(())
    }

    /// Says that this download takes the place of the versions that it supersedes. Until they end,
    /// changed files of theirs are no loss. `is_taken`: `false` if the download does not take it.
    pub(super) fn set_places_taken(&self, is_taken: bool) {
        for former in self.supersedes() {
            self.trackers.set_place_taken(former, is_taken);
        }
    }

    /// Another version takes the place of this one, or does not after all.
    pub(crate) fn set_place_taken(&self, is_taken: bool) {
        self.files.set_place_taken(is_taken);
    }

    /// Whether another version takes the place of this one, or has taken it. Then its end is no
    /// error.
    pub(crate) fn is_place_taken(&self) -> bool {
        self.files.is_place_taken()
    }

    /// Ends the other versions at this place, because this one is complete. A version that cannot
    /// be ended now stays in the record, and the next start ends it.
    pub(crate) fn end_former_versions(&self) {
        for other in self.other_versions() {
            if other.record.state == RecordState::Stopped {
                self.discard_version(&other);
            }
            // The parts file goes first: afterwards, nothing names it any more.
            if let Err(error) = other.remove_parts_file() {
                log::warn!("{}: {error}", self.name());
            }
        }
        for former in self.supersedes() {
            match self.trackers.end_version(former, self) {
                Ok(()) => self.files.forget_superseded(former),
                Err(error) => log::error!("{}: cannot end {former}: {error}", self.name()),
            }
        }
    }

    /// The superseded versions with records at this place. Others have ended, or were started again
    /// at another place.
    fn other_versions(&self) -> Vec<OtherVersion> {
        let records = &self.context.records;
        let supersedes = self.supersedes().into_iter();
        let found = supersedes.filter_map(|hash| find_with_info(records, hash));
        let path = self.plan.path();
        // A share that a user publishes from this place is no version that a download may replace.
        let at_this_place = found.filter(|(record, _)| {
            matches!(record.kind, RecordKind::Download(_))
                && is_same_entry(&record.kind.place(), &path)
        });
        at_this_place
            .map(|(record, info)| OtherVersion { record, info })
            .collect()
    }

    /// Removes the partial files of a version whose download was ended, and its record.
    fn discard_version(&self, other: &OtherVersion) {
        let until = self.context.now() + OPENER_TIMEOUT;
        let mut discarded = other.discard();
        // A thread that checked the files may not have noticed yet that the download has ended.
        while matches!(discarded, Err(StoreError::InUse(_))) && self.context.now() < until {
            self.context.stop.wait(Duration::from_millis(10));
            discarded = other.discard();
        }
        let removed = discarded.map_err(|error| error.to_string()).and_then(|()| {
            let removed = self.remove_stopped(other.record.info_hash);
            removed.map_err(|error| error.to_string())
        });
        match removed {
            Ok(()) => {
                self.files.forget_superseded(other.record.info_hash);
                self.update_record();
            }
            Err(error) => log::warn!("{}: cannot remove an older part: {error}", self.name()),
        }
    }
}

impl Transfer {
    /// Removes the record of a download that was ended, unless it was started again.
    fn remove_stopped(&self, other: InfoHash) -> Result<(), RecordError> {
        let records = &self.context.records;
        let _writing = records.lock_writing();
        match records.find(other) {
            Some(record) if record.state == RecordState::Stopped => records.remove(other),
            _ => Ok(()),
        }
    }
}

impl OtherVersion {
    /// Its files, and which of them it wanted.
    fn layout(&self) -> FileLayout {
        let selection = recorded_selection(&self.record, &self.info);
        FileLayout::chosen(Arc::clone(&self.info), Arc::new(selection))
    }

    /// Removes its parts file, if it is complete and has one.
    fn remove_parts_file(&self) -> Result<(), StoreError> {
        match &self.record.kind {
            RecordKind::Download(place) if !self.record.only.is_empty() => {
                remove_parts_file(&self.info, place)
            }
            _ => Ok(()),
        }
    }

    /// Opens its files. Those of a complete version are sealed. `None` if it has none.
    fn open(&self) -> Option<Store> {
        let path = self.path()?;
        match &self.record.state {
            RecordState::Complete { stamps } => {
                let complete = FormerVersion::new(self.layout(), stamps.clone());
                complete.open(&path).ok()
            }
            _ => Store::open(self.layout(), &path).ok(),
        }
    }

    /// Where its files are. `None` if it has none.
    fn path(&self) -> Option<PathBuf> {
        match (&self.record.state, &self.record.kind) {
            (RecordState::Complete { .. }, kind) => Some(kind.place()),
            (_, RecordKind::Download(place)) => {
                let partial = self.record.unfinished.partial.as_ref()?;
                Some(place.folder.join(partial))
            }
            (_, RecordKind::Share(_)) => None,
        }
    }

    /// Removes its partial files.
    fn discard(&self) -> Result<(), StoreError> {
        let (RecordKind::Download(place), Some(partial)) =
            (&self.record.kind, &self.record.unfinished.partial)
        else {
            return Ok(());
        };
        let recorded = RecordedFiles {
            partial: Some(partial),
            is_recorded: true,
            ..RecordedFiles::NONE
        };
        match Download::open_to_discard(self.layout(), place, recorded) {
            Err(StoreError::Missing(_)) => Ok(()),
            opened => opened?.discard(),
        }
    }
}

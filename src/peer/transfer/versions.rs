//! Other versions of the share of a transfer, at the same place on this machine.
//!
//! A transfer *supersedes* versions that were at its place when it began: a complete one under the
//! final name, which is served until this transfer is complete, and those whose download was ended
//! because of this one. Its record names them, so that each of them ends once, whatever a crash
//! interrupts.

use super::transfer::Transfer;
use super::unfinished::OPENER_TIMEOUT;
use crate::storage::{
    Download, FileLayout, FormerVersion, Record, RecordKind, RecordState, RecordedFiles,
    RecordedGroup, ShareVersion, Store, StoreError, copy_from_version, find_with_info,
};
use crate::torrent::{Info, InfoHash, PieceIndex, PieceSet};
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
            forced: share.forced && !supersedes.is_empty(),
            supersedes,
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
                Some(FormerVersion::new(Arc::clone(self.info()), stamps))
            }
            _ => None,
        }
    }

    /// The superseded version that is complete under the final name.
    pub(super) fn former_version(&self) -> Option<FormerVersion> {
        let mut others = self.other_versions().into_iter();
        others.find_map(|other| match other.record.state {
            RecordState::Complete { stamps } => Some(FormerVersion::new(other.info, stamps)),
            _ => None,
        })
    }

    /// Checks that this download may replace the superseded version: nobody has changed its files,
    /// or the user allows that they are replaced.
    pub(super) fn check_former_version(
        &self,
        former: Option<&FormerVersion>,
    ) -> Result<(), StoreError> {
        let is_forced = self.plan.group.as_ref().is_some_and(|share| share.forced);
        match former.filter(|_| !is_forced) {
            Some(former) => former.check_unchanged(&self.plan.path()),
            None => Ok(()),
        }
    }

    /// Copies what the superseded versions have of the missing pieces. `owned` are the pieces that
    /// were verified before. Then removes the partial files of versions that were not complete.
    /// Returns the verified pieces.
    pub(super) fn copy_other_versions(
        &self,
        download: &Download,
        mut owned: PieceSet,
    ) -> Result<PieceSet, StoreError> {
        let (check, interrupt) = (&self.files.check, &self.context.tasks.interrupt);
        for other in self.other_versions() {
            let missing: Vec<PieceIndex> = self.unknown_pieces(&owned).collect();
            let bytes = self.missing_bytes(&owned);
            let layout = FileLayout::all(Arc::clone(&other.info));
            let old = other
                .path()
                .and_then(|path| Store::open(layout, &path).ok());
            if let Some(old) = old.filter(|_| !missing.is_empty()) {
                let progress = |done| check.report_hashed(done);
                copy_from_version(download, &old, missing.into_iter(), interrupt, &progress)?;
                check.end_pass(bytes);
                owned = self.verify_unknown(download.store(), owned)?;
                check.end_pass(bytes);
            }
            if other.record.state == RecordState::Stopped {
                self.discard_version(&other);
            }
        }
        Ok(owned)
    }

    /// Ends the other versions at this place, because this one is complete. A version that cannot
    /// be ended now stays in the record, and the next start ends it.
    pub(crate) fn end_former_versions(&self) {
        for former in self.supersedes() {
            match self.trackers.end_version(former, &self.plan.kind) {
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
        let at_this_place = found.filter(|(record, _)| record.kind == self.plan.kind);
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
            let removed = self.context.records.remove(other.record.info_hash);
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

impl OtherVersion {
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
        let layout = FileLayout::all(Arc::clone(&self.info));
        let recorded = RecordedFiles {
            partial: Some(partial),
            is_recorded: true,
            ..RecordedFiles::NONE
        };
        match Download::open_to_discard(layout, place, recorded) {
            Err(StoreError::Missing(_)) => Ok(()),
            opened => opened?.discard(),
        }
    }
}

//! The constant properties of a transfer: metainfo, path, wanted files.

use crate::certificate::{Fingerprint, GroupCertificate};
use crate::peer::{FileChoice, now_ms};
use crate::storage::{
    Destination, Download, DownloadMode, ExtraFiles, FileLayout, Record, RecordKind, RecordState,
    RecordedFiles, RecordedGroup, ShareVersion, Store, StoreError,
};
use crate::torrent::{Info, InfoHash, Metainfo, Selection};
use crate::wire::machine::SubjectLabel;
use crate::wire::name::Label;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A user as a member of a group, or a machine of the group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Membership {
    pub(crate) user: SubjectLabel,
    pub(crate) group: Label,
}

/// A version of a share of a group, as one of its members has it.
#[derive(Clone, Debug)]
pub(crate) struct GroupShare {
    /// The group as it was called when the plan was made, and the member whose transfer this is.
    /// [`Transfer::membership`](super::Transfer::membership) has the present name.
    pub(crate) membership: Membership,
    /// The version. `None` if it is not known.
    pub(crate) version: Option<ShareVersion>,
    /// Other versions at the same place, which this one supersedes (see `versions`).
    pub(crate) supersedes: Vec<InfoHash>,
    /// Whether it also replaces files of those versions that were changed here.
    pub(crate) forced: bool,
    /// Whether it superseded other versions when it began.
    pub(crate) is_update: bool,
}

impl GroupShare {
    /// The share or download of a version that supersedes nothing.
    pub(crate) fn new(membership: Membership, version: Option<ShareVersion>) -> Self {
        Self {
            membership,
            version,
            supersedes: Vec::new(),
            forced: false,
            is_update: false,
        }
    }

    /// The same version, in the place of other versions. `forced`: also of files that were changed
    /// here.
    pub(crate) fn superseding(self, supersedes: Vec<InfoHash>, forced: bool) -> Self {
        Self {
            is_update: !supersedes.is_empty(),
            supersedes,
            forced,
            ..self
        }
    }
}

impl From<RecordedGroup> for GroupShare {
    fn from(recorded: RecordedGroup) -> Self {
        Self {
            membership: Membership {
                user: recorded.user,
                group: recorded.group,
            },
            version: recorded.version,
            // Only forced updates are recorded as forced.
            is_update: recorded.forced || !recorded.supersedes.is_empty(),
            supersedes: recorded.supersedes,
            forced: recorded.forced,
        }
    }
}

/// The choice of files in a record.
fn recorded_choice(record: &Record) -> FileChoice {
    FileChoice::from_record(&record.only, record.sequential, false)
}

/// The files that the transfer of a record wants.
pub(super) fn recorded_selection(record: &Record, info: &Info) -> Selection {
    // No error is expected here: the patterns matched a file when they were recorded.
    Selection::of(info, &recorded_choice(record).only).unwrap_or_else(|error| {
        log::error!("{}: {error}; all files are wanted", info.name());
        Selection::all(info)
    })
}

/// The constant properties of a share or download.
#[derive(Debug)]
pub(crate) struct TransferPlan {
    pub(crate) metainfo: Metainfo,
    /// Whether it is a share (with the path) or a download (with its destination).
    pub(crate) kind: RecordKind,
    /// The name of the partial file or folder of a download, in the folder of its destination.
    pub(crate) partial: Option<String>,
    /// Whether it belongs to a closed run. Then it is neither announced to trackers nor recorded in
    /// the state folder.
    pub(crate) is_of_closed_run: bool,
    /// Whether the complete download replaces other content at its destination (`--force`).
    pub(crate) replaces: bool,
    /// Whether it adds files to a complete download of some files of the share. Then the files that
    /// are already at the destination belong to this download.
    pub(crate) extends: bool,
    /// The version of a share of a group. `None` outside groups.
    pub(crate) group: Option<GroupShare>,
    /// The user's choice: patterns of the wanted files, and the order of the pieces.
    pub(crate) choice: FileChoice,
    /// The wanted files, and the pieces that they need.
    pub(crate) selection: Arc<Selection>,
    /// Whether it is resumed from a record that says that it was complete.
    pub(crate) was_complete: bool,
    /// Addresses of peers from the magnet link.
    pub(crate) peers: Vec<String>,
    /// When it was added, in milliseconds since 1970.
    pub(crate) added_ms: u64,
}

impl TransferPlan {
    /// A plan for all files of a share in an open swarm, added now.
    pub(crate) fn new(metainfo: Metainfo, kind: RecordKind) -> Self {
        Self {
            selection: Arc::new(Selection::all(metainfo.info())),
            metainfo,
            kind,
            partial: None,
            is_of_closed_run: false,
            replaces: false,
            extends: false,
            group: None,
            choice: FileChoice::default(),
            was_complete: false,
            peers: Vec::new(),
            added_ms: now_ms(),
        }
    }

    /// A plan for a closed run: neither announced nor recorded.
    pub(crate) fn in_closed_run(metainfo: Metainfo, kind: RecordKind) -> Self {
        Self {
            is_of_closed_run: true,
            ..Self::new(metainfo, kind)
        }
    }

    /// The plan of a recorded transfer.
    pub(crate) fn recorded(record: &Record, metainfo: Metainfo) -> Self {
        let choice = recorded_choice(record);
        let selection = recorded_selection(record, metainfo.info());
        let partial = match (&record.kind, &record.state) {
            (RecordKind::Share(_), _) | (_, RecordState::Complete { .. }) => None,
            (RecordKind::Download(place), _) => {
                let partial = record.unfinished.partial.clone();
                Some(partial.unwrap_or_else(|| place.partial_name(record.info_hash)))
            }
        };
        Self {
            partial,
            added_ms: record.added_ms,
            replaces: record.unfinished.replaces,
            extends: record.unfinished.extends,
            group: record.group.clone().map(|group| GroupShare {
                // A group's share that replaces no version was forced.
                forced: group.forced || record.unfinished.replaces && group.supersedes.is_empty(),
                ..GroupShare::from(group)
            }),
            choice,
            selection: Arc::new(selection),
            was_complete: matches!(record.state, RecordState::Complete { .. }),
            peers: record.peers.clone(),
            ..Self::new(metainfo, record.kind.clone())
        }
    }

    pub(crate) fn info(&self) -> &Info {
        self.metainfo.info()
    }

    pub(crate) fn name(&self) -> &str {
        self.info().name().as_str()
    }

    pub(crate) fn is_download(&self) -> bool {
        matches!(self.kind, RecordKind::Download(_))
    }

    /// The current or future path of its file or folder.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.kind {
            RecordKind::Share(shared) => shared.path.clone(),
            RecordKind::Download(place) => place.path(),
        }
    }

    /// The names that commands accept for it: the name in the torrent, the name of its file or
    /// folder, and in a group `NAME@N`.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let file = match &self.kind {
            RecordKind::Share(shared) => shared.path.file_name().and_then(|file| file.to_str()),
            RecordKind::Download(place) => Some(place.name.as_str()),
        };
        let names = [Some(self.name()), file].into_iter().flatten();
        let group = self.group.as_ref();
        let version = group.and_then(|share| share.version.as_ref());
        let version = version.map(ShareVersion::to_string);
        names.map(str::to_owned).chain(version).collect()
    }

    /// The fingerprint of the authority whose certificates its links use. It comes from the
    /// torrent, because a later group of the same name has another authority.
    pub(super) fn authority(&self) -> Option<Fingerprint> {
        let authority = self.info().ssl_cert()?;
        let authority = GroupCertificate::from_pem(authority.as_bytes()).ok()?;
        Some(authority.fingerprint())
    }

    /// Whether links of this transfer use peer exchange: only open swarms that are not private do
    /// (BEP 27).
    pub(super) fn exchanges_peers(&self) -> bool {
        let info = self.info();
        let is_open_swarm = !self.is_of_closed_run && self.group.is_none();
        is_open_swarm && info.ssl_cert().is_none() && !info.private()
    }

    /// Whether the user has allowed that it replaces files that may be a person's. In an open
    /// swarm, each replacement is forced.
    pub(super) fn is_forced(&self) -> bool {
        self.group.as_ref().is_none_or(|share| share.forced)
    }

    /// What to do with the extra files of a folder that it replaces. A user who forced the download
    /// of a group's share was warned that extra files are removed. An update keeps them.
    pub(super) fn extra_files(&self) -> ExtraFiles {
        match &self.group {
            Some(share) if !share.is_update => ExtraFiles::Remove,
            Some(_) | None => ExtraFiles::Keep,
        }
    }

    /// Its files, and which of them are wanted.
    pub(crate) fn layout(&self, info: &Arc<Info>) -> FileLayout {
        let layout = FileLayout::chosen(Arc::clone(info), Arc::clone(&self.selection));
        layout.following_links(self.kind.follows_links())
    }

    /// Opens complete files. Fails if one is missing or has another length.
    pub(super) fn open_whole(&self, info: &Arc<Info>, path: &Path) -> Result<Store, StoreError> {
        let store = Store::open(self.layout(info), path)?;
        store.stamps()?;
        Ok(store)
    }

    /// Opens the recorded files of a download. They must exist.
    pub(super) fn open_download(
        &self,
        info: &Arc<Info>,
        place: &Destination,
    ) -> Result<Download, StoreError> {
        let recorded = self.recorded_files(place)?;
        let layout = self.layout(info);
        let mode = match (self.extends, self.replaces) {
            (true, _) => DownloadMode::extend_or_new(&layout, place)?,
            (false, true) => DownloadMode::Replace(self.extra_files()),
            (false, false) => DownloadMode::New,
        };
        Download::open(layout, place, mode, recorded)
    }

    /// Opens the partial files of a download, only to discard them.
    pub(super) fn open_to_discard(
        &self,
        info: &Arc<Info>,
        place: &Destination,
    ) -> Result<Download, StoreError> {
        Download::open_to_discard(self.layout(info), place, self.recorded_files(place)?)
    }

    /// What the record of the download says about its files. Fails if it names no partial file.
    fn recorded_files(&self, place: &Destination) -> Result<RecordedFiles<'_>, StoreError> {
        let partial = self.partial.as_deref();
        Ok(RecordedFiles {
            partial: Some(partial.ok_or_else(|| StoreError::Missing(place.path()))?),
            is_recorded: true,
            ..RecordedFiles::NONE
        })
    }
}

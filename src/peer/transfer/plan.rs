//! What a share or download is, which never changes: its metainfo, its place, what of it is wanted.

use crate::certificate::{Fingerprint, GroupCertificate};
use crate::peer::{FileChoice, now_ms};
use crate::storage::{
    Download, FileLayout, Mode, Others, Place, Record, RecordKind, Store, StoreError,
};
use crate::torrent::{Info, InfoHash, Metainfo, Selection};
use crate::wire::name::Label;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A user in a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Membership {
    pub(crate) user: Label,
    pub(crate) group: Label,
}

impl From<(Label, Label)> for Membership {
    fn from((user, group): (Label, Label)) -> Self {
        Self { user, group }
    }
}

/// The plan of one share or download.
#[derive(Debug)]
pub(crate) struct TransferPlan {
    pub(crate) metainfo: Metainfo,
    /// Whether it offers what its user has or fetches what its user wants.
    pub(crate) kind: RecordKind,
    /// Whether trackers and the state folder are told of it; a closed run does neither.
    pub(crate) listed: bool,
    /// Whether, once complete, it may take the place of what is under its name.
    pub(crate) replaces: bool,
    /// Whether files under its final name are a part of it: a choice of files that was finished and
    /// has been extended.
    pub(crate) extends: bool,
    /// The group whose share it is, and the user who has it here; `None` in an open swarm.
    pub(crate) group: Option<Membership>,
    /// What of it is wanted, and how.
    pub(crate) choice: FileChoice,
    /// The files that are wanted.
    pub(crate) selection: Arc<Selection>,
    /// Peers that a magnet link named.
    pub(crate) peers: Vec<String>,
    /// When it was first asked for, in milliseconds since 1970.
    pub(crate) added_ms: u64,
}

impl TransferPlan {
    /// All of a share, in an open swarm, asked for now.
    pub(crate) fn new(metainfo: Metainfo, kind: RecordKind) -> Self {
        Self {
            selection: Arc::new(Selection::all(metainfo.info())),
            metainfo,
            kind,
            listed: true,
            replaces: false,
            extends: false,
            group: None,
            choice: FileChoice::default(),
            peers: Vec::new(),
            added_ms: now_ms(),
        }
    }

    /// The same of a closed run: neither announced nor recorded.
    pub(crate) fn unlisted(metainfo: Metainfo, kind: RecordKind) -> Self {
        Self {
            listed: false,
            ..Self::new(metainfo, kind)
        }
    }

    /// What was recorded before.
    pub(crate) fn recorded(record: &Record, metainfo: Metainfo) -> Self {
        let choice = FileChoice::from_record(&record.only, record.sequential, false);
        // The patterns meant some file when they were taken.
        let selection = match Selection::of(metainfo.info(), &choice.only) {
            Ok(selection) => selection,
            Err(error) => {
                log::error!("{}: {error}; all of it is fetched", metainfo.info().name());
                Selection::all(metainfo.info())
            }
        };
        Self {
            added_ms: record.added_ms,
            replaces: record.replaces,
            extends: record.extends,
            group: record.group.clone().map(Membership::from),
            choice,
            selection: Arc::new(selection),
            peers: record.peers.clone(),
            ..Self::new(metainfo, record.kind.clone())
        }
    }

    pub(crate) fn info(&self) -> &Info {
        self.metainfo.info()
    }

    pub(crate) fn info_hash(&self) -> InfoHash {
        self.info().info_hash()
    }

    pub(crate) fn name(&self) -> &str {
        self.info().name().as_str()
    }

    pub(crate) fn is_download(&self) -> bool {
        matches!(self.kind, RecordKind::Download(_))
    }

    /// Where its file or folder is or will be.
    pub(crate) fn path(&self) -> PathBuf {
        match &self.kind {
            RecordKind::Share(path) => path.clone(),
            RecordKind::Download(place) => place.path(),
        }
    }

    /// Whether a person may mean it by `name`.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        let file = match &self.kind {
            RecordKind::Share(path) => path.file_name().and_then(|file| file.to_str()),
            RecordKind::Download(place) => Some(place.name.as_str()),
        };
        self.name() == name || file == Some(name) || self.info_hash().to_string() == name
    }

    /// By which authority's certificates its links are made: a group that comes to bear the same
    /// name has another one.
    pub(super) fn authority(&self) -> Option<Fingerprint> {
        let authority = self.info().ssl_cert()?;
        let authority = GroupCertificate::from_pem(authority.as_bytes()).ok()?;
        Some(authority.fingerprint())
    }

    /// Whether peers of this share may name each other: in open swarms that are not private (BEP
    /// 27).
    pub(super) fn exchanges_peers(&self) -> bool {
        let info = self.info();
        let open = self.listed && self.group.is_none() && info.ssl_cert().is_none();
        open && !info.private()
    }

    /// What becomes of what it replaces: whoever insisted on a group's share was told that all of
    /// it goes.
    pub(super) fn extra_files(&self) -> Others {
        match self.group {
            Some(_) => Others::Removed,
            None => Others::Kept,
        }
    }

    /// Its files, and which of them are wanted.
    pub(super) fn layout(&self, info: &Arc<Info>) -> FileLayout {
        FileLayout::chosen(Arc::clone(info), Arc::clone(&self.selection))
    }

    /// Opens files that are whole; each must be there with its length.
    pub(super) fn open_whole(&self, info: &Arc<Info>, path: &Path) -> Result<Store, StoreError> {
        let store = Store::open(self.layout(info), path)?;
        store.stamps()?;
        Ok(store)
    }

    /// Opens the files of a download.
    pub(super) fn open_download(
        &self,
        info: &Arc<Info>,
        place: &Place,
    ) -> Result<Download, StoreError> {
        let layout = self.layout(info);
        let mode = match (self.extends, self.replaces) {
            (true, _) => Mode::extend(&layout, place)?,
            (false, true) => Mode::Replace(self.extra_files()),
            (false, false) => Mode::New,
        };
        Download::open(layout, place, mode)
    }
}

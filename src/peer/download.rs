//! From a metainfo to a download that runs: where it goes, what of it is wanted, what is there already.

use super::group::is_alike;
use super::shared::Shared;
use super::transfer::{Files, Kind, Transfer};
use super::{Peer, PeerError, Started, already, read_torrent};
use crate::storage::{Download, FileLayout, Mode, Others, Place, Store, StoreError, verify};
use crate::torrent::{Glob, Info, Metainfo, PieceSet, Selection};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

/// How a download is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DownloadOptions {
    /// A folder to put it in, or the new file or folder's own path; by default the current folder.
    pub destination: Option<PathBuf>,
    /// What of it is wanted, and in which order.
    pub wishes: Wishes,
}

/// What of a share is wanted, and in which order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    /// Files that one of these means; none for all files.
    pub only: Vec<Glob>,
    /// Pieces in their order instead of the rarest first.
    pub sequential: bool,
    /// What stands at its place and is not the share gives way to it once that is whole; what of it verifies is copied, and
    /// files in a folder that are none of the share's are kept.
    pub force: bool,
}

impl Wishes {
    /// As a record keeps them. Patterns that are none any more mean nothing.
    pub(super) fn recorded(only: &[String], sequential: bool, force: bool) -> Self {
        Self {
            only: only.iter().filter_map(|text| text.parse().ok()).collect(),
            sequential,
            force,
        }
    }

    /// These and others: what either means.
    pub(super) fn and(&self, more: &Self) -> Self {
        // No pattern means everything.
        let mut only = Vec::new();
        if !self.only.is_empty() && !more.only.is_empty() {
            only.clone_from(&self.only);
            let new = more.only.iter().filter(|glob| !self.only.contains(glob));
            only.extend(new.cloned());
        }
        Self {
            only,
            sequential: self.sequential || more.sequential,
            force: self.force || more.force,
        }
    }

    /// The patterns as text.
    pub(super) fn patterns(&self) -> Vec<String> {
        self.only.iter().map(Glob::to_string).collect()
    }
}

/// A download that is about to be.
pub(super) struct Planned {
    pub(super) metainfo: Metainfo,
    pub(super) place: Place,
    pub(super) wishes: Wishes,
    /// Peers that a magnet link named.
    pub(super) peers: Vec<String>,
    /// The download that this one goes on with: by magnet link, or of fewer files.
    pub(super) replaces: Option<Arc<Transfer>>,
}

impl Peer {
    /// Starts fetching what a `.torrent` names: into the destination if that is a folder, under that name if not. What
    /// stands there already is taken as it is, if it is the share: it is hashed first, and `progress` told of bytes done and all bytes.
    ///
    /// # Errors
    /// When the torrent or the destination cannot be used, or it is here already.
    pub fn download(
        &self,
        torrent: &Path,
        options: DownloadOptions,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Started, PeerError> {
        let metainfo = read_torrent(torrent)?;
        if metainfo.info().ssl_cert().is_some() {
            return Err(PeerError::OfGroup(torrent.to_owned()));
        }
        let place = self.place_of(&metainfo, options.destination.as_deref())?;
        let started = Started {
            name: metainfo.info().name().to_string(),
            info_hash: metainfo.info().info_hash(),
            path: place.path(),
        };
        let planned = Planned {
            metainfo,
            place,
            wishes: options.wishes,
            peers: Vec::new(),
            replaces: None,
        };
        planned.start(&self.shared, progress)?;
        Ok(started)
    }
}

impl Planned {
    /// Opens its files, records it and begins with it.
    pub(super) fn start(
        mut self,
        shared: &Arc<Shared>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), PeerError> {
        let info_hash = self.metainfo.info().info_hash();
        if shared.stop.is_stopped() {
            return Err(PeerError::Stopping);
        }
        let known = shared.transfer(info_hash);
        let in_place = match known.filter(|_| self.replaces.is_none()) {
            Some(known) if !known.has_failed() => return self.extend(shared, &known, progress),
            Some(known) => self.goes_on_with(&known),
            None => false,
        };
        self.begin(shared, progress, in_place, None)
    }

    /// The same, where a part of it is known to be `in_place`, or pieces are `known` to be good.
    pub(super) fn begin(
        mut self,
        shared: &Arc<Shared>,
        progress: &(dyn Fn(u64, u64) + Sync),
        in_place: bool,
        known: Option<PieceSet>,
    ) -> Result<(), PeerError> {
        let info_hash = self.metainfo.info().info_hash();
        let former = self.replaces.clone();
        let interrupt = match former.as_ref().and_then(|former| former.sought()) {
            Some(sought) => &sought.interrupt,
            None => &shared.interrupt,
        };
        // Cancelled meanwhile.
        if former.as_ref().is_some_and(|former| former.has_failed()) {
            return Err(PeerError::Stopping);
        }
        let opened = self.open(in_place, progress, interrupt)?;
        let kind = Kind::Download(self.place);
        let mut transfer = Transfer::new(shared, self.metainfo, kind, true);
        transfer.selection = Arc::clone(&opened.selection);
        transfer.replaces = opened.replaces;
        transfer.extends = opened.extends;
        transfer.wishes = self.wishes;
        if !transfer.info().private() {
            transfer.peers = self.peers;
        }
        if let Some(former) = &self.replaces {
            transfer.added_ms = former.added_ms;
            inherit(&transfer, former);
        }
        let transfer = Arc::new(transfer);
        // Whoever cancels it finds its files.
        transfer.set_files(opened.files.clone());
        let entered = match &self.replaces {
            None => shared.enter(Arc::clone(&transfer)),
            Some(former) => shared.replace(former, Arc::clone(&transfer)),
        };
        if let Err(other) = entered {
            opened.undo();
            return Err(already(&other));
        }
        let saved = transfer.save(shared);
        // Cancelled before there was a record, or meanwhile, it leaves none.
        if transfer.has_failed() {
            if shared.transfer(info_hash).is_none() {
                shared.records.remove(info_hash)?;
            }
            return Ok(());
        }
        if let Err(error) = saved {
            shared.forget(&transfer);
            opened.undo();
            return Err(error);
        }
        let whole = matches!(opened.files, Files::Whole(_));
        drop(opened.files);
        // Those of a magnet link are called already.
        if former.is_none_or(|former| former.sought().is_none()) {
            transfer.call_named_peers(shared);
        }
        if whole {
            let needed = transfer.selection.needed().clone();
            transfer.begin(shared, needed, true);
            transfer.record(shared);
            return Ok(());
        }
        transfer.check_others_and_begin(shared, known.unwrap_or(opened.known))
    }
}

impl Planned {
    /// The files, if some of those that are wanted are under the final name, and none of them is
    /// another. `in_place` says that this is known.
    fn begun_at(
        &self,
        layout: &FileLayout,
        selection: &Arc<Selection>,
        in_place: bool,
        interrupt: &AtomicBool,
    ) -> Result<Option<Opened>, StoreError> {
        let mode = Mode::extend(layout, &self.place);
        let opened = mode.and_then(|mode| Download::open(layout.clone(), &self.place, mode));
        let download = match opened {
            Ok(download) => download,
            Err(error) if in_place => return Err(error),
            Err(_) => return Ok(None),
        };
        let good = match in_place {
            true => Ok(PieceSet::empty(download.store().info().lengths())),
            false => verify_needed(download.store(), selection, interrupt),
        };
        // What has no good piece may be anybody's folder.
        let is_its_own =
            |good: &PieceSet| good.count() > 0 && download.check_in_place(good).is_ok();
        match good {
            Ok(known) if in_place || is_its_own(&known) => Ok(Some(Opened {
                extends: true,
                known,
                ..Opened::partial(download, selection)
            })),
            other => {
                download.undo();
                other.map(|_| None)
            }
        }
    }

    /// Opens the files of a new download, a partial one, or, where something is under the final name, that. `in_place`
    /// says that it is a part of this download.
    fn open(
        &mut self,
        in_place: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
        interrupt: &AtomicBool,
    ) -> Result<Opened, PeerError> {
        let info = Arc::new(self.metainfo.info().clone());
        let selection = Arc::new(Selection::of(&info, &self.wishes.only)?);
        let layout = FileLayout::chosen(Arc::clone(&info), Arc::clone(&selection));
        let path = match Download::open(layout.clone(), &self.place, Mode::New) {
            Ok(download) => return Ok(Opened::partial(download, &selection)),
            Err(StoreError::Exists(path)) => path,
            Err(error) => return Err(error.into()),
        };
        if let Some(store) = whole_at(&info, &path, progress, interrupt)? {
            // All of it, whatever was wanted.
            self.wishes.only.clear();
            let selection = Arc::new(Selection::all(&info));
            return Ok(Opened::new(
                Files::Whole(Arc::new(store)),
                &info,
                &selection,
            ));
        }
        if let Some(begun) = self.begun_at(&layout, &selection, in_place, interrupt)? {
            return Ok(begun);
        }
        if !self.wishes.force {
            return Err(PeerError::OtherContent(path));
        }
        is_alike(&info, &path)?;
        let download = Download::open(layout, &self.place, Mode::Replace(Others::Kept))?;
        if let Err(error) = download.copy_replaced(interrupt) {
            download.undo();
            return Err(error.into());
        }
        Ok(Opened {
            replaces: true,
            ..Opened::partial(download, &selection)
        })
    }
}

/// Goes on with what a transfer of the same share counted, and with the peers that it knew.
fn inherit(transfer: &Transfer, former: &Transfer) {
    transfer.count_on_from(former);
    let (former_state, mut state) = (former.state(), transfer.state());
    let known = &former_state.candidates;
    // Of a private torrent nobody is called but whom its own tracker names (BEP 27).
    state.candidates = match transfer.info().private() && former.sought().is_some() {
        true => known.barred_alone(),
        false => known.handed_on(),
    };
    state.sources.clone_from(&former_state.sources);
}

/// The open files of a download.
struct Opened {
    files: Files,
    selection: Arc<Selection>,
    /// They replace what is under the final name once they are whole.
    replaces: bool,
    /// What is under the final name is a part of them.
    extends: bool,
    /// Pieces that were found to be good.
    known: PieceSet,
}

impl Opened {
    fn new(files: Files, info: &Info, selection: &Arc<Selection>) -> Self {
        Self {
            files,
            selection: Arc::clone(selection),
            replaces: false,
            extends: false,
            known: PieceSet::empty(info.lengths()),
        }
    }

    fn partial(download: Download, selection: &Arc<Selection>) -> Self {
        let info = Arc::clone(download.store().info());
        Self::new(Files::Partial(Arc::new(download)), &info, selection)
    }

    /// Nothing came of it: what was there before stays.
    fn undo(self) {
        if let Files::Partial(download) = self.files {
            download.undo();
        }
    }
}

/// The needed pieces that are good.
fn verify_needed(
    store: &Store,
    selection: &Selection,
    interrupt: &AtomicBool,
) -> Result<PieceSet, StoreError> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let pieces = store.info().lengths().all_pieces();
    let pieces = pieces.filter(|piece| selection.needed().contains(*piece));
    verify(store, pieces, threads, interrupt, &|_| {})
}

/// The files at a place, if they are the share.
pub(super) fn whole_at(
    info: &Arc<Info>,
    path: &Path,
    progress: &(dyn Fn(u64, u64) + Sync),
    interrupt: &AtomicBool,
) -> Result<Option<Store>, StoreError> {
    // Something else than the share's files is there.
    let Ok(store) = Store::open(FileLayout::all(Arc::clone(info)), path) else {
        return Ok(None);
    };
    let Ok(stamps) = store.stamps() else {
        return Ok(None);
    };
    store.seal(&stamps);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let lengths = info.lengths();
    let progress = |done| progress(done, lengths.total());
    let good = verify(&store, lengths.all_pieces(), threads, interrupt, &progress)?;
    Ok(good.is_full().then_some(store))
}

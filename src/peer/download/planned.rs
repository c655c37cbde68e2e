//! From a metainfo to a download that runs: where it goes, what of it is wanted, what is there already.

use super::{already, named_peers, place::is_alike};
use crate::peer::{
    Entry, FileChoice, OpenFiles, PeerError, Services, Transfer, TransferPlan, Transfers,
};
use crate::storage::{
    Download, FileLayout, Mode, Others, Place, RecordKind, Store, StoreError, verify,
};
use crate::system::processors;
use crate::torrent::{Info, Metainfo, PieceSet, Selection};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A download that is about to be.
pub(crate) struct Planned {
    pub(crate) metainfo: Metainfo,
    pub(crate) place: Place,
    pub(crate) choice: FileChoice,
    /// Peers that a magnet link named.
    pub(crate) peers: Vec<String>,
    /// What this one goes on with: a search, or a download of fewer files.
    pub(crate) replaces: Option<Entry>,
}

impl Planned {
    /// Opens its files, records it and begins with it. A share that is here already is extended.
    pub(crate) fn start(
        mut self,
        services: &Services,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), PeerError> {
        if services.context.stop.is_stopped() {
            return Err(PeerError::Stopping);
        }
        let known = services.transfers.entry(self.metainfo.info().info_hash());
        let in_place = match known.filter(|_| self.replaces.is_none()) {
            Some(Entry::Transfer(known)) if !known.has_failed() => {
                return self.extend(services, &known, progress);
            }
            Some(Entry::Transfer(known)) => {
                let in_place;
                (self, in_place) = self.go_on_with(&known);
                in_place
            }
            Some(search @ Entry::Search(_)) if !search.has_failed() => {
                // Patterns that choose no file are an error, whatever is here.
                Selection::of(self.metainfo.info(), &self.choice.only)?;
                return Err(already(&search));
            }
            Some(Entry::Search(_)) | None => false,
        };
        self.begin(services, progress, in_place, None)
    }

    /// The same, where a part of it is known to be `in_place`, or pieces are `known` to be good.
    pub(crate) fn begin(
        mut self,
        services: &Services,
        progress: &(dyn Fn(u64, u64) + Sync),
        in_place: bool,
        known: Option<PieceSet>,
    ) -> Result<(), PeerError> {
        let former = self.replaces.clone();
        let interrupt = match &former {
            Some(Entry::Search(search)) => &search.interrupt,
            Some(Entry::Transfer(_)) | None => &services.context.interrupt,
        };
        // Cancelled meanwhile.
        if former.as_ref().is_some_and(Entry::has_failed) {
            return Err(PeerError::Stopping);
        }
        let mut opened = self.open(in_place, progress, interrupt)?;
        if let Some(known) = known {
            opened.known = known;
        }
        let transfer = self.into_transfer(services, &opened);
        // A cancel finds its files.
        transfer.set_files(opened.files.clone());
        enter(&services.transfers, &transfer, former, opened)
    }

    /// The transfer of the opened files.
    fn into_transfer(self, services: &Services, opened: &Opened) -> Arc<Transfer> {
        let is_private = self.metainfo.info().private();
        let plan = TransferPlan::new(self.metainfo, RecordKind::Download(self.place));
        let plan = TransferPlan {
            selection: Arc::clone(&opened.selection),
            replaces: opened.replaces,
            extends: opened.extends,
            choice: self.choice,
            peers: if is_private { Vec::new() } else { self.peers },
            added_ms: self
                .replaces
                .as_ref()
                .map_or(plan.added_ms, Entry::added_ms),
            ..plan
        };
        let transfer = services.new_transfer(plan);
        if let Some(former) = &self.replaces {
            inherit(&transfer, former);
        }
        transfer
    }
}

/// Goes on with the peers that the former entry knew, and with what it counted.
fn inherit(transfer: &Transfer, former: &Entry) {
    let is_private = transfer.info().private();
    let candidates = former.contacts(|known| match former {
        // Of a private torrent nobody is called but whom its own tracker names (BEP 27).
        Entry::Search(_) if is_private => known.barred_alone(),
        _ => known.handed_on(),
    });
    match former {
        Entry::Search(_) => transfer.contacts(|contacts| contacts.take_over(candidates)),
        Entry::Transfer(former) => transfer.take_over(former, candidates),
    }
}

/// Puts a new transfer into the map, in the place of the former entry if there is one, and begins
/// with it.
fn enter(
    transfers: &Transfers,
    transfer: &Arc<Transfer>,
    former: Option<Entry>,
    opened: Opened,
) -> Result<(), PeerError> {
    let (info_hash, entry) = (transfer.info_hash(), Entry::Transfer(Arc::clone(transfer)));
    let entered = match &former {
        None => transfers.enter(entry.clone()),
        Some(former) => transfers.replace(former, entry.clone()),
    };
    if let Err(other) = entered {
        opened.undo();
        return Err(already(&other));
    }
    let saved = transfer.create_record();
    // Cancelled before there was a record, or meanwhile, it leaves none.
    if transfer.has_failed() {
        if transfers.entry(info_hash).is_none() {
            transfers.context.records.remove(info_hash)?;
        }
        return Ok(());
    }
    if let Err(error) = saved {
        transfers.forget(&entry);
        opened.undo();
        return Err(error.into());
    }
    let whole = matches!(opened.files, OpenFiles::Whole(_));
    drop(opened.files);
    // Those of a magnet link are called already.
    if !matches!(former, Some(Entry::Search(_))) {
        named_peers::call(transfer.clone(), &transfer.plan.peers);
    }
    if whole {
        let needed = transfer.plan.selection.needed().clone();
        transfer.begin(needed, true);
        transfer.update_record();
        return Ok(());
    }
    let begun = Arc::clone(transfer).check_and_begin(opened.known);
    begun.map_err(PeerError::Thread)
}

impl Planned {
    /// The files, if some of those that are wanted are under the final name, and none of them is another. `in_place` says that
    /// this is known.
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

    /// Opens the files of a new download, a partial one, or, where something is under the final name, that. `in_place` says
    /// that it is a part of this download.
    fn open(
        &mut self,
        in_place: bool,
        progress: &(dyn Fn(u64, u64) + Sync),
        interrupt: &AtomicBool,
    ) -> Result<Opened, PeerError> {
        let info = Arc::new(self.metainfo.info().clone());
        let selection = Arc::new(Selection::of(&info, &self.choice.only)?);
        let layout = FileLayout::chosen(Arc::clone(&info), Arc::clone(&selection));
        let path = match Download::open(layout.clone(), &self.place, Mode::New) {
            Ok(download) => return Ok(Opened::partial(download, &selection)),
            Err(StoreError::Exists(path)) => path,
            Err(error) => return Err(error.into()),
        };
        if let Some(store) = whole_at(&info, &path, progress, interrupt)? {
            // All of it, whatever was wanted.
            self.choice.only.clear();
            let selection = Arc::new(Selection::all(&info));
            return Ok(Opened::new(
                OpenFiles::Whole(Arc::new(store)),
                &info,
                &selection,
            ));
        }
        if let Some(begun) = self.begun_at(&layout, &selection, in_place, interrupt)? {
            return Ok(begun);
        }
        if !self.choice.force {
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

/// The open files of a download.
struct Opened {
    files: OpenFiles,
    selection: Arc<Selection>,
    /// They replace what is under the final name once they are whole.
    replaces: bool,
    /// What is under the final name is a part of them.
    extends: bool,
    /// Pieces that were found to be good.
    known: PieceSet,
}

impl Opened {
    fn new(files: OpenFiles, info: &Info, selection: &Arc<Selection>) -> Self {
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
        Self::new(OpenFiles::Partial(Arc::new(download)), &info, selection)
    }

    /// Nothing came of it: what was there before stays.
    fn undo(self) {
        if let OpenFiles::Partial(download) = self.files {
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
    let threads = processors();
    let pieces = store.info().lengths().all_pieces();
    let pieces = pieces.filter(|piece| selection.needed().contains(*piece));
    verify(store, pieces, threads, interrupt, &|_| {})
}

/// The files at a place, if they are the share.
pub(crate) fn whole_at(
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
    let threads = processors();
    let lengths = info.lengths();
    let progress = |done| progress(done, lengths.total());
    let good = verify(&store, lengths.all_pieces(), threads, interrupt, &progress)?;
    Ok(good.is_full().then_some(store))
}

//! Starts one download: opens its files, which may exist already, writes its record, and starts the
//! transfer.

use super::of_group::GroupPart;
use super::opened_files::OpenedFiles;
use super::recorded_place::{RecordedPlace, check_nothing_inside, check_unused};
use super::{entry_exists_error, place::check_same_kind};
use crate::peer::{
    FileChoice, OpenFiles, PeerError, Services, SwarmEntry, Transfer, TransferPlan, Transfers,
    announce::named_peers, superseded,
};
use crate::storage::{
    Destination, Download, DownloadMode, ExtraFiles, FileLayout, RecordKind, RecordState, Store,
    StoreError, verify,
};
use crate::swarm::Phase;
use crate::system::processors;
use crate::torrent::{Info, Metainfo, PieceSet, Selection};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A download before it starts.
pub(crate) struct PlannedDownload {
    pub(crate) metainfo: Metainfo,
    pub(crate) place: Destination,
    pub(crate) choice: FileChoice,
    /// The peers that a magnet link names.
    pub(crate) peers: Vec<String>,
    /// The entry that this download replaces: a magnet search, or a download of fewer files.
    pub(crate) former: Option<SwarmEntry>,
    /// `None` in an open swarm.
    pub(crate) group: Option<GroupPart>,
}

impl PlannedDownload {
    /// Opens the files, writes the record and starts the transfer. A share that is here already is
    /// extended.
    pub(crate) fn start(
        mut self,
        services: &Services,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), PeerError> {
        if services.context.stop.is_stopped() {
            return Err(PeerError::Stopping);
        }
        let info_hash = self.metainfo.info().info_hash();
        let existing = services.transfers.entry(info_hash);
        let are_files_known = match existing.filter(|_| self.former.is_none()) {
            Some(SwarmEntry::Transfer(existing)) if !existing.has_ended() => {
                return self.extend(services, &existing, progress);
            }
            Some(SwarmEntry::Transfer(existing)) => {
                // The rename of the ended transfer's files may have been interrupted.
                existing.recover_rename()?;
                let are_files_known;
                (self, are_files_known) = self.inherit_choice(&existing);
                are_files_known
            }
            Some(search @ SwarmEntry::Search(_)) if !search.has_ended() => {
                // Patterns that choose no file are reported first, before the running search.
                Selection::of(self.metainfo.info(), &self.choice.only)?;
                return Err(entry_exists_error(&search));
            }
            Some(SwarmEntry::Search(_)) | None => false,
        };
        let recorded = RecordedPlace::of(&services.transfers, info_hash, &self.place);
        self.begin(services, progress, (are_files_known, recorded), None)
    }

    /// Starts the download. `are_files_known`: the files under the final name are known to be a
    /// part of this download. `recorded`: what the records say about its place. `known`: pieces
    /// that are known to be good.
    pub(crate) fn begin(
        mut self,
        services: &Services,
        progress: &(dyn Fn(u64, u64) + Sync),
        (are_files_known, recorded): (bool, RecordedPlace),
        known: Option<PieceSet>,
    ) -> Result<(), PeerError> {
        let former = self.former.clone();
        let command = services.commands.current();
        let interrupt = match &former {
            Some(SwarmEntry::Search(search)) => &search.interrupt,
            Some(SwarmEntry::Transfer(_)) | None => command.flag(),
        };
        // If the former entry was cancelled meanwhile, nothing is started. The thread of a magnet
        // search does not report this error.
        if former.as_ref().is_some_and(SwarmEntry::has_ended) {
            return Err(PeerError::Stopping);
        }
        let transfers = &services.transfers;
        let info_hash = self.metainfo.info().info_hash();
        check_unused(transfers, info_hash, &self.place, self.choice.force)?;
        let open = |layout: &FileLayout, place: &Destination, mode: DownloadMode| {
            recorded.open(transfers, layout, place, &mode)
        };
        let files = OpenPlace {
            services,
            open: &open,
            are_files_known,
        };
        let mut opened = self.open(&files, progress, interrupt)?;
        if let Some(known) = known {
            opened = opened.knowing(known);
        }
        let transfer = self.into_transfer(services, &opened);
        enter(transfers, &transfer, former, opened)
    }

    /// Enters the download with these files, which the caller has opened.
    pub(crate) fn enter(self, services: &Services, opened: OpenedFiles) -> Result<(), PeerError> {
        let transfer = self.into_transfer(services, &opened);
        enter(&services.transfers, &transfer, None, opened)
    }

    /// Makes the transfer for the opened files.
    fn into_transfer(self, services: &Services, opened: &OpenedFiles) -> Arc<Transfer> {
        let is_private = self.metainfo.info().private();
        let plan = TransferPlan::new(self.metainfo, RecordKind::Download(self.place));
        let group = self.group.map(|group| group.into_share(self.choice.force));
        let plan = TransferPlan {
            group,
            partial: opened.partial_name(),
            selection: Arc::clone(&opened.selection),
            replaces: opened.replaces,
            extends: opened.extends,
            choice: self.choice,
            peers: if is_private { Vec::new() } else { self.peers },
            added_ms: self
                .former
                .as_ref()
                .map_or(plan.added_ms, SwarmEntry::added_ms),
            ..plan
        };
        let transfer = services.new_transfer(plan);
        if let Some(former) = &self.former {
            inherit(&transfer, former);
        }
        transfer
    }
}

/// Copies the known peers and the counters of the former entry.
fn inherit(transfer: &Transfer, former: &SwarmEntry) {
    let is_private = transfer.info().private();
    let candidates = former.contacts(|known| match former {
        // A private torrent calls only peers that its own tracker returned (BEP 27). So the
        // addresses that the search found are dropped. Barred addresses stay barred.
        SwarmEntry::Search(_) if is_private => known.only_barred(),
        _ => known.for_successor(),
    });
    match former {
        SwarmEntry::Search(_) => transfer.contacts(|contacts| contacts.take_over(candidates)),
        SwarmEntry::Transfer(former) => transfer.take_over(former, candidates),
    }
}

/// Puts a new transfer into the map, in place of the former entry if there is one, records it,
/// makes its files, and starts it. The record is written before the files are made, so that after a
/// crash a record names every file.
fn enter(
    transfers: &Transfers,
    transfer: &Arc<Transfer>,
    former: Option<SwarmEntry>,
    opened: OpenedFiles,
) -> Result<(), PeerError> {
    let (info_hash, entry) = (
        transfer.info_hash(),
        SwarmEntry::Transfer(Arc::clone(transfer)),
    );
    // Set before the transfer enters the map, so that a cancel finds its files.
    let are_set = transfer.set_files(opened.files.clone());
    debug_assert!(are_set, "nobody can cancel it yet");
    // Even without `former`, the map may have an entry here, which has ended.
    let previous = transfers.entry(info_hash);
    let entered = match &former {
        None => transfers.enter(entry.clone()),
        Some(former) => transfers.replace(former, entry.clone()),
    };
    if let Err(other) = entered {
        opened.undo();
        return Err(entry_exists_error(&other));
    }
    let made = record_and_make(transfer, &opened);
    // If the transfer was cancelled meanwhile, it is no longer in the map. Then its record is
    // removed, unless another entry of the same swarm is in the map by now.
    if transfer.has_ended() {
        if transfers.entry(info_hash).is_none() {
            transfers.context.records.remove(info_hash)?;
        }
        return Ok(());
    }
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            transfer.close_files();
            transfers.forget(&entry);
            opened.undo();
            if let Some(previous) = previous {
                put_back(transfers, previous, former.as_ref());
            }
            return Err(error);
        }
    };
    if let Some(complete) = superseded::end_all_unfinished(transfers, &opened.ends) {
        let (name, path) = (complete.name_of_version(), complete.plan.path());
        let error = PeerError::BeingCompleted { name, path };
        transfer.fail(&error.to_string());
        return Err(error);
    }
    // A file that was empty or missing until now has no good pieces.
    let opened = opened.without_files(transfer.info(), &made);
    let is_whole = matches!(opened.files, OpenFiles::Whole(_));
    drop(opened.files);
    // The magnet search has called the named peers already.
    if !matches!(former, Some(SwarmEntry::Search(_))) {
        named_peers::call(transfer.clone(), &transfer.plan.peers);
    }
    if is_whole {
        let needed = transfer.plan.selection.needed().clone();
        transfer.begin(needed, true);
        transfer.update_record();
        return Ok(());
    }
    let begun = Arc::clone(transfer).check_and_begin(opened.known, opened.copies_replaced);
    begun.map_err(PeerError::Thread)
}

/// Puts the entry that the map had before back into the map. If it is a transfer that has not
/// failed, resumes it. With `former`, does not resume it: the caller of [`enter`] does.
fn put_back(transfers: &Transfers, previous: SwarmEntry, former: Option<&SwarmEntry>) {
    // If the map has got another entry meanwhile, the other entry stays.
    let is_back = transfers.enter(previous.clone()).is_ok();
    let SwarmEntry::Transfer(previous) = previous else {
        return;
    };
    // A transfer that has ended is in the phase `Checking` again once it is back in the map. A
    // failed one is not: it stays failed.
    if !is_back || former.is_some() || previous.phase() != Phase::Checking {
        return;
    }
    let recorded = previous
        .sealed()
        .map_or(RecordState::Partial, |stamps| RecordState::Complete {
            stamps,
        });
    if let Err(error) = previous.resume(recorded) {
        previous.fail(&PeerError::Thread(error).to_string());
    }
}

/// Records a new transfer, then makes its files. Returns the files that were empty or missing
/// before. If the files cannot be made, restores the former record.
fn record_and_make(transfer: &Transfer, opened: &OpenedFiles) -> Result<Vec<usize>, PeerError> {
    let before = transfer.create_record()?;
    let made = match &opened.files {
        OpenFiles::Partial(download) => transfer.make_files(download),
        OpenFiles::Whole(_) => Ok(Vec::new()),
    };
    if made.is_err() {
        transfer.undo_record(before.as_ref())?;
    }
    Ok(made?)
}

/// Opens a download at a place.
type OpenDownload<'a> =
    &'a dyn Fn(&FileLayout, &Destination, DownloadMode) -> Result<Download, StoreError>;

/// How the files of a download are opened.
struct OpenPlace<'a> {
    services: &'a Services,
    open: OpenDownload<'a>,
    /// Whether the files under the final name are known to be a part of this download.
    are_files_known: bool,
}

impl PlannedDownload {
    /// Opens the files under the final name, if some wanted files are there and all of these belong
    /// to the share. `are_files_known`: the caller knows that they belong to it.
    fn open_in_place(
        &self,
        open: OpenDownload<'_>,
        layout: &FileLayout,
        selection: &Arc<Selection>,
        are_files_known: bool,
        interrupt: &AtomicBool,
    ) -> Result<Option<OpenedFiles>, StoreError> {
        let mode = DownloadMode::extend_or_new(layout, &self.place);
        let opened = mode.and_then(|mode| open(layout, &self.place, mode));
        let download = match opened {
            Ok(download) => download,
            Err(error @ (StoreError::Foreign(_) | StoreError::InUse(_))) => return Err(error),
            Err(error) if are_files_known => return Err(error),
            Err(_) => return Ok(None),
        };
        // Files that are known to belong to the share are verified later, in the background.
        let good = match are_files_known {
            true => Ok(PieceSet::empty(download.store().info().lengths())),
            false => verify_needed(download.store(), selection, interrupt),
        };
        // A folder without a good piece may belong to something else.
        let belongs_to_share =
            |good: &PieceSet| good.count() > 0 && download.check_files_in_place(good).is_ok();
        match good {
            Ok(known) if are_files_known || belongs_to_share(&known) => Ok(Some(OpenedFiles {
                extends: true,
                known,
                ..OpenedFiles::partial(download, selection)
            })),
            other => {
                download.undo();
                other.map(|_| None)
            }
        }
    }

    /// Opens the files of a new download, or those of a partial one, or those that are under the
    /// final name.
    fn open(
        &mut self,
        files: &OpenPlace<'_>,
        progress: &(dyn Fn(u64, u64) + Sync),
        interrupt: &AtomicBool,
    ) -> Result<OpenedFiles, PeerError> {
        let info = Arc::new(self.metainfo.info().clone());
        let selection = Arc::new(Selection::of(&info, &self.choice.only)?);
        let layout = FileLayout::chosen(Arc::clone(&info), Arc::clone(&selection));
        let open = files.open;
        if let Some(group) = &self.group {
            if group.is_update {
                let mode = DownloadMode::Replace(ExtraFiles::Keep);
                let download = open(&layout, &self.place, mode)?;
                return Ok(OpenedFiles::replacement(download, &selection, false));
            }
            if self.place.path().symlink_metadata().is_err() {
                group.require_holder(files.services)?;
            }
        }
        let path = match open(&layout, &self.place, DownloadMode::New) {
            Ok(download) => return Ok(OpenedFiles::partial(download, &selection)),
            Err(StoreError::Exists(path)) => path,
            Err(error) => return Err(error.into()),
        };
        if let Some(store) = whole_at(&info, &path, progress, interrupt)? {
            // The whole share is here, so everything counts as wanted.
            self.choice.only.clear();
            let selection = Arc::new(Selection::all(&info));
            return Ok(OpenedFiles::new(
                OpenFiles::Whole(Arc::new(store)),
                &info,
                &selection,
            ));
        }
        if let Some(group) = &self.group {
            group.require_holder(files.services)?;
        }
        let known = files.are_files_known;
        // A forced download from a group replaces the whole folder.
        if known || self.group.is_none() || !self.choice.force {
            let opened = self.open_in_place(open, &layout, &selection, known, interrupt)?;
            if let Some(opened) = opened {
                return Ok(opened);
            }
        }
        if self.group.is_some() || self.choice.force {
            check_same_kind(&info, &path)?;
        }
        if !self.choice.force {
            return Err(PeerError::OtherContent(path));
        }
        self.open_replacement(files, &layout, &selection)
    }

    /// Opens the files of a download that replaces what is under the final name.
    fn open_replacement(
        &self,
        files: &OpenPlace<'_>,
        layout: &FileLayout,
        selection: &Arc<Selection>,
    ) -> Result<OpenedFiles, PeerError> {
        if self.group.is_some() {
            check_nothing_inside(
                &files.services.transfers,
                layout.info().info_hash(),
                &self.place,
            )?;
            let mode = DownloadMode::Replace(ExtraFiles::Remove);
            let download = (files.open)(layout, &self.place, mode)?;
            return Ok(OpenedFiles::replacement(download, selection, false));
        }
        let mode = DownloadMode::Replace(ExtraFiles::Keep);
        let download = (files.open)(layout, &self.place, mode)?;
        if let Err(error) = download.check_replaced() {
            download.undo();
            return Err(error.into());
        }
        Ok(OpenedFiles::replacement(download, selection, true))
    }
}

/// The needed pieces whose hashes are right.
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

/// The files at `path`, if they are the whole share.
fn whole_at(
    info: &Arc<Info>,
    path: &Path,
    progress: &(dyn Fn(u64, u64) + Sync),
    interrupt: &AtomicBool,
) -> Result<Option<Store>, StoreError> {
    // If opening or `stamps` fails, for example because a length differs, this is not the share.
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

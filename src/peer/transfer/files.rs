//! The open files of a transfer, and what is known of the files of a lost share. A share is lost
//! when its files differ from what was verified.

use super::check_progress::CheckProgress;
use super::local_source::LocalSource;
use super::room_looks::RoomLooks;
use crate::storage::{Download, FileStamp, RenameSteps, StampMatch, Store};
use crate::swarm::LocalBlocks;
use crate::system::lock;
use crate::torrent::{Info, InfoHash, ModifiedTimes};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};

/// The open files of a transfer.
#[derive(Clone, Debug)]
pub(crate) enum OpenFiles {
    /// All wanted files are complete.
    Whole(Arc<Store>),
    /// Some data is missing.
    Partial(Arc<Download>),
}

/// The files of one transfer. The lock of the state is held briefly, never during I/O.
#[derive(Debug, Default)]
pub(super) struct TransferFiles {
    state: Mutex<State>,
    pub(super) check: CheckProgress,
    /// Held over the rename to the final name, and while a rename that a crash has interrupted is
    /// undone or completed.
    renaming: Mutex<()>,
    /// Set to end the hashing and copying of these files early.
    pub(super) interrupt: Arc<AtomicBool>,
    pub(super) room_looks: Mutex<RoomLooks>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<OpenFiles>,
    /// Whether the download was cancelled. Its files are not opened any more.
    is_cancelled: bool,
    /// Whether another version of the share takes its place, or has taken it.
    is_place_taken: bool,
    /// What the record notes of the rename to the final name. `None` if nothing is noted, or the
    /// download is complete.
    steps: Option<RenameSteps>,
    /// Whether a rename was noted when the peer started.
    was_being_renamed: bool,
    /// The stamps with which the files of a complete share were verified ("sealed").
    sealed: Option<Vec<FileStamp>>,
    lost: LostFiles,
    times: KnownTimes,
    /// Other versions of the share at the same place, which end when this one is complete.
    supersedes: Vec<InfoHash>,
    /// Where a part of the files is left that the download has replaced.
    left: Option<PathBuf>,
    /// Files that have some blocks of the download.
    local: Option<Arc<dyn LocalSource>>,
}

/// The modification times of the original files.
#[derive(Debug, Default)]
enum KnownTimes {
    #[default]
    Unknown,
    /// Some have arrived from other peers. `missing` is the number of those that have not. Counting
    /// them again for each message would be slow if the share has many files.
    Partly {
        times: Vec<Option<i64>>,
        missing: usize,
    },
    Known(ModifiedTimes),
}

/// What is known of the files of a lost share.
#[derive(Debug, Default)]
struct LostFiles {
    /// The stamps found by the last scan. Files that have changed since then are still being
    /// written and are not hashed yet.
    last_scan: Option<Vec<FileStamp>>,
    /// The stamps that the files had when hashing found other content.
    mismatch: Option<Vec<FileStamp>>,
    /// Whether a thread is hashing the files or taking the share out of its swarm.
    is_busy: bool,
    /// The unfinished scan, if there is one.
    scan: Option<StampScan>,
}

/// A scan of the stamps of all files. It is done in several steps.
#[derive(Debug)]
pub(super) struct StampScan {
    pub(super) store: Store,
    pub(super) stamps: Vec<FileStamp>,
    /// The index of the next file.
    pub(super) next: usize,
}

/// The result of a scan of a lost share's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScanResult {
    /// The stamps are those with which the files were verified, perhaps except for inode numbers.
    AsSealed,
    /// The files are still being written, or are known not to match.
    Wait,
    /// The files are unchanged since the last scan and have not been hashed in this state.
    Hash,
}

impl State {
    /// Sealed files have their final name, so a note about their rename is not needed any more.
    fn set_sealed(&mut self, sealed: Option<Vec<FileStamp>>) {
        if sealed.is_some() {
            self.steps = None;
        }
        self.sealed = sealed;
    }
}

impl TransferFiles {
    /// No open files. `times` are those of the torrent. `supersedes` are other versions of the
    /// share at the same place. `interrupt` ends hashing and copying early.
    pub(super) fn new(
        times: Option<&ModifiedTimes>,
        supersedes: Option<Vec<InfoHash>>,
        interrupt: Arc<AtomicBool>,
    ) -> Self {
        let files = Self {
            interrupt,
            ..Self::default()
        };
        lock(&files.state).supersedes = supersedes.unwrap_or_default();
        if let Some(times) = times {
            lock(&files.state).times = KnownTimes::Known(times.clone());
        }
        files
    }

    pub(super) fn set_place_taken(&self, is_taken: bool) {
        lock(&self.state).is_place_taken = is_taken;
    }

    pub(super) fn is_place_taken(&self) -> bool {
        lock(&self.state).is_place_taken
    }

    /// Other files, which have some blocks of the download.
    pub(super) fn local(&self) -> Option<Arc<dyn LocalSource>> {
        lock(&self.state).local.clone()
    }

    /// The blocks of the download that other files have.
    pub(super) fn local_blocks(&self) -> LocalBlocks {
        let local = self.local();
        local.map(|local| local.blocks()).unwrap_or_default()
    }

    /// Sets the files that have some blocks of the download.
    pub(super) fn set_local(&self, local: Option<Arc<dyn LocalSource>>) {
        lock(&self.state).local = local;
    }

    /// Where a part of the replaced file or folder is. If it is not there any more, this is
    /// forgotten: a later download may use its name.
    pub(super) fn left(&self) -> Option<PathBuf> {
        let left = lock(&self.state).left.clone()?;
        if left.symlink_metadata().is_ok() {
            return Some(left);
        }
        self.set_left(None);
        None
    }

    /// The name of the part of the replaced file or folder that is left, for the record.
    pub(super) fn name_of_left(&self) -> Option<String> {
        let state = lock(&self.state);
        let name = state.left.as_ref()?.file_name()?;
        name.to_str().map(str::to_owned)
    }

    /// Sets where a part of the replaced file or folder is.
    pub(super) fn set_left(&self, left: Option<PathBuf>) {
        lock(&self.state).left = left;
    }

    /// The other versions at the same place that have not ended.
    pub(super) fn supersedes(&self) -> Vec<InfoHash> {
        lock(&self.state).supersedes.clone()
    }

    /// A version at the same place has ended.
    pub(super) fn forget_superseded(&self, former: InfoHash) {
        lock(&self.state).supersedes.retain(|hash| *hash != former);
    }

    /// The modification times of the original files, if all are known.
    pub(super) fn times(&self) -> Option<ModifiedTimes> {
        match &lock(&self.state).times {
            KnownTimes::Known(times) => Some(times.clone()),
            KnownTimes::Unknown | KnownTimes::Partly { .. } => None,
        }
    }

    /// Adds times that another peer has sent, from the file with index `first` on. If the time of a
    /// file is known already, the new one is ignored.
    pub(super) fn add_times(&self, info: &Info, first: usize, times: &[i64]) {
        let mut state = lock(&self.state);
        let (mut known, mut missing) = match std::mem::take(&mut state.times) {
            KnownTimes::Unknown => {
                let files = info.files().len();
                (vec![None; files], files)
            }
            KnownTimes::Partly { times, missing } => (times, missing),
            all @ KnownTimes::Known(_) => {
                state.times = all;
                return;
            }
        };
        for (place, time) in known.iter_mut().skip(first).zip(times) {
            if place.is_none() {
                *place = Some(*time);
                missing = missing.saturating_sub(1);
            }
        }
        if missing == 0 {
            let all = known.iter().copied().flatten().collect();
            if let Some(times) = ModifiedTimes::new(all, info) {
                state.times = KnownTimes::Known(times);
                return;
            }
        }
        state.times = KnownTimes::Partly {
            times: known,
            missing,
        };
    }

    /// Stores opened files. If they are sealed, stores their stamps too. If the download
    /// was cancelled, stores nothing and returns `false`.
    #[must_use]
    pub(super) fn set_open(&self, files: OpenFiles) -> bool {
        let mut state = lock(&self.state);
        if state.is_cancelled {
            return false;
        }
        if let OpenFiles::Whole(store) = &files
            && let Some(sealed) = store.sealed()
        {
            state.set_sealed(Some(sealed));
        }
        state.open = Some(files);
        true
    }

    /// Notes that the download was cancelled. Returns the files to discard, if they are open.
    pub(super) fn cancel(&self) -> Option<Arc<Download>> {
        let mut state = lock(&self.state);
        state.is_cancelled = true;
        match state.open.take() {
            Some(OpenFiles::Partial(download)) => Some(download),
            _ => None,
        }
    }

    /// Waits until no other thread renames the download, or undoes or completes an interrupted
    /// rename. Until the result is dropped, no other thread can begin any of these.
    pub(super) fn lock_rename(&self) -> MutexGuard<'_, ()> {
        lock(&self.renaming)
    }

    /// What is noted of the rename to the final name.
    pub(super) fn steps(&self) -> Option<RenameSteps> {
        lock(&self.state).steps.clone()
    }

    /// Takes over what the record noted of the rename when the peer started.
    pub(super) fn restore_steps(&self, steps: Option<RenameSteps>) {
        let mut state = lock(&self.state);
        state.was_being_renamed = steps.is_some();
        state.steps = steps;
    }

    /// Whether a crash has interrupted the rename to the final name, or came right after it.
    pub(super) fn was_being_renamed(&self) -> bool {
        lock(&self.state).was_being_renamed
    }

    /// Sets what is noted of the rename to the final name.
    pub(super) fn set_steps(&self, steps: Option<RenameSteps>) {
        lock(&self.state).steps = steps;
    }

    /// The files to read from, once they are open.
    pub(super) fn store(&self) -> Option<Arc<Store>> {
        lock(&self.state).open.as_ref().map(|files| match files {
            OpenFiles::Whole(store) => Arc::clone(store),
            OpenFiles::Partial(download) => Arc::clone(download.store()),
        })
    }

    /// The files to write to, while the download is not complete.
    pub(super) fn download(&self) -> Option<Arc<Download>> {
        match &lock(&self.state).open {
            Some(OpenFiles::Partial(download)) => Some(Arc::clone(download)),
            _ => None,
        }
    }

    /// Ends writing: the files are only read from now on. Returns the download that was written to.
    pub(super) fn end_writing(&self) -> Option<Arc<Download>> {
        let mut state = lock(&self.state);
        let Some(OpenFiles::Partial(download)) = &state.open else {
            return None;
        };
        let download = Arc::clone(download);
        state.open = Some(OpenFiles::Whole(Arc::clone(download.store())));
        state.local = None;
        Some(download)
    }

    /// Replaces the open files of a complete share by the same files, opened and sealed again.
    /// Returns `false` if `former` is not open any more.
    pub(super) fn replace_whole(&self, former: &Arc<Store>, again: Store) -> bool {
        let mut state = lock(&self.state);
        match &state.open {
            Some(OpenFiles::Whole(open)) if Arc::ptr_eq(open, former) => {
                state.set_sealed(again.sealed());
                state.open = Some(OpenFiles::Whole(Arc::new(again)));
                true
            }
            _ => false,
        }
    }

    /// Closes the files, so that another transfer can open them.
    pub(super) fn close(&self) {
        // Closing is slow on some file systems, so the lock is released first.
        let _files = {
            let mut state = lock(&self.state);
            (state.open.take(), state.local.take())
        };
    }

    /// The stamps with which the files were verified.
    pub(super) fn sealed(&self) -> Option<Vec<FileStamp>> {
        lock(&self.state).sealed.clone()
    }

    /// Sets the stamps with which the files were verified.
    pub(super) fn set_sealed(&self, sealed: Option<Vec<FileStamp>>) {
        lock(&self.state).set_sealed(sealed);
    }

    /// Notes that a thread begins to take the share out of its swarm. No scan begins until
    /// [`TransferFiles::set_idle`]. `mismatch`: the stamps that the files had when hashing found
    /// other content. `None` if the files were not hashed.
    pub(super) fn begin_loss(&self, mismatch: Option<Vec<FileStamp>>) {
        lock(&self.state).lost = LostFiles {
            is_busy: true,
            mismatch,
            ..LostFiles::default()
        };
    }

    /// Reports that the thread that worked on the files has ended.
    pub(super) fn set_idle(&self) {
        lock(&self.state).lost.is_busy = false;
    }

    /// Takes the unfinished scan, for its next step. The outer `Option` is `None` while a thread
    /// works on the files, and the inner one if there is no unfinished scan.
    pub(super) fn take_scan(&self) -> Option<Option<StampScan>> {
        let mut state = lock(&self.state);
        let is_busy = state.lost.is_busy;
        (!is_busy).then(|| state.lost.scan.take())
    }

    /// Stores an unfinished scan for its next step.
    pub(super) fn put_scan(&self, scan: StampScan) {
        lock(&self.state).lost.scan = Some(scan);
    }

    /// Evaluates the stamps of a complete scan. After [`ScanResult::Hash`], the caller hashes the
    /// files, and then calls [`TransferFiles::on_mismatch`] or [`TransferFiles::forget_scans`]. If
    /// it cannot hash them, it calls [`TransferFiles::set_idle`].
    /// `has_links`: the share follows symbolic links, so a new inode number may mean another file.
    pub(super) fn on_scanned(&self, stamps: &[FileStamp], has_links: bool) -> ScanResult {
        let mut guard = lock(&self.state);
        let State { sealed, lost, .. } = &mut *guard;
        let found = sealed
            .as_ref()
            .map(|sealed| FileStamp::compare_all(sealed, stamps));
        match found {
            Some(StampMatch::Same) => return ScanResult::AsSealed,
            // Only inode numbers differ. The share is served again, and `quiet_check` hashes its
            // files meanwhile. But if hashing has already found other content, it is not served.
            Some(StampMatch::OtherInode) if lost.mismatch.is_none() && !has_links => {
                return ScanResult::AsSealed;
            }
            _ => {}
        }
        let before = lost.last_scan.replace(stamps.to_vec());
        let since_last_scan = before.map(|before| FileStamp::compare_all(&before, stamps));
        let is_stable = since_last_scan.is_some_and(|found| found < StampMatch::Changed);
        let since_mismatch = lost
            .mismatch
            .as_ref()
            .map(|mismatch| FileStamp::compare_all(mismatch, stamps));
        let is_known_mismatch = match since_mismatch {
            Some(StampMatch::Same) => true,
            // Only inode numbers differ from those of the hashed files. If the last two scans found
            // the same numbers, this file system keeps inode numbers, so other files are there now,
            // which were not hashed. If the two scans found different numbers, the file system
            // changes them by itself, and the files count as the hashed ones.
            Some(StampMatch::OtherInode) => since_last_scan != Some(StampMatch::Same),
            Some(StampMatch::Changed) | None => false,
        };
        if !is_stable || is_known_mismatch {
            return ScanResult::Wait;
        }
        lost.is_busy = true;
        ScanResult::Hash
    }

    /// Reports that the files with these stamps were hashed and are not the share.
    pub(super) fn on_mismatch(&self, stamps: Vec<FileStamp>) {
        let lost = &mut lock(&self.state).lost;
        lost.is_busy = false;
        lost.mismatch = Some(stamps);
    }

    /// Drops all results of scans and of hashing. No thread counts as busy with the files any more.
    pub(super) fn forget_scans(&self) {
        lock(&self.state).lost = LostFiles::default();
    }
}

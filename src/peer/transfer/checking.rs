//! Opens and verifies the files on disk, and begins to serve and fetch.

use super::files::OpenFiles;
use super::transfer::Transfer;
use crate::storage::{
    Destination, FileStamp, RecordKind, RecordState, RecoveredRename, Store, StoreError, verify,
};
use crate::swarm::{CheckResult, Phase};
use crate::system::processors;
use crate::torrent::{PieceIndex, PieceSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

impl Transfer {
    /// Begins at once if the recorded transfer was complete and its files are unchanged. Otherwise
    /// does nothing and returns `false`.
    pub(crate) fn reopen_unchanged(self: &Arc<Self>, recorded: &RecordState) -> bool {
        let RecordState::Complete { stamps } = recorded else {
            return false;
        };
        let opened = self.plan.open_whole(self.info(), &self.plan.path());
        let Some(store) = opened.ok().filter(|store| store.are_all_unchanged(stamps)) else {
            return false;
        };
        store.seal(stamps);
        let owned = self.readable_pieces(&store);
        if self.set_files(OpenFiles::Whole(Arc::new(store))) {
            self.begin(owned, true);
        }
        true
    }

    /// Whether all wanted data is good. `good` are the pieces that have been verified. If the
    /// wanted files still have their `sealed` stamps, pieces that also hold data of unwanted files
    /// need not be good: then only the data of the unwanted files is wrong or missing.
    pub(crate) fn has_all_wanted(
        &self,
        store: &Store,
        good: &PieceSet,
        sealed: Option<&[FileStamp]>,
    ) -> bool {
        let needed = self.plan.selection.needed();
        let pieces = self.info().lengths().all_pieces();
        let mut bad = pieces.filter(|piece| needed.contains(*piece) && !good.contains(*piece));
        let wanted_files_unchanged =
            sealed.is_some_and(|sealed| store.are_wanted_files_the_same(sealed));
        bad.all(|piece| wanted_files_unchanged && store.is_mixed(piece))
    }

    /// The needed pieces that can be read. They are good if the files are unchanged since they were
    /// verified. That is not checked here.
    pub(crate) fn readable_pieces(&self, store: &Store) -> PieceSet {
        let lengths = self.info().lengths();
        let needed = self.plan.selection.needed();
        let mut owned = PieceSet::empty(lengths);
        let pieces = lengths.all_pieces();
        for piece in pieces.filter(|piece| needed.contains(*piece) && store.can_read(*piece)) {
            owned.insert(piece);
        }
        owned
    }

    /// Prepares an opened download in the background, then begins it:
    ///
    /// 1. If `copies_replaced` is set, copies good pieces of the files that the download will
    ///    replace.
    /// 2. The partial file has one of several possible names. Copies good pieces of files that have
    ///    the other names (`Download::copy_others`).
    /// 3. Copies unchanged files of older versions of the share that are at this place.
    /// 4. Verifies the needed pieces that are not in `known_good`.
    /// 5. Copies pieces that the older versions have at another place.
    ///
    /// The transfer then fetches the pieces that are missing or not good.
    pub(crate) fn check_and_begin(
        self: Arc<Self>,
        known_good: PieceSet,
        copies_replaced: bool,
    ) -> io::Result<()> {
        let context = Arc::clone(&self.context);
        context.tasks.spawn("check", move || {
            match self.check(known_good, copies_replaced) {
                Ok(()) | Err(StoreError::Stopped) => {}
                Err(error) => self.wait_or_fail(&error),
            }
        })
    }

    /// Resumes a recorded transfer: at once if it was complete and its files are unchanged,
    /// otherwise after a check in the background.
    pub(crate) fn resume(self: &Arc<Self>, recorded: RecordState) -> io::Result<()> {
        if self.reopen_unchanged(&recorded) {
            return Ok(());
        }
        let transfer = Arc::clone(self);
        self.context.tasks.spawn("restore", move || {
            transfer.reopen_or_fail(&recorded);
        })
    }

    /// Opens the files of a recorded transfer, verifies what is not known to be good, and begins.
    /// If the files cannot be used, a complete share becomes lost, a download waits if the disk is
    /// full, and any other transfer fails. Does nothing if the transfer was stopped meanwhile.
    pub(crate) fn reopen_or_fail(self: &Arc<Self>, recorded: &RecordState) {
        if self.phase() != Phase::Checking {
            return;
        }
        let reopened = match &self.plan.kind {
            RecordKind::Download(place) if !matches!(recorded, RecordState::Complete { .. }) => {
                self.reopen_unfinished(place)
            }
            _ => self.reopen_whole(&self.plan.path(), recorded),
        };
        match reopened {
            Ok(()) | Err(StoreError::Stopped) => {}
            Err(error) => self.on_unusable_files(recorded, &error),
        }
    }

    /// Resumes a download that is not recorded as complete. If its files are missing, the
    /// download waits for them. It does not start from the beginning, because the disk of the files
    /// may not be mounted.
    fn reopen_unfinished(self: &Arc<Self>, place: &Destination) -> Result<(), StoreError> {
        let opened = match self.recover_final_name(place) {
            Ok(true) => {
                let path = place.path();
                let reopened = self.reopen_whole(&path, &RecordState::Partial);
                return reopened.map_err(|error| match error.is_mismatch() {
                    true => StoreError::OtherContent(path),
                    false => error,
                });
            }
            Ok(false) => self.plan.open_download(self.info(), place),
            Err(error) => Err(error),
        };
        let download = match opened {
            Err(error) if error.is_absence() => {
                self.wait_for_files(&error);
                return Ok(());
            }
            opened => Arc::new(opened?),
        };
        self.make_files(&download)?;
        if !self.set_files(OpenFiles::Partial(Arc::clone(&download))) {
            return download.discard();
        }
        drop(download);
        self.check(PieceSet::empty(self.info().lengths()), false)
    }

    /// Undoes or completes a rename that a crash has interrupted. Returns whether the download has
    /// its final name afterwards, although it is not recorded as complete. This is also the case
    /// if the crash came between renaming and recording.
    fn recover_final_name(&self, place: &Destination) -> Result<bool, StoreError> {
        if self.recover_rename()? == RecoveredRename::Done {
            return Ok(true);
        }
        let path = place.path();
        if path.symlink_metadata().is_err() {
            return Ok(false);
        }
        match (self.plan.extends, self.plan.replaces) {
            // Older files can have the final name only if the download replaces or extends them.
            (false, false) => Ok(true),
            (true, _) if self.has_partial_files(place) => Ok(false),
            // Nothing is noted of the replacement, so it has not begun.
            (false, true)
                if self.is_update()
                    && self.files.steps().is_none()
                    && self.has_partial_files(place) =>
            {
                Ok(false)
            }
            // The content shows whether the files are the older ones or the complete download.
            _ if !self.is_whole_share(&path)? => {
                // If they are neither, the partial files may be those of the older version.
                if self.files.steps().is_some() && self.plan.replaces {
                    match self.former_version() {
                        Some(former) => {
                            let layout = self.plan.layout(self.info());
                            former.check_replaceable(&layout, &path)?;
                        }
                        None if self.plan.is_forced() => {}
                        // The older version has ended. So the partial files may be what was kept.
                        None => return Err(StoreError::OtherContent(path)),
                    }
                }
                Ok(false)
            }
            _ => {
                if self.plan.replaces {
                    self.complete_replacement(place);
                }
                Ok(true)
            }
        }
    }

    /// Whether the files at `path` contain all needed pieces. If not, they are the older files that
    /// the download is to replace or extend.
    fn is_whole_share(&self, path: &Path) -> Result<bool, StoreError> {
        let Ok(store) = self.plan.open_whole(self.info(), path) else {
            return Ok(false);
        };
        Ok(self.verify_files(&store)? == *self.plan.selection.needed())
    }

    fn reopen_whole(
        self: &Arc<Self>,
        path: &Path,
        recorded: &RecordState,
    ) -> Result<(), StoreError> {
        let store = Arc::new(self.plan.open_whole(self.info(), path)?);
        let unchanged =
            matches!(recorded, RecordState::Complete { stamps } if store.are_all_unchanged(stamps));
        match recorded {
            RecordState::Complete { stamps } if unchanged => store.seal(stamps),
            _ => store.seal(&store.stamps()?),
        }
        let mut owned = self.readable_pieces(&store);
        if !unchanged {
            log::info!(
                "{}: changed or not known to be whole; checking it",
                self.name()
            );
            let good = self.verify_files(&store)?;
            let sealed = match recorded {
                RecordState::Complete { stamps } => Some(stamps.as_slice()),
                _ => None,
            };
            if !self.has_all_wanted(&store, &good, sealed) {
                return Err(StoreError::Changed(path.to_owned()));
            }
            owned = good;
        }
        self.end_former_versions();
        if !self.set_files(OpenFiles::Whole(store)) {
            return Ok(());
        }
        // If the transfer was stopped in the meantime, its record was changed or removed: do not
        // write it.
        if self.begin(owned, true) && !unchanged {
            self.update_record();
        }
        Ok(())
    }

    /// Copies good pieces of other files, verifies the needed pieces that are not in `known_good`,
    /// then begins.
    fn check(
        self: &Arc<Self>,
        known_good: PieceSet,
        copies_replaced: bool,
    ) -> Result<(), StoreError> {
        let Some(download) = self.download() else {
            return Ok(());
        };
        let (check, interrupt) = (&self.files.check, &*self.files.interrupt);
        let all = self.bytes_of(self.unknown_pieces(&PieceSet::empty(self.info().lengths())));
        let copied = all.saturating_mul(u64::from(copies_replaced) + download.others_count());
        let unknown = self.bytes_of(self.unknown_pieces(&known_good));
        let old = self.old_versions();
        let copied = copied.saturating_add(all.saturating_mul(old.len() as u64));
        check.begin(copied.saturating_add(unknown));
        let progress = |done| check.report_hashed(done);
        if copies_replaced {
            download.copy_replaced(interrupt, &progress)?;
            check.end_pass(all);
        }
        if download.others_count() > 0 {
            download.copy_others(interrupt, &progress)?;
            check.end_pass(all.saturating_mul(download.others_count()));
        }
        let (local, known_good) = self.copy_unchanged(&download, &old, known_good)?;
        check.end_pass(all.saturating_mul(old.len() as u64));
        let mut owned = self.verify_unknown(download.store(), known_good)?;
        self.copy_equal(&download, &old, &local, &mut owned)?;
        download.check_files_in_place(&owned)?;
        let missing = self.missing_bytes(&owned);
        if let Err(error) = download.check_space(missing) {
            // The download does not begin. Its progress shows the verified bytes nevertheless.
            let verified = all.saturating_sub(missing);
            self.decide(|core, _| core.on_checked(verified));
            return Err(error);
        }
        // The download may be finished at once, and finishing needs the only reference to it.
        drop(download);
        self.begin(owned, false);
        Ok(())
    }

    pub(crate) fn verify_files(&self, store: &Store) -> Result<PieceSet, StoreError> {
        let nothing = PieceSet::empty(self.info().lengths());
        let all = self.bytes_of(self.unknown_pieces(&nothing));
        self.files.check.begin(all);
        self.verify_unknown(store, nothing)
    }

    /// Verifies the needed pieces that are not in `known_good`. Returns `known_good` and the pieces
    /// found good.
    pub(super) fn verify_unknown(
        &self,
        store: &Store,
        mut known_good: PieceSet,
    ) -> Result<PieceSet, StoreError> {
        let (threads, interrupt) = (processors(), &*self.files.interrupt);
        let progress = |done| self.files.check.report_hashed(done);
        let unknown = self.unknown_pieces(&known_good);
        let good = verify(store, unknown, threads, interrupt, &progress)?;
        let pieces = self.info().lengths().all_pieces();
        for piece in pieces.filter(|piece| good.contains(*piece)) {
            known_good.insert(piece);
        }
        Ok(known_good)
    }

    /// The needed pieces that are not in `known_good`.
    pub(super) fn unknown_pieces<'a>(
        &'a self,
        known_good: &'a PieceSet,
    ) -> impl Iterator<Item = PieceIndex> + Send + 'a {
        let needed = self.plan.selection.needed();
        let pieces = self.info().lengths().all_pieces();
        pieces.filter(move |piece| needed.contains(*piece) && !known_good.contains(*piece))
    }

    /// The number of bytes of the needed pieces that are not owned.
    pub(super) fn missing_bytes(&self, owned: &PieceSet) -> u64 {
        self.bytes_of(self.unknown_pieces(owned))
    }

    fn bytes_of(&self, pieces: impl Iterator<Item = PieceIndex>) -> u64 {
        let lengths = self.info().lengths();
        pieces.map(|piece| u64::from(lengths.length(piece))).sum()
    }

    /// Begins to serve the owned pieces and to fetch the missing ones. `in_place`: the files have
    /// their final names. Returns `false` if the transfer was stopped in the meantime.
    pub(crate) fn begin(&self, owned: PieceSet, in_place: bool) -> bool {
        let checked = CheckResult {
            owned,
            needed: self.plan.selection.needed().clone(),
            local: self.files.local_blocks(),
            in_place,
        };
        let begins = self.decide(|core, now| core.begin(checked, now));
        self.context.changes.notify();
        if self.fetches() {
            self.start_web_seeds(&self.sources().web_seeds);
        }
        begins
    }
}

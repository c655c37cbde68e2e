//! Opens and verifies the files on disk, and begins to serve and fetch.

use super::files::OpenFiles;
use super::transfer::Transfer;
use crate::storage::{
    Download, FileStamp, RecordKind, RecordState, Store, StoreError, remove_replaced, verify,
};
use crate::swarm::CheckResult;
use crate::system::processors;
use crate::torrent::PieceSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

impl Transfer {
    /// Begins at once if the recorded transfer was complete and its files are unchanged. Returns
    /// whether it did.
    pub(crate) fn reopen_unchanged(self: &Arc<Self>, recorded: &RecordState) -> bool {
        let RecordState::Complete { stamps } = recorded else {
            return false;
        };
        let opened = self.plan.open_whole(self.info(), &self.plan.path());
        let Some(store) = opened.ok().filter(|store| store.are_all_unchanged(stamps)) else {
            return false;
        };
        store.seal(stamps);
        let owned = self.unchanged_pieces(&store);
        self.set_files(OpenFiles::Whole(Arc::new(store)));
        self.begin(owned, true);
        true
    }

    /// Whether all wanted data is good. A piece that also holds data of unwanted files may be
    /// missing, if the wanted files still have their `sealed` stamps: then the missing data belongs
    /// to the unwanted files.
    pub(crate) fn has_all_wanted(
        &self,
        store: &Store,
        good: &PieceSet,
        sealed: Option<&[FileStamp]>,
    ) -> bool {
        let needed = self.plan.selection.needed();
        let pieces = self.info().lengths().all_pieces();
        let mut bad = pieces.filter(|piece| needed.contains(*piece) && !good.contains(*piece));
        let wanted_files_unchanged = sealed.is_some_and(|sealed| store.are_files_unchanged(sealed));
        bad.all(|piece| wanted_files_unchanged && store.is_mixed(piece))
    }

    /// The needed pieces that can be read, for files that are unchanged since they were verified.
    pub(crate) fn unchanged_pieces(&self, store: &Store) -> PieceSet {
        let lengths = self.info().lengths();
        let needed = self.plan.selection.needed();
        let mut owned = PieceSet::empty(lengths);
        let pieces = lengths.all_pieces();
        for piece in pieces.filter(|piece| needed.contains(*piece) && !store.cannot_read(*piece)) {
            owned.insert(piece);
        }
        owned
    }

    /// Verifies in the background the pieces of an opened download that are not in `known`, then
    /// begins and fetches the missing ones.
    pub(crate) fn check_and_begin(self: Arc<Self>, known: PieceSet) -> io::Result<()> {
        let context = Arc::clone(&self.context);
        context
            .tasks
            .spawn("check", move || match self.check(known) {
                Ok(()) | Err(StoreError::Stopped) => {}
                Err(error) => self.fail(&error.to_string()),
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
    /// Fails the transfer if the files cannot be used.
    pub(crate) fn reopen_or_fail(self: &Arc<Self>, recorded: &RecordState) {
        match self.reopen(recorded) {
            Ok(()) | Err(StoreError::Stopped) => {}
            Err(error) => self.on_changed_since_record(recorded, &error.to_string()),
        }
    }

    fn reopen(self: &Arc<Self>, recorded: &RecordState) -> Result<(), StoreError> {
        let final_path = match &self.plan.kind {
            RecordKind::Share(path) => path.clone(),
            RecordKind::Download(place) => {
                let final_path = place.path();
                let known_complete = matches!(recorded, RecordState::Complete { .. });
                if !known_complete {
                    // After a crash between renaming and recording, the complete file is recorded
                    // as partial.
                    let renamed = !self.plan.extends
                        && final_path.symlink_metadata().is_ok()
                        && (!self.plan.replaces || self.is_whole_share(&final_path)?);
                    if !renamed {
                        let download = Arc::new(self.plan.open_download(self.info(), place)?);
                        self.set_files(OpenFiles::Partial(download));
                        return self.check(PieceSet::empty(self.info().lengths()));
                    }
                    if self.plan.replaces {
                        remove_replaced(self.info(), place, self.plan.extra_files());
                    }
                }
                final_path
            }
        };
        self.reopen_whole(&final_path, recorded)
    }

    /// Whether the files at `path` are the share, and not other content that the download will
    /// replace.
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
        let mut owned = self.unchanged_pieces(&store);
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
        self.set_files(OpenFiles::Whole(store));
        // If the transfer was stopped in the meantime, its record was changed or removed: do not
        // write it.
        if self.begin(owned, true) && !unchanged {
            self.update_record();
        }
        Ok(())
    }

    /// Verifies the pieces that are not in `known`, then begins.
    fn check(self: &Arc<Self>, known: PieceSet) -> Result<(), StoreError> {
        let Some(download) = self.download() else {
            return Ok(());
        };
        let owned = self.verify_unknown(download.store(), known)?;
        download.check_in_place(&owned)?;
        // The download may be finished at once, and finishing needs the only reference to it.
        drop(download);
        self.begin(owned, false);
        Ok(())
    }

    pub(crate) fn verify_files(&self, store: &Store) -> Result<PieceSet, StoreError> {
        self.verify_unknown(store, PieceSet::empty(self.info().lengths()))
    }

    /// Verifies the needed pieces that are not in `known`. Returns `known` and the pieces found
    /// good.
    fn verify_unknown(&self, store: &Store, mut known: PieceSet) -> Result<PieceSet, StoreError> {
        let (threads, interrupt) = (processors(), &self.context.interrupt);
        let needed = self.plan.selection.needed();
        let pieces = self.info().lengths().all_pieces();
        let unknown = pieces.filter(|piece| needed.contains(*piece) && !known.contains(*piece));
        let good = verify(store, unknown, threads, interrupt, &|_| {})?;
        let pieces = self.info().lengths().all_pieces();
        for piece in pieces.filter(|piece| good.contains(*piece)) {
            known.insert(piece);
        }
        Ok(known)
    }

    /// Begins to serve the owned pieces and to fetch the missing ones. `is_whole`: the files have
    /// their final names. Returns `false` if the transfer was stopped in the meantime.
    pub(crate) fn begin(&self, owned: PieceSet, is_whole: bool) -> bool {
        let checked = CheckResult {
            owned,
            needed: self.plan.selection.needed().clone(),
            is_whole,
        };
        let begins = self.decide(|core, now| core.begin(checked, now));
        self.context.changes.notify();
        if self.fetches() {
            self.set_web_seeds_due();
        }
        begins
    }

    /// Opens the partial data of a download whose files were closed.
    pub(crate) fn reopen_partial(&self) -> Option<Arc<Download>> {
        let RecordKind::Download(place) = &self.plan.kind else {
            return None;
        };
        let opened = self.plan.open_download(self.info(), place);
        opened.ok().map(Arc::new)
    }
}

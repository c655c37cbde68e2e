//! From the files on disk to a transfer that is served.

use super::files::OpenFiles;
use super::transfer::Transfer;
use crate::storage::{
    Download, RecordKind, RecordState, Stamp, Store, StoreError, remove_replaced, verify,
};
use crate::swarm::Checked;
use crate::system::processors;
use crate::torrent::PieceSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

impl Transfer {
    /// Begins at once with a recorded transfer that was complete and whose files are unchanged;
    /// says whether it is one.
    pub(crate) fn reopen_unchanged(self: &Arc<Self>, recorded: &RecordState) -> bool {
        let RecordState::Complete { stamps } = recorded else {
            return false;
        };
        let opened = self.plan.open_whole(self.info(), &self.plan.path());
        let Some(store) = opened.ok().filter(|store| store.unchanged(stamps)) else {
            return false;
        };
        store.seal(stamps);
        let owned = self.unchanged_pieces(&store);
        self.set_files(OpenFiles::Whole(Arc::new(store)));
        self.begin(owned, true);
        true
    }

    /// Whether what verifies is all that was wanted. Pieces that hold something of other files too
    /// may lack that; they are done without as long as the wanted files are as they were `sealed`:
    /// then it is not these that do not verify.
    pub(crate) fn has_all_wanted(
        &self,
        store: &Store,
        good: &PieceSet,
        sealed: Option<&[Stamp]>,
    ) -> bool {
        let needed = self.plan.selection.needed();
        let pieces = self.info().lengths().all_pieces();
        let mut bad = pieces.filter(|piece| needed.contains(*piece) && !good.contains(*piece));
        let excuses = sealed.is_some_and(|sealed| store.has_files_unchanged(sealed));
        bad.all(|piece| excuses && store.is_mixed(piece))
    }

    /// What is owned of files that are as they were.
    pub(crate) fn unchanged_pieces(&self, store: &Store) -> PieceSet {
        let lengths = self.info().lengths();
        let needed = self.plan.selection.needed();
        let mut owned = PieceSet::empty(lengths);
        let pieces = lengths.all_pieces();
        for piece in pieces.filter(|piece| needed.contains(*piece) && !store.lacks(*piece)) {
            owned.insert(piece);
        }
        owned
    }

    /// Finds out, in the background, what of an opened download is there already beside what is
    /// known to be good, and fetches the rest.
    pub(crate) fn check_and_begin(self: Arc<Self>, known: PieceSet) -> io::Result<()> {
        let context = Arc::clone(&self.context);
        context
            .tasks
            .spawn("check", move || match self.check(known) {
                Ok(()) | Err(StoreError::Stopped) => {}
                Err(error) => self.fail(&error.to_string()),
            })
    }

    /// Goes on with what was recorded: at once with what is complete and unchanged, else once it
    /// was checked in the background.
    pub(crate) fn resume(self: &Arc<Self>, recorded: RecordState) -> io::Result<()> {
        if self.reopen_unchanged(&recorded) {
            return Ok(());
        }
        let transfer = Arc::clone(self);
        self.context.tasks.spawn("restore", move || {
            transfer.reopen_or_fail(&recorded);
        })
    }

    /// Opens the files of a recorded transfer and begins with what of them can be trusted; ends it
    /// if that cannot be.
    pub(crate) fn reopen_or_fail(self: &Arc<Self>, recorded: &RecordState) {
        match self.reopen(recorded) {
            Ok(()) | Err(StoreError::Stopped) => {}
            Err(error) => self.on_changed_since_record(recorded, &error.to_string()),
        }
    }

    fn reopen(self: &Arc<Self>, recorded: &RecordState) -> Result<(), StoreError> {
        let whole = match &self.plan.kind {
            RecordKind::Share(path) => path.clone(),
            RecordKind::Download(place) => {
                let whole = place.path();
                let known_complete = matches!(recorded, RecordState::Complete { .. });
                if !known_complete {
                    // A crash between the renaming and the recording leaves a whole file that is
                    // recorded as partial.
                    let renamed = !self.plan.extends
                        && whole.symlink_metadata().is_ok()
                        && (!self.plan.replaces || self.is_whole_share(&whole)?);
                    if !renamed {
                        let download = Arc::new(self.plan.open_download(self.info(), place)?);
                        self.set_files(OpenFiles::Partial(download));
                        return self.check(PieceSet::empty(self.info().lengths()));
                    }
                    if self.plan.replaces {
                        remove_replaced(self.info(), place, self.plan.extra_files());
                    }
                }
                whole
            }
        };
        self.reopen_whole(&whole, recorded)
    }

    /// Whether what stands there is the share, and not what a download of it is to replace.
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
        store.seal(&store.stamps()?);
        let unchanged =
            matches!(recorded, RecordState::Complete { stamps } if store.unchanged(stamps));
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
        // One that was stopped meanwhile has a record of its end, or none.
        if self.begin(owned, true) && !unchanged {
            self.record();
        }
        Ok(())
    }

    /// Checks what is not known of an opened download and begins.
    fn check(self: &Arc<Self>, known: PieceSet) -> Result<(), StoreError> {
        let Some(download) = self.download() else {
            return Ok(());
        };
        let owned = self.verify_unknown(download.store(), known)?;
        download.check_in_place(&owned)?;
        // It may be finished at once, by the only one that holds it.
        drop(download);
        self.begin(owned, false);
        Ok(())
    }

    pub(crate) fn verify_files(&self, store: &Store) -> Result<PieceSet, StoreError> {
        self.verify_unknown(store, PieceSet::empty(self.info().lengths()))
    }

    /// Hashes what is not known to be good; gives all that is.
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

    /// Serves what is owned, and fetches what is not. `is_whole` says that the files are in their
    /// final place. Returns whether it does; it may have been stopped meanwhile.
    pub(crate) fn begin(&self, owned: PieceSet, is_whole: bool) -> bool {
        let checked = Checked {
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

    /// The partial data of a download that let go of it.
    pub(crate) fn reopen_partial(&self) -> Option<Arc<Download>> {
        let RecordKind::Download(place) = &self.plan.kind else {
            return None;
        };
        let opened = self.plan.open_download(self.info(), place);
        opened.ok().map(Arc::new)
    }
}

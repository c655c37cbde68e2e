//! From the files on disk to a transfer that is served.

use super::{Files, Phase, Transfer};
use crate::peer::{Link, PeerError};
use crate::storage::{
    Download, FileLayout, Mode, Place, RecordKind, RecordState, Stamp, Store, StoreError,
    remove_replaced, verify,
};
use crate::swarm::Picker;
use crate::system::processors;
use crate::torrent::{PieceSet, Selection};
use crate::wire::Event;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a cancelled download waits for workers that still write to it.
const POOL_WAIT: Duration = Duration::from_secs(5);
/// How long a cancel waits for one that is being finished.
const FINISH_WAIT: Duration = Duration::from_secs(60);

impl Transfer {
    /// Begins at once with a recorded transfer that was complete and whose files are unchanged; says whether it is one.
    pub(crate) fn reopen_unchanged(self: &Arc<Self>, recorded: &RecordState) -> bool {
        let RecordState::Complete { stamps } = recorded else {
            return false;
        };
        let opened = self.open_whole(&self.path());
        let Some(store) = opened.ok().filter(|store| store.unchanged(stamps)) else {
            return false;
        };
        store.seal(stamps);
        let owned = self.unchanged_pieces(&store);
        self.set_files(Files::Whole(Arc::new(store)));
        self.begin(owned, true);
        true
    }

    /// Applies the patterns; they meant some file when they were taken.
    pub(crate) fn choose(&mut self) {
        match Selection::of(self.info(), &self.choice.only) {
            Ok(selection) => self.selection = Arc::new(selection),
            Err(error) => log::error!("{}: {error}; all of it is fetched", self.name()),
        }
    }

    /// Whether what verifies is all that was wanted. Pieces that hold something of other files too may lack that; they are done
    /// without as long as the wanted files are as they were `sealed`: then it is not these that do not verify.
    pub(crate) fn is_enough(
        &self,
        store: &Store,
        good: &PieceSet,
        sealed: Option<&[Stamp]>,
    ) -> bool {
        let needed = self.selection.needed();
        let pieces = self.info().lengths().all_pieces();
        let mut bad = pieces.filter(|piece| needed.contains(*piece) && !good.contains(*piece));
        let excuses = sealed.is_some_and(|sealed| store.has_files_unchanged(sealed));
        bad.all(|piece| excuses && store.is_mixed(piece))
    }

    /// What is owned of files that are as they were.
    pub(crate) fn unchanged_pieces(&self, store: &Store) -> PieceSet {
        let lengths = self.info().lengths();
        let needed = self.selection.needed();
        let mut owned = PieceSet::empty(lengths);
        let pieces = lengths.all_pieces();
        for piece in pieces.filter(|piece| needed.contains(*piece) && !store.lacks(*piece)) {
            owned.insert(piece);
        }
        owned
    }

    /// Its files, and which of them are wanted.
    pub(crate) fn layout(&self) -> FileLayout {
        FileLayout::chosen(Arc::clone(self.info()), Arc::clone(&self.selection))
    }

    /// Opens files that are whole; each must be there with its length.
    pub(crate) fn open_whole(&self, path: &Path) -> Result<Store, StoreError> {
        let store = Store::open(self.layout(), path)?;
        store.stamps()?;
        Ok(store)
    }

    pub(crate) fn open_download(&self, place: &Place) -> Result<Download, StoreError> {
        let layout = self.layout();
        let mode = match (self.extends, self.replaces) {
            (true, _) => Mode::extend(&layout, place)?,
            (false, true) => Mode::Replace(self.others()),
            (false, false) => Mode::New,
        };
        Download::open(layout, place, mode)
    }

    /// Finds out, in the background, what of an opened download is there already beside what is known to be good, and
    /// fetches the rest.
    pub(crate) fn check_and_begin(self: Arc<Self>, known: PieceSet) -> Result<(), PeerError> {
        let context = Arc::clone(&self.context);
        let spawned = context
            .tasks
            .spawn("check", move || match self.check(known) {
                Ok(()) | Err(StoreError::Stopped) => {}
                Err(error) => self.fail(&error.to_string()),
            });
        spawned.map_err(PeerError::Thread)
    }

    /// Goes on with what was recorded: at once with what is complete and unchanged, else once it was checked in the background.
    pub(crate) fn go_on(self: &Arc<Self>, recorded: RecordState) -> Result<(), PeerError> {
        if self.reopen_unchanged(&recorded) {
            return Ok(());
        }
        let transfer = Arc::clone(self);
        let spawned = self.context.tasks.spawn("restore", move || {
            transfer.reopen_or_lose(&recorded);
        });
        spawned.map_err(PeerError::Thread)
    }

    /// Opens the files of a recorded transfer and begins with what of them can be trusted; ends it if that cannot be.
    pub(crate) fn reopen_or_lose(self: &Arc<Self>, recorded: &RecordState) {
        match self.reopen(recorded) {
            Ok(()) | Err(StoreError::Stopped) => {}
            Err(error) => self.is_lost(recorded, &error.to_string()),
        }
    }

    fn reopen(self: &Arc<Self>, recorded: &RecordState) -> Result<(), StoreError> {
        let whole = match &self.kind {
            RecordKind::Share(path) => path.clone(),
            RecordKind::Download(place) => {
                let whole = place.path();
                let known_complete = matches!(recorded, RecordState::Complete { .. });
                if !known_complete {
                    // A crash between the renaming and the recording leaves a whole file that is recorded as partial.
                    let renamed = !self.extends
                        && whole.symlink_metadata().is_ok()
                        && (!self.replaces || self.stands_whole(&whole)?);
                    if !renamed {
                        let download = Arc::new(self.open_download(place)?);
                        self.set_files(Files::Partial(download));
                        return self.check(PieceSet::empty(self.info().lengths()));
                    }
                    if self.replaces {
                        remove_replaced(self.info(), place, self.others());
                    }
                }
                whole
            }
        };
        self.reopen_whole(&whole, recorded)
    }

    /// Whether what stands there is the share, and not what a download of it is to replace.
    fn stands_whole(&self, path: &Path) -> Result<bool, StoreError> {
        let Ok(store) = self.open_whole(path) else {
            return Ok(false);
        };
        Ok(self.verified(&store)? == *self.selection.needed())
    }

    fn reopen_whole(
        self: &Arc<Self>,
        path: &Path,
        recorded: &RecordState,
    ) -> Result<(), StoreError> {
        let store = Arc::new(self.open_whole(path)?);
        store.seal(&store.stamps()?);
        let unchanged =
            matches!(recorded, RecordState::Complete { stamps } if store.unchanged(stamps));
        let mut owned = self.unchanged_pieces(&store);
        if !unchanged {
            log::info!(
                "{}: changed or not known to be whole; checking it",
                self.name()
            );
            let good = self.verified(&store)?;
            let sealed = match recorded {
                RecordState::Complete { stamps } => Some(stamps.as_slice()),
                _ => None,
            };
            if !self.is_enough(&store, &good, sealed) {
                return Err(StoreError::Changed(path.to_owned()));
            }
            owned = good;
        }
        self.set_files(Files::Whole(store));
        self.begin(owned, true);
        if !unchanged {
            self.record();
        }
        Ok(())
    }

    /// Checks what is not known of an opened download and begins.
    fn check(self: &Arc<Self>, known: PieceSet) -> Result<(), StoreError> {
        let Some(download) = self.download() else {
            return Ok(());
        };
        let owned = self.verified_beside(download.store(), known)?;
        download.check_in_place(&owned)?;
        // It may be finished at once, by the only one that holds it.
        drop(download);
        self.begin(owned, false);
        Ok(())
    }

    pub(crate) fn verified(&self, store: &Store) -> Result<PieceSet, StoreError> {
        self.verified_beside(store, PieceSet::empty(self.info().lengths()))
    }

    /// Hashes what is not known to be good; gives all that is.
    fn verified_beside(&self, store: &Store, mut known: PieceSet) -> Result<PieceSet, StoreError> {
        let (threads, interrupt) = (processors(), &self.context.interrupt);
        let needed = self.selection.needed();
        let pieces = self.info().lengths().all_pieces();
        let unknown = pieces.filter(|piece| needed.contains(*piece) && !known.contains(*piece));
        let good = verify(store, unknown, threads, interrupt, &|_| {})?;
        let pieces = self.info().lengths().all_pieces();
        for piece in pieces.filter(|piece| good.contains(*piece)) {
            known.insert(piece);
        }
        Ok(known)
    }

    /// Serves what is owned, and fetches what is not. `whole` says that the files stand in their final place.
    pub(crate) fn begin(self: &Arc<Self>, owned: PieceSet, whole: bool) {
        let finished;
        {
            let mut state = self.state();
            if state.phase != Phase::Checking {
                return;
            }
            let lengths = *self.info().lengths();
            let bytes = lengths.all_pieces().filter(|piece| owned.contains(*piece));
            state.verified_bytes = bytes.map(|piece| u64::from(lengths.length(piece))).sum();
            state.account_for_disk();
            // One that stands in its place fetches nothing more, whatever it lacks.
            let needed = if whole {
                &owned
            } else {
                self.selection.needed()
            };
            let seed = fastrand::u64(..);
            state.picker = Picker::of(lengths, owned.clone(), needed.clone(), seed);
            if self.choice.sequential {
                state.picker.go_in_order();
            }
            finished = state.picker.is_complete() && !whole;
            state.started = self.context.now();
            state.ended = whole.then_some(state.started);
            state.out = false;
            state.phase = if whole {
                Phase::Complete
            } else {
                Phase::Active
            };
            // Inside the lock, so that a download that fails at once is taken out after it was put in.
            self.context.owned.insert(self.info_hash(), owned);
        }
        if self.listed {
            self.announce(Some(Event::Started));
        }
        self.context.changes.notify();
        if finished {
            self.spawn_completion();
        } else if !whole {
            self.ask_web_seeds();
        }
    }

    /// Keeps what of a share is known for the next start, for the first time.
    pub(crate) fn save(&self) -> Result<(), PeerError> {
        Ok(self
            .context
            .records
            .save(&self.to_record(), &self.metainfo)?)
    }

    /// Whether a person may mean this transfer by `name`.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        let file = match &self.kind {
            RecordKind::Share(path) => path.file_name().and_then(|file| file.to_str()),
            RecordKind::Download(place) => Some(place.name.as_str()),
        };
        self.name() == name || file == Some(name) || self.info_hash().to_string() == name
    }

    /// The partial data of a download that let go of it.
    pub(crate) fn open_part(&self) -> Option<Arc<Download>> {
        let RecordKind::Download(place) = &self.kind else {
            return None;
        };
        let opened = self.open_download(place);
        opened.ok().map(Arc::new)
    }

    /// Waits for a download of which every piece is here to be complete or to fail.
    pub(crate) fn wait_until_finished(&self) -> Phase {
        let until = self.context.now() + FINISH_WAIT;
        loop {
            let seen = self.context.changes.count();
            let phase = self.state().phase.clone();
            if phase != Phase::Finishing || self.context.now() > until {
                return phase;
            }
            self.context.changes.wait(seen, Duration::from_millis(100));
        }
    }

    pub(crate) fn close_links(&self, reason: &str) {
        let links: Vec<Arc<Link>> = self.state().links.values().cloned().collect();
        links.iter().for_each(|link| link.close(reason));
    }

    /// Waits until no worker writes to it any more.
    pub(crate) fn wait_for_pool(&self) {
        let until = self.context.now() + POOL_WAIT;
        while self.state().with_pool > 0 && self.context.now() < until {
            self.context.stop.wait(Duration::from_millis(5));
        }
    }
}

//! From the files on disk to a transfer that is served: at a command, and at the start for all that was recorded.

use super::download::Wishes;
use super::link::Link;
use super::shared::Shared;
use super::transfer::{Kind, Phase, Transfer};
use super::{Peer, PeerError};
use crate::storage::{
    Download, FileLayout, Mode, Place, RecordKind, RecordState, Stamp, Store, StoreError,
    remove_replaced, verify,
};
use crate::swarm::Picker;
use crate::torrent::{PieceSet, Selection};
use crate::wire::Event;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

/// How long a cancelled download waits for workers that still write to it.
const POOL_WAIT: Duration = Duration::from_secs(5);
/// How long a cancel waits for one that is being finished.
const FINISH_WAIT: Duration = Duration::from_secs(60);

impl Peer {
    /// Takes up all that was recorded: what is complete and unchanged at once, the rest, which has to be checked, in the
    /// background.
    pub(super) fn restore(&self) -> Result<(), PeerError> {
        let mut found = Vec::new();
        for loaded in self.shared.records.load_all() {
            match loaded {
                Ok((record, metainfo)) => {
                    let kind = match &record.kind {
                        RecordKind::Share { path } => Kind::Share(path.clone()),
                        RecordKind::Download { place } => Kind::Download(place.clone()),
                    };
                    let mut transfer = Transfer::new(&self.shared, metainfo, kind, true);
                    transfer.added_ms = record.added_ms;
                    transfer.replaces = record.replaces;
                    transfer.extends = record.extends;
                    let group = record.group.as_ref();
                    transfer.group = group.map(|(user, group)| self.shared.groups.of(user, group));
                    transfer.wishes = Wishes::recorded(&record.only, record.sequential, false);
                    transfer.choose();
                    transfer.peers = record.peers.clone();
                    transfer.state().sources = record.sources.iter().cloned().collect();
                    if let Ok(transfer) = self.enter(transfer)?
                        && !transfer.reopen_unchanged(&self.shared, &record.state)
                    {
                        found.push((transfer, record.state));
                    }
                }
                Err(error) => log::error!("{error}"),
            }
        }
        self.restore_magnets()?;
        if found.is_empty() {
            return Ok(());
        }
        self.spawn("restore", move |shared| {
            for (transfer, recorded) in found {
                if shared.stop.is_stopped() {
                    return;
                }
                transfer.reopen_or_lose(shared, &recorded);
            }
        })
    }

    /// Finds out, in the background, what of an opened download is there already, and fetches the rest.
    pub(super) fn check_and_begin(&self, transfer: Arc<Transfer>) -> Result<(), PeerError> {
        transfer.check_and_begin(&self.shared)
    }
}

impl Transfer {
    /// Begins at once with a recorded transfer that was complete and whose files are unchanged; says whether it is one.
    fn reopen_unchanged(self: &Arc<Self>, shared: &Arc<Shared>, recorded: &RecordState) -> bool {
        let RecordState::Complete { stamps } = recorded else {
            return false;
        };
        let opened = self.open_whole(&self.path());
        let Some(store) = opened.ok().filter(|store| store.unchanged(stamps)) else {
            return false;
        };
        store.seal(stamps);
        let owned = self.unchanged_pieces(&store);
        self.set_store(Arc::new(store));
        self.begin(shared, owned, true);
        true
    }

    /// Applies the patterns; they meant some file when they were taken.
    fn choose(&mut self) {
        match Selection::of(self.info(), &self.wishes.only) {
            Ok(selection) => self.selection = Arc::new(selection),
            Err(error) => log::error!("{}: {error}; all of it is fetched", self.name()),
        }
    }

    /// Whether what verifies is all that was wanted. Pieces that hold something of other files too may lack that; they are done
    /// without as long as the wanted files are as they were `sealed`: then it is not these that do not verify.
    pub(super) fn is_enough(
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
    pub(super) fn unchanged_pieces(&self, store: &Store) -> PieceSet {
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
    pub(super) fn layout(&self) -> FileLayout {
        FileLayout::chosen(Arc::clone(self.info()), Arc::clone(&self.selection))
    }

    /// Opens files that are whole; each must be there with its length.
    pub(super) fn open_whole(&self, path: &Path) -> Result<Store, StoreError> {
        let store = Store::open(self.layout(), path)?;
        store.stamps()?;
        Ok(store)
    }

    pub(super) fn open_download(&self, place: &Place) -> Result<Download, StoreError> {
        let layout = self.layout();
        let mode = match (self.extends, self.replaces) {
            (true, _) => Mode::extend(&layout, place)?,
            (false, true) => Mode::Replace(self.others()),
            (false, false) => Mode::New,
        };
        Download::open(layout, place, mode)
    }

    /// See [`Peer::check_and_begin`].
    pub(super) fn check_and_begin(self: Arc<Self>, shared: &Arc<Shared>) -> Result<(), PeerError> {
        let nothing = PieceSet::empty(self.info().lengths());
        self.check_others_and_begin(shared, nothing)
    }

    /// The same, where some pieces are known to be good.
    pub(super) fn check_others_and_begin(
        self: Arc<Self>,
        shared: &Arc<Shared>,
        known: PieceSet,
    ) -> Result<(), PeerError> {
        let spawned = shared.spawn("check", move |shared| {
            let interrupt = &shared.interrupt;
            if let Err(error) = self.check(shared, known, interrupt) {
                self.stop_unless_interrupted(shared, &error);
            }
        });
        spawned.map_err(PeerError::Thread)
    }

    /// Goes on with what was recorded: at once with what is complete and unchanged, else once it was checked in the background.
    pub(super) fn go_on(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        recorded: RecordState,
    ) -> Result<(), PeerError> {
        if self.reopen_unchanged(shared, &recorded) {
            return Ok(());
        }
        let transfer = Arc::clone(self);
        let spawned = shared.spawn("restore", move |shared| {
            transfer.reopen_or_lose(shared, &recorded);
        });
        spawned.map_err(PeerError::Thread)
    }

    /// Opens the files of a recorded transfer and begins with what of them can be trusted; ends it if that cannot be.
    fn reopen_or_lose(self: &Arc<Self>, shared: &Arc<Shared>, recorded: &RecordState) {
        match self.reopen(shared, recorded, &shared.interrupt) {
            Ok(()) | Err(StoreError::Stopped) => {}
            Err(error) => self.is_lost(shared, recorded, &error.to_string()),
        }
    }

    fn reopen(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        recorded: &RecordState,
        interrupt: &AtomicBool,
    ) -> Result<(), StoreError> {
        let whole = match &self.kind {
            Kind::Share(path) => path.clone(),
            Kind::Download(place) => {
                let whole = place.path();
                let known_complete = matches!(recorded, RecordState::Complete { .. });
                if !known_complete {
                    // A crash between the renaming and the recording leaves a whole file that is recorded as partial.
                    let renamed = !self.extends
                        && whole.symlink_metadata().is_ok()
                        && (!self.replaces || self.stands_whole(&whole, interrupt)?);
                    if !renamed {
                        self.set_download(Arc::new(self.open_download(place)?));
                        let nothing = PieceSet::empty(self.info().lengths());
                        return self.check(shared, nothing, interrupt);
                    }
                    if self.replaces {
                        remove_replaced(self.info(), place, self.others());
                    }
                }
                whole
            }
            // It is taken up in another way.
            Kind::Magnet(_) => return Ok(()),
        };
        self.reopen_whole(shared, &whole, recorded, interrupt)
    }

    /// Whether what stands there is the share, and not what a download of it is to replace.
    fn stands_whole(&self, path: &Path, interrupt: &AtomicBool) -> Result<bool, StoreError> {
        let Ok(store) = self.open_whole(path) else {
            return Ok(false);
        };
        Ok(self.verified(&store, interrupt)? == *self.selection.needed())
    }

    fn reopen_whole(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        path: &Path,
        recorded: &RecordState,
        interrupt: &AtomicBool,
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
            let good = self.verified(&store, interrupt)?;
            let sealed = match recorded {
                RecordState::Complete { stamps } => Some(stamps.as_slice()),
                _ => None,
            };
            if !self.is_enough(&store, &good, sealed) {
                return Err(StoreError::Changed(path.to_owned()));
            }
            owned = good;
        }
        self.set_store(store);
        self.begin(shared, owned, true);
        if !unchanged {
            self.record(shared);
        }
        Ok(())
    }

    /// Checks what is not known of an opened download and begins.
    fn check(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        known: PieceSet,
        interrupt: &AtomicBool,
    ) -> Result<(), StoreError> {
        let Some(download) = self.download() else {
            return Ok(());
        };
        let owned = self.verified_beside(download.store(), known, interrupt)?;
        download.check_in_place(&owned)?;
        // It may be finished at once, by the only one that holds it.
        drop(download);
        self.begin(shared, owned, false);
        Ok(())
    }

    pub(super) fn verified(
        &self,
        store: &Store,
        interrupt: &AtomicBool,
    ) -> Result<PieceSet, StoreError> {
        let nothing = PieceSet::empty(self.info().lengths());
        self.verified_beside(store, nothing, interrupt)
    }

    /// Hashes what is not known to be good; gives all that is.
    fn verified_beside(
        &self,
        store: &Store,
        mut known: PieceSet,
        interrupt: &AtomicBool,
    ) -> Result<PieceSet, StoreError> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
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

    fn stop_unless_interrupted(&self, shared: &Shared, error: &StoreError) {
        if !matches!(error, StoreError::Stopped) {
            self.fail(shared, &error.to_string());
        }
    }

    /// Serves what is owned, and fetches what is not. `whole` says that the files stand in their final place.
    pub(super) fn begin(self: &Arc<Self>, shared: &Arc<Shared>, owned: PieceSet, whole: bool) {
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
            if self.wishes.sequential {
                state.picker.go_in_order();
            }
            finished = state.picker.is_complete() && !whole;
            state.started = shared.now();
            state.ended = whole.then_some(state.started);
            state.out = false;
            state.phase = if whole {
                Phase::Complete
            } else {
                Phase::Active
            };
            // Inside the lock, so that a download that fails at once is taken out after it was put in.
            shared.owned.insert(Arc::clone(self), owned);
        }
        if self.listed {
            shared.announce(self, Some(Event::Started));
        }
        shared.notify_change();
        if finished {
            self.spawn_completion(shared);
        } else if !whole {
            self.ask_web_seeds(shared);
        }
    }

    /// Keeps what of a share is known for the next start, for the first time.
    pub(super) fn save(&self, shared: &Shared) -> Result<(), PeerError> {
        if let Some(sought) = self.sought() {
            let record = self.to_magnet_record(sought);
            return Ok(shared.records.save_magnet(&record)?);
        }
        let record = self.to_record();
        record.map_or(Ok(()), |record| {
            Ok(shared.records.save(&record, &self.metainfo)?)
        })
    }

    /// Whether a person may mean this transfer by `name`.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let file = match &self.kind {
            Kind::Share(path) => path.file_name().and_then(|file| file.to_str()),
            Kind::Download(place) => Some(place.name.as_str()),
            Kind::Magnet(_) => None,
        };
        self.name() == name || file == Some(name) || self.info_hash().to_string() == name
    }

    /// The partial data of a download that let go of it.
    pub(super) fn open_part(&self) -> Option<Arc<Download>> {
        let Kind::Download(place) = &self.kind else {
            return None;
        };
        let opened = self.open_download(place);
        opened.ok().map(Arc::new)
    }

    /// Waits for a download of which every piece is here to be complete or to fail.
    pub(super) fn wait_until_finished(&self, shared: &Shared) -> Phase {
        let until = shared.now() + FINISH_WAIT;
        loop {
            let seen = shared.changes();
            let phase = self.state().phase.clone();
            if phase != Phase::Finishing || shared.now() > until {
                return phase;
            }
            shared.wait_for_change(seen, Duration::from_millis(100));
        }
    }

    pub(super) fn close_links(&self, reason: &str) {
        let links: Vec<Arc<Link>> = self.state().links.values().cloned().collect();
        links.iter().for_each(|link| link.close(reason));
    }

    /// Waits until no worker writes to it any more.
    pub(super) fn wait_for_pool(&self, shared: &Shared) {
        let until = shared.now() + POOL_WAIT;
        while self.state().with_pool > 0 && shared.now() < until {
            shared.stop.wait(Duration::from_millis(5));
        }
    }
}

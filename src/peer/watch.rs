//! Whole shares whose files change or vanish: they are not served until the files are again what was verified.
//!
//! In scope: looking at the files now and then, what becomes of a share whose files are not as they were, and how it comes
//! back. What is seen just before a block goes out (`link`) ends here too. Downloads under way are not looked at: they
//! are written here, and what does not verify never counts.

use super::shared::Shared;
use super::transfer::{Phase, Transfer};
use crate::storage::{RecordState, Stamp, Store, StoreError};
use crate::torrent::{InfoHash, PieceSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How many files one look takes; the next goes on after them.
const FILES: usize = 2_000;

/// What was found of a share whose files are not as they were.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// How they were at the last look: what is still being written is not worth hashing.
    seen: Option<Vec<Stamp>>,
    /// How they were when they were hashed and were something else.
    wrong: Option<Vec<Stamp>>,
    /// They are being hashed, or the share is just being taken out.
    busy: bool,
    /// Files that are opened and looked at, some at a time.
    looking: Option<Looking>,
}

/// A look at all files of a share, which takes several turns.
#[derive(Debug)]
struct Looking {
    store: Store,
    stamps: Vec<Stamp>,
    /// The file at which it goes on.
    next: usize,
}

/// Looks until the peer stops. Runs on the thread `watch`.
pub(super) fn run(shared: &Arc<Shared>) {
    let mut next = None;
    while !shared.stop.wait(LOOK) {
        next = look(shared, next);
    }
}

/// Looks at some files, from that one of that share on; gives where the next look is to begin.
fn look(shared: &Arc<Shared>, next: Option<(InfoHash, usize)>) -> Option<(InfoHash, usize)> {
    let mut transfers = shared.transfers();
    transfers.sort_by_key(|transfer| transfer.info_hash());
    if let Some((first, _)) = next {
        let before = transfers.partition_point(|transfer| transfer.info_hash() < first);
        transfers.rotate_left(before);
    }
    let mut left = FILES;
    for transfer in transfers {
        let info_hash = transfer.info_hash();
        let start = next.filter(|(first, _)| *first == info_hash);
        let start = start.map_or(0, |(_, file)| file);
        if left == 0 {
            return Some((info_hash, start));
        }
        let phase = transfer.state().phase.clone();
        match (phase, transfer.store()) {
            (Phase::Complete, Some(store)) => match store.look(start, left) {
                Ok(Some(file)) => return Some((info_hash, file)),
                Ok(None) => {}
                Err(error) => transfer.cannot_serve(shared, &error.to_string()),
            },
            (Phase::Lost(_), _) => {
                let (looked, goes_on) = transfer.look_for_lost(shared, left);
                if goes_on {
                    return Some((info_hash, 0));
                }
                left = left.saturating_sub(looked.max(1));
                continue;
            }
            _ => continue,
        }
        let files = transfer.info().files().len().saturating_sub(start);
        left = left.saturating_sub(files.max(1));
    }
    None
}

impl Transfer {
    /// Its files are not what was verified, or cannot be read: of a whole share nothing more is served.
    pub(super) fn cannot_serve(&self, shared: &Shared, reason: &str) {
        {
            let mut state = self.state();
            match state.phase {
                Phase::Complete => state.phase = Phase::Lost(reason.to_owned()),
                Phase::Lost(_) => return,
                _ => {
                    drop(state);
                    return self.set_trouble(format!("cannot serve it: {reason}"));
                }
            }
            state.found = Found {
                busy: true,
                ..Found::default()
            };
            state.links.values().for_each(|link| link.close(reason));
        }
        log::warn!("{}: not served any more: {reason}", self.name());
        shared.owned.remove(self.info_hash());
        self.close_files();
        shared.leave(self);
        // From here on it may come back: not before it is gone.
        self.state().found.busy = false;
        shared.notify_change();
    }

    /// At the start the files of a share that was whole are not what was recorded.
    pub(super) fn is_lost(&self, shared: &Shared, recorded: &RecordState, reason: &str) {
        let RecordState::Complete { stamps } = recorded else {
            return self.fail(shared, reason);
        };
        let mut state = self.state();
        state.sealed = Some(stamps.clone());
        state.phase = Phase::Lost(reason.to_owned());
        drop(state);
        log::warn!("{}: not served: {reason}", self.name());
        shared.notify_change();
    }

    /// Looks whether the files are what was verified again: as they were then, or by their hashes. Gives at how many it looked, no
    /// more than `count`, and whether there are more of them.
    fn look_for_lost(self: &Arc<Self>, shared: &Arc<Shared>, count: usize) -> (usize, bool) {
        let looking = {
            let mut state = self.state();
            if state.found.busy {
                return (0, false);
            }
            state.found.looking.take()
        };
        let opened = looking.map_or_else(|| self.open_to_look(), Ok);
        let files = self.info().files().len();
        let mut looked = 0;
        let seen = opened.and_then(|mut looking| {
            looked = count.min(files.saturating_sub(looking.next));
            let Looking {
                store,
                stamps,
                next,
            } = &mut looking;
            let goes_on = store.stamps_from(*next, count, stamps)?;
            *next = goes_on.unwrap_or(files);
            Ok((looking, goes_on.is_some()))
        });
        match seen {
            Ok((looking, true)) => {
                self.state().found.looking = Some(looking);
                return (looked, true);
            }
            Ok((Looking { store, stamps, .. }, false)) => {
                store.seal(&stamps);
                self.was_looked_at(shared, store, stamps);
            }
            Err(error) => {
                let mut state = self.state();
                state.found = Found::default();
                state.still_lost(&error);
            }
        }
        (looked, false)
    }

    fn open_to_look(&self) -> Result<Looking, StoreError> {
        Ok(Looking {
            store: Store::open(self.layout(), &self.path())?,
            stamps: Vec::new(),
            next: 0,
        })
    }

    /// All files are there, and look like this.
    fn was_looked_at(self: &Arc<Self>, shared: &Arc<Shared>, store: Store, stamps: Vec<Stamp>) {
        let mut state = self.state();
        if state.sealed.as_ref() == Some(&stamps) {
            drop(state);
            let owned = self.unchanged_pieces(&store);
            return self.regain(shared, store, owned);
        }
        if state.found.seen.replace(stamps.clone()).as_ref() != Some(&stamps)
            || state.found.wrong.as_ref() == Some(&stamps)
        {
            return;
        }
        state.found.busy = true;
        state.phase = Phase::Lost("changed, and being checked".to_owned());
        drop(state);
        let transfer = Arc::clone(self);
        let spawned = shared.spawn("check", move |shared| {
            transfer.check_lost(shared, store, stamps, &shared.interrupt);
        });
        if let Err(error) = spawned {
            log::warn!("{}: cannot be checked: {error}", self.name());
            self.state().found.busy = false;
        }
    }

    fn check_lost(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        store: Store,
        stamps: Vec<Stamp>,
        interrupt: &AtomicBool,
    ) {
        let verified = self.verified(&store, interrupt);
        let sealed = self.state().sealed.clone();
        let error = match verified {
            Ok(owned) if self.is_enough(&store, &owned, sealed.as_deref()) => {
                return self.regain(shared, store, owned);
            }
            Ok(_) => StoreError::Changed(self.path()),
            Err(error) => error,
        };
        let mut state = self.state();
        state.found.busy = false;
        state.found.wrong = Some(stamps);
        state.still_lost(&error);
        drop(state);
        log::warn!("{}: not served: {error}", self.name());
        shared.notify_change();
    }

    /// The files, open and sealed, are what was verified: it goes on.
    fn regain(self: &Arc<Self>, shared: &Arc<Shared>, store: Store, owned: PieceSet) {
        let current = shared.transfer(self.info_hash());
        // Another download may have taken its place, or it may be shared no more.
        if !current.is_some_and(|current| Arc::ptr_eq(&current, self)) {
            return;
        }
        {
            let mut state = self.state();
            if !matches!(state.phase, Phase::Lost(_)) {
                return;
            }
            state.found = Found::default();
            state.trouble = None;
            state.phase = Phase::Checking;
        }
        self.set_store(Arc::new(store));
        log::info!("{}: served again", self.name());
        self.begin(shared, owned, true);
        self.record(shared);
    }
}

impl super::transfer::State {
    fn still_lost(&mut self, error: &StoreError) {
        if matches!(self.phase, Phase::Lost(_)) {
            self.phase = Phase::Lost(error.to_string());
        }
    }
}

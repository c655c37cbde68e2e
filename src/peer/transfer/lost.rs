//! A whole share whose files are not what was verified, and how it comes back.

use super::{FileWatch, Files, Looking, Phase, State, Transfer};
use crate::storage::{RecordState, Stamp, Store, StoreError};
use crate::torrent::PieceSet;
use std::sync::Arc;

impl Transfer {
    /// Its files are not what was verified, or cannot be read: of a whole share nothing more is served.
    pub(crate) fn cannot_serve(&self, reason: &str) {
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
            state.watch = FileWatch {
                busy: true,
                ..FileWatch::default()
            };
            state.links.values().for_each(|link| link.close(reason));
        }
        log::warn!("{}: not served any more: {reason}", self.name());
        self.context.owned.remove(self.info_hash());
        self.close_files();
        self.leave();
        // From here on it may come back: not before it is gone.
        self.state().watch.busy = false;
        self.context.changes.notify();
    }

    /// At the start the files of a share that was whole are not what was recorded.
    pub(crate) fn is_lost(&self, recorded: &RecordState, reason: &str) {
        let RecordState::Complete { stamps } = recorded else {
            return self.fail(reason);
        };
        let mut state = self.state();
        state.sealed = Some(stamps.clone());
        state.phase = Phase::Lost(reason.to_owned());
        drop(state);
        log::warn!("{}: not served: {reason}", self.name());
        self.context.changes.notify();
    }

    /// Looks whether the files are what was verified again: as they were then, or by their hashes. Gives at how many it looked, no
    /// more than `count`, and whether there are more of them.
    pub(crate) fn look_for_lost(self: &Arc<Self>, count: usize) -> (usize, bool) {
        let looking = {
            let mut state = self.state();
            if state.watch.busy {
                return (0, false);
            }
            state.watch.looking.take()
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
                self.state().watch.looking = Some(looking);
                return (looked, true);
            }
            Ok((Looking { store, stamps, .. }, false)) => {
                store.seal(&stamps);
                self.was_looked_at(store, stamps);
            }
            Err(error) => {
                let mut state = self.state();
                state.watch = FileWatch::default();
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
    fn was_looked_at(self: &Arc<Self>, store: Store, stamps: Vec<Stamp>) {
        let mut state = self.state();
        if state.sealed.as_ref() == Some(&stamps) {
            drop(state);
            let owned = self.unchanged_pieces(&store);
            return self.regain(store, owned);
        }
        if state.watch.seen.replace(stamps.clone()).as_ref() != Some(&stamps)
            || state.watch.wrong.as_ref() == Some(&stamps)
        {
            return;
        }
        state.watch.busy = true;
        state.phase = Phase::Lost("changed, and being checked".to_owned());
        drop(state);
        let transfer = Arc::clone(self);
        let spawned = self.context.tasks.spawn("check", move || {
            transfer.check_lost(store, stamps);
        });
        if let Err(error) = spawned {
            log::warn!("{}: cannot be checked: {error}", self.name());
            self.state().watch.busy = false;
        }
    }

    fn check_lost(self: &Arc<Self>, store: Store, stamps: Vec<Stamp>) {
        let verified = self.verified(&store);
        let sealed = self.state().sealed.clone();
        let error = match verified {
            Ok(owned) if self.is_enough(&store, &owned, sealed.as_deref()) => {
                return self.regain(store, owned);
            }
            Ok(_) => StoreError::Changed(self.path()),
            Err(error) => error,
        };
        let mut state = self.state();
        state.watch.busy = false;
        state.watch.wrong = Some(stamps);
        state.still_lost(&error);
        drop(state);
        log::warn!("{}: not served: {error}", self.name());
        self.context.changes.notify();
    }

    /// The files, open and sealed, are what was verified: it goes on.
    fn regain(self: &Arc<Self>, store: Store, owned: PieceSet) {
        {
            let mut state = self.state();
            // Another download may have taken its place, or it may be shared no longer.
            if state.retired || !matches!(state.phase, Phase::Lost(_)) {
                return;
            }
            state.watch = FileWatch::default();
            state.trouble = None;
            state.phase = Phase::Checking;
        }
        self.set_files(Files::Whole(Arc::new(store)));
        log::info!("{}: served again", self.name());
        self.begin(owned, true);
        self.record();
    }
}

impl State {
    fn still_lost(&mut self, error: &StoreError) {
        if matches!(self.phase, Phase::Lost(_)) {
            self.phase = Phase::Lost(error.to_string());
        }
    }
}

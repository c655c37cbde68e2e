//! The replica driven: what happens is told to it, and what it says is done.

use super::saving::{Save, Saves};
use crate::storage::Database;
use crate::torrent::InfoHash;
use crate::tracker::clock::since_1970;
use crate::tracker::outbox::Outbox;
use crate::tracker::registry::Sequence;
use crate::tracker::replication::{Copies, Effect, LineId, Moment, Replica, Report, Serving};
use crate::wire::twin::Message;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

/// Something to be written to a line between trackers.
#[derive(Debug)]
pub(in crate::tracker) enum Outgoing {
    /// This message.
    Message(Message),
    /// The part of a blob from this byte on, read when its turn comes.
    Blob(InfoHash, u32),
}

/// What is still to be written to one.
pub(in crate::tracker) type LineOutbox = Outbox<Outgoing>;

/// What the threads of the registry store share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: RwLock<State>,
    pub(super) saves: Saves,
    pub(super) database: Database,
    pub(super) epoch: Instant,
}

/// What its one lock guards.
#[derive(Debug)]
pub(super) struct State {
    pub(super) replica: Replica,
    pub(super) lines: HashMap<LineId, Arc<LineOutbox>>,
    pub(super) last_line: u64,
    /// Who waits for which write.
    pub(super) waiting: HashMap<Sequence, SyncSender<Copies>>,
    /// The last commit handed out.
    pub(super) issued: u64,
    /// Restored, and not caught up so far as the disk knows.
    pub(super) restored: bool,
    pub(super) failed: bool,
    pub(super) ending: bool,
}

impl Shared {
    pub(super) fn look(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the replica what has happened and does what it says, in one go.
    pub(super) fn happens(&self, event: impl FnOnce(&mut Replica, Moment) -> Vec<Effect>) {
        let mut state = self.state();
        if state.failed {
            return;
        }
        let effects = event(&mut state.replica, moment(self.epoch));
        let reports = self.act(&mut state, effects);
        drop(state);
        reports.iter().for_each(tell);
    }

    /// Does what the replica says; gives what the operator is to be told once the lock is free, as that writes a file.
    #[must_use]
    pub(super) fn act(&self, state: &mut State, effects: Vec<Effect>) -> Vec<Report> {
        let mut reports = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send(line, message) => state.send(line, Outgoing::Message(message)),
                Effect::SendBlob {
                    line,
                    info_hash,
                    offset,
                } => state.send(line, Outgoing::Blob(info_hash, offset)),
                Effect::Close(line) => {
                    if let Some(outbox) = state.lines.remove(&line) {
                        outbox.give_up();
                    }
                }
                Effect::Commit(commit) => {
                    state.issued = commit.number;
                    self.saves.push(Save::Commit(commit));
                }
                Effect::Acknowledge { write, copies } => {
                    if let Some(waiting) = state.waiting.remove(&write) {
                        // Who has given up waiting is told nothing.
                        let _ = waiting.try_send(copies);
                    }
                }
                Effect::Abandon { write } => drop(state.waiting.remove(&write)),
                // An end of its own making is no news.
                Effect::Report(Report::Split { .. }) if state.ending => {}
                Effect::Report(report) => {
                    if report == Report::Serves && std::mem::take(&mut state.restored) {
                        self.saves.push(Save::CaughtUp);
                    }
                    reports.push(report);
                }
            }
        }
        reports
    }

    /// Saves until the end. Runs on the thread `registry`.
    pub(super) fn save(&self) {
        let saved = self.saves.save(&self.database, |last| {
            self.happens(|replica, now| replica.committed(last, now));
        });
        if let Err(error) = saved {
            log::error!("accounts and groups are not served any more: {error}");
            let mut state = self.state();
            state.failed = true;
            state.waiting.clear();
            state.close_lines();
        }
    }
}

impl State {
    pub(super) fn serving(&self) -> Serving {
        match self.failed {
            true => Serving::Failed,
            false => self.replica.serving(),
        }
    }

    pub(super) fn send(&self, line: LineId, outgoing: Outgoing) {
        if let Some(outbox) = self.lines.get(&line) {
            outbox.push(outgoing);
        }
    }

    pub(super) fn wait_for(&mut self, write: Sequence) -> Receiver<Copies> {
        let (done, waiting) = sync_channel(1);
        self.waiting.insert(write, done);
        waiting
    }

    pub(super) fn close_lines(&mut self) -> Vec<LineId> {
        let lines = self.lines.drain();
        lines
            .map(|(line, outbox)| {
                outbox.give_up();
                line
            })
            .collect()
    }
}

/// Tells the operator.
pub(super) fn tell(report: &Report) {
    match report {
        Report::Halted(_) => log::error!("{report}"),
        Report::Serves | Report::Healed { .. } => log::info!("{report}"),
        _ => log::warn!("{report}"),
    }
}

pub(super) fn moment(epoch: Instant) -> Moment {
    Moment {
        elapsed: epoch.elapsed(),
        wall: since_1970(),
    }
}

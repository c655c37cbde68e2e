//! The registry of one tracker, with the database below it and the other trackers beside it: what it says is durable.
//!
//! In scope: opening, reading, writing one operation at a time, and driving the [`Replica`] that owns the registry: its
//! commits go to the thread `registry`, its messages to the outboxes of lines, its time comes from the thread `replica`.
//! Out of scope: who may do what, what is told to whom (`replication`), and the lines themselves (`replicas`).
//!
//! A write returns when it is durable here and at another tracker, or here alone if none is in step. Only whoever asked for it
//! waits: the registry is free for others meanwhile. After a failed commit memory is ahead of the disk: nothing is read,
//! written or told to anybody any more.
//!
//! Locks: `state`, then the queue of `saves` or an outbox. `state` is never held over I/O or a wait.

mod opening;
mod saving;

pub use opening::OpenError;

use super::Threads;
use super::outbox::Outbox;
use super::registry::{Refusal, Registry, Row, Sequence, Update};
use super::replication::{
    BATCH_BYTES, BlobRules, ClusterStatus, Copies, Effect, Moment, Replica, ReplicaConnectionId,
    ReplicaError, ReplicaSettings, Report, Serving, StartData,
};
use crate::net::Stop;
use crate::storage::{Database, DatabaseError};
use crate::system::{recover, since_1970};
use crate::torrent::{Info, InfoHash};
use crate::wire::replica::{Message, TrackerNumber};
use opening::{load, spare};
use saving::{Save, Saves};
use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// Something to be written to a line between trackers.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// This message.
    Message(Message),
    /// The part of a blob from this byte on, read when its turn comes.
    Blob(InfoHash, u32),
}

/// What is still to be written to one.
pub(super) type ReplicaOutbox = Outbox<Outgoing>;

/// How often time passes for the replica.
const TICK_INTERVAL: Duration = Duration::from_millis(100);
/// How long a write or an answer waits for a disk that does not get on.
const DISK_TIMEOUT: Duration = Duration::from_secs(60);

/// A registry, where it lasts, and its other copies.
#[derive(Debug)]
pub struct RegistryStore {
    shared: Arc<Shared>,
    stop: Stop,
    threads: Threads,
}

/// Which tracker this is.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Its number.
    pub number: TrackerNumber,
    /// The numbers of all trackers listed.
    pub listed: Vec<TrackerNumber>,
    /// Whether it serves at once, whatever its data: the operator says that no other tracker has newer ones.
    pub alone: bool,
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A rule forbids it, or this tracker does not serve; nothing was changed.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// It could not be made durable. Whether it was is known when the tracker is started again.
    #[error("the tracker cannot write its database; its log says why")]
    NotSaved,
}

/// Where what was written is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// At each tracker that there must be: two, or the only one.
    Safe,
    /// Only here so far, though others are listed.
    OnlyHere,
}

impl RegistryStore {
    /// Opens the registry in a state folder, and makes an empty one if there is none.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(folder: &Path, position: StoreOptions) -> Result<Self, OpenError> {
        let (database, stored) = Database::open(folder)?;
        let blobs: Vec<InfoHash> = stored.blobs.iter().copied().map(InfoHash).collect();
        let restored = stored.restored;
        let start = match (position.alone, restored, stored.versions.is_empty()) {
            (true, _, _) => StartData::Alone,
            (_, true, _) => StartData::Restored,
            (_, _, true) => StartData::Empty,
            _ => StartData::Resumed,
        };
        let settings = ReplicaSettings {
            number: position.number,
            listed: position.listed,
            batch: BATCH_BYTES,
            blobs: BlobRules {
                named_by: blob_named_by,
                is_valid: |hash, bytes| Info::parse(bytes).is_ok_and(|it| it.info_hash() == hash),
            },
            spare: spare(folder)?,
        };
        let epoch = Instant::now();
        let registry = load(folder, stored)?;
        let replica = Replica::new(settings, registry, blobs, start, moment(epoch));
        let shared = Arc::new(Shared {
            state: RwLock::new(State {
                replica,
                connections: HashMap::new(),
                last_connection: 0,
                waiting_writes: HashMap::new(),
                issued: 0,
                restored,
                failed: false,
                ending: false,
            }),
            saves: Saves::default(),
            database,
            epoch,
        });
        let store = Self {
            shared,
            stop: Stop::new(),
            threads: Threads::default(),
        };
        // What followed from the start is done now, before anybody asks.
        store.shared.apply(Replica::tick);
        let saving = Arc::clone(&store.shared);
        let registry = Builder::new().name("registry".to_owned());
        let started = store.threads.start(registry, move || saving.save());
        started.map_err(OpenError::Thread)?;
        let (ticking, stop) = (Arc::clone(&store.shared), store.stop.clone());
        let replica = Builder::new().name("replica".to_owned());
        let started = store.threads.start(replica, move || {
            while !stop.wait(TICK_INTERVAL) {
                ticking.apply(Replica::tick);
            }
        });
        started.map_err(OpenError::Thread)?;
        Ok(store)
    }

    /// The registry in the state folder of a tracker that does not run, and the info dictionaries beside it; nothing is
    /// changed there.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn read_offline(folder: &Path) -> Result<(Registry, BTreeSet<InfoHash>), OpenError> {
        let stored = Database::read(folder)?;
        let blobs = stored.blobs.iter().copied().map(InfoHash).collect();
        Ok((load(folder, stored)?, blobs))
    }

    /// Writes a backup of all that is durable now.
    pub(super) fn back_up(&self, out: &mut dyn Write) -> Result<(), DatabaseError> {
        self.shared.database.back_up(out)
    }

    /// Ends all lines to other trackers, and takes no more: nothing waits for them from now on.
    pub fn close_connections(&self) {
        self.stop.stop();
        let connections = {
            let mut state = self.shared.write_state();
            state.ending = true;
            state.close_connections()
        };
        for connection in connections {
            self.on_disconnected(connection);
        }
    }

    /// Ends the lines and, once all is saved, the threads.
    pub fn stop(&self) {
        self.close_connections();
        self.shared.saves.end();
        self.threads.wait();
    }

    /// Whether this tracker serves; after a failed commit it does not.
    pub(super) fn check_serving(&self) -> Result<(), WriteError> {
        let now = moment(self.shared.epoch);
        // A request that lay here while this process stood still, before the first tick since.
        let stalled_for = self.shared.read_state().replica.stalled_for(now).is_some();
        if stalled_for {
            self.shared.apply(Replica::tick);
        }
        match self.shared.read_state().serving() {
            Serving::Yes => Ok(()),
            why => Err(ReplicaError::NotServing(why).into()),
        }
    }

    /// How it stands with the other trackers.
    pub fn status(&self) -> ClusterStatus {
        let now = moment(self.shared.epoch);
        let state = self.shared.read_state();
        ClusterStatus {
            serving: state.serving(),
            ..state.replica.status(now)
        }
    }

    /// Looks at the registry as it is now. It may not be on the disk yet: see [`RegistryStore::wait_until_durable`].
    pub(super) fn read<T>(&self, look: impl FnOnce(&Registry) -> T) -> T {
        look(self.shared.read_state().replica.registry())
    }

    /// Waits until all that could be read so far is durable.
    pub(super) fn wait_until_durable(&self) -> Result<(), WriteError> {
        let issued = self.shared.read_state().issued;
        match self.shared.saves.wait_for(issued, DISK_TIMEOUT) {
            true => Ok(()),
            false => Err(WriteError::NotSaved),
        }
    }

    /// Carries out one operation; when it returns, the outcome is durable.
    pub(super) fn write(
        &self,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<Written, WriteError> {
        self.write_with(None, operation)
    }

    /// Carries out one operation whose rows name an info dictionary, which lasts together with them.
    pub(super) fn write_with(
        &self,
        info: Option<&Info>,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<Written, WriteError> {
        let blobs = info.map(|info| (info.info_hash(), info.raw().to_vec()));
        let (done, single, reports) = {
            let now = moment(self.shared.epoch);
            let mut state = self.shared.write_state();
            if state.failed {
                return Err(ReplicaError::NotServing(Serving::Failed).into());
            }
            let blobs = blobs.into_iter().collect();
            let (write, effects) = state.replica.write(blobs, now, operation)?;
            let done = state.wait_for(write);
            let reports = self.shared.perform(&mut state, effects);
            (done, state.replica.is_single(), reports)
        };
        reports.iter().for_each(log_report);
        match done.recv_timeout(DISK_TIMEOUT) {
            Ok(Copies::OnlyHere) if !single => Ok(Written::OnlyHere),
            Ok(_) => Ok(Written::Safe),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(WriteError::NotSaved)
            }
        }
    }

    /// The info dictionary of that info-hash, if some row named it.
    pub(super) fn info(&self, info_hash: InfoHash) -> Result<Option<Vec<u8>>, DatabaseError> {
        self.shared.database.blob(&info_hash.0)
    }

    /// These trackers are listed now.
    pub(super) fn set_listed(&self, listed: Vec<TrackerNumber>) {
        self.shared
            .apply(|replica, now| replica.set_listed(listed, now));
    }

    /// A line to another tracker is up, and takes messages by that outbox.
    pub(super) fn on_connected(&self, outbox: &Arc<ReplicaOutbox>) -> ReplicaConnectionId {
        let mut state = self.shared.write_state();
        state.last_connection += 1;
        let connection = ReplicaConnectionId(state.last_connection);
        if state.failed || self.stop.is_stopped() {
            outbox.give_up();
            return connection;
        }
        state.connections.insert(connection, Arc::clone(outbox));
        let effects = state
            .replica
            .on_connected(connection, moment(self.shared.epoch));
        let reports = self.shared.perform(&mut state, effects);
        drop(state);
        reports.iter().for_each(log_report);
        connection
    }

    /// A message has come over a line.
    pub(super) fn on_message(&self, connection: ReplicaConnectionId, message: Message) {
        self.shared
            .apply(|replica, now| replica.on_message(connection, message, now));
    }

    /// A part of a message has come over a line.
    pub(super) fn on_bytes(&self, connection: ReplicaConnectionId) {
        self.shared
            .apply(|replica, now| replica.on_bytes(connection, now));
    }

    /// A line has ended.
    pub(super) fn on_disconnected(&self, connection: ReplicaConnectionId) {
        self.shared.write_state().connections.remove(&connection);
        self.shared
            .apply(|replica, now| replica.on_disconnected(connection, now));
    }
}

impl Drop for RegistryStore {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the threads of the registry store share.
#[derive(Debug)]
struct Shared {
    state: RwLock<State>,
    saves: Saves,
    database: Database,
    epoch: Instant,
}

/// What its one lock guards.
#[derive(Debug)]
struct State {
    replica: Replica,
    connections: HashMap<ReplicaConnectionId, Arc<ReplicaOutbox>>,
    last_connection: u64,
    /// Who waits for which write.
    waiting_writes: HashMap<Sequence, SyncSender<Copies>>,
    /// The last commit handed out.
    issued: u64,
    /// Restored, and not caught up so far as the disk knows.
    restored: bool,
    failed: bool,
    ending: bool,
}

impl Shared {
    fn read_state(&self) -> RwLockReadGuard<'_, State> {
        recover(self.state.read())
    }

    fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        recover(self.state.write())
    }

    /// Tells the replica what has happened and does what it says, in one go.
    fn apply(&self, event: impl FnOnce(&mut Replica, Moment) -> Vec<Effect>) {
        let mut state = self.write_state();
        if state.failed {
            return;
        }
        let effects = event(&mut state.replica, moment(self.epoch));
        let reports = self.perform(&mut state, effects);
        drop(state);
        reports.iter().for_each(log_report);
    }

    /// Does what the replica says; gives what the operator is to be told once the lock is free, as that writes a file.
    #[must_use]
    fn perform(&self, state: &mut State, effects: Vec<Effect>) -> Vec<Report> {
        let mut reports = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send(connection, message) => {
                    state.send(connection, Outgoing::Message(message))
                }
                Effect::SendBlob {
                    connection,
                    info_hash,
                    offset,
                } => state.send(connection, Outgoing::Blob(info_hash, offset)),
                Effect::Close(connection) => {
                    if let Some(outbox) = state.connections.remove(&connection) {
                        outbox.give_up();
                    }
                }
                Effect::Commit(commit) => {
                    state.issued = commit.number;
                    self.saves.push(Save::Commit(commit));
                }
                Effect::Acknowledge { write, copies } => {
                    if let Some(waiting) = state.waiting_writes.remove(&write) {
                        // Who has given up waiting is told nothing.
                        let _ = waiting.try_send(copies);
                    }
                }
                Effect::Abandon { write } => drop(state.waiting_writes.remove(&write)),
                // An end of its own making is no news.
                Effect::Report(Report::Lost { .. }) if state.ending => {}
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
    fn save(&self) {
        let saved = self.saves.save(&self.database, |last| {
            self.apply(|replica, now| replica.on_committed(last, now));
        });
        if let Err(error) = saved {
            log::error!("accounts and groups are not served any more: {error}");
            let mut state = self.write_state();
            state.failed = true;
            state.waiting_writes.clear();
            state.close_connections();
        }
    }
}

impl State {
    fn serving(&self) -> Serving {
        match self.failed {
            true => Serving::Failed,
            false => self.replica.serving(),
        }
    }

    fn send(&self, connection: ReplicaConnectionId, outgoing: Outgoing) {
        if let Some(outbox) = self.connections.get(&connection) {
            outbox.push(outgoing);
        }
    }

    fn wait_for(&mut self, write: Sequence) -> Receiver<Copies> {
        let (done, waiting) = sync_channel(1);
        self.waiting_writes.insert(write, done);
        waiting
    }

    fn close_connections(&mut self) -> Vec<ReplicaConnectionId> {
        let connections = self.connections.drain();
        connections
            .map(|(connection, outbox)| {
                outbox.give_up();
                connection
            })
            .collect()
    }
}

/// Tells the operator.
fn log_report(report: &Report) {
    match report {
        Report::Halted(_) => log::error!("{report}"),
        Report::Serves | Report::InSync { .. } => log::info!("{report}"),
        _ => log::warn!("{report}"),
    }
}

fn moment(epoch: Instant) -> Moment {
    Moment {
        elapsed: epoch.elapsed(),
        wall: since_1970(),
    }
}

/// The info dictionary that a row needs beside it. A share that was withdrawn needs none any more.
pub(crate) fn blob_named_by(row: &Row) -> Option<InfoHash> {
    match row {
        Row::Share(share) if share.withdrawn.is_none() => Some(share.info_hash),
        _ => None,
    }
}

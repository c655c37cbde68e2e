//! The registry of one tracker, together with its database and its replication.
//!
//! In scope: opening, reading, applying one write at a time, and driving the [`Replica`] that owns
//! the registry. The replica's commits go to the thread `registry`, its messages to the outboxes of
//! the replica connections. The thread `replica` calls [`Replica::tick`]. Out of scope: access
//! rights, the decisions of replication (`replication`), and the connections themselves
//! (`replicas`).
//!
//! A write returns when it is durable here and at another tracker. If no other tracker is current,
//! or if none confirms the write within [`PUSH_WAIT`](super::replication::PUSH_WAIT), it returns
//! when it is durable here alone. Only its caller waits; others use the registry meanwhile. After a
//! failed commit, memory is ahead of the disk: nothing is read, written or sent until the commit
//! has been repeated with success. Meanwhile this tracker has no replica connections.
//!
//! Locks: a thread that holds `state` may lock the queue of `saves`, the `changes` or an outbox,
//! but not the reverse. `state` is never held over I/O or a wait.

mod changes;
mod opening;
mod saving;
mod writing;

pub use opening::OpenError;

use super::Threads;
use super::outbox::Outbox;
use super::registry::{Changed, Refusal, Registry, Row, RowId, Sequence, Update};
use super::replication::{
    BATCH_BYTES, BlobRules, ClusterStatus, Copies, Effect, Moment, Replica, ReplicaConnectionId,
    ReplicaError, ReplicaSettings, Report, Serving, StartData,
};
use crate::net::Stop;
use crate::storage::{Database, DatabaseError};
use crate::system::{boot_clock, recover, since_1970};
use crate::torrent::{Info, InfoHash};
use crate::wire::replica::{ReplicaMessage, TrackerNumber};
use changes::ChangeQueue;
use opening::{fresh_origin, load};
use saving::{Save, SaveEvent, Saves};
use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::Builder;
use std::time::Duration;

/// What is written to a replica connection.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A message.
    Message(ReplicaMessage),
    /// The part of a blob from this byte on. The part is read just before it is sent.
    Blob(InfoHash, u32),
}

/// The outbox of one replica connection.
pub(super) type ReplicaOutbox = Outbox<Outgoing>;

/// Interval between two ticks of the replica.
const TICK_INTERVAL: Duration = Duration::from_millis(100);
/// If the disk has less free space than this, in bytes, no share can be published. Uploads that are
/// under way need at most half of this space, so the rest is left for small writes.
const MIN_FREE_SPACE: u64 = 256 << 20;
/// When the disk had too little free space and now has this much, in bytes, the operator is
/// notified that it has room again.
const ENOUGH_FREE_SPACE: u64 = 320 << 20;
/// Number of ticks from one check of the free space to the next. These ticks take 10 s.
const TICKS_PER_SPACE_CHECK: u64 = 100;
/// How long a write or an answer waits for the disk.
const DISK_TIMEOUT: Duration = Duration::from_secs(60);

/// A registry with its database and its replication.
#[derive(Debug)]
pub struct RegistryStore {
    shared: Arc<SharedStore>,
    stop: Stop,
    threads: Threads,
}

/// The options with which a tracker opens its registry.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Number of this tracker.
    pub number: TrackerNumber,
    /// Numbers of all listed trackers.
    pub listed: Vec<TrackerNumber>,
    /// Whether this tracker serves at once, whatever data it has: the operator guarantees that no
    /// other tracker has newer data.
    pub alone: bool,
}

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A rule forbids it, or this tracker does not serve. Nothing has changed.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// It is not known whether the write is durable: the disk failed or took too long, or this
    /// tracker has stopped serving.
    #[error("the tracker cannot write its database; its operator must look at its disk")]
    NotSaved,
    /// The disk has too little free space for a new share.
    #[error("the disk of the tracker has only {0} bytes free; its operator must make room")]
    LittleSpace(u64),
}

/// Where a write is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// At two trackers, or at the only one that is listed.
    Safe,
    /// Only here so far, although other trackers are listed.
    OnlyHere,
}

impl RegistryStore {
    /// Opens the registry in a state folder. Creates an empty registry if there is none.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        let (database, mut stored) = Database::open(folder)?;
        let blobs = std::mem::take(&mut stored.blobs).into_iter();
        let blobs: Vec<(InfoHash, u32)> = blobs
            .map(|(info_hash, length)| (InfoHash(info_hash), length))
            .collect();
        let restored = stored.restored;
        let start = match (options.alone, restored, stored.versions.is_empty()) {
            (true, _, _) => StartData::Alone,
            (_, true, _) => StartData::Restored,
            (_, _, true) => StartData::Empty,
            _ => StartData::Resumed,
        };
        let settings = ReplicaSettings {
            number: options.number,
            listed: options.listed,
            batch: BATCH_BYTES,
            blobs: BlobRules {
                named_by: blob_named_by,
                is_valid: |hash, bytes| Info::parse(bytes).is_ok_and(|it| it.info_hash() == hash),
            },
            spare: fresh_origin(folder)?,
        };
        let epoch = boot_clock();
        let mut registry = load(folder, stored)?;
        for (info_hash, length) in &blobs {
            registry.set_metadata_length(*info_hash, *length);
        }
        let blobs = blobs.into_iter().map(|(info_hash, _)| info_hash);
        let replica = Replica::new(settings, registry, blobs, start, moment(epoch));
        let shared = Arc::new(SharedStore {
            state: RwLock::new(State {
                replica,
                connections: HashMap::new(),
                last_connection: 0,
                waiting_writes: HashMap::new(),
                last_commit: 0,
                restored,
                failed: false,
                ending: false,
            }),
            saves: Saves::default(),
            changes: ChangeQueue::default(),
            database,
            epoch,
            has_little_space: AtomicBool::new(false),
        });
        let store = Self {
            shared,
            stop: Stop::new(),
            threads: Threads::default(),
        };
        // The first tick performs the effects of the start, before the first request arrives.
        store.shared.apply(Replica::tick);
        let saving = Arc::clone(&store.shared);
        let registry = Builder::new().name("registry".to_owned());
        let started = store.threads.start(registry, move || saving.save());
        started.map_err(OpenError::Thread)?;
        let (ticking, stop) = (Arc::clone(&store.shared), store.stop.clone());
        let replica = Builder::new().name("replica".to_owned());
        let started = store
            .threads
            .start(replica, move || ticking.tick_until(&stop));
        started.map_err(OpenError::Thread)?;
        Ok(store)
    }

    /// Reads the registry and the info-hashes of its info dictionaries from the state folder of a
    /// tracker that does not run. Changes nothing there.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn read_offline(folder: &Path) -> Result<(Registry, BTreeSet<InfoHash>), OpenError> {
        let stored = Database::read(folder)?;
        let blobs = stored.blobs.iter();
        let blobs = blobs.map(|(info_hash, _)| InfoHash(*info_hash)).collect();
        Ok((load(folder, stored)?, blobs))
    }

    /// Writes a backup of everything that is durable now.
    pub(super) fn back_up(&self, out: &mut dyn Write) -> Result<(), DatabaseError> {
        self.shared.database.back_up(out)
    }

    /// Closes all replica connections and accepts no more. From then on no write waits for another
    /// tracker.
    pub fn close_replica_connections(&self) {
        self.stop.stop();
        self.shared.changes.end();
        let connections = {
            let mut state = self.shared.write_state();
            state.ending = true;
            state.close_replica_connections()
        };
        for connection in connections {
            self.on_disconnected(connection);
        }
    }

    /// Closes the replica connections, and ends the threads once everything is saved.
    pub fn stop(&self) {
        self.close_replica_connections();
        self.shared.saves.end();
        self.threads.wait();
    }

    /// Fails if this tracker does not serve, or after a failed commit.
    pub(super) fn check_serving(&self) -> Result<(), WriteError> {
        let now = moment(self.shared.epoch);
        // This process may have stalled while the request waited, and no tick has come since.
        let is_stalled = self.shared.read_state().replica.stalled_for(now).is_some();
        if is_stalled {
            self.shared.apply(Replica::tick);
        }
        match self.shared.read_state().serving() {
            Serving::Yes => Ok(()),
            why => Err(ReplicaError::NotServing(why).into()),
        }
    }

    /// Fails if the disk has too little free space for a new share.
    pub(super) fn check_space(&self) -> Result<(), WriteError> {
        match self.shared.look_at_space() {
            free if free < MIN_FREE_SPACE => Err(WriteError::LittleSpace(free)),
            _ => Ok(()),
        }
    }

    /// State of this tracker, and of its replication with every other tracker.
    pub fn status(&self) -> ClusterStatus {
        let now = moment(self.shared.epoch);
        let state = self.shared.read_state();
        ClusterStatus {
            serving: state.serving(),
            ..state.replica.status(now)
        }
    }

    /// Reads the registry in memory. Its last changes may not be durable yet: see
    /// [`RegistryStore::wait_until_durable`].
    pub(super) fn read<T>(&self, look: impl FnOnce(&Registry) -> T) -> T {
        look(self.shared.read_state().replica.registry())
    }

    /// Waits at most `limit` until something has changed in the registry. Returns what has changed,
    /// which may be nothing; the changes may not be durable yet. Returns `None` only after
    /// [`RegistryStore::close_replica_connections`].
    pub(super) fn wait_for_change(&self, limit: Duration) -> Option<Changed> {
        self.shared.changes.take(limit)
    }

    /// Publishers have newly reported changed files in these groups. Their members get a hint.
    pub(super) fn note_reports(&self, groups: BTreeSet<RowId>) {
        self.shared.changes.push(Changed {
            reports: groups,
            ..Changed::default()
        });
    }

    /// Waits for this time, or until the replica connections close.
    pub(super) fn pause(&self, time: Duration) {
        self.stop.wait(time);
    }

    /// Waits until everything that could be read so far is durable.
    pub(super) fn wait_until_durable(&self) -> Result<(), WriteError> {
        let last_commit = self.shared.read_state().last_commit;
        match self.shared.saves.wait_for(last_commit, DISK_TIMEOUT) {
            true => Ok(()),
            false => Err(WriteError::NotSaved),
        }
    }

    /// Applies one operation, and waits until the result is durable.
    pub(super) fn write(
        &self,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<Durability, WriteError> {
        self.write_with(None, operation)
    }

    /// Whether the disk has so little free space that only what must be written should be.
    pub(super) fn has_little_space(&self) -> bool {
        self.shared.has_little_space.load(Ordering::Relaxed)
    }

    /// Like [`RegistryStore::write`], for an operation whose rows name the info dictionary `info`.
    /// The rows and the dictionary are stored in one commit.
    pub(super) fn write_with(
        &self,
        info: Option<&Info>,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<Durability, WriteError> {
        let begun = self.begin_write(info, operation)?;
        match begun.receiver.recv_timeout(DISK_TIMEOUT) {
            Ok(Copies::OnlyHere) if !begun.single => Ok(Durability::OnlyHere),
            Ok(_) => Ok(Durability::Safe),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(WriteError::NotSaved)
            }
        }
    }

    /// The info dictionary with that info-hash, if it is stored here.
    pub(super) fn info(&self, info_hash: InfoHash) -> Result<Option<Vec<u8>>, DatabaseError> {
        self.shared.database.blob(&info_hash.0)
    }

    /// Replaces the list of trackers.
    pub(super) fn set_listed(&self, listed: Vec<TrackerNumber>) {
        let state = self.shared.write_state();
        // After a failed commit, the replica must get the list too: the caller passes each list
        // only once.
        self.shared
            .apply_to(state, |replica, now| replica.set_listed(listed, now));
    }

    /// A connection to another tracker is open. What is to be sent over it goes to `outbox`.
    pub(super) fn on_connected(&self, outbox: &Arc<ReplicaOutbox>) -> ReplicaConnectionId {
        let mut state = self.shared.write_state();
        state.last_connection += 1;
        let connection = ReplicaConnectionId(state.last_connection);
        if state.failed || self.stop.is_stopped() {
            outbox.close_and_clear();
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

    /// A message has arrived over a connection.
    pub(super) fn on_message(&self, connection: ReplicaConnectionId, message: ReplicaMessage) {
        self.shared
            .apply(|replica, now| replica.on_message(connection, message, now));
    }

    /// A part of a message has arrived over a connection.
    pub(super) fn on_bytes(&self, connection: ReplicaConnectionId) {
        self.shared
            .apply(|replica, now| replica.on_bytes(connection, now));
    }

    /// A connection has closed.
    pub(super) fn on_disconnected(&self, connection: ReplicaConnectionId) {
        let mut state = self.shared.write_state();
        state.connections.remove(&connection);
        // After a failed commit, the replica must get this event too: the failure closes all
        // connections.
        self.shared.apply_to(state, |replica, now| {
            replica.on_disconnected(connection, now)
        });
    }
}

impl Drop for RegistryStore {
    fn drop(&mut self) {
        self.stop();
    }
}

/// State that the threads of the registry store share.
#[derive(Debug)]
struct SharedStore {
    state: RwLock<State>,
    saves: Saves,
    changes: ChangeQueue,
    database: Database,
    /// The boot clock at the start.
    epoch: Duration,
    /// Whether the last notice to the operator about free space says that the disk has too little.
    has_little_space: AtomicBool,
}

/// State behind the lock.
#[derive(Debug)]
struct State {
    replica: Replica,
    connections: HashMap<ReplicaConnectionId, Arc<ReplicaOutbox>>,
    /// Number of the connection that was opened last.
    last_connection: u64,
    /// Callers that wait for their writes.
    waiting_writes: HashMap<Sequence, SyncSender<Copies>>,
    /// Number of the last commit that was queued for the disk.
    last_commit: u64,
    /// Whether the database was restored from a backup and has not caught up since.
    restored: bool,
    /// Whether a commit has failed, and no repetition of it has succeeded yet.
    failed: bool,
    /// Whether this tracker closes its connections because it ends.
    ending: bool,
}

impl SharedStore {
    fn read_state(&self) -> RwLockReadGuard<'_, State> {
        recover(self.state.read())
    }

    fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        recover(self.state.write())
    }

    /// Returns the free space of the disk in bytes. Notifies the operator when the free space
    /// becomes too little, and when it is enough again.
    fn look_at_space(&self) -> u64 {
        let free = self.database.free_space().unwrap_or(u64::MAX);
        if free < MIN_FREE_SPACE && !self.has_little_space.swap(true, Ordering::Relaxed) {
            log::warn!(
                operator = true;
                "the disk of the database has only {free} bytes free: make room; until then \
                 nothing can be published here"
            );
        }
        if free >= ENOUGH_FREE_SPACE && self.has_little_space.swap(false, Ordering::Relaxed) {
            log::info!(operator = true; "the disk of the database has room again");
        }
        free
    }

    /// Passes an event to the replica and performs the effects, under one lock. After a failed
    /// commit, does nothing until a repetition of it has succeeded.
    fn apply(&self, event: impl FnOnce(&mut Replica, Moment) -> Vec<Effect>) {
        let state = self.write_state();
        if !state.failed {
            self.apply_to(state, event);
        }
    }

    /// Like [`SharedStore::apply`], but also passes the event on after a failed commit.
    fn apply_to(
        &self,
        mut state: RwLockWriteGuard<'_, State>,
        event: impl FnOnce(&mut Replica, Moment) -> Vec<Effect>,
    ) {
        let effects = event(&mut state.replica, moment(self.epoch));
        let reports = self.perform(&mut state, effects);
        self.changes.push(state.replica.take_changed());
        drop(state);
        reports.iter().for_each(log_report);
    }

    /// Performs effects. Returns the reports: the caller logs them after it has released the lock,
    /// because logging writes a file.
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
                        outbox.close_and_clear();
                    }
                }
                Effect::Commit(commit) => {
                    state.last_commit = commit.number;
                    self.saves.push(Save::Commit(commit));
                }
                Effect::Acknowledge { write, copies } => {
                    if let Some(sender) = state.waiting_writes.remove(&write) {
                        // The caller may have stopped waiting.
                        let _ = sender.try_send(copies);
                    }
                }
                Effect::Abandon { write } => drop(state.waiting_writes.remove(&write)),
                // This tracker closed the connection itself.
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

    /// Saves commits until the queue of saves has ended. Runs on the thread `registry`.
    fn save(&self) {
        self.saves.save(&self.database, |event| match event {
            SaveEvent::Durable(last) => {
                self.apply(|replica, now| replica.on_committed(last, now));
            }
            SaveEvent::Failed(error) => {
                self.on_save_failed();
                log::error!(
                    operator = true;
                    "accounts and groups are not served until the database can be written: {error}"
                );
            }
            SaveEvent::StillFailing(error) => {
                log::error!(operator = true; "the database still cannot be written: {error}");
            }
            SaveEvent::Resumed => {
                self.write_state().failed = false;
                log::info!(operator = true; "the database can be written again");
            }
        });
    }

    /// Until `stop`, calls [`Replica::tick`] at each tick, and checks the free space at some ticks.
    /// Runs on the thread `replica`.
    fn tick_until(&self, stop: &Stop) {
        for tick in 0_u64.. {
            if stop.wait(TICK_INTERVAL) {
                return;
            }
            self.apply(Replica::tick);
            if tick % TICKS_PER_SPACE_CHECK == 0 {
                self.look_at_space();
            }
        }
    }

    fn on_save_failed(&self) {
        let mut state = self.write_state();
        state.failed = true;
        state.waiting_writes.clear();
        state.close_replica_connections();
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

    /// Adds a caller that waits for this write. It waits on the receiver, without the lock.
    fn add_waiter(&mut self, write: Sequence) -> Receiver<Copies> {
        let (sender, receiver) = sync_channel(1);
        self.waiting_writes.insert(write, sender);
        receiver
    }

    fn close_replica_connections(&mut self) -> Vec<ReplicaConnectionId> {
        let connections = self.connections.drain();
        connections
            .map(|(connection, outbox)| {
                outbox.close_and_clear();
                connection
            })
            .collect()
    }
}

fn log_report(report: &Report) {
    match report {
        Report::Halted(_) => log::error!("{report}"),
        Report::Serves | Report::InSync { .. } => log::info!("{report}"),
        _ => log::warn!("{report}"),
    }
}

fn moment(epoch: Duration) -> Moment {
    Moment {
        elapsed: boot_clock().saturating_sub(epoch),
        wall: since_1970(),
    }
}

/// The info dictionary that a row names. A withdrawn share names none.
pub(crate) fn blob_named_by(row: &Row) -> Option<InfoHash> {
    match row {
        Row::Share(share) if share.withdrawn.is_none() => Some(share.info_hash),
        _ => None,
    }
}

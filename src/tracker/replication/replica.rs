//! The replica: it passes each event to the parts concerned, and acts on what they return.
//!
//! The parts do not know each other:
//! - [`OtherReplicas`] keeps the other trackers and the connections to them.
//! - [`CatchUp`] and [`BlobFetcher`] keep what this tracker is requesting.
//! - [`PendingWrites`] keeps the writes without an acknowledgement.
//! - [`Lifecycle`] keeps whether this tracker serves.
//! - [`Effects`] keeps the resulting actions.

use super::{
    BlobFetcher, BlobRules, COPY_REMEDY, CatchUp, ClusterStatus, Commit, EXPIRED_ROW_GRACE, Effect,
    Effects, GC_INTERVAL, HaltReason, Hello, IDLE_TIMEOUT, Lifecycle, Moment, OtherReplicas,
    PartOutcome, PendingWrites, RETRY_PAUSE, ReplicaConnectionId, ReplicaError, Report,
    RunningClock, STALL_LIMIT, Serving, StartData,
};
use crate::torrent::InfoHash;
use crate::tracker::registry::{
    Change, Changed, Drift, MergeError, Origin, Refusal, Registry, Row, RowId, Sequence, Update,
    VersionVector,
};
use crate::wire::control::InfoPart;
use crate::wire::replica::{Encoded, PROTOCOL, ReplicaMessage, TrackerNumber};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Minimum time between two reports of the same drift.
const DRIFT_REPEAT: Duration = Duration::from_secs(60 * 60);

/// Number and options of this tracker, and which other trackers are listed.
#[derive(Clone, Debug)]
pub struct ReplicaSettings {
    /// Number of this tracker.
    pub number: TrackerNumber,
    /// Numbers of all listed trackers. It does not matter whether this tracker's own is among them.
    pub listed: Vec<TrackerNumber>,
    /// Approximate size of one batch of changes in bytes, as [`BATCH_BYTES`](super::BATCH_BYTES).
    pub batch: usize,
    /// How rows name blobs, and when a blob is valid.
    pub blobs: BlobRules,
    /// A fresh random origin, used if the stored origin must not be used any longer.
    pub spare: Origin,
}

/// A tracker's registry and its replication with the other trackers.
#[derive(Debug)]
pub struct Replica {
    pub(super) registry: Registry,
    others: OtherReplicas,
    effects: Effects,
    writes: PendingWrites,
    catch_up: CatchUp,
    pub(super) blobs: BlobFetcher,
    lifecycle: Lifecycle,
    origin: OriginState,
    pub(super) batch: usize,
    clock: RunningClock,
    next_gc: Duration,
    /// Origins for which a [`Report::Drift`] was made, with the time of the last one.
    drift_reports: BTreeMap<Origin, Duration>,
}

/// How the stored origin may be replaced.
#[derive(Debug)]
struct OriginState {
    /// Replaces the stored origin if other trackers may know writes of it that are not known here.
    spare: Option<Origin>,
    /// Whether the next commit has to store the origin.
    is_new: bool,
}

impl Replica {
    /// Creates a replica from a loaded registry and the info-hashes of the blobs stored beside it.
    pub fn new(
        settings: ReplicaSettings,
        registry: Registry,
        stored: impl IntoIterator<Item = InfoHash>,
        start: StartData,
        now: Moment,
    ) -> Self {
        let mut replica = Self {
            others: OtherReplicas::new(settings.number, settings.listed),
            effects: Effects::default(),
            writes: PendingWrites::default(),
            catch_up: CatchUp::default(),
            blobs: BlobFetcher::new(settings.blobs, stored, &registry),
            lifecycle: Lifecycle::new(start, now),
            origin: OriginState {
                spare: Some(settings.spare),
                is_new: false,
            },
            batch: settings.batch,
            clock: RunningClock::new(now),
            next_gc: now.elapsed + IDLE_TIMEOUT,
            drift_reports: BTreeMap::new(),
            registry,
        };
        replica.start_serving_if_ready(now);
        replica
    }

    /// The registry in memory. Its last changes may not be durable yet.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What has changed in the registry since the last call.
    pub fn take_changed(&mut self) -> Changed {
        self.registry.take_changed()
    }

    /// Whether no other tracker is listed.
    pub fn is_single(&self) -> bool {
        self.others.listed.is_empty()
    }

    /// Whether this tracker serves.
    pub fn serving(&self) -> Serving {
        self.lifecycle.serving()
    }

    /// State of this tracker and of its replication with each other tracker.
    pub fn status(&self, now: Moment) -> ClusterStatus {
        let now = self.clock.running(now);
        ClusterStatus {
            number: self.others.own,
            origin: self.registry.origin(),
            serving: self.serving(),
            waiting: self.writes.0.len(),
            missing_blobs: self.blobs.missing.len(),
            others: self.others.status(self.registry.version_vector(), now),
        }
    }

    /// Time since the last event, if it is [`STALL_LIMIT`] or more: then the next event puts this
    /// tracker back into the state after a start. Otherwise `None`. Always `None` if this tracker
    /// has halted or no other tracker is listed.
    pub fn stalled_for(&self, now: Moment) -> Option<Duration> {
        let passed = self.clock.since_last_event(now);
        (passed >= STALL_LIMIT && !self.is_exempt_from_restarts()).then_some(passed)
    }

    /// Replaces the list of tracker numbers. It does not matter whether this tracker's own is among
    /// them.
    pub fn set_listed(
        &mut self,
        listed: impl IntoIterator<Item = TrackerNumber>,
        now: Moment,
    ) -> Vec<Effect> {
        let now = self.begin_event(now);
        let listed: BTreeSet<TrackerNumber> = listed.into_iter().collect();
        for connection in self.others.connections_of_unlisted(&listed) {
            self.close(connection);
        }
        self.others.set_listed(&listed);
        self.acknowledge_unless_replicating();
        self.finish(now)
    }

    /// A connection to another tracker is open. Both ends have proved that they belong to the
    /// cluster.
    pub fn on_connected(&mut self, connection: ReplicaConnectionId, now: Moment) -> Vec<Effect> {
        let now = self.begin_event(now);
        if self.lifecycle.is_halted() {
            return vec![Effect::Close(connection)];
        }
        self.others.on_connected(connection, now);
        if let Some(versions) = self.encoded_versions() {
            let hello = ReplicaMessage::Hello {
                number: self.others.own,
                origin: self.registry.origin().0,
                versions,
                serving: self.lifecycle.serves(),
            };
            self.effects.send_when_durable(connection, hello);
        }
        self.finish(now)
    }

    /// A connection has closed.
    pub fn on_disconnected(&mut self, connection: ReplicaConnectionId, now: Moment) -> Vec<Effect> {
        let now = self.begin_event(now);
        let tracker_lost = self.drop_connection(connection);
        if let Some(passed) = self.clock.pause_just_ended(now).filter(|_| tracker_lost)
            && !self.is_exempt_from_restarts()
        {
            // The other tracker gave up the connection during the pause.
            self.restart(passed, now);
        }
        self.finish(now)
    }

    /// A part of a message has arrived. The connection is slow, not silent, and what was requested
    /// over it is on its way.
    pub fn on_bytes(&mut self, connection: ReplicaConnectionId, now: Moment) -> Vec<Effect> {
        let now = self.begin_event(now);
        if self.others.note_received(connection, now) {
            self.catch_up.note_progress(Some(connection), now);
            self.blobs.note_progress(connection, now);
        }
        self.finish(now)
    }

    /// A message has arrived.
    pub fn on_message(
        &mut self,
        connection: ReplicaConnectionId,
        message: ReplicaMessage,
        now: Moment,
    ) -> Vec<Effect> {
        let now = self.begin_event(now);
        // A message from a closed connection may be out of date.
        if !self.others.note_received(connection, now) {
            return self.finish(now);
        }
        match (self.others.tracker_at(connection), message) {
            (None, message @ ReplicaMessage::Hello { .. }) => {
                self.on_hello(connection, message, now)
            }
            (None, ReplicaMessage::OtherHello { protocol, number }) => {
                let reason = format!(
                    "it speaks version {protocol} of the replication protocol, and this tracker version {PROTOCOL}; run the same version on all trackers"
                );
                self.reject(connection, Some(number), reason);
            }
            // Ignores a message before the hello, and a second hello.
            (None, _) | (_, ReplicaMessage::Hello { .. }) => {}
            (Some(other), message) => {
                if let Some(other) = self.others.listed.get_mut(&other) {
                    other.last_contact = Some(now.elapsed);
                }
                self.handle_message(connection, other, message, now);
            }
        }
        self.finish(now)
    }

    /// The commit `number` and all commits before it are durable.
    pub fn on_committed(&mut self, number: u64, now: Moment) -> Vec<Effect> {
        let now = self.begin_event(now);
        self.effects.on_committed(number);
        self.writes.on_committed(&self.effects, now);
        self.acknowledge_unless_replicating();
        self.finish(now)
    }

    /// Applies a write. `operation` gets the registry and the wall clock. `blobs` are blobs that
    /// the new rows name and that are not stored here yet. [`Effect::Acknowledge`] with the
    /// returned number follows when the write is done.
    ///
    /// # Errors
    /// See [`ReplicaError`].
    pub fn write(
        &mut self,
        blobs: Vec<(InfoHash, Vec<u8>)>,
        now: Moment,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<(Sequence, Vec<Effect>), ReplicaError> {
        let now = self.begin_event(now);
        if !self.lifecycle.serves() {
            return Err(ReplicaError::NotServing(self.serving()));
        }
        let update = operation(&self.registry, now.wall)?;
        if let Some(blob) = self.blobs.first_unavailable(update.rows(), &blobs) {
            return Err(ReplicaError::NoBlob(blob));
        }
        let bytes = update.change().map(Change::encode).unwrap_or_default();
        let length = bytes.len();
        let change = Encoded::new(bytes).ok_or(ReplicaError::TooLarge(length))?;
        let versions = self.registry.version_vector();
        let needs = update.confirms_earlier().then(|| versions.clone());
        let commit = self.commit_update(update, blobs);
        let versions = self.registry.version_vector();
        let write = versions.of(self.registry.origin());
        let id = write.number();
        let push = ReplicaMessage::Push { id, change };
        for connection in self.others.connections_for_push(needs.as_ref()) {
            self.effects.send_when_durable(connection, push.clone());
        }
        self.writes.add(write, commit);
        if needs.is_some() {
            // Trackers that do not get the push learn at once that they have to catch up.
            self.others.make_pings_due();
            self.ping(now);
        }
        Ok((write, self.finish(now)))
    }

    /// Time has passed. The caller calls this about every 100 ms.
    pub fn tick(&mut self, now: Moment) -> Vec<Effect> {
        let now = self.begin_event(now);
        for connection in self.others.idle_connections(now) {
            self.close(connection);
        }
        self.acknowledge_overdue_writes(now);
        if let Some(other) = self.catch_up.give_up_if_stuck(now) {
            self.blobs.fetch = None;
            self.others.pause_until(other, now.elapsed + RETRY_PAUSE);
        }
        if let Some(connection) = self.blobs.give_up_if_stuck(now)
            && let Some(other) = self.others.tracker_at(connection)
        {
            self.others.pause_until(other, now.elapsed + RETRY_PAUSE);
        }
        self.ping(now);
        if now.elapsed >= self.next_gc {
            self.next_gc = now.elapsed + GC_INTERVAL;
            self.collect_garbage(now);
        }
        self.finish(now)
    }

    /// Starts whatever the last event allows, and returns all effects so far.
    fn finish(&mut self, now: Moment) -> Vec<Effect> {
        self.start_catch_up_if_behind(now);
        self.start_blob_fetch(now);
        self.start_serving_if_ready(now);
        std::mem::take(&mut self.effects.due)
    }

    /// Encoded version vector of this tracker. `None` if it is too long to send: if it has more
    /// than twenty thousand origins. Each lost disk leaves an origin behind.
    fn encoded_versions(&self) -> Option<Encoded> {
        Encoded::new(self.registry.version_vector().encode())
    }

    fn handle_message(
        &mut self,
        connection: ReplicaConnectionId,
        other: TrackerNumber,
        message: ReplicaMessage,
        now: Moment,
    ) {
        match message {
            ReplicaMessage::Hello { .. } | ReplicaMessage::OtherHello { .. } => {}
            ReplicaMessage::Ping {
                clock,
                versions,
                serving,
            } => {
                let (echo, clock) = (clock, now.wall_millis());
                let pong = ReplicaMessage::Pong { echo, clock };
                self.effects.send_now(connection, pong);
                if let Some(other) = self.others.listed.get_mut(&other) {
                    other.serving = serving;
                }
                match VersionVector::decode(versions.as_bytes()) {
                    Ok(versions) => {
                        self.others.on_whole_versions(other, &versions);
                        self.others.note_report(other);
                        self.on_versions(other, &versions);
                    }
                    Err(error) => self.reject(connection, Some(other), error.to_string()),
                }
            }
            ReplicaMessage::Pong { echo, clock } => {
                let effects = &mut self.effects;
                self.others.on_pong(other, (echo, clock), now, effects);
            }
            ReplicaMessage::Pull { id, known } => match VersionVector::decode(known.as_bytes()) {
                Ok(known) => self.on_pull(connection, other, id, &known),
                Err(error) => self.reject(connection, Some(other), error.to_string()),
            },
            ReplicaMessage::Changes { id, change, more } => {
                let effects = &mut self.effects;
                let taken = self
                    .catch_up
                    .on_batch(connection, id, change, more, now, effects);
                match taken {
                    Ok(true) => self.merge_staged_if_complete(now),
                    Ok(false) => {}
                    Err((other, reason)) => self.reject(connection, Some(other), reason),
                }
            }
            ReplicaMessage::Push { change, .. } => match Change::decode(change.as_bytes()) {
                Ok(change) => self.on_push(connection, other, &change, now),
                Err(error) => self.reject(connection, Some(other), error.to_string()),
            },
            ReplicaMessage::Pushed { id } => {
                if let Some(last) = Sequence::new(id) {
                    let mut versions = VersionVector::new();
                    versions.note(self.registry.origin(), last);
                    self.on_versions(other, &versions);
                }
            }
            ReplicaMessage::WantBlob { info_hash, offset } => {
                self.on_want_blob(connection, info_hash, offset);
            }
            ReplicaMessage::Blob { info_hash, part } => {
                self.on_blob_part(connection, info_hash, &part, now)
            }
            ReplicaMessage::NoBlob { info_hash } => self.on_no_blob(connection, info_hash, now),
        }
    }

    /// Another tracker introduces itself.
    fn on_hello(&mut self, connection: ReplicaConnectionId, hello: ReplicaMessage, now: Moment) {
        let ReplicaMessage::Hello {
            number,
            origin,
            versions,
            serving,
        } = hello
        else {
            return;
        };
        let origin = Origin(origin);
        if number == self.others.own {
            let reason = format!(
                "it has number {number}, as this tracker does; give each tracker its own number"
            );
            return self.reject(connection, None, reason);
        }
        if !self.others.listed.contains_key(&number) {
            let reason = format!("it has number {number}, which TRACKER_INFO here does not list");
            return self.reject(connection, None, reason);
        }
        if origin == self.registry.origin() {
            return self.halt(HaltReason::Copied { other: number });
        }
        // Nobody knows which of the two has the copy. The tracker that connected first stays.
        if let Some(other) = self.others.other_with_origin(origin, number) {
            let reason =
                format!("it runs with a copy of the data folder of tracker {other}; {COPY_REMEDY}");
            return self.reject(connection, Some(number), reason);
        }
        let versions = match VersionVector::decode(versions.as_bytes()) {
            Ok(versions) => versions,
            Err(error) => return self.reject(connection, Some(number), error.to_string()),
        };
        if self.halt_if_rewound(&versions) {
            return;
        }
        // A hello that arrived late over an older connection, perhaps from an earlier process.
        if self.others.newest_connection_to(number) > Some(connection) {
            return self.close(connection);
        }
        if let Some(older) = self.others.connection_to(number) {
            self.close(older);
        }
        let (own, ours) = (self.registry.origin(), self.registry.version_vector());
        let current = versions.of(own) >= ours.of(own);
        let hello = Hello {
            number,
            origin,
            serving,
        };
        self.others.on_hello(connection, &hello, current, now);
        self.others.on_whole_versions(number, &versions);
        self.on_versions(number, &versions);
        self.ping(now);
    }

    /// Another tracker has reported its version vector.
    fn on_versions(&mut self, other: TrackerNumber, versions: &VersionVector) {
        if self.halt_if_rewound(versions) {
            return;
        }
        let effects = &mut self.effects;
        if let Some(last_known) = self
            .others
            .on_versions(other, versions, &self.registry, effects)
        {
            self.writes.acknowledge_upto(last_known, effects);
        }
    }

    /// Answers a pull. A tracker that gets the last batch is current from then on, and new writes
    /// are pushed to it.
    fn on_pull(
        &mut self,
        connection: ReplicaConnectionId,
        other: TrackerNumber,
        id: u32,
        known: &VersionVector,
    ) {
        if self.halt_if_rewound(known) {
            return;
        }
        let change = self.registry.since(known, self.batch);
        let mut after = known.clone();
        if let Some(change) = &change {
            change.advance(&mut after);
        }
        let more = !after.includes(self.registry.version_vector());
        let encoded = change.map(|change| change.encode());
        let change = match encoded.map(|bytes| (bytes.len(), Encoded::new(bytes))) {
            Some((length, None)) => {
                let reason = format!("a change of {length} bytes is too large to send");
                return self.reject(connection, Some(other), reason);
            }
            change => change.and_then(|(_, change)| change),
        };
        if !more {
            self.others.mark_current(other);
        }
        self.effects
            .send_when_durable(connection, ReplicaMessage::Changes { id, change, more });
    }

    /// Another tracker pushes a write. This tracker merges it, if all writes that it builds on and
    /// all blobs that it names are here. Otherwise this tracker catches up with the sender.
    fn on_push(
        &mut self,
        connection: ReplicaConnectionId,
        other: TrackerNumber,
        change: &Change,
        now: Moment,
    ) {
        let mut their_versions = VersionVector::new();
        for (origin, span) in change.covers() {
            their_versions.note(origin, span.upto);
        }
        let versions = self.registry.version_vector();
        let is_known = versions.includes(&their_versions);
        let can_merge = change.leaves_no_gap(versions)
            && self.blobs.to_fetch(change, &self.registry).is_empty();
        if is_known {
            if !self.registry.contains(change, now.wall) {
                let reason = "it sent a different write under a known number, so two trackers write under one origin";
                return self.reject(connection, Some(other), reason.to_owned());
            }
            // A repeated push: perhaps the confirmation was lost.
            if let Some(upto) = self.others.last_known_write_of(other, versions) {
                let id = upto.number();
                self.effects
                    .send_when_durable(connection, ReplicaMessage::Pushed { id });
            }
        } else if can_merge {
            self.merge(connection, other, change, now);
        }
        self.on_versions(other, &their_versions);
    }

    fn on_want_blob(&mut self, connection: ReplicaConnectionId, info_hash: InfoHash, offset: u32) {
        let answer = match self.blobs.stored.contains(&info_hash) {
            true => Effect::SendBlob {
                connection,
                info_hash,
                offset,
            },
            false => Effect::Send(connection, ReplicaMessage::NoBlob { info_hash }),
        };
        self.effects.add_when_durable(answer);
    }

    fn on_blob_part(
        &mut self,
        connection: ReplicaConnectionId,
        info_hash: InfoHash,
        part: &InfoPart,
        now: Moment,
    ) {
        let part_total = part.total();
        let part = self.blobs.on_part(connection, info_hash, part, now);
        if !matches!(part, PartOutcome::Ignored) {
            self.catch_up.note_progress(None, now);
        }
        match part {
            PartOutcome::Ignored => {}
            PartOutcome::Next(offset) => {
                let next = ReplicaMessage::WantBlob { info_hash, offset };
                self.effects.send_when_durable(connection, next);
            }
            PartOutcome::Invalid => self.on_no_blob(connection, info_hash, now),
            PartOutcome::Whole(bytes) => {
                self.registry.set_metadata_length(info_hash, part_total);
                self.commit(Commit {
                    blobs: vec![(info_hash, bytes)],
                    ..Commit::default()
                });
                self.merge_staged_if_complete(now);
            }
        }
    }

    fn on_no_blob(&mut self, connection: ReplicaConnectionId, info_hash: InfoHash, now: Moment) {
        let Some((other, is_news)) = self.blobs.on_no_blob(connection, info_hash) else {
            return;
        };
        self.others.on_no_blob(other, info_hash, now);
        if is_news {
            self.effects.report(Report::BlobMissing { info_hash });
        }
        self.merge_staged_if_complete(now);
    }

    /// Closes the connection to a tracker that breaks the protocol or is not accepted.
    fn reject(
        &mut self,
        connection: ReplicaConnectionId,
        other: Option<TrackerNumber>,
        reason: String,
    ) {
        self.others.report_trouble(other, reason, &mut self.effects);
        self.close(connection);
    }

    fn close(&mut self, connection: ReplicaConnectionId) {
        self.effects.add(Effect::Close(connection));
        self.drop_connection(connection);
    }

    fn close_all_connections(&mut self) {
        for connection in self.others.connections() {
            self.close(connection);
        }
    }

    /// Returns whether a connected tracker was lost with the connection.
    fn drop_connection(&mut self, connection: ReplicaConnectionId) -> bool {
        let tracker_lost = self.others.on_disconnected(connection, &mut self.effects);
        if tracker_lost {
            self.catch_up.on_disconnected(connection);
            self.blobs.on_disconnected(connection);
            self.acknowledge_unless_replicating();
        }
        tracker_lost
    }

    /// Acknowledges all durable writes if no other tracker is current.
    fn acknowledge_unless_replicating(&mut self) {
        if !self.others.any_current() {
            self.writes.acknowledge_alone(None, &mut self.effects);
        }
    }

    /// Acknowledges writes that have waited for [`PUSH_WAIT`](super::PUSH_WAIT). From now on no
    /// write waits for a tracker that lacks one of them. That ends when the tracker has caught up.
    fn acknowledge_overdue_writes(&mut self, now: Moment) {
        let Some(overdue) = self.writes.overdue(now) else {
            return;
        };
        self.others
            .stop_waiting_for_laggards(self.registry.origin(), overdue);
        self.writes.acknowledge_alone(Some(now), &mut self.effects);
        self.acknowledge_unless_replicating();
    }

    /// Sends the version vector to each tracker whose ping is due.
    fn ping(&mut self, now: Moment) {
        let (clock, serving) = (now.wall_millis(), self.lifecycle.serves());
        for connection in self.others.start_due_pings(now) {
            if let Some(versions) = self.encoded_versions() {
                let ping = ReplicaMessage::Ping {
                    clock,
                    versions,
                    serving,
                };
                self.effects.send_when_durable(connection, ping);
            }
        }
    }

    /// Starts to catch up with the tracker that knows the most writes beyond those known here,
    /// unless a catch-up is running.
    fn start_catch_up_if_behind(&mut self, now: Moment) {
        if self.catch_up.ongoing.is_some() || self.lifecycle.is_halted() {
            return;
        }
        let ours = self.registry.version_vector();
        if let Some((other, connection)) = self.others.most_ahead(ours, now) {
            let effects = &mut self.effects;
            self.catch_up.begin(other, connection, ours, now, effects);
        }
    }

    /// Merges the staged batches if all have arrived and no blob that they name is still to be
    /// fetched.
    fn merge_staged_if_complete(&mut self, now: Moment) {
        let staged = self.catch_up.fully_staged();
        if !staged.is_some_and(|it| self.blobs.to_fetch(&it.staged, &self.registry).is_empty()) {
            return;
        }
        let Some(caught_up) = self.catch_up.ongoing.take() else {
            return;
        };
        let other = caught_up.other;
        self.merge(caught_up.connection, other, &caught_up.staged, now);
        let versions = self.registry.version_vector();
        if let Some(sender) = self.others.listed.get(&other) {
            let reported = sender.versions.clone().unwrap_or_default();
            if !versions.includes(&caught_up.reached) {
                self.others.pause_until(other, now.elapsed + RETRY_PAUSE);
            }
            // The report is not new, but this tracker may be in sync with the sender only now.
            self.on_versions(other, &reported);
        }
    }

    /// Requests one blob: one that the catch-up waits for, otherwise one that is named by a row in
    /// the registry.
    fn start_blob_fetch(&mut self, now: Moment) {
        if self.blobs.fetch.is_some() || self.lifecycle.is_halted() {
            return;
        }
        let for_catch_up = self.catch_up.fully_staged().and_then(|it| {
            let first = self
                .blobs
                .to_fetch(&it.staged, &self.registry)
                .pop_first()?;
            Some((it.other, it.connection, first))
        });
        let for_registry = || self.others.blob_source(&self.blobs.missing, now);
        let Some((other, connection, info_hash)) = for_catch_up.or_else(for_registry) else {
            return;
        };
        self.blobs.start_fetch(other, connection, info_hash, now);
        let offset = 0;
        self.effects
            .send_when_durable(connection, ReplicaMessage::WantBlob { info_hash, offset });
    }

    /// Merges a change of another tracker.
    fn merge(
        &mut self,
        connection: ReplicaConnectionId,
        other: TrackerNumber,
        change: &Change,
        now: Moment,
    ) {
        if self.registry.merge_writes(change, now.wall) {
            self.settle_origin();
        }
        match self.registry.merge(change, now.wall) {
            Ok(update) => {
                if let Some(drift) = update.drift() {
                    self.note_drift(drift, now);
                }
                let suspended = self.registry.suspended_by(&update);
                self.commit_update(update, Vec::new());
                for id in suspended {
                    let label = self.registry.label_of_machine(id);
                    let machine = label.map_or_else(|| id.to_string(), |label| label.to_string());
                    self.effects.report(Report::Suspended { machine });
                }
            }
            Err(MergeError::Rewound {
                known,
                known_elsewhere,
            }) => self.halt(HaltReason::Rewound {
                known,
                known_elsewhere,
            }),
            Err(error) => self.reject(connection, Some(other), error.to_string()),
        }
    }

    /// Reports that stamps of an origin are far ahead of the wall clock here, at most once an hour
    /// per origin.
    fn note_drift(&mut self, Drift { origin, ahead }: Drift, now: Moment) {
        let last = self.drift_reports.get(&origin);
        if last.is_none_or(|last| now.elapsed >= *last + DRIFT_REPEAT) {
            self.drift_reports.insert(origin, now.elapsed);
            self.effects.report(Report::Drift { origin, ahead });
        }
    }

    /// Applies a new update, adds its commit to the effects, and confirms its writes to the
    /// trackers that made them. Returns the number of the commit.
    fn commit_update(&mut self, update: Update, blobs: Vec<(InfoHash, Vec<u8>)>) -> u64 {
        let rows: Vec<Row> = update.rows().to_vec();
        // The update was made from the present state, so it cannot be stale.
        let applied = self.registry.apply(update);
        debug_assert_eq!(applied, Ok(()));
        let new = blobs.iter().map(|(hash, _)| *hash);
        self.blobs.add(&rows, new, &self.registry);
        for (info_hash, blob) in &blobs {
            let length = u32::try_from(blob.len()).unwrap_or(u32::MAX);
            self.registry.set_metadata_length(*info_hash, length);
        }
        let number = self.commit(Commit {
            rows,
            blobs,
            ..Commit::default()
        });
        let confirmed = self
            .others
            .take_confirmations(self.registry.version_vector());
        for (connection, upto) in confirmed {
            let id = upto.number();
            self.effects
                .send_when_durable(connection, ReplicaMessage::Pushed { id });
        }
        number
    }

    /// Adds `commit` to the effects, with the present version vector, and with the origin if it is
    /// new. Returns the number of the commit.
    fn commit(&mut self, mut commit: Commit) -> u64 {
        commit.versions = self.registry.version_vector().clone();
        let is_new = std::mem::take(&mut self.origin.is_new);
        commit.origin = is_new.then(|| self.registry.origin());
        self.effects.commit(commit)
    }

    /// Deletes surplus entries of the audit log and surplus rows of logins, expired rows that all
    /// trackers have (if all clocks agree), and blobs that no row names (unless a catch-up runs).
    fn collect_garbage(&mut self, now: Moment) {
        if self.lifecycle.is_halted() {
            return;
        }
        let mut dropped_rows = self.registry.surplus_audit();
        dropped_rows.extend(self.registry.surplus_logins(now.wall));
        if let Some(all_versions) = self.others.all_versions_if_clocks_agree() {
            let before = now.wall.saturating_sub(EXPIRED_ROW_GRACE);
            dropped_rows.extend(self.registry.droppable(before, &all_versions));
        }
        if !dropped_rows.is_empty() {
            let dropped_rows: Vec<RowId> = dropped_rows.into_iter().collect();
            self.registry.drop_rows(&dropped_rows);
            self.commit(Commit {
                dropped_rows,
                ..Commit::default()
            });
        }
        if self.catch_up.ongoing.is_some() {
            return;
        }
        let dropped_blobs = self.blobs.drop_unnamed(&self.registry);
        for info_hash in &dropped_blobs {
            self.registry.set_metadata_length(*info_hash, 0);
        }
        if !dropped_blobs.is_empty() {
            self.commit(Commit {
                dropped_blobs,
                ..Commit::default()
            });
        }
    }

    fn start_serving_if_ready(&mut self, now: Moment) {
        let ours = self.registry.version_vector();
        if !self.lifecycle.may_serve(&self.others, ours, now) {
            return;
        }
        self.settle_origin();
        self.lifecycle = Lifecycle::Serving;
        self.effects.report(Report::Serves);
    }

    /// Makes sure that own writes get numbers that no other tracker knows. Must be called before
    /// the first own write.
    ///
    /// The stored data may be an older copy: other trackers may know writes of this origin that are
    /// not known here. That is ruled out if all have reported, each after it got the hello of this
    /// process, also those that were removed from the list since. Otherwise new writes get a fresh
    /// origin, under which no write exists. This is decided once, before the first own write of
    /// this process: while it runs, its data cannot be replaced by an older copy.
    fn settle_origin(&mut self) {
        let all_have_reported = self.others.all_have_reported() && !self.others.lost_unreported;
        if let Some(spare) = self.origin.spare.take().filter(|_| !all_have_reported) {
            self.registry.change_origin(spare);
            self.origin.is_new = true;
            self.commit(Commit::default());
            // The other trackers know this one by its old origin.
            self.close_all_connections();
        }
    }

    /// Begins an event at `now`. If this tracker paused before the event, reports the pause. A long
    /// pause is a stall: then this tracker [restarts](Self::restart). Returns the running time: the
    /// time without the pauses. All time limits are measured with it.
    fn begin_event(&mut self, now: Moment) -> Moment {
        let (now, pause) = self.clock.note(now);
        match pause.filter(|_| !self.is_exempt_from_restarts()) {
            Some(passed) if passed >= STALL_LIMIT => self.restart(passed, now),
            Some(passed) => self.effects.report(Report::Paused { passed }),
            None => {}
        }
        now
    }

    /// Whether no pause, however long, restarts this tracker: it has halted, or no other tracker is
    /// listed.
    fn is_exempt_from_restarts(&self) -> bool {
        self.lifecycle.is_halted() || self.is_single()
    }

    /// Puts this tracker back into the state after a start, because it stalled. Closes all
    /// connections, because messages in them date from before the stall.
    fn restart(&mut self, passed: Duration, now: Moment) {
        self.effects.report(Report::Stalled { passed });
        self.close_all_connections();
        self.others.forget_reports();
        self.lifecycle = self.lifecycle.restarted(now);
    }

    /// Halts if another tracker knows writes of this tracker's origin that are not known here.
    /// Returns whether it knows such writes.
    fn halt_if_rewound(&mut self, their_versions: &VersionVector) -> bool {
        let origin = self.registry.origin();
        let (known, known_elsewhere) = (
            self.registry.version_vector().of(origin),
            their_versions.of(origin),
        );
        if known_elsewhere > known {
            let (known, known_elsewhere) = (known.number(), known_elsewhere.number());
            self.halt(HaltReason::Rewound {
                known,
                known_elsewhere,
            });
        }
        known_elsewhere > known
    }

    /// Ends all activity for good.
    fn halt(&mut self, halt: HaltReason) {
        if self.lifecycle.is_halted() {
            return;
        }
        self.lifecycle = Lifecycle::Halted(halt);
        self.effects.held.clear();
        self.catch_up.ongoing = None;
        self.blobs.fetch = None;
        for connection in self.others.remove_all_connections() {
            self.effects.add(Effect::Close(connection));
        }
        self.writes.abandon(&mut self.effects);
        self.effects.report(Report::Halted(halt));
    }
}

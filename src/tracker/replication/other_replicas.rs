//! The other trackers: which are listed, which connections are open, what each tracker knows.
//!
//! Invariants: this tracker's own number is never in `listed`. The connection of a
//! [`ConnectedReplica`] is in `connections`, and leads to that tracker. The version vector of a
//! tracker never shrinks, but a new hello of that tracker or a stall of this one clears it.

use super::{
    Effects, IDLE_TIMEOUT, Moment, PING_INTERVAL, ReplicaConnectionId, ReplicaStatus, Report,
};
use crate::torrent::InfoHash;
use crate::tracker::registry::{MAX_DRIFT, Origin, Registry, Sequence, VersionVector};
use crate::wire::replica::TrackerNumber;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Time before a tracker that lacks a blob is asked for it again.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// All listed trackers except this one, and the connections to them.
#[derive(Debug)]
pub(super) struct OtherReplicas {
    /// The number of this tracker.
    pub(super) own: TrackerNumber,
    pub(super) listed: BTreeMap<TrackerNumber, OtherReplica>,
    connections: BTreeMap<ReplicaConnectionId, OpenConnection>,
    /// The last reported trouble with a tracker that is not listed.
    unlisted_trouble: Option<String>,
    /// Whether a tracker was removed from the list before it had reported.
    pub(super) lost_unreported: bool,
    /// Whether a tracker was removed from the list while its clock did not agree.
    lost_with_other_clock: bool,
}

/// An open connection.
#[derive(Debug)]
struct OpenConnection {
    /// Time of the last received byte or message.
    last_received: Duration,
    /// The tracker at the other end, known after its hello.
    tracker: Option<TrackerNumber>,
}

/// A listed tracker, connected or not.
#[derive(Debug, Default)]
pub(super) struct OtherReplica {
    /// Set from its hello until its connection closes.
    connected: Option<ConnectedReplica>,
    /// The newest connection over which its hello came.
    newest_connection: Option<ReplicaConnectionId>,
    /// Its version vector as last reported. `None` until it reports one after its last hello and
    /// after the last stall of this tracker.
    pub(super) versions: Option<VersionVector>,
    /// All that it had at one moment, as its last hello or ping reported it. `versions` may have a
    /// write that it merged, and lack the write that it made itself in the same commit.
    whole_versions: Option<VersionVector>,
    /// Whether it has sent its version vector after it got this tracker's last hello. With that
    /// hello it closed the earlier connection. So it merges nothing more that an earlier process of
    /// this tracker sent.
    has_reported: bool,
    /// Whether it serves clients, as last reported.
    pub(super) serving: bool,
    /// Time of its last message other than a hello.
    pub(super) last_contact: Option<Duration>,
    /// Milliseconds by which its wall clock is ahead. `None` until it is measured after its last
    /// hello and after the last stall of this tracker: one of the clocks may have been set.
    clock_ahead: Option<i64>,
    clock_trouble_reported: bool,
    /// It is not asked for anything before this time.
    paused_until: Duration,
    /// The last reported trouble, so that the same trouble is reported once.
    last_trouble: Option<String>,
    /// Whether its loss was reported since it was last in sync with this tracker.
    loss_reported: bool,
}

/// What is known about a tracker from its hello until its connection closes.
#[derive(Debug)]
struct ConnectedReplica {
    connection: ReplicaConnectionId,
    origin: Origin,
    /// Whether writes are pushed to it: it has all writes of this tracker or is receiving them in
    /// order.
    current: bool,
    /// Last of its writes that was confirmed to it as durable here.
    confirmed: Sequence,
    /// The unanswered ping: its clock value and when it was sent.
    ping: Option<(u64, Duration)>,
    next_ping: Duration,
    /// Whether [`Report::InSync`] was sent for this connection.
    in_sync_reported: bool,
    /// Blobs that it does not have, and when to ask again.
    lacking_blobs: BTreeMap<InfoHash, Duration>,
}

/// Contents of a tracker's hello.
pub(super) struct Hello {
    pub(super) number: TrackerNumber,
    pub(super) origin: Origin,
    pub(super) serving: bool,
}

impl OtherReplicas {
    pub(super) fn new(own: TrackerNumber, listed: impl IntoIterator<Item = TrackerNumber>) -> Self {
        let mut others = Self {
            own,
            listed: BTreeMap::new(),
            connections: BTreeMap::new(),
            unlisted_trouble: None,
            lost_unreported: false,
            lost_with_other_clock: false,
        };
        others.set_listed(&listed.into_iter().collect());
        others
    }

    /// Removes trackers that are no longer listed, and adds new ones. The caller has closed the
    /// connections to the removed ones.
    pub(super) fn set_listed(&mut self, listed: &BTreeSet<TrackerNumber>) {
        for (_, other) in self.listed.iter().filter(|(it, _)| !listed.contains(it)) {
            self.lost_unreported |= !other.has_reported;
            self.lost_with_other_clock |= other.clock_ahead.is_some_and(is_wrong);
        }
        self.listed.retain(|number, _| listed.contains(number));
        for number in listed.iter().filter(|number| **number != self.own) {
            self.listed.entry(*number).or_default();
        }
    }

    /// Connections to trackers that are not in the new list `listed`.
    pub(super) fn connections_of_unlisted(
        &self,
        listed: &BTreeSet<TrackerNumber>,
    ) -> Vec<ReplicaConnectionId> {
        let gone = self
            .listed
            .iter()
            .filter(|(number, _)| !listed.contains(number));
        gone.filter_map(|(_, other)| Some(other.connected.as_ref()?.connection))
            .collect()
    }

    pub(super) fn on_connected(&mut self, connection: ReplicaConnectionId, now: Moment) {
        let (last_received, tracker) = (now.elapsed, None);
        self.connections.insert(
            connection,
            OpenConnection {
                last_received,
                tracker,
            },
        );
    }

    /// A connection has closed. Returns whether a connected tracker was lost with it.
    pub(super) fn on_disconnected(
        &mut self,
        connection: ReplicaConnectionId,
        effects: &mut Effects,
    ) -> bool {
        let Some(number) = self
            .connections
            .remove(&connection)
            .and_then(|connection| connection.tracker)
        else {
            return false;
        };
        let Some(other) = self.listed.get_mut(&number) else {
            return false;
        };
        let ended = other
            .connected
            .take_if(|connected| connected.connection == connection);
        if ended.is_none() {
            return false;
        }
        if !std::mem::replace(&mut other.loss_reported, true) {
            effects.report(Report::Lost { other: number });
        }
        true
    }

    /// Notes that something arrived over a connection. Returns whether it is open.
    pub(super) fn note_received(&mut self, connection: ReplicaConnectionId, now: Moment) -> bool {
        let connection = self.connections.get_mut(&connection);
        connection
            .map(|connection| connection.last_received = now.elapsed)
            .is_some()
    }

    /// The tracker at the other end, known after its hello.
    pub(super) fn tracker_at(&self, connection: ReplicaConnectionId) -> Option<TrackerNumber> {
        self.connections.get(&connection)?.tracker
    }

    pub(super) fn connections(&self) -> Vec<ReplicaConnectionId> {
        self.connections.keys().copied().collect()
    }

    pub(super) fn idle_connections(&self, now: Moment) -> Vec<ReplicaConnectionId> {
        let connections = self.connections.iter();
        let silent = connections
            .filter(|(_, connection)| now.elapsed >= connection.last_received + IDLE_TIMEOUT);
        silent.map(|(connection, _)| *connection).collect()
    }

    /// The connection to a tracker after its hello.
    pub(super) fn connection_to(&self, number: TrackerNumber) -> Option<ReplicaConnectionId> {
        Some(self.listed.get(&number)?.connected.as_ref()?.connection)
    }

    /// The newest connection over which a hello of a tracker came. It may be closed.
    pub(super) fn newest_connection_to(
        &self,
        number: TrackerNumber,
    ) -> Option<ReplicaConnectionId> {
        self.listed.get(&number)?.newest_connection
    }

    /// A connected tracker other than `except` that has this origin.
    pub(super) fn other_with_origin(
        &self,
        origin: Origin,
        except: TrackerNumber,
    ) -> Option<TrackerNumber> {
        let mut all_connected = self.all_connected();
        let same = all_connected.find(|(number, it)| *number != except && it.origin == origin);
        same.map(|(number, _)| number)
    }

    /// A tracker has introduced itself. `current` says whether it has all writes of this tracker.
    pub(super) fn on_hello(
        &mut self,
        connection: ReplicaConnectionId,
        hello: &Hello,
        current: bool,
        now: Moment,
    ) {
        let Some(other) = self.listed.get_mut(&hello.number) else {
            return;
        };
        other.connected = Some(ConnectedReplica {
            connection,
            origin: hello.origin,
            current,
            confirmed: Sequence::ZERO,
            ping: None,
            next_ping: now.elapsed,
            in_sync_reported: false,
            lacking_blobs: BTreeMap::new(),
        });
        other.newest_connection = Some(connection);
        other.serving = hello.serving;
        other.paused_until = now.elapsed;
        // What an earlier process of that tracker knew does not count.
        other.forget_reports();
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.tracker = Some(hello.number);
        }
    }

    /// A tracker has reported its version vector. If it is connected, returns the number up to
    /// which it has all writes of this tracker.
    pub(super) fn on_versions(
        &mut self,
        number: TrackerNumber,
        versions: &VersionVector,
        registry: &Registry,
        effects: &mut Effects,
    ) -> Option<Sequence> {
        let (origin, ours) = (registry.origin(), registry.version_vector());
        let other = self.listed.get_mut(&number)?;
        let reported = other.versions.get_or_insert_default();
        reported.join(versions);
        let known = reported.of(origin);
        let ahead = !ours.includes(reported);
        let connected = other.connected.as_mut()?;
        connected.current |= known >= ours.of(origin);
        if connected.current && !ahead && !connected.in_sync_reported {
            connected.in_sync_reported = true;
            other.last_trouble = None;
            other.loss_reported = false;
            effects.report(Report::InSync { other: number });
        }
        Some(known)
    }

    /// A tracker has reported all that it has, in a hello or ping.
    pub(super) fn on_whole_versions(&mut self, number: TrackerNumber, versions: &VersionVector) {
        if let Some(other) = self.listed.get_mut(&number) {
            other.whole_versions.get_or_insert_default().join(versions);
        }
    }

    /// A tracker [has reported](OtherReplica::has_reported).
    pub(super) fn note_report(&mut self, number: TrackerNumber) {
        if let Some(other) = self.listed.get_mut(&number) {
            other.has_reported = true;
        }
    }

    /// Reports what is wrong with a tracker, unless its last reported trouble had the same reason.
    /// All trackers that are not listed count as one tracker here.
    pub(super) fn report_trouble(
        &mut self,
        other: Option<TrackerNumber>,
        reason: String,
        effects: &mut Effects,
    ) {
        let other = other.filter(|number| self.listed.contains_key(number));
        let last = match other.and_then(|number| self.listed.get_mut(&number)) {
            Some(other) => &mut other.last_trouble,
            None => &mut self.unlisted_trouble,
        };
        if last.as_ref() != Some(&reason) {
            *last = Some(reason.clone());
            effects.report(Report::Trouble { other, reason });
        }
    }

    /// The connections over which a write is pushed: to the trackers that are current and have
    /// reported that they have `needs`.
    pub(super) fn connections_for_push(
        &self,
        needs: Option<&VersionVector>,
    ) -> Vec<ReplicaConnectionId> {
        let has = |other: &OtherReplica| {
            let reported = other.versions.as_ref();
            needs.is_none_or(|needs| reported.is_some_and(|it| it.includes(needs)))
        };
        let others = self.listed.values().filter(|other| has(other));
        let connected = others.filter_map(|other| other.connected.as_ref());
        let current = connected.filter(|connected| connected.current);
        current.map(|connected| connected.connection).collect()
    }

    /// The next ping to each tracker is due now.
    pub(super) fn make_pings_due(&mut self) {
        let others = self.listed.values_mut();
        for connected in others.filter_map(|other| other.connected.as_mut()) {
            connected.next_ping = Duration::ZERO;
        }
    }

    /// Whether some tracker is current, so that writes wait for its confirmation.
    pub(super) fn any_current(&self) -> bool {
        self.all_connected().any(|(_, connected)| connected.current)
    }

    /// This tracker has sent everything that it knows to tracker `number`. From now on writes are
    /// pushed to it.
    pub(super) fn mark_current(&mut self, number: TrackerNumber) {
        if let Some(connected) = self.connected_mut(number) {
            connected.current = true;
        }
    }

    /// Trackers that lack `write` of `origin` stop being current. They become current again when
    /// they have caught up.
    pub(super) fn stop_waiting_for_laggards(&mut self, origin: Origin, write: Sequence) {
        for other in self.listed.values_mut() {
            let known = other.versions.as_ref().map(|reported| reported.of(origin));
            if let Some(connected) = &mut other.connected
                && known.unwrap_or_default() < write
            {
                connected.current = false;
            }
        }
    }

    /// For each connected tracker, the last of its writes that is known here. Leaves out a write
    /// that an earlier call has returned.
    pub(super) fn take_confirmations(
        &mut self,
        ours: &VersionVector,
    ) -> Vec<(ReplicaConnectionId, Sequence)> {
        let mut confirmations = Vec::new();
        let others = self.listed.values_mut();
        for connected in others.filter_map(|other| other.connected.as_mut()) {
            let known = ours.of(connected.origin);
            if known > connected.confirmed {
                connected.confirmed = known;
                confirmations.push((connected.connection, known));
            }
        }
        confirmations
    }

    /// The last of a tracker's writes that is known here.
    pub(super) fn last_known_write_of(
        &self,
        number: TrackerNumber,
        ours: &VersionVector,
    ) -> Option<Sequence> {
        let connected = self.listed.get(&number)?.connected.as_ref()?;
        Some(ours.of(connected.origin))
    }

    /// Connections whose ping is due. Marks them as pinged.
    pub(super) fn start_due_pings(&mut self, now: Moment) -> Vec<ReplicaConnectionId> {
        let mut connections = Vec::new();
        for other in self.listed.values_mut() {
            if let Some(connected) = &mut other.connected
                && connected.next_ping <= now.elapsed
            {
                connected.next_ping = now.elapsed + PING_INTERVAL;
                // A later ping does not replace the one that is being measured. Otherwise an answer
                // that takes longer than the interval would never be measured.
                let lost = |(_, sent): (u64, Duration)| now.elapsed >= sent + IDLE_TIMEOUT;
                if connected.ping.is_none_or(lost) {
                    connected.ping = Some((now.wall_millis(), now.elapsed));
                }
                connections.push(connected.connection);
            }
        }
        connections
    }

    /// Measures the clock of a tracker from its answer to a ping. The other tracker is assumed to
    /// have read `clock` half-way between the sending of the ping and the arrival of the answer.
    pub(super) fn on_pong(
        &mut self,
        number: TrackerNumber,
        (echo, clock): (u64, u64),
        now: Moment,
        effects: &mut Effects,
    ) {
        let Some(other) = self.listed.get_mut(&number) else {
            return;
        };
        let connected = other.connected.as_mut();
        let answered = |ping: &mut (u64, Duration)| ping.0 == echo;
        let Some((_, sent)) = connected.and_then(|it| it.ping.take_if(answered)) else {
            return;
        };
        let half = now.elapsed.saturating_sub(sent) / 2;
        let ours = i64::try_from(now.wall.saturating_sub(half).as_millis());
        let (Ok(ours), Ok(theirs)) = (ours, i64::try_from(clock)) else {
            return;
        };
        let ahead = theirs.saturating_sub(ours);
        other.clock_ahead = Some(ahead);
        let wrong = is_wrong(ahead);
        if wrong != other.clock_trouble_reported {
            other.clock_trouble_reported = wrong;
            let other = number;
            effects.report(Report::ClockOffset { other, ahead });
        }
    }

    /// The connected tracker that knows the most writes beyond `ours`, and the connection to it.
    pub(super) fn most_ahead(
        &self,
        ours: &VersionVector,
        now: Moment,
    ) -> Option<(TrackerNumber, ReplicaConnectionId)> {
        let ahead = self.listed.iter().filter_map(|(number, other)| {
            let lacking = ours.behind(other.versions.as_ref()?);
            let connected = other.connected.as_ref()?;
            (lacking > 0 && other.paused_until <= now.elapsed).then_some((
                lacking,
                Reverse(*number),
                connected.connection,
            ))
        });
        let (_, Reverse(number), connection) = ahead.max()?;
        Some((number, connection))
    }

    /// A tracker that can be asked for one of these blobs now, its connection, and the blob.
    pub(super) fn blob_source<'a>(
        &self,
        blobs: impl IntoIterator<Item = &'a InfoHash>,
        now: Moment,
    ) -> Option<(TrackerNumber, ReplicaConnectionId, InfoHash)> {
        blobs.into_iter().find_map(|blob| {
            self.listed.iter().find_map(|(number, other)| {
                let connected = other.connected.as_ref()?;
                let not_before = connected
                    .lacking_blobs
                    .get(blob)
                    .copied()
                    .unwrap_or_default();
                let must_wait = not_before.max(other.paused_until) > now.elapsed;
                (!must_wait).then_some((*number, connected.connection, *blob))
            })
        })
    }

    /// A tracker does not have a blob.
    pub(super) fn on_no_blob(&mut self, number: TrackerNumber, blob: InfoHash, now: Moment) {
        if let Some(connected) = self.connected_mut(number) {
            connected
                .lacking_blobs
                .insert(blob, now.elapsed + ASK_AGAIN);
        }
    }

    /// A tracker is not asked for anything before `until`.
    pub(super) fn pause_until(&mut self, number: TrackerNumber, until: Duration) {
        if let Some(other) = self.listed.get_mut(&number) {
            other.paused_until = until;
        }
    }

    /// The version vectors of all listed trackers, each as of one moment, if all have reported and
    /// the clock of each was compared with this tracker's clock and agrees with it. `None` also if
    /// a tracker whose clock did not agree was removed from the list: the wrong clock may be this
    /// one.
    pub(super) fn all_versions_if_clocks_agree(&self) -> Option<Vec<VersionVector>> {
        let reported = |other: &OtherReplica| {
            let agrees = other.clock_ahead.is_some_and(|ahead| !is_wrong(ahead));
            other.whole_versions.clone().filter(|_| agrees)
        };
        let reported = self.listed.values().map(reported);
        reported
            .collect::<Option<_>>()
            .filter(|_| !self.lost_with_other_clock)
    }

    /// Whether every listed tracker [has reported](OtherReplica::has_reported), after the last
    /// stall of this tracker.
    pub(super) fn all_have_reported(&self) -> bool {
        self.listed.values().all(|other| other.has_reported)
    }

    pub(super) fn any_connected(&self) -> bool {
        self.all_connected().next().is_some()
    }

    /// Whether this tracker has caught up with some connected tracker that [has
    /// reported](OtherReplica::has_reported): `ours` includes the version vector of the other. With
    /// `and_serves`, only trackers that serve count.
    pub(super) fn caught_up_with_any(&self, ours: &VersionVector, and_serves: bool) -> bool {
        let mut connected = self
            .listed
            .values()
            .filter(|other| other.connected.is_some() && other.has_reported);
        connected.any(|other| {
            let reported = other.versions.as_ref();
            (other.serving || !and_serves)
                && reported.is_some_and(|reported| ours.includes(reported))
        })
    }

    /// Forgets what all trackers have reported: it dates from before this tracker stalled.
    pub(super) fn forget_reports(&mut self) {
        self.listed
            .values_mut()
            .for_each(OtherReplica::forget_reports);
    }

    /// Removes all connections and returns them. Does not report that their trackers are lost.
    pub(super) fn remove_all_connections(&mut self) -> Vec<ReplicaConnectionId> {
        self.listed
            .values_mut()
            .for_each(|other| other.connected = None);
        std::mem::take(&mut self.connections).into_keys().collect()
    }

    pub(super) fn status(&self, ours: &VersionVector, now: Moment) -> Vec<ReplicaStatus> {
        let status = |(number, other): (&TrackerNumber, &OtherReplica)| {
            let (connected, reported) = (other.connected.as_ref(), other.versions.as_ref());
            let last_contact = other.last_contact;
            ReplicaStatus {
                number: *number,
                origin: connected.map(|connected| connected.origin),
                serving: other.serving,
                current: connected.is_some_and(|connected| connected.current),
                it_lacks: reported.map(|reported| reported.behind(ours)),
                we_lack: reported.map_or(0, |reported| ours.behind(reported)),
                silent_for: last_contact.map(|last| now.elapsed.saturating_sub(last)),
                clock_ahead: other.clock_ahead,
            }
        };
        self.listed.iter().map(status).collect()
    }

    fn all_connected(&self) -> impl Iterator<Item = (TrackerNumber, &ConnectedReplica)> {
        let all = self.listed.iter();
        all.filter_map(|(number, other)| Some((*number, other.connected.as_ref()?)))
    }

    fn connected_mut(&mut self, number: TrackerNumber) -> Option<&mut ConnectedReplica> {
        self.listed.get_mut(&number)?.connected.as_mut()
    }
}

impl OtherReplica {
    /// Forgets the version vectors that it has reported, and how far its clock is ahead.
    fn forget_reports(&mut self) {
        (self.versions, self.whole_versions) = (None, None);
        self.has_reported = false;
        self.clock_ahead = None;
    }
}

/// Whether a clock that is this many milliseconds ahead, or behind, shows that a clock is wrong.
fn is_wrong(ahead: i64) -> bool {
    Duration::from_millis(ahead.unsigned_abs()) > MAX_DRIFT
}

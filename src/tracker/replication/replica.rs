//! The replica: what happens is handed on to the parts that it is about, and what follows from it is done.
//!
//! The parts know nothing of each other: [`Others`] the trackers and lines, [`CatchingUp`] and [`BlobFetcher`] what is asked
//! for, [`Writes`] who waits, [`Stage`] whether this tracker serves, [`Effects`] what is to be done.

use super::{
    BlobFetcher, Blobs, CatchingUp, Commit, Effect, Effects, FORGET, Halt, Hello, KEEP, LineId,
    Moment, Others, PAUSE, Part, Report, SILENCE, STANDSTILL, Serving, Stage, Start, Status,
    WriteError, Writes,
};
use crate::torrent::InfoHash;
use crate::tracker::registry::{
    Change, Drift, MergeError, Origin, Refusal, Registry, Row, Sequence, Update, VersionVector,
};
use crate::wire::control::InfoPart;
use crate::wire::replica::{Encoded, Message, PROTOCOL, TrackerNumber};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long the same drift is not reported again.
const DRIFT_REPEAT: Duration = Duration::from_secs(60 * 60);

/// Who this tracker is among which others.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its number.
    pub number: TrackerNumber,
    /// The numbers of all trackers listed, its own among them or not.
    pub listed: Vec<TrackerNumber>,
    /// About how many bytes one batch of changes has, as [`BATCH`](super::BATCH).
    pub batch: usize,
    /// What rows have to do with blobs.
    pub blobs: Blobs,
    /// Random bits that are in use nowhere, for the case that the stored origin may not be used any more.
    pub spare: Origin,
}

/// A tracker's registry and what it has to do with the other trackers.
#[derive(Debug)]
pub struct Replica {
    pub(super) registry: Registry,
    others: Others,
    effects: Effects,
    writes: Writes,
    catching_up: CatchingUp,
    pub(super) blobs: BlobFetcher,
    stage: Stage,
    origin: OriginUse,
    pub(super) batch: usize,
    /// When the last tick was.
    ticked: Moment,
    next_forget: Duration,
    /// Whose stamps were last reported as far ahead, and when.
    drifts: BTreeMap<Origin, Duration>,
}

/// What may become of the stored origin.
#[derive(Debug)]
struct OriginUse {
    /// The one that takes its place if others may know own writes that are not known here.
    spare: Option<Origin>,
    /// Whether the next commit is to store the origin.
    is_new: bool,
}

impl Replica {
    /// The replica with that registry, as it was loaded, and the blobs that are stored beside it.
    pub fn new(
        settings: Settings,
        registry: Registry,
        stored: impl IntoIterator<Item = InfoHash>,
        start: Start,
        now: Moment,
    ) -> Self {
        let mut replica = Self {
            others: Others::new(settings.number, settings.listed),
            effects: Effects::default(),
            writes: Writes::default(),
            catching_up: CatchingUp::default(),
            blobs: BlobFetcher::new(settings.blobs, stored, &registry),
            stage: Stage::new(start, now),
            origin: OriginUse {
                spare: Some(settings.spare),
                is_new: false,
            },
            batch: settings.batch,
            ticked: now,
            next_forget: now.elapsed + SILENCE,
            drifts: BTreeMap::new(),
            registry,
        };
        replica.consider_serving(now);
        replica
    }

    /// The registry, to be asked: what it says may still be on its way to the disk.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Whether there is no other tracker to keep current.
    pub fn is_single(&self) -> bool {
        self.others.all.is_empty()
    }

    /// Whether this tracker serves.
    pub fn serving(&self) -> Serving {
        self.stage.serving()
    }

    /// How this tracker stands with the others now.
    pub fn status(&self, now: Moment) -> Status {
        Status {
            number: self.others.own,
            origin: self.registry.origin(),
            serving: self.serving(),
            waiting: self.writes.0.len(),
            lacking_blobs: self.blobs.lacking.len(),
            others: self.others.status(self.registry.version_vector(), now),
        }
    }

    /// For how long this tracker has stood still at `now`, if it has.
    pub fn stood_still(&self, now: Moment) -> Option<Duration> {
        let elapsed = now.elapsed.saturating_sub(self.ticked.elapsed);
        let passed = elapsed.max(now.wall.saturating_sub(self.ticked.wall));
        let halted = self.stage.is_halted() || self.is_single();
        (passed >= STANDSTILL && !halted).then_some(passed)
    }

    /// These are the numbers of all trackers listed now, its own among them or not.
    pub fn list(
        &mut self,
        listed: impl IntoIterator<Item = TrackerNumber>,
        now: Moment,
    ) -> Vec<Effect> {
        let listed: BTreeSet<TrackerNumber> = listed.into_iter().collect();
        for line in self.others.lines_of_unlisted(&listed) {
            self.close(line);
        }
        self.others.list(&listed);
        self.acknowledge_unless_awaited();
        self.done(now)
    }

    /// A line is up; both ends have proved that they are of the cluster.
    pub fn line_up(&mut self, line: LineId, now: Moment) -> Vec<Effect> {
        self.notice_standstill(now);
        if self.stage.is_halted() {
            return vec![Effect::Close(line)];
        }
        self.others.line_up(line, now);
        if let Some(versions) = self.encoded_versions() {
            let hello = Message::Hello {
                protocol: PROTOCOL,
                number: self.others.own,
                origin: self.registry.origin().0,
                versions,
                serving: self.stage.serves(),
            };
            self.effects.send(line, hello);
        }
        self.done(now)
    }

    /// A line has ended.
    pub fn line_down(&mut self, line: LineId, now: Moment) -> Vec<Effect> {
        self.forget_line(line);
        self.done(now)
    }

    /// A part of a message has come: the line is slow, not silent, and what is asked for over it is on its way.
    pub fn arriving(&mut self, line: LineId, now: Moment) -> Vec<Effect> {
        self.notice_standstill(now);
        if self.others.heard(line, now) {
            self.catching_up.got_on(Some(line), now);
            self.blobs.arriving(line, now);
        }
        self.done(now)
    }

    /// A message has come.
    pub fn received(&mut self, line: LineId, message: Message, now: Moment) -> Vec<Effect> {
        self.notice_standstill(now);
        // What comes over a line that has ended says nothing of the present.
        if !self.others.heard(line, now) {
            return self.done(now);
        }
        match (self.others.owner(line), message) {
            (None, message @ Message::Hello { .. }) => self.on_hello(line, message, now),
            // Before it has said who it is, or once more.
            (None, _) | (_, Message::Hello { .. }) => {}
            (Some(other), message) => {
                if let Some(other) = self.others.all.get_mut(&other) {
                    other.last_contact = Some(now.elapsed);
                }
                self.on_message(line, other, message, now);
            }
        }
        self.done(now)
    }

    /// A commit, and all before it, are durable.
    pub fn committed(&mut self, number: u64, now: Moment) -> Vec<Effect> {
        self.effects.committed(number);
        self.writes.note_durable(&self.effects, now);
        self.acknowledge_unless_awaited();
        self.done(now)
    }

    /// Makes a write by an operation of the registry, which is given the wall time; `blobs` are those that its rows name
    /// and that are not here yet. [`Effect::Acknowledge`] says, under the number returned, when it is done.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn write(
        &mut self,
        blobs: Vec<(InfoHash, Vec<u8>)>,
        now: Moment,
        operation: impl FnOnce(&Registry, Duration) -> Result<Update, Refusal>,
    ) -> Result<(Sequence, Vec<Effect>), WriteError> {
        self.notice_standstill(now);
        if !self.stage.serves() {
            return Err(WriteError::NotServing(self.serving()));
        }
        let update = operation(&self.registry, now.wall)?;
        if let Some(blob) = self.blobs.not_given(update.rows(), &blobs) {
            return Err(WriteError::NoBlob(blob));
        }
        let bytes = update.change().map(Change::encode).unwrap_or_default();
        let length = bytes.len();
        let change = Encoded::new(bytes).ok_or(WriteError::TooLarge(length))?;
        let commit = self.commit_update(update, blobs);
        let versions = self.registry.version_vector();
        let write = versions.of(self.registry.origin());
        let id = write.number();
        let push = Message::Push { id, change };
        for line in self.others.current_lines() {
            self.effects.send(line, push.clone());
        }
        self.writes.add(write, commit);
        Ok((write, self.done(now)))
    }

    /// Time has passed; to be called about every 100 ms.
    pub fn tick(&mut self, now: Moment) -> Vec<Effect> {
        self.notice_standstill(now);
        self.ticked = now;
        for line in self.others.silent_lines(now) {
            self.close(line);
        }
        self.give_up_waiting(now);
        if let Some(other) = self.catching_up.give_up_if_stuck(now) {
            self.blobs.fetch = None;
            self.others.pause(other, now.elapsed + PAUSE);
        }
        if let Some(line) = self.blobs.give_up_if_stuck(now)
            && let Some(other) = self.others.owner(line)
        {
            self.others.pause(other, now.elapsed + PAUSE);
        }
        self.ping(now);
        if now.elapsed >= self.next_forget {
            self.next_forget = now.elapsed + FORGET;
            self.forget(now);
        }
        self.done(now)
    }

    /// What follows from whatever has happened, and all effects so far.
    fn done(&mut self, now: Moment) -> Vec<Effect> {
        self.consider_catching_up(now);
        self.consider_fetching(now);
        self.consider_serving(now);
        std::mem::take(&mut self.effects.due)
    }

    /// The own version vector as it is sent. One of more than twenty thousand lost disks cannot be.
    fn encoded_versions(&self) -> Option<Encoded> {
        Encoded::new(self.registry.version_vector().encode())
    }

    fn on_message(&mut self, line: LineId, other: TrackerNumber, message: Message, now: Moment) {
        match message {
            Message::Hello { .. } => {}
            Message::Ping {
                clock,
                versions,
                serving,
            } => {
                let (echo, clock) = (clock, now.wall_millis());
                self.effects
                    .push(Effect::Send(line, Message::Pong { echo, clock }));
                if let Some(other) = self.others.all.get_mut(&other) {
                    other.serving = serving;
                }
                match VersionVector::decode(versions.as_bytes()) {
                    Ok(versions) => self.on_versions(other, &versions),
                    Err(error) => self.turn_away(line, Some(other), error.to_string()),
                }
            }
            Message::Pong { echo, clock } => {
                self.others
                    .measure(other, (echo, clock), now, &mut self.effects);
            }
            Message::Pull { id, known } => match VersionVector::decode(known.as_bytes()) {
                Ok(known) => self.on_pull(line, other, id, &known),
                Err(error) => self.turn_away(line, Some(other), error.to_string()),
            },
            Message::Changes { id, change, more } => {
                let effects = &mut self.effects;
                let taken = self.catching_up.batch(line, id, change, more, now, effects);
                match taken {
                    Ok(true) => self.finish_catching_up(now),
                    Ok(false) => {}
                    Err((other, reason)) => self.turn_away(line, Some(other), reason),
                }
            }
            Message::Push { change, .. } => match Change::decode(change.as_bytes()) {
                Ok(change) => self.on_push(line, other, &change, now),
                Err(error) => self.turn_away(line, Some(other), error.to_string()),
            },
            Message::Pushed { id } => {
                if let Some(last) = Sequence::new(id) {
                    let mut versions = VersionVector::new();
                    versions.note(self.registry.origin(), last);
                    self.on_versions(other, &versions);
                }
            }
            Message::WantBlob { info_hash, offset } => {
                self.effects
                    .hold(match self.blobs.stored.contains(&info_hash) {
                        true => Effect::SendBlob {
                            line,
                            info_hash,
                            offset,
                        },
                        false => Effect::Send(line, Message::NoBlob { info_hash }),
                    });
            }
            Message::Blob { info_hash, part } => self.on_blob_part(line, info_hash, &part, now),
            Message::NoBlob { info_hash } => self.on_no_blob(line, info_hash, now),
        }
    }

    /// Somebody says who it is.
    fn on_hello(&mut self, line: LineId, hello: Message, now: Moment) {
        let Message::Hello {
            protocol,
            number,
            origin,
            versions,
            serving,
        } = hello
        else {
            return;
        };
        let origin = Origin(origin);
        if protocol != PROTOCOL {
            let reason = format!(
                "it speaks version {protocol} of the protocol between trackers, this one {PROTOCOL}; run one version on all"
            );
            return self.turn_away(line, Some(number), reason);
        }
        if number == self.others.own {
            let reason = format!("it says it is number {number}, as this one: give each its own");
            return self.turn_away(line, None, reason);
        }
        if !self.others.all.contains_key(&number) {
            let reason = format!("it says it is number {number}, which is not listed here");
            return self.turn_away(line, None, reason);
        }
        if origin == self.registry.origin() {
            return self.halt(Halt::Copied { other: number });
        }
        // Which of the two has the copy is not known here: the one that came first is listened to.
        if let Some(other) = self.others.of_origin(origin, number) {
            let reason = format!(
                "it runs with a copy of the data folder of tracker {other}; give one of them an empty folder, which fills itself"
            );
            return self.turn_away(line, Some(number), reason);
        }
        let versions = match VersionVector::decode(versions.as_bytes()) {
            Ok(versions) => versions,
            Err(error) => return self.turn_away(line, Some(number), error.to_string()),
        };
        if self.halt_if_rewound(&versions) {
            return;
        }
        match self.others.line_of(number) {
            // A late word on an older line.
            Some(newer) if newer > line => return self.close(line),
            Some(older) => self.close(older),
            None => {}
        }
        let (own, ours) = (self.registry.origin(), self.registry.version_vector());
        let current = versions.of(own) >= ours.of(own);
        let hello = Hello {
            number,
            origin,
            serving,
        };
        self.others.greeted(line, &hello, current, now);
        self.on_versions(number, &versions);
        self.ping(now);
    }

    /// A tracker has told what it knows.
    fn on_versions(&mut self, other: TrackerNumber, versions: &VersionVector) {
        if self.halt_if_rewound(versions) {
            return;
        }
        let effects = &mut self.effects;
        if let Some(has) = self.others.told(other, versions, &self.registry, effects) {
            self.writes.acknowledge_upto(has, effects);
        }
    }

    /// Answers a pull. Whoever was sent the last batch has all there is, and is pushed what comes next.
    fn on_pull(&mut self, line: LineId, other: TrackerNumber, id: u32, known: &VersionVector) {
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
                let reason = format!("a change of {length} bytes is too large to be told");
                return self.turn_away(line, Some(other), reason);
            }
            change => change.and_then(|(_, change)| change),
        };
        if !more {
            self.others.is_current(other);
        }
        self.effects
            .send(line, Message::Changes { id, change, more });
    }

    /// Another tracker has made a write. If anything that it was made in knowledge of is not known here, or a blob that it
    /// names is not, that tracker is asked for all that is lacking instead.
    fn on_push(&mut self, line: LineId, other: TrackerNumber, change: &Change, now: Moment) {
        let mut theirs = VersionVector::new();
        for (origin, span) in change.covers() {
            theirs.note(origin, span.upto);
        }
        let versions = self.registry.version_vector();
        let known = versions.includes(&theirs);
        let complete = change.complete_for(versions) && self.blobs.missing(change).is_empty();
        if known {
            if !self.registry.contains(change, now.wall) {
                let reason = "it tells another write under a number that is known here: two trackers write under one origin";
                return self.turn_away(line, Some(other), reason.to_owned());
            }
            // Told again: perhaps the confirmation was lost.
            if let Some(upto) = self.others.known_of(other, versions) {
                let id = upto.number();
                self.effects.send(line, Message::Pushed { id });
            }
        } else if complete {
            self.merge(line, other, change, now);
        }
        self.on_versions(other, &theirs);
    }

    fn on_blob_part(&mut self, line: LineId, info_hash: InfoHash, part: &InfoPart, now: Moment) {
        let part = self.blobs.part(line, info_hash, part, now);
        if !matches!(part, Part::Ignored) {
            self.catching_up.got_on(None, now);
        }
        match part {
            Part::Ignored => {}
            Part::Next(offset) => {
                let next = Message::WantBlob { info_hash, offset };
                self.effects.send(line, next);
            }
            Part::Unsound => self.on_no_blob(line, info_hash, now),
            Part::Whole(bytes) => {
                self.commit(Commit {
                    blobs: vec![(info_hash, bytes)],
                    ..Commit::default()
                });
                self.finish_catching_up(now);
            }
        }
    }

    fn on_no_blob(&mut self, line: LineId, info_hash: InfoHash, now: Moment) {
        let Some((other, is_news)) = self.blobs.is_missing(line, info_hash) else {
            return;
        };
        self.others.has_not(other, info_hash, now);
        if is_news {
            self.effects.report(Report::BlobMissing { info_hash });
        }
        self.finish_catching_up(now);
    }

    /// Ends a line with whoever breaks the rules, or cannot be understood.
    fn turn_away(&mut self, line: LineId, other: Option<TrackerNumber>, reason: String) {
        self.others.complain(other, reason, &mut self.effects);
        self.close(line);
    }

    fn close(&mut self, line: LineId) {
        self.effects.push(Effect::Close(line));
        self.forget_line(line);
    }

    fn close_all(&mut self) {
        for line in self.others.lines() {
            self.close(line);
        }
    }

    fn forget_line(&mut self, line: LineId) {
        if self.others.line_down(line, &mut self.effects) {
            self.catching_up.line_down(line);
            self.blobs.line_down(line);
            self.acknowledge_unless_awaited();
        }
    }

    /// With nobody to wait for, what is durable here is acknowledged.
    fn acknowledge_unless_awaited(&mut self) {
        if !self.others.are_awaited() {
            self.writes.acknowledge_alone(None, &mut self.effects);
        }
    }

    /// Acknowledges writes that have waited long enough. Who let them wait is not waited for until it has caught up.
    fn give_up_waiting(&mut self, now: Moment) {
        let Some(overdue) = self.writes.overdue(now) else {
            return;
        };
        self.others.wait_no_more(self.registry.origin(), overdue);
        self.writes.acknowledge_alone(Some(now), &mut self.effects);
        self.acknowledge_unless_awaited();
    }

    /// Sends each tracker whose turn it is what is known here.
    fn ping(&mut self, now: Moment) {
        let (clock, serving) = (now.wall_millis(), self.stage.serves());
        for line in self.others.due_for_ping(now) {
            if let Some(versions) = self.encoded_versions() {
                let ping = Message::Ping {
                    clock,
                    versions,
                    serving,
                };
                self.effects.send(line, ping);
            }
        }
    }

    /// Begins to catch up with the tracker that has most to tell, unless that is under way.
    fn consider_catching_up(&mut self, now: Moment) {
        if self.catching_up.current.is_some() || self.stage.is_halted() {
            return;
        }
        let ours = self.registry.version_vector();
        if let Some((other, line)) = self.others.most_ahead(ours, now) {
            let effects = &mut self.effects;
            self.catching_up.begin(other, line, ours, now, effects);
        }
    }

    /// Merges what was staged, if all is here that it needs.
    fn finish_catching_up(&mut self, now: Moment) {
        let staged = self.catching_up.staged();
        if !staged.is_some_and(|it| self.blobs.missing(&it.staged).is_empty()) {
            return;
        }
        let Some(caught_up) = self.catching_up.current.take() else {
            return;
        };
        let other = caught_up.other;
        self.merge(caught_up.line, other, &caught_up.staged, now);
        let versions = self.registry.version_vector();
        if let Some(known) = self.others.all.get(&other) {
            let told = known.told.clone().unwrap_or_default();
            if !versions.includes(&caught_up.reached) {
                self.others.pause(other, now.elapsed + PAUSE);
            }

            self.on_versions(other, &told);
        }
    }

    /// Asks for a blob: first those that catching up waits for, then those that are lacking.
    fn consider_fetching(&mut self, now: Moment) {
        if self.blobs.fetch.is_some() || self.stage.is_halted() {
            return;
        }
        let needed = self.catching_up.staged().and_then(|it| {
            let first = self.blobs.missing(&it.staged).pop_first()?;
            Some((it.other, it.line, first))
        });
        let lacking = || self.others.may_have(&self.blobs.lacking, now);
        let Some((other, line, info_hash)) = needed.or_else(lacking) else {
            return;
        };
        self.blobs.fetch(other, line, info_hash, now);
        let offset = 0;
        self.effects
            .send(line, Message::WantBlob { info_hash, offset });
    }

    /// Merges a change of another tracker.
    fn merge(&mut self, line: LineId, other: TrackerNumber, change: &Change, now: Moment) {
        match self.registry.merge(change, now.wall) {
            Ok(update) => {
                if let Some(drift) = update.drift() {
                    self.note_drift(drift, now);
                }
                self.commit_update(update, Vec::new());
            }
            Err(MergeError::Rewound { known, heard }) => self.halt(Halt::Rewound { known, heard }),
            Err(error) => self.turn_away(line, Some(other), error.to_string()),
        }
    }

    /// Reports stamps from far ahead, once an hour for each origin.
    fn note_drift(&mut self, Drift { origin, ahead }: Drift, now: Moment) {
        let last = self.drifts.get(&origin);
        if last.is_none_or(|last| now.elapsed >= *last + DRIFT_REPEAT) {
            self.drifts.insert(origin, now.elapsed);
            self.effects.report(Report::Drift { origin, ahead });
        }
    }

    /// Applies an update that was just made and hands out its commit, then confirms to its makers what it brought.
    fn commit_update(&mut self, update: Update, blobs: Vec<(InfoHash, Vec<u8>)>) -> u64 {
        let rows: Vec<Row> = update.rows().to_vec();
        // Made from the present state: it cannot be stale.
        let applied = self.registry.apply(update);
        debug_assert_eq!(applied, Ok(()));
        self.blobs.note(&rows, blobs.iter().map(|(hash, _)| *hash));
        let number = self.commit(Commit {
            rows,
            blobs,
            ..Commit::default()
        });
        let confirmed = self.others.confirm(self.registry.version_vector());
        for (line, upto) in confirmed {
            let id = upto.number();
            self.effects.send(line, Message::Pushed { id });
        }
        number
    }

    /// Hands out a commit of these, of the present version vector, and of the origin if it is new.
    fn commit(&mut self, mut commit: Commit) -> u64 {
        commit.versions = self.registry.version_vector().clone();
        let is_new = std::mem::take(&mut self.origin.is_new);
        commit.origin = is_new.then(|| self.registry.origin());
        self.effects.commit(commit)
    }

    /// Forgets rows that say nothing any more, if all trackers have them and no clock is known to be wrong, and drops blobs
    /// that no row names.
    fn forget(&mut self, now: Moment) {
        if self.stage.is_halted() {
            return;
        }
        if let Some(told) = self.others.told_by_all() {
            let before = now.wall.saturating_sub(KEEP);
            let forgotten = self.registry.droppable(before, &told);
            if !forgotten.is_empty() {
                self.registry.drop_rows(&forgotten);
                self.commit(Commit {
                    forgotten,
                    ..Commit::default()
                });
            }
        }
        if self.catching_up.current.is_some() {
            return;
        }
        let dropped = self.blobs.drop_unnamed(&self.registry);
        if !dropped.is_empty() {
            self.commit(Commit {
                dropped,
                ..Commit::default()
            });
        }
    }

    fn consider_serving(&mut self, now: Moment) {
        let ours = self.registry.version_vector();
        if !self.stage.is_ready(&self.others, ours, now) {
            return;
        }
        // Data that have been served once in this run are no older copy. Somebody who has not been heard of may know own
        // writes that are not known here: then writes from now on bear an origin that has none.
        let all_heard_of = self.others.all_heard_of();
        if let Some(spare) = self.origin.spare.take().filter(|_| !all_heard_of) {
            self.registry.change_origin(spare);
            self.origin.is_new = true;
            self.commit(Commit::default());
            // They were told another one.
            self.close_all();
        }
        self.stage = Stage::Serving;
        self.effects.report(Report::Serves);
    }

    /// Starts again if this tracker has stood still: what lies in its lines is of a time before others went on.
    fn notice_standstill(&mut self, now: Moment) {
        let Some(passed) = self.stood_still(now) else {
            return;
        };
        self.ticked = now;
        self.effects.report(Report::StoodStill { passed });
        self.close_all();
        self.others.forget_told();
        self.stage = self.stage.again(now);
    }

    /// Halts if others know own writes that are not known here; returns whether it did.
    fn halt_if_rewound(&mut self, theirs: &VersionVector) -> bool {
        let origin = self.registry.origin();
        let (known, heard) = (self.registry.version_vector().of(origin), theirs.of(origin));
        if heard > known {
            let (known, heard) = (known.number(), heard.number());
            self.halt(Halt::Rewound { known, heard });
        }
        heard > known
    }

    /// Ends all that goes on, for good.
    fn halt(&mut self, halt: Halt) {
        if self.stage.is_halted() {
            return;
        }
        self.stage = Stage::Halted(halt);
        self.effects.held.clear();
        self.catching_up.current = None;
        self.blobs.fetch = None;
        for line in self.others.hang_up() {
            self.effects.push(Effect::Close(line));
        }
        self.writes.abandon(&mut self.effects);
        self.effects.report(Report::Halted(halt));
    }
}

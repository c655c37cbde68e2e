//! The other trackers: who is listed, which lines are up, what each is known to know.
//!
//! Invariants: the own number is never among them; a session's line is one of the lines, and that line's owner is the
//! session's tracker; what a tracker has told of only grows within one run.

use super::{Effects, LineId, Moment, PING, ReplicaStatus, Report, SILENCE};
use crate::torrent::InfoHash;
use crate::tracker::registry::{MAX_DRIFT, Origin, Registry, Sequence, VersionVector};
use crate::wire::replica::TrackerNumber;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a tracker that has not got a blob is not asked for it again.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// All trackers but this one, and the lines to them.
#[derive(Debug)]
pub(super) struct Others {
    pub(super) own: TrackerNumber,
    pub(super) all: BTreeMap<TrackerNumber, OtherReplica>,
    lines: BTreeMap<LineId, Line>,
    /// What was last wrong with somebody who is not listed.
    stranger: Option<String>,
}

/// A line as long as it is up.
#[derive(Debug)]
struct Line {
    /// When something last came over it.
    heard: Duration,
    /// Whose it is, once that has been said.
    owner: Option<TrackerNumber>,
}

/// A listed tracker, reached or not.
#[derive(Debug, Default)]
pub(super) struct OtherReplica {
    /// The line to it, once it has said who it is.
    session: Option<Session>,
    /// What it last told of what it knows; none if it has not been heard of in this run.
    pub(super) told: Option<VersionVector>,
    /// Whether it serves clients, as last told.
    pub(super) serving: bool,
    pub(super) last_contact: Option<Duration>,
    /// How many milliseconds its wall clock is ahead.
    offset: Option<i64>,
    offset_reported: bool,
    /// Until when it is not asked for anything.
    pause: Duration,
    /// What was last wrong with it, so that it is reported once.
    complaint: Option<String>,
    /// Whether it was reported as split off, or has never been reached.
    split: bool,
}

/// The time from a tracker's hello to the end of its line.
#[derive(Debug)]
struct Session {
    line: LineId,
    origin: Origin,
    /// Whether writes are pushed to it: it has all own writes, or is being told them in order.
    current: bool,
    /// Up to which of its writes it was told that they are durable here.
    confirmed: Sequence,
    /// The ping that has not been answered: its clock, and when it was sent.
    ping: Option<(u64, Duration)>,
    next_ping: Duration,
    /// Whether both have been seen to know the same.
    healed: bool,
    /// Blobs it has not got, and when to ask again.
    without: BTreeMap<InfoHash, Duration>,
}

/// What another tracker says of itself.
pub(super) struct Hello {
    pub(super) number: TrackerNumber,
    pub(super) origin: Origin,
    pub(super) serving: bool,
}

impl Others {
    pub(super) fn new(own: TrackerNumber, listed: impl IntoIterator<Item = TrackerNumber>) -> Self {
        let mut others = Self {
            own,
            all: BTreeMap::new(),
            lines: BTreeMap::new(),
            stranger: None,
        };
        others.list(&listed.into_iter().collect());
        others
    }

    /// Drops those that are not listed, whose lines have been closed, and adds those that are.
    pub(super) fn list(&mut self, listed: &BTreeSet<TrackerNumber>) {
        self.all.retain(|number, _| listed.contains(number));
        for number in listed.iter().filter(|number| **number != self.own) {
            self.all.entry(*number).or_default();
        }
    }

    /// The lines of those that are not listed.
    pub(super) fn lines_of_unlisted(&self, listed: &BTreeSet<TrackerNumber>) -> Vec<LineId> {
        let gone = self
            .all
            .iter()
            .filter(|(number, _)| !listed.contains(number));
        gone.filter_map(|(_, other)| Some(other.session.as_ref()?.line))
            .collect()
    }

    pub(super) fn line_up(&mut self, line: LineId, now: Moment) {
        let (heard, owner) = (now.elapsed, None);
        self.lines.insert(line, Line { heard, owner });
    }

    /// A line has ended; returns whether a session ended with it.
    pub(super) fn line_down(&mut self, line: LineId, effects: &mut Effects) -> bool {
        let Some(number) = self.lines.remove(&line).and_then(|line| line.owner) else {
            return false;
        };
        let Some(other) = self.all.get_mut(&number) else {
            return false;
        };
        let ended = other.session.take_if(|session| session.line == line);
        if ended.is_none() {
            return false;
        }
        if !std::mem::replace(&mut other.split, true) {
            effects.report(Report::Split { other: number });
        }
        true
    }

    /// Something has come over a line; whether it is up.
    pub(super) fn heard(&mut self, line: LineId, now: Moment) -> bool {
        let line = self.lines.get_mut(&line);
        line.map(|line| line.heard = now.elapsed).is_some()
    }

    /// Whose a line is, once that has been said.
    pub(super) fn owner(&self, line: LineId) -> Option<TrackerNumber> {
        self.lines.get(&line)?.owner
    }

    pub(super) fn lines(&self) -> Vec<LineId> {
        self.lines.keys().copied().collect()
    }

    pub(super) fn silent_lines(&self, now: Moment) -> Vec<LineId> {
        let lines = self.lines.iter();
        let silent = lines.filter(|(_, line)| now.elapsed >= line.heard + SILENCE);
        silent.map(|(line, _)| *line).collect()
    }

    /// The line to a tracker that has said who it is.
    pub(super) fn line_of(&self, number: TrackerNumber) -> Option<LineId> {
        Some(self.all.get(&number)?.session.as_ref()?.line)
    }

    /// Whose origin that is, but for one tracker.
    pub(super) fn of_origin(&self, origin: Origin, but: TrackerNumber) -> Option<TrackerNumber> {
        let mut sessions = self.sessions();
        let same = sessions.find(|(number, it)| *number != but && it.origin == origin);
        same.map(|(number, _)| number)
    }

    /// A tracker has said who it is; `current` tells whether it has all own writes.
    pub(super) fn greeted(&mut self, line: LineId, hello: &Hello, current: bool, now: Moment) {
        let Some(other) = self.all.get_mut(&hello.number) else {
            return;
        };
        other.session = Some(Session {
            line,
            origin: hello.origin,
            current,
            confirmed: Sequence::ZERO,
            ping: None,
            next_ping: now.elapsed,
            healed: false,
            without: BTreeMap::new(),
        });
        other.serving = hello.serving;
        other.pause = now.elapsed;
        // What a former life of it knew counts no more.
        other.told = None;
        if let Some(line) = self.lines.get_mut(&line) {
            line.owner = Some(hello.number);
        }
    }

    /// A tracker has told what it knows. Returns up to which own write it has all, if there is a session.
    pub(super) fn told(
        &mut self,
        number: TrackerNumber,
        versions: &VersionVector,
        registry: &Registry,
        effects: &mut Effects,
    ) -> Option<Sequence> {
        let (origin, ours) = (registry.origin(), registry.version_vector());
        let other = self.all.get_mut(&number)?;
        let told = other.told.get_or_insert_default();
        told.join(versions);
        let has = told.of(origin);
        let ahead = !ours.includes(told);
        let session = other.session.as_mut()?;
        session.current |= has >= ours.of(origin);
        if session.current && !ahead && !session.healed {
            session.healed = true;
            other.complaint = None;
            other.split = false;
            effects.report(Report::Healed { other: number });
        }
        Some(has)
    }

    /// Reports what is wrong with somebody, once as long as it stays the same.
    pub(super) fn complain(
        &mut self,
        other: Option<TrackerNumber>,
        reason: String,
        effects: &mut Effects,
    ) {
        let other = other.filter(|number| self.all.contains_key(number));
        let last = match other.and_then(|number| self.all.get_mut(&number)) {
            Some(other) => &mut other.complaint,
            None => &mut self.stranger,
        };
        if last.as_ref() != Some(&reason) {
            *last = Some(reason.clone());
            effects.report(Report::Trouble { other, reason });
        }
    }

    /// The lines over which writes are pushed.
    pub(super) fn current_lines(&self) -> Vec<LineId> {
        let current = self.sessions().filter(|(_, session)| session.current);
        current.map(|(_, session)| session.line).collect()
    }

    /// Whether writes wait for another tracker.
    pub(super) fn are_awaited(&self) -> bool {
        self.sessions().any(|(_, session)| session.current)
    }

    /// A tracker was told all that is known here: it is pushed what comes next.
    pub(super) fn is_current(&mut self, number: TrackerNumber) {
        if let Some(session) = self.session(number) {
            session.current = true;
        }
    }

    /// Whoever lacks that own write is not waited for until it has caught up.
    pub(super) fn wait_no_more(&mut self, origin: Origin, write: Sequence) {
        for other in self.all.values_mut() {
            let has = other.told.as_ref().map(|told| told.of(origin));
            if let Some(session) = &mut other.session
                && has.unwrap_or_default() < write
            {
                session.current = false;
            }
        }
    }

    /// Up to which of its writes each tracker is to be told now that they are durable here, where that is news.
    pub(super) fn confirm(&mut self, ours: &VersionVector) -> Vec<(LineId, Sequence)> {
        let mut news = Vec::new();
        let sessions = self.all.values_mut();
        for session in sessions.filter_map(|other| other.session.as_mut()) {
            let known = ours.of(session.origin);
            if known > session.confirmed {
                session.confirmed = known;
                news.push((session.line, known));
            }
        }
        news
    }

    /// Up to which of its writes all are known here.
    pub(super) fn known_of(&self, number: TrackerNumber, ours: &VersionVector) -> Option<Sequence> {
        let session = self.all.get(&number)?.session.as_ref()?;
        Some(ours.of(session.origin))
    }

    /// The lines over which a ping is due now, which are then pinged.
    pub(super) fn due_for_ping(&mut self, now: Moment) -> Vec<LineId> {
        let mut lines = Vec::new();
        for other in self.all.values_mut() {
            if let Some(session) = &mut other.session
                && session.next_ping <= now.elapsed
            {
                session.next_ping = now.elapsed + PING;
                // One at a time: a slow answer counts too.
                let lost = |(_, sent): (u64, Duration)| now.elapsed >= sent + SILENCE;
                if session.ping.is_none_or(lost) {
                    session.ping = Some((now.wall_millis(), now.elapsed));
                }
                lines.push(session.line);
            }
        }
        lines
    }

    /// The answer to a ping says what the clock of a tracker was half-way between.
    pub(super) fn measure(
        &mut self,
        number: TrackerNumber,
        (echo, clock): (u64, u64),
        now: Moment,
        effects: &mut Effects,
    ) {
        let Some(other) = self.all.get_mut(&number) else {
            return;
        };
        let session = other.session.as_mut();
        let answered = |ping: &mut (u64, Duration)| ping.0 == echo;
        let Some((_, sent)) = session.and_then(|it| it.ping.take_if(answered)) else {
            return;
        };
        let half = now.elapsed.saturating_sub(sent) / 2;
        let ours = i64::try_from(now.wall.saturating_sub(half).as_millis());
        let (Ok(ours), Ok(theirs)) = (ours, i64::try_from(clock)) else {
            return;
        };
        let ahead = theirs.saturating_sub(ours);
        other.offset = Some(ahead);
        let wrong = Duration::from_millis(ahead.unsigned_abs()) > MAX_DRIFT;
        if wrong != other.offset_reported {
            other.offset_reported = wrong;
            let other = number;
            effects.report(Report::ClockOffset { other, ahead });
        }
    }

    /// The tracker that has most to tell, and the line to it.
    pub(super) fn most_ahead(
        &self,
        ours: &VersionVector,
        now: Moment,
    ) -> Option<(TrackerNumber, LineId)> {
        let ahead = self.all.iter().filter_map(|(number, other)| {
            let lacking = ours.behind(other.told.as_ref()?);
            let session = other.session.as_ref()?;
            (lacking > 0 && other.pause <= now.elapsed).then_some((
                lacking,
                Reverse(*number),
                session.line,
            ))
        });
        let (_, Reverse(number), line) = ahead.max()?;
        Some((number, line))
    }

    /// Who can be asked for one of these blobs now, and for which.
    pub(super) fn may_have<'a>(
        &self,
        blobs: impl IntoIterator<Item = &'a InfoHash>,
        now: Moment,
    ) -> Option<(TrackerNumber, LineId, InfoHash)> {
        blobs.into_iter().find_map(|blob| {
            self.all.iter().find_map(|(number, other)| {
                let session = other.session.as_ref()?;
                let again = session.without.get(blob).copied().unwrap_or_default();
                let asked = again.max(other.pause) > now.elapsed;
                (!asked).then_some((*number, session.line, *blob))
            })
        })
    }

    /// A tracker has not got a blob.
    pub(super) fn has_not(&mut self, number: TrackerNumber, blob: InfoHash, now: Moment) {
        if let Some(session) = self.session(number) {
            session.without.insert(blob, now.elapsed + ASK_AGAIN);
        }
    }

    /// A tracker is not asked for anything until then.
    pub(super) fn pause(&mut self, number: TrackerNumber, until: Duration) {
        if let Some(other) = self.all.get_mut(&number) {
            other.pause = until;
        }
    }

    /// What each has told of, if all have and no clock is known to be wrong.
    pub(super) fn told_by_all(&self) -> Option<Vec<VersionVector>> {
        let right = self.all.values().filter(|other| !other.offset_reported);
        let told: Vec<_> = right.map_while(|other| other.told.clone()).collect();
        (told.len() == self.all.len()).then_some(told)
    }

    /// Whether all have been heard of in this run, or since this tracker stood still.
    pub(super) fn all_heard_of(&self) -> bool {
        self.all.values().all(|other| other.told.is_some())
    }

    pub(super) fn any_up(&self) -> bool {
        self.sessions().next().is_some()
    }

    /// Whether there is a line to one, or to one that serves, that has told of nothing but what `ours` says.
    pub(super) fn in_step(&self, ours: &VersionVector, and_serves: bool) -> bool {
        let mut up = self.all.values().filter(|other| other.session.is_some());
        up.any(|other| {
            let told = other.told.as_ref();
            (other.serving || !and_serves) && told.is_some_and(|told| ours.includes(told))
        })
    }

    /// What they have told of is of a time before this tracker stood still.
    pub(super) fn forget_told(&mut self) {
        self.all.values_mut().for_each(|other| other.told = None);
    }

    /// Ends all sessions and lines without a word; returns the lines.
    pub(super) fn hang_up(&mut self) -> Vec<LineId> {
        self.all.values_mut().for_each(|other| other.session = None);
        std::mem::take(&mut self.lines).into_keys().collect()
    }

    pub(super) fn status(&self, ours: &VersionVector, now: Moment) -> Vec<ReplicaStatus> {
        let status = |(number, other): (&TrackerNumber, &OtherReplica)| {
            let (session, told) = (other.session.as_ref(), other.told.as_ref());
            let last_contact = other.last_contact;
            ReplicaStatus {
                number: *number,
                origin: session.map(|session| session.origin),
                serving: other.serving,
                current: session.is_some_and(|session| session.current),
                it_lacks: told.map(|told| told.behind(ours)),
                we_lack: told.map_or(0, |told| ours.behind(told)),
                last_contact: last_contact.map(|last| now.elapsed.saturating_sub(last)),
                clock_ahead: other.offset,
            }
        };
        self.all.iter().map(status).collect()
    }

    fn sessions(&self) -> impl Iterator<Item = (TrackerNumber, &Session)> {
        let all = self.all.iter();
        all.filter_map(|(number, other)| Some((*number, other.session.as_ref()?)))
    }

    fn session(&mut self, number: TrackerNumber) -> Option<&mut Session> {
        self.all.get_mut(&number)?.session.as_mut()
    }
}

//! Lines to other trackers: up, greeted, down.

use super::twin::Session;
use super::{Effect, Line, LineId, Moment, Replica, Report};
use crate::tracker::registry::{DecodeError, Origin, Sequence, VersionVector};
use crate::wire::twin::{Encoded, Message, PROTOCOL, TrackerNumber};
use std::collections::{BTreeMap, BTreeSet};

/// What another tracker says of itself.
pub(super) struct Hello<'a> {
    pub(super) protocol: u32,
    pub(super) number: TrackerNumber,
    pub(super) origin: Origin,
    pub(super) versions: &'a Encoded,
    pub(super) serving: bool,
}

impl Replica {
    /// These are the numbers of all trackers listed now, its own among them or not.
    pub fn list(
        &mut self,
        listed: impl IntoIterator<Item = TrackerNumber>,
        now: Moment,
    ) -> Vec<Effect> {
        let listed: BTreeSet<TrackerNumber> = listed.into_iter().collect();
        let gone = self
            .twins
            .iter()
            .filter(|(number, _)| !listed.contains(number));
        let sessions = gone.filter_map(|(_, twin)| twin.session.as_ref());
        let lines: Vec<LineId> = sessions.map(|session| session.line).collect();
        for line in lines {
            self.close(line);
        }
        self.twins.retain(|number, _| listed.contains(number));
        for number in listed.into_iter().filter(|number| *number != self.number) {
            self.twins.entry(number).or_default();
        }
        if !self.awaits_twins() {
            self.acknowledge_alone(None);
        }
        self.done(now)
    }

    /// A line is up; both ends have proved that they are of the cluster.
    pub fn line_up(&mut self, line: LineId, now: Moment) -> Vec<Effect> {
        self.notice_standstill(now);
        if self.is_halted() {
            return vec![Effect::Close(line)];
        }
        let heard = now.elapsed;
        self.lines.insert(line, Line { heard, twin: None });
        if let Some(versions) = self.told_versions() {
            let hello = Message::Hello {
                protocol: PROTOCOL,
                number: self.number,
                origin: self.registry.origin().0,
                versions,
                serving: self.serves(),
            };
            self.send(line, hello);
        }
        self.done(now)
    }

    /// A line has ended.
    pub fn line_down(&mut self, line: LineId, now: Moment) -> Vec<Effect> {
        self.forget_line(line);
        self.done(now)
    }

    /// The own version vector as it is told. One of more than twenty thousand lost disks cannot be.
    pub(super) fn told_versions(&self) -> Option<Encoded> {
        Encoded::new(self.registry.version_vector().encode())
    }

    /// Somebody says who it is.
    pub(super) fn greeted(&mut self, line: LineId, hello: &Hello<'_>, now: Moment) {
        let Hello { number, origin, .. } = *hello;
        if hello.protocol != PROTOCOL {
            let theirs = hello.protocol;
            let reason = format!(
                "it speaks version {theirs} of the protocol between trackers, this one {PROTOCOL}; run one version on all"
            );
            return self.turn_away(line, Some(number), reason);
        }
        if number == self.number {
            let reason = format!("it says it is number {number}, as this one: give each its own");
            return self.turn_away(line, None, reason);
        }
        if !self.twins.contains_key(&number) {
            let reason = format!("it says it is number {number}, which is not listed here");
            return self.turn_away(line, None, reason);
        }
        if origin == self.registry.origin() {
            return self.halt(super::Halt::Copied { twin: number });
        }
        // Which of the two has the copy is not known here: the one that came first is listened to.
        let same = self.twins.iter().find(|(other, twin)| {
            let session = twin.session.as_ref();
            **other != number && session.is_some_and(|session| session.origin == origin)
        });
        if let Some((other, _)) = same {
            let reason = format!(
                "it runs with a copy of the data folder of tracker {other}; give one of them an empty folder, which fills itself"
            );
            return self.turn_away(line, Some(number), reason);
        }
        let versions = match VersionVector::decode(hello.versions.as_bytes()) {
            Ok(versions) => versions,
            Err(error) => return self.turn_away(line, Some(number), error.to_string()),
        };
        if self.is_rewound(&versions) {
            return;
        }
        let Some(twin) = self.twins.get_mut(&number) else {
            return;
        };
        match twin.session.as_ref().map(|session| session.line) {
            // A late word on an older line.
            Some(newer) if newer > line => return self.close(line),
            Some(older) => self.close(older),
            None => {}
        }
        let last = self.own_last();
        let Some(twin) = self.twins.get_mut(&number) else {
            return;
        };
        twin.session = Some(Session {
            line,
            origin,
            current: versions.of(self.registry.origin()) >= last,
            confirmed: Sequence::ZERO,
            ping: None,
            next_ping: now.elapsed,
            healed: false,
            without: BTreeMap::new(),
        });
        twin.serving = hello.serving;
        twin.pause = now.elapsed;
        // What a former life of it knew counts no more.
        twin.told = None;
        if let Some(state) = self.lines.get_mut(&line) {
            state.twin = Some(number);
        }
        self.is_told(number, versions);
        self.ping(now);
    }

    /// A twin has told what it knows.
    pub(super) fn is_told(&mut self, number: TrackerNumber, versions: VersionVector) {
        if self.is_rewound(&versions) {
            return;
        }
        let (origin, last) = (self.registry.origin(), self.own_last());
        let Some(twin) = self.twins.get_mut(&number) else {
            return;
        };
        let told = twin.told.get_or_insert_default();
        told.join(&versions);
        let has = told.of(origin);
        let ahead = !self.registry.version_vector().includes(told);
        let Some(session) = &mut twin.session else {
            return;
        };
        session.current |= has >= last;
        if session.current && !ahead && !session.healed {
            session.healed = true;
            twin.complaint = None;
            twin.split = false;
            self.report(Report::Healed { twin: number });
        }
        self.acknowledge_upto(has);
    }

    /// Ends a line with whoever breaks the rules, or cannot be understood.
    pub(super) fn turn_away(&mut self, line: LineId, twin: Option<TrackerNumber>, reason: String) {
        let twin = twin.filter(|number| self.twins.contains_key(number));
        let last = match twin.and_then(|number| self.twins.get_mut(&number)) {
            Some(twin) => &mut twin.complaint,
            None => &mut self.stranger,
        };
        if last.as_ref() != Some(&reason) {
            *last = Some(reason.clone());
            self.report(Report::Trouble { twin, reason });
        }
        self.close(line);
    }

    /// The reason for which a change or vector of a twin cannot be read.
    pub(super) fn unreadable(&mut self, line: LineId, twin: TrackerNumber, error: &DecodeError) {
        self.turn_away(line, Some(twin), error.to_string());
    }

    pub(super) fn close(&mut self, line: LineId) {
        self.effects.push(Effect::Close(line));
        self.forget_line(line);
    }

    fn forget_line(&mut self, line: LineId) {
        let twin = self.lines.remove(&line).and_then(|line| line.twin);
        let Some((number, twin)) =
            twin.and_then(|number| Some((number, self.twins.get_mut(&number)?)))
        else {
            return;
        };
        if twin.session.as_ref().map(|session| session.line) != Some(line) {
            return;
        }
        twin.session = None;
        if !twin.split {
            twin.split = true;
            self.report(Report::Split { twin: number });
        }
        self.catch_up = self.catch_up.take().filter(|it| it.line != line);
        self.kept = self.kept.take().filter(|it| it.line != line);
        self.fetch = self.fetch.take().filter(|it| it.line != line);
        if !self.awaits_twins() {
            self.acknowledge_alone(None);
        }
    }
}

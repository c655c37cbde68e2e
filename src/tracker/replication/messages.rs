//! What is done about each message.

use super::lines::Hello;
use super::{Effect, LineId, Moment, Replica};
use crate::tracker::registry::{Change, MAX_DRIFT, Origin, Sequence, VersionVector};
use crate::wire::twin::{Encoded, Message, TrackerNumber};
use std::time::Duration;

impl Replica {
    /// A message has come.
    pub fn received(&mut self, line: LineId, message: Message, now: Moment) -> Vec<Effect> {
        self.notice_standstill(now);
        // What comes over a line that has ended says nothing of the present.
        let Some(state) = self.lines.get_mut(&line) else {
            return self.done(now);
        };
        state.heard = now.elapsed;
        match (state.twin, message) {
            (
                None,
                Message::Hello {
                    protocol,
                    number,
                    origin,
                    versions,
                    serving,
                },
            ) => {
                let hello = Hello {
                    protocol,
                    number,
                    origin: Origin(origin),
                    versions: &versions,
                    serving,
                };
                self.greeted(line, &hello, now);
            }
            // Before it has said who it is, or once more.
            (None, _) | (_, Message::Hello { .. }) => {}
            (Some(twin), message) => {
                if let Some(twin) = self.twins.get_mut(&twin) {
                    twin.last_contact = Some(now.elapsed);
                }
                self.told(line, twin, message, now);
            }
        }
        self.done(now)
    }

    /// A part of a message has come: the line is slow, not silent, and what is asked for over it is on its way.
    pub fn arriving(&mut self, line: LineId, now: Moment) -> Vec<Effect> {
        self.notice_standstill(now);
        if let Some(state) = self.lines.get_mut(&line) {
            state.heard = now.elapsed;
            if let Some(catch_up) = self.catch_up.as_mut().filter(|it| it.line == line) {
                catch_up.progress = now.elapsed;
            }
            if let Some(fetch) = self.fetch.as_mut().filter(|it| it.line == line) {
                fetch.progress = now.elapsed;
            }
        }
        self.done(now)
    }

    fn told(&mut self, line: LineId, twin: TrackerNumber, message: Message, now: Moment) {
        match message {
            Message::Hello { .. } => {}
            Message::Ping {
                clock,
                versions,
                serving,
            } => {
                let pong = Message::Pong {
                    echo: clock,
                    clock: wall(now),
                };
                self.effects.push(Effect::Send(line, pong));
                if let Some(twin) = self.twins.get_mut(&twin) {
                    twin.serving = serving;
                }
                match VersionVector::decode(versions.as_bytes()) {
                    Ok(versions) => self.is_told(twin, versions),
                    Err(error) => self.unreadable(line, twin, &error),
                }
            }
            Message::Pong { echo, clock } => self.measure(twin, echo, clock, now),
            Message::Pull { id, known } => match VersionVector::decode(known.as_bytes()) {
                Ok(known) => self.answer(line, twin, id, &known),
                Err(error) => self.unreadable(line, twin, &error),
            },
            Message::Changes { id, change, more } => self.batch(line, id, change, more, now),
            Message::Push { change, .. } => match Change::decode(change.as_bytes()) {
                Ok(change) => self.pushed(line, twin, &change, now),
                Err(error) => self.unreadable(line, twin, &error),
            },
            Message::Pushed { id } => {
                if let Some(last) = Sequence::new(id) {
                    let mut versions = VersionVector::new();
                    versions.note(self.registry.origin(), last);
                    self.is_told(twin, versions);
                }
            }
            Message::WantBlob { info_hash, offset } => {
                if self.stored.contains(&info_hash) {
                    self.hold(Effect::SendBlob {
                        line,
                        info_hash,
                        offset,
                    });
                } else {
                    self.send(line, Message::NoBlob { info_hash });
                }
            }
            Message::Blob { info_hash, part } => self.blob_part(line, info_hash, &part, now),
            Message::NoBlob { info_hash } => self.no_blob(line, info_hash, now),
        }
    }

    /// Answers a pull. Whoever was told the last batch has all there is, and is pushed what comes next.
    fn answer(&mut self, line: LineId, twin: TrackerNumber, id: u32, known: &VersionVector) {
        if self.is_rewound(known) {
            return;
        }
        let change = self.registry.since(known, self.batch);
        let mut after = known.clone();
        if let Some(change) = &change {
            change.extend(&mut after);
        }
        let more = !after.includes(self.registry.version_vector());
        let encoded = change.map(|change| change.encode());
        let change = match encoded.map(|bytes| (bytes.len(), Encoded::new(bytes))) {
            Some((length, None)) => {
                let reason = format!("a change of {length} bytes is too large to be told");
                return self.turn_away(line, Some(twin), reason);
            }
            change => change.and_then(|(_, change)| change),
        };
        if let Some(session) = self.twins.get_mut(&twin).and_then(|it| it.session.as_mut()) {
            session.current |= !more;
        }
        self.send(line, Message::Changes { id, change, more });
    }

    /// A twin has made a write. If anything that it was made in knowledge of is not known here, or a blob that it names is
    /// not, the twin is asked for all that is lacking instead.
    fn pushed(&mut self, line: LineId, twin: TrackerNumber, change: &Change, now: Moment) {
        let mut theirs = VersionVector::new();
        for (origin, span) in change.covers() {
            theirs.note(origin, span.upto);
        }
        let versions = self.registry.version_vector();
        let known = versions.includes(&theirs);
        let complete = change.complete_for(versions) && self.missing_blobs(change).is_empty();
        if known {
            if !self.registry.holds(change, now.wall) {
                let reason = "it tells another write under a number that is known here: two trackers write under one origin".to_owned();
                return self.turn_away(line, Some(twin), reason);
            }
            // Told again: perhaps the confirmation was lost.
            let session = self.twins.get(&twin).and_then(|it| it.session.as_ref());
            if let Some(upto) = session.map(|session| versions.of(session.origin)) {
                let id = upto.number();
                self.send(line, Message::Pushed { id });
            }
        } else if complete {
            self.merge(line, twin, change, now);
        }
        self.is_told(twin, theirs);
    }

    /// Merges a change of a twin.
    pub(super) fn merge(
        &mut self,
        line: LineId,
        twin: TrackerNumber,
        change: &Change,
        now: Moment,
    ) {
        match self.registry.merge(change, now.wall) {
            Ok(update) => {
                if let Some(drift) = update.drift() {
                    self.drifted(drift, now);
                }
                self.commit_update(update, Vec::new());
            }
            Err(error) => {
                if !self.halt_of(&error) {
                    self.turn_away(line, Some(twin), error.to_string());
                }
            }
        }
    }

    /// The answer to a ping says what the clock of the twin was half-way between.
    fn measure(&mut self, number: TrackerNumber, echo: u64, clock: u64, now: Moment) {
        let Some(twin) = self.twins.get_mut(&number) else {
            return;
        };
        let session = twin.session.as_mut();
        let Some(session) = session.filter(|it| it.ping.is_some_and(|(sent, _)| sent == echo))
        else {
            return;
        };
        let Some((_, sent)) = session.ping.take() else {
            return;
        };
        let half = now.elapsed.saturating_sub(sent) / 2;
        let ours = i64::try_from(now.wall.saturating_sub(half).as_millis());
        let (Ok(ours), Ok(theirs)) = (ours, i64::try_from(clock)) else {
            return;
        };
        let ahead = theirs.saturating_sub(ours);
        twin.offset = Some(ahead);
        let wrong = Duration::from_millis(ahead.unsigned_abs()) > MAX_DRIFT;
        if wrong != twin.offset_reported {
            twin.offset_reported = wrong;
            let twin = number;
            self.report(super::Report::ClockOffset { twin, ahead });
        }
    }
}

/// The wall clock in milliseconds since 1970.
pub(super) fn wall(now: Moment) -> u64 {
    u64::try_from(now.wall.as_millis()).unwrap_or(u64::MAX)
}

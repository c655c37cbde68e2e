//! What time brings: pings, lines that are silent, writes and questions that have waited too long, rows to forget.

use super::messages::wall;
use super::{FORGET, KEEP, Moment, PATIENCE, PAUSE, PING, Replica, Report, SILENCE};
use crate::torrent::InfoHash;
use crate::tracker::registry::{Drift, VersionVector};
use crate::wire::twin::Message;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long the same drift is not reported again.
const DRIFT_REPEAT: Duration = Duration::from_secs(60 * 60);

impl Replica {
    /// Time has passed; to be called about every 100 ms.
    pub fn tick(&mut self, now: Moment) -> Vec<super::Effect> {
        self.notice_standstill(now);
        self.ticked = now;
        let silent: Vec<_> = self
            .lines
            .iter()
            .filter(|(_, line)| now.elapsed >= line.heard + SILENCE)
            .map(|(line, _)| *line)
            .collect();
        for line in silent {
            self.close(line);
        }
        self.give_up_waiting(now);
        let stuck = |progress: Duration| now.elapsed >= progress + PATIENCE;
        if self.catch_up.as_ref().is_some_and(|it| stuck(it.progress)) {
            self.give_catching_up_up(now);
        }
        if let Some(fetch) = self.fetch.take_if(|it| stuck(it.progress))
            && let Some(twin) = self.twin_of(fetch.line)
        {
            twin.pause = now.elapsed + PAUSE;
        }
        self.ping(now);
        if now.elapsed >= self.next_forget {
            self.next_forget = now.elapsed + FORGET;
            self.forget(now);
            self.drop_unnamed();
        }
        self.done(now)
    }

    /// Tells each twin whose turn it is what is known here.
    pub(super) fn ping(&mut self, now: Moment) {
        let clock = wall(now);
        let mut lines = Vec::new();
        for twin in self.twins.values_mut() {
            if let Some(session) = &mut twin.session
                && session.next_ping <= now.elapsed
            {
                session.next_ping = now.elapsed + PING;
                // One at a time: a slow answer counts too.
                let lost = |(_, sent): (u64, Duration)| now.elapsed >= sent + SILENCE;
                if session.ping.is_none_or(lost) {
                    session.ping = Some((clock, now.elapsed));
                }
                lines.push(session.line);
            }
        }
        let serving = self.serves();
        for line in lines {
            if let Some(versions) = self.told_versions() {
                let ping = Message::Ping {
                    clock,
                    versions,
                    serving,
                };
                self.send(line, ping);
            }
        }
    }

    /// Acknowledges writes that have waited long enough. Who let them wait is not waited for until it has caught up.
    fn give_up_waiting(&mut self, now: Moment) {
        let Some(overdue) = self.overdue(now) else {
            return;
        };
        let origin = self.registry.origin();
        for twin in self.twins.values_mut() {
            let has = twin.told.as_ref().map(|told| told.of(origin));
            if let Some(session) = &mut twin.session
                && has.unwrap_or_default() < overdue
            {
                session.current = false;
            }
        }
        self.acknowledge_alone(Some(now));
        if !self.awaits_twins() {
            self.acknowledge_alone(None);
        }
    }

    /// Forgets rows that say nothing any more, if all trackers have them and no clock is known to be wrong.
    fn forget(&mut self, now: Moment) {
        let told: Option<Vec<VersionVector>> =
            self.twins.values().map(|twin| twin.told.clone()).collect();
        let Some(told) = told else {
            return;
        };
        if self.is_halted() || self.twins.values().any(|twin| twin.offset_reported) {
            return;
        }
        let ids = self
            .registry
            .droppable(now.wall.saturating_sub(KEEP), &told);
        if !ids.is_empty() {
            self.registry.forget(&ids);
            self.issue(ids, Vec::new(), Vec::new(), Vec::new());
        }
    }

    /// Drops blobs that no row named at the look before, nor does now. What is fetched for rows that are still to come has
    /// as long to be named.
    fn drop_unnamed(&mut self) {
        if self.is_halted() || self.catch_up.is_some() {
            return;
        }
        let named: BTreeSet<InfoHash> = self
            .registry
            .rows()
            .filter_map(self.blobs.named_by)
            .collect();
        let unnamed: BTreeSet<InfoHash> = self.stored.difference(&named).copied().collect();
        let gone: Vec<InfoHash> = unnamed.intersection(&self.unnamed).copied().collect();
        self.unnamed = unnamed;
        for blob in &gone {
            self.unnamed.remove(blob);
            self.stored.remove(blob);
        }
        if !gone.is_empty() {
            self.issue(Vec::new(), gone, Vec::new(), Vec::new());
        }
    }

    /// Reports stamps from far ahead, once an hour for each origin.
    pub(super) fn drifted(&mut self, drift: Drift, now: Moment) {
        let Drift { origin, ahead } = drift;
        let last = self.drifts.get(&origin);
        if last.is_none_or(|last| now.elapsed >= *last + DRIFT_REPEAT) {
            self.drifts.insert(origin, now.elapsed);
            self.report(Report::Drift { origin, ahead });
        }
    }

    fn twin_of(&mut self, line: super::LineId) -> Option<&mut super::Twin> {
        let twin = self.lines.get(&line)?.twin?;
        self.twins.get_mut(&twin)
    }
}

//! What is announced where, and when next; the time is handed in.

use super::{Announced, Heard, Reading, Tiers};
use crate::torrent::InfoHash;
use crate::wire::{AnnounceResponse, Event};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A download that has no owner to ask announces this often, unless the tracker asks for longer pauses.
const HUNGRY: Duration = Duration::from_secs(5);
/// The pause after a failure; it doubles with each, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The longest wait for something to become due.
const LONG: Duration = Duration::from_secs(60);

/// All that is announced.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    pub(super) tasks: HashMap<(InfoHash, String), Task>,
    tiers: HashMap<InfoHash, Tiers>,
    pub(super) ended: bool,
}

/// A task that a thread takes on.
pub(super) struct Due {
    pub(super) key: (InfoHash, String),
    pub(super) swarm: Arc<dyn Announced>,
    pub(super) event: Option<Event>,
    pub(super) tracker_id: Option<Vec<u8>>,
}

/// What an announce brought.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Peers.
    pub(super) peers: Vec<SocketAddr>,
    /// Those who were found before are given up for them.
    pub(super) instead: bool,
}

/// One swarm at one tracker.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) swarm: Arc<dyn Announced>,
    due: Instant,
    /// Not before this, whatever happens: the tracker said so.
    not_before: Instant,
    pub(super) event: Option<Event>,
    /// What is to be told after that.
    then: Option<Event>,
    /// The task ends once `stopped` was tried.
    pub(super) last: bool,
    /// A thread is at it.
    pub(super) running: bool,
    /// The tracker has heard `started`.
    pub(super) started: bool,
    failures: u32,
    pub(super) latest: Latest,
}

/// What the tracker answered last.
#[derive(Debug, Default)]
pub(super) struct Latest {
    /// What the tracker wants to hear again.
    pub(super) tracker_id: Option<Vec<u8>>,
    warning: Option<String>,
    pub(super) trouble: Option<String>,
    /// Whether it answered; none before the first announce.
    pub(super) reached: Option<bool>,
}

impl Task {
    fn new(swarm: &Arc<dyn Announced>, now: Instant) -> Self {
        Self {
            swarm: Arc::clone(swarm),
            due: now,
            not_before: now,
            event: Some(Event::Started),
            then: None,
            last: false,
            running: false,
            started: false,
            failures: 0,
            latest: Latest::default(),
        }
    }
}

impl Schedule {
    /// Has a transfer announced to its trackers as soon as possible; `ours` are those of TRACKER_INFO.
    pub(super) fn announce(
        &mut self,
        swarm: &Arc<dyn Announced>,
        ours: &[String],
        event: Option<Event>,
        now: Instant,
    ) {
        for task in self.of(swarm.info_hash()) {
            // One by magnet link gives way to another once it has its metadata.
            task.swarm = Arc::clone(swarm);
            // A tracker that has not heard of us yet hears `started` first and then whatever came since.
            if !task.started {
                let event = event.filter(|event| *event != Event::Started);
                task.then = event.or(task.then);
                continue;
            }
            task.event = event.or(task.event);
            task.due = now;
            // An interval is for peers with nothing to tell.
            if event.is_some() {
                task.not_before = now;
            }
        }
        let reading = swarm.reading();
        let tiers = self.tiers.entry(swarm.info_hash());
        tiers.or_insert_with(|| Tiers::new(swarm.tiers(), reading));
        if reading == Reading::One {
            self.keep_to_one(swarm.info_hash());
        }
        self.follow(swarm, ours, now);
    }

    /// A torrent turned out to be private.
    pub(super) fn keep_to_one(&mut self, info_hash: InfoHash) {
        let has_failed = |url: &str| has_failed(&self.tasks, info_hash, url);
        if let Some(tiers) = self.tiers.get_mut(&info_hash) {
            tiers.keep_to_one(has_failed);
        }
    }

    /// Whether a torrent has been announced, or would have been had it a tracker.
    pub(super) fn knows(&self, info_hash: InfoHash) -> bool {
        self.tiers.contains_key(&info_hash)
    }

    /// Whether a torrent is known to be private.
    pub(super) fn keeps_to_one(&self, info_hash: InfoHash) -> bool {
        let tiers = self.tiers.get(&info_hash);
        tiers.is_some_and(Tiers::keeps_to_one)
    }

    /// Something comes into a download or nothing does; says whether more of its trackers are to be announced to.
    pub(super) fn need(&mut self, info_hash: InfoHash, nothing_comes: bool, now: Instant) -> bool {
        let tiers = self.tiers.get_mut(&info_hash);
        tiers.is_some_and(|tiers| tiers.need(nothing_comes, now))
    }

    /// Begins at the trackers that a transfer is to be announced to by now, and ends at those that it is not.
    pub(super) fn follow(&mut self, swarm: &Arc<dyn Announced>, ours: &[String], now: Instant) {
        let info_hash = swarm.info_hash();
        let Some(tiers) = self.tiers.get(&info_hash).filter(|_| !self.ended) else {
            return;
        };
        let mut wanted = tiers.wanted(|url| has_failed(&self.tasks, info_hash, url));
        // `ours` may have been read before the torrent was known to be private.
        if !tiers.keeps_to_one() {
            wanted.extend_from_slice(ours);
        }
        let mut kept = HashSet::new();
        for url in wanted {
            match self.tasks.entry((info_hash, url.clone())) {
                Entry::Occupied(task) if !task.get().last => {}
                entry => drop(entry.insert_entry(Task::new(swarm, now))),
            }
            kept.insert(url);
        }
        self.tasks.retain(|(hash, url), task| {
            *hash != info_hash || task.last || kept.contains(url) || task.end(now)
        });
    }

    /// Has the trackers told that have heard of a transfer that it ends here, and forgets it.
    pub(super) fn leave(&mut self, info_hash: InfoHash, now: Instant) {
        self.tiers.remove(&info_hash);
        self.tasks
            .retain(|(hash, _), task| *hash != info_hash || task.end(now));
    }

    /// A task that is due, marked as running, or for how long there is none.
    pub(super) fn take_due(&mut self, now: Instant) -> Result<Due, Duration> {
        let waiting = self.tasks.iter_mut().filter(|(_, task)| !task.running);
        let next = waiting.min_by_key(|(_, task)| task.due.max(task.not_before));
        match next {
            Some((key, task)) if task.due.max(task.not_before) <= now => {
                task.running = true;
                Ok(Due {
                    key: key.clone(),
                    swarm: Arc::clone(&task.swarm),
                    event: task.event,
                    tracker_id: task.latest.tracker_id.clone(),
                })
            }
            Some((_, task)) => Err(task.due.max(task.not_before) - now),
            None => Err(LONG),
        }
    }

    /// Says whether a task taken on is still to be done, given what TRACKER_INFO says by now.
    pub(super) fn confirm(
        &mut self,
        key: &(InfoHash, String),
        swarm: &Arc<dyn Announced>,
        ours: &[String],
        now: Instant,
    ) -> bool {
        self.follow(swarm, ours, now);
        let Some(task) = self.tasks.get_mut(key) else {
            return false;
        };
        if !task.last {
            return true;
        }
        task.running = false;
        if !task.started {
            self.tasks.remove(key);
        }
        false
    }

    /// Notes how an announce went; gives what it brought.
    pub(super) fn settle(
        &mut self,
        key: &(InfoHash, String),
        event: Option<Event>,
        outcome: Result<AnnounceResponse, String>,
        hungry: bool,
        now: Instant,
    ) -> Found {
        if event == Some(Event::Stopped) {
            if self.tasks.get(key).is_some_and(|task| task.last) {
                self.tasks.remove(key);
            }
            return Found::default();
        }
        let mut heard = Heard::Taken;
        if let Some(tiers) = self.tiers.get_mut(&key.0) {
            match &outcome {
                Ok(response) => heard = tiers.answered(&key.1, response.pieceful),
                Err(_) => tiers.failed(&key.1),
            }
        }
        let Some(task) = self.tasks.get_mut(key) else {
            return Found::default();
        };
        let peers = task.settle(&key.1, event, outcome, hungry, now);
        match heard {
            Heard::PassedOver => Found::default(),
            _ => Found {
                peers,
                instead: heard == Heard::Instead,
            },
        }
    }

    fn of(&mut self, info_hash: InfoHash) -> impl Iterator<Item = &mut Task> {
        let tasks = self.tasks.iter_mut();
        tasks
            .filter(move |((hash, _), task)| *hash == info_hash && !task.last)
            .map(|(_, task)| task)
    }
}

/// Whether the last announce there failed.
fn has_failed(tasks: &HashMap<(InfoHash, String), Task>, info_hash: InfoHash, url: &str) -> bool {
    let task = tasks.get(&(info_hash, url.to_owned()));
    task.is_some_and(|task| task.latest.reached == Some(false))
}

impl Task {
    /// Makes it the last that the tracker is told; says whether there is anything to tell.
    fn end(&mut self, now: Instant) -> bool {
        self.last = true;
        (self.event, self.then) = (Some(Event::Stopped), None);
        (self.due, self.not_before) = (now, now);
        self.started || self.running
    }

    fn settle(
        &mut self,
        url: &str,
        event: Option<Event>,
        outcome: Result<AnnounceResponse, String>,
        hungry: bool,
        now: Instant,
    ) -> Vec<SocketAddr> {
        self.running = false;
        let found = match outcome {
            Ok(response) => {
                if self.latest.trouble.take().is_some() || self.latest.reached.is_none() {
                    log::info!("{}: {url} answers", self.swarm.name());
                }
                self.latest.reached = Some(true);
                self.failures = 0;
                // One that names no id any more still means the one it named.
                self.latest.tracker_id = response.tracker_id.or(self.latest.tracker_id.take());
                if let Some(warning) = response
                    .warning
                    .filter(|now| Some(now) != self.latest.warning.as_ref())
                {
                    log::warn!("{}: {url}: the tracker warns: {warning}", self.swarm.name());
                    self.latest.warning = Some(warning);
                }
                // What came up while this one was under way is still to be told.
                if self.event == event {
                    self.event = self.then.take();
                }
                self.started = true;
                let pause = response.interval;
                let soonest = response.min_interval.unwrap_or(pause).min(pause);
                self.not_before = now
                    + if self.event.is_some() {
                        Duration::ZERO
                    } else {
                        soonest
                    };
                self.due = now
                    + if hungry {
                        soonest.max(HUNGRY).min(pause)
                    } else {
                        pause
                    };
                response.peers
            }
            Err(trouble) => {
                if self.latest.trouble.as_ref() != Some(&trouble) {
                    log::warn!("{}: {url}: {trouble}", self.swarm.name());
                }
                self.latest.trouble = Some(trouble);
                self.latest.reached = Some(false);
                self.failures = self.failures.saturating_add(1);
                let pause = RETRY
                    .0
                    .saturating_mul(1 << (self.failures - 1).min(8))
                    .min(RETRY.1);
                self.due = now + if hungry { pause.min(HUNGRY) } else { pause };
                Vec::new()
            }
        };
        if self.event.is_some() && self.started {
            self.due = self.due.min(now + Duration::from_secs(1));
        }
        found.into_iter().map(|peer| peer.address).collect()
    }
}

#[cfg(test)]
mod tests;

//! Open swarms, the trackers that each has by now, and when what is announced to them; the time is
//! handed in.
//!
//! A swarm is announced to trackers that it names, which ones [`Tiers`] says, and, unless it is
//! private (BEP 27), to all of TRACKER_INFO. Out of scope: how announces are made (`announcer`),
//! and what is due when (`schedule`).

use super::pace::{Answer, Notice, Outcome, Pace};
use super::schedule::{self, Farewell, Schedule};
use super::tiers::{Heard, Reading, Tiers};
use super::{Announced, TrackerStatus};
use crate::torrent::InfoHash;
use crate::wire::{AnnounceResponse, Event};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often is announced to trackers over HTTP and UDP.
const PACE: Pace = Pace {
    hungry: Duration::from_secs(5),
    retry: (Duration::from_secs(1), Duration::from_secs(60)),
    news: Duration::from_secs(1),
    retry_news: Duration::from_secs(1),
    batch: 1,
};

/// All open swarms.
#[derive(Debug)]
pub(super) struct Plan {
    schedule: Schedule<String, AtTracker>,
    swarms: HashMap<InfoHash, Swarm>,
    /// The trackers of TRACKER_INFO, as it was last read.
    ours: Vec<String>,
}

/// A swarm that is announced, whether it has a tracker or not.
#[derive(Debug)]
struct Swarm {
    announced: Arc<dyn Announced>,
    tiers: Tiers,
}

/// What is kept of a swarm at one tracker.
#[derive(Clone, Debug)]
pub(super) struct AtTracker {
    pub(super) swarm: Arc<dyn Announced>,
    /// What the tracker wants to hear again.
    pub(super) tracker_id: Option<Vec<u8>>,
    warning: Option<String>,
}

/// An announce that is to be made, to the tracker at a URL.
pub(super) type Due = schedule::Due<String, AtTracker>;

/// What an announce brought.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Whose peers they are; none if the swarm is announced no longer.
    pub(super) swarm: Option<Arc<dyn Announced>>,
    /// Peers.
    pub(super) peers: Vec<SocketAddr>,
    /// Those who were found before are given up for them.
    pub(super) instead: bool,
    pub(super) notice: Option<Notice>,
    /// What the tracker warns of, if it did not before.
    pub(super) warning: Option<String>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            schedule: Schedule::new(PACE),
            swarms: HashMap::new(),
            ours: Vec::new(),
        }
    }
}

impl Plan {
    /// TRACKER_INFO names these trackers by now.
    pub(super) fn list(&mut self, ours: Vec<String>) {
        self.ours = ours;
    }

    /// Has a swarm announced to its trackers as soon as possible, and from then on.
    pub(super) fn announce(
        &mut self,
        swarm: &Arc<dyn Announced>,
        event: Option<Event>,
        now: Instant,
    ) {
        let (info_hash, reading) = (swarm.info_hash(), swarm.reading());
        let known = self.swarms.entry(info_hash).or_insert_with(|| Swarm {
            announced: Arc::clone(swarm),
            tiers: Tiers::new(swarm.tiers(), reading),
        });
        // One by magnet link gives way to another once it has its metadata.
        known.announced = Arc::clone(swarm);
        let update = |at: &mut AtTracker| at.swarm = Arc::clone(swarm);
        self.schedule.update(info_hash, update);
        self.schedule.tell(info_hash, event, now);
        match reading {
            Reading::One => self.keep_to_one(info_hash, now),
            Reading::InOrder | Reading::All => self.follow(info_hash, now),
        }
    }

    /// A torrent turned out to be private.
    pub(super) fn keep_to_one(&mut self, info_hash: InfoHash, now: Instant) {
        let Self {
            schedule, swarms, ..
        } = self;
        if let Some(swarm) = swarms.get_mut(&info_hash) {
            let has_failed = |url: &str| has_failed(schedule, info_hash, url);
            swarm.tiers.keep_to_one(has_failed);
        }
        self.follow(info_hash, now);
    }

    /// Whether a torrent is known to be private.
    pub(super) fn keeps_to_one(&self, info_hash: InfoHash) -> bool {
        let swarm = self.swarms.get(&info_hash);
        swarm.is_some_and(|swarm| swarm.tiers.keeps_to_one())
    }

    /// Whether a swarm is to be announced and has no tracker; TRACKER_INFO may come to name one.
    pub(super) fn lacks_tracker(&self, info_hash: InfoHash) -> bool {
        self.swarms.contains_key(&info_hash) && !self.schedule.has(info_hash)
    }

    /// Something comes into a download or nothing does. Returns whether it is announced to more of
    /// its trackers from now on.
    pub(super) fn need(&mut self, info_hash: InfoHash, nothing_comes: bool, now: Instant) -> bool {
        let swarm = self.swarms.get_mut(&info_hash);
        let wants_more = swarm.is_some_and(|swarm| swarm.tiers.need(nothing_comes, now));
        if wants_more {
            self.follow(info_hash, now);
        }
        wants_more
    }

    /// Begins at the trackers that a swarm is to be announced to by now, and ends at those that it
    /// is not.
    pub(super) fn follow(&mut self, info_hash: InfoHash, now: Instant) {
        let Some(swarm) = self.swarms.get(&info_hash) else {
            return;
        };
        if self.schedule.has_ended() {
            return;
        }
        let tiers = &swarm.tiers;
        let wanted = tiers.wanted(|url| has_failed(&self.schedule, info_hash, url));
        let mut wanted = BTreeSet::from_iter(wanted);
        // Whenever they were read: nobody but its own tracker hears of a private torrent.
        if !tiers.keeps_to_one() {
            wanted.extend(self.ours.iter().cloned());
        }
        for url in &wanted {
            let at = AtTracker {
                swarm: Arc::clone(&swarm.announced),
                tracker_id: None,
                warning: None,
            };
            self.schedule.begin(info_hash, url, at, now);
        }
        let is_wanted = |url: &String| wanted.contains(url);
        self.schedule.leave_unless(info_hash, is_wanted, now);
    }

    /// Tells the trackers that have heard of a swarm that it ends here, and forgets it.
    pub(super) fn leave(&mut self, info_hash: InfoHash, now: Instant) {
        self.swarms.remove(&info_hash);
        self.schedule.leave(info_hash, now);
    }

    /// An announce that is due, or when one is.
    pub(super) fn take(&mut self, now: Instant) -> Result<Due, Option<Instant>> {
        let due = self.schedule.take(now).pop();
        due.ok_or_else(|| self.schedule.next())
    }

    /// Whether an announce that was taken is still to be made, given what TRACKER_INFO says by now.
    pub(super) fn confirm(&mut self, due: &Due, now: Instant) -> bool {
        if due.event == Some(Event::Stopped) {
            return true;
        }
        self.follow(due.info_hash, now);
        let task = self.schedule.task(due.info_hash, &due.tracker);
        let stays = task.is_some_and(|task| !task.is_leaving());
        if !stays {
            self.schedule.withdraw(due);
        }
        stays
    }

    /// An announce has ended.
    pub(super) fn settle(
        &mut self,
        due: &Due,
        outcome: Result<AnnounceResponse, String>,
        is_hungry: bool,
        now: Instant,
    ) -> Found {
        let (info_hash, url) = (due.info_hash, due.tracker.as_str());
        let mut found = Found::default();
        let mut heard = Heard::PassedOver;
        if let Some(swarm) = self.swarms.get_mut(&info_hash)
            && due.event != Some(Event::Stopped)
        {
            found.swarm = Some(Arc::clone(&swarm.announced));
            match &outcome {
                Ok(response) => heard = swarm.tiers.answered(url, response.pieceful),
                Err(_) => swarm.tiers.failed(url),
            }
        }
        let outcome = match outcome {
            Ok(response) => {
                let answer = Answer {
                    interval: response.interval,
                    min_interval: response.min_interval,
                    is_hungry,
                };
                if heard != Heard::PassedOver {
                    let peers = response.peers.into_iter();
                    found.peers = peers.map(|peer| peer.address).collect();
                }
                found.instead = heard == Heard::Instead;
                let warning = &mut found.warning;
                self.schedule.keep(due, |at| {
                    // One that names no id any more still means the one it named.
                    at.tracker_id = response.tracker_id.or(at.tracker_id.take());
                    let is_new = |now: &String| Some(now) != at.warning.as_ref();
                    *warning = response.warning.filter(is_new);
                    at.warning = warning.clone().or(at.warning.take());
                });
                Outcome::Answered(answer)
            }
            Err(trouble) => Outcome::Failed { trouble, is_hungry },
        };
        found.notice = self.schedule.settle(due, outcome, now);
        self.follow(info_hash, now);
        found
    }

    /// The peer ends: nothing is announced from now on but the farewell.
    pub(super) fn end(&mut self) {
        self.schedule.end();
    }

    /// Whether nothing is announced any more.
    pub(super) fn has_ended(&self) -> bool {
        self.schedule.has_ended()
    }

    /// Whether an announce is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.schedule.is_under_way()
    }

    /// What trackers are still to hear at the end.
    pub(super) fn farewell(&mut self) -> Vec<Farewell<String, AtTracker>> {
        self.schedule.farewell()
    }

    /// Every tracker known, by its latest answer.
    pub(super) fn status(&self) -> Vec<TrackerStatus> {
        let mut trackers: BTreeMap<&str, TrackerStatus> = BTreeMap::new();
        for (url, task) in self.schedule.all() {
            let former = trackers.remove(url.as_str()).unwrap_or_default();
            let trouble = || task.trouble().map(str::to_owned);
            let status = TrackerStatus {
                url: url.clone(),
                reachable: former.reachable.max(task.reached()),
                trouble: former.trouble.or_else(trouble),
                control: None,
            };
            trackers.insert(url, status);
        }
        trackers.into_values().collect()
    }

    /// The latest trouble of a swarm with its trackers, if none of them answers. None as long as it
    /// was not announced.
    pub(super) fn trouble(&self, info_hash: InfoHash) -> Option<String> {
        let swarm = self.swarms.get(&info_hash)?;
        let tasks = self.schedule.of(info_hash);
        let mut tasks = tasks.filter(|(_, task)| !task.is_leaving()).peekable();
        if tasks.peek().is_none() {
            let none = match swarm.tiers.keeps_to_one() {
                true => "it is private, and names no tracker",
                false => "it names no tracker, and TRACKER_INFO names none",
            };
            return Some(none.to_owned());
        }
        let mut trouble = None;
        for (url, task) in tasks {
            match (task.trouble(), task.reached()) {
                (Some(reason), _) => trouble = Some(format!("{url}: {reason}")),
                (None, Some(true)) => return None,
                _ => {}
            }
        }
        trouble
    }
}

/// Whether the last announce there failed.
fn has_failed(schedule: &Schedule<String, AtTracker>, info_hash: InfoHash, url: &str) -> bool {
    let task = schedule.task(info_hash, &url.to_owned());
    task.is_some_and(|task| task.reached() == Some(false))
}

#[cfg(test)]
mod tests;

//! The open swarms, and the trackers to which each is announced now. The caller passes the current
//! time.
//!
//! A swarm is announced to the trackers of its torrent that [`Tiers`] chooses and, unless it is
//! private (BEP 27), to all trackers of TRACKER_INFO. Out of scope: how announces are made
//! (`announcer`), and what is due when (`schedule`).

use super::pace::{AnnounceNotice, AnnounceOutcome, Pace, TrackerAnswer};
use super::schedule::{self, FinalAnnounce, Schedule};
use super::tiers::{PeerUpdate, TierPolicy, Tiers};
use super::{AnnounceFailure, Announced, TrackerStatus};
use crate::base::url::without_user;
use crate::torrent::InfoHash;
use crate::wire::{AnnounceEvent, AnnounceResponse, HostPort, Refusal};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The pace of announces over HTTP and UDP.
const PACE: Pace = Pace {
    without_peers: Duration::from_secs(5),
    retry: (Duration::from_secs(1), Duration::from_secs(60)),
    event_delay: Duration::from_secs(1),
    event_retry: Duration::from_secs(1),
    batch: 1,
};

/// The announces of all open swarms.
#[derive(Debug)]
pub(super) struct AnnouncePlan {
    schedule: Schedule<String, SwarmAtTracker>,
    swarms: HashMap<InfoHash, AnnouncedSwarm>,
    /// The swarms without a tracker. TRACKER_INFO may name one later.
    without_tracker: HashSet<InfoHash>,
    /// The trackers that TRACKER_INFO listed when it was last read.
    listed_trackers: Arc<[String]>,
}

/// A swarm to announce. It may have no tracker yet.
#[derive(Debug)]
struct AnnouncedSwarm {
    announced: Arc<dyn Announced>,
    tiers: Tiers,
}

/// A swarm at one tracker.
#[derive(Clone, Debug)]
pub(super) struct SwarmAtTracker {
    pub(super) swarm: Arc<dyn Announced>,
    /// The id that the tracker returned, to be sent back to it.
    pub(super) tracker_id: Option<Vec<u8>>,
    /// The warning in the last answer.
    warning: Option<String>,
}

/// A due announce, to the tracker at a URL.
pub(super) type OpenAnnounce = schedule::DueAnnounce<String, SwarmAtTracker>;

/// What follows from the outcome of an announce.
#[derive(Debug, Default)]
pub(super) struct AnnounceResult {
    /// The swarm that gets the peers. `None` if it is no longer announced.
    pub(super) swarm: Option<Arc<dyn Announced>>,
    /// The peers that the tracker returned.
    pub(super) peers: Vec<SocketAddr>,
    /// The peers that the tracker returned by host name.
    pub(super) named_peers: Vec<HostPort>,
    /// Whether `peers` and `named_peers` replace the peers known before.
    pub(super) replaces_peers: bool,
    pub(super) notice: Option<AnnounceNotice>,
    /// A new warning of the tracker.
    pub(super) warning: Option<String>,
}

impl Default for AnnouncePlan {
    fn default() -> Self {
        Self {
            schedule: Schedule::new(PACE),
            swarms: HashMap::new(),
            without_tracker: HashSet::new(),
            listed_trackers: Arc::default(),
        }
    }
}

impl AnnouncePlan {
    /// Sets the trackers that TRACKER_INFO lists.
    pub(super) fn set_listed_trackers(&mut self, urls: Arc<[String]>) {
        self.listed_trackers = urls;
    }

    /// Whether a swarm waits for TRACKER_INFO to name a tracker.
    pub(super) fn any_lacks_tracker(&self) -> bool {
        !self.without_tracker.is_empty()
    }

    /// Announces the swarms without a tracker to the trackers that TRACKER_INFO lists now.
    pub(super) fn use_listed_trackers(&mut self, now: Instant) {
        if !self.listed_trackers.is_empty() {
            for info_hash in std::mem::take(&mut self.without_tracker) {
                self.update_tasks(info_hash, now);
            }
        }
    }

    /// Announces a swarm to its trackers as soon as possible, and then regularly.
    pub(super) fn announce(
        &mut self,
        swarm: &Arc<dyn Announced>,
        event: Option<AnnounceEvent>,
        now: Instant,
    ) {
        if self.has_ended() {
            return;
        }
        let (info_hash, tier_policy) = (swarm.info_hash(), swarm.tier_policy());
        let entry = self
            .swarms
            .entry(info_hash)
            .or_insert_with(|| AnnouncedSwarm {
                announced: Arc::clone(swarm),
                tiers: Tiers::new(&swarm.tiers(), tier_policy),
            });
        entry.tiers.add(&swarm.tiers());
        // A transfer replaces a magnet search once the metadata is complete.
        entry.announced = Arc::clone(swarm);
        let update = |at: &mut SwarmAtTracker| at.swarm = Arc::clone(swarm);
        self.schedule.update(info_hash, update);
        self.schedule.announce_soon(info_hash, event, now);
        match tier_policy {
            TierPolicy::OneTracker => self.set_private(info_hash, now),
            TierPolicy::InOrder | TierPolicy::All => self.update_tasks(info_hash, now),
        }
    }

    /// Marks the torrent as private.
    pub(super) fn set_private(&mut self, info_hash: InfoHash, now: Instant) {
        let Self {
            schedule, swarms, ..
        } = self;
        if let Some(swarm) = swarms.get_mut(&info_hash) {
            let has_failed = |url: &str| has_failed(schedule, info_hash, url);
            swarm.tiers.set_private(has_failed);
        }
        self.update_tasks(info_hash, now);
    }

    /// Whether the torrent is known to be private.
    pub(super) fn is_private(&self, info_hash: InfoHash) -> bool {
        let swarm = self.swarms.get(&info_hash);
        swarm.is_some_and(|swarm| swarm.tiers.is_private())
    }

    /// Records whether a download is starved. Returns whether it is announced to more of its
    /// trackers from now on.
    pub(super) fn extend_if_starved(
        &mut self,
        info_hash: InfoHash,
        is_starved: bool,
        now: Instant,
    ) -> bool {
        let swarm = self.swarms.get_mut(&info_hash);
        let is_extended = swarm.is_some_and(|swarm| swarm.tiers.extend_if_starved(is_starved, now));
        if is_extended {
            self.update_tasks(info_hash, now);
        }
        is_extended
    }

    /// Begins a task for each tracker to which the swarm is to be announced now, unless that task
    /// exists already. Ends all other tasks of the swarm.
    pub(super) fn update_tasks(&mut self, info_hash: InfoHash, now: Instant) {
        let Some(swarm) = self.swarms.get(&info_hash) else {
            return;
        };
        if self.schedule.has_ended() {
            return;
        }
        let tiers = &swarm.tiers;
        let wanted = tiers.wanted(|url| has_failed(&self.schedule, info_hash, url));
        let mut wanted = BTreeSet::from_iter(wanted);
        // TRACKER_INFO may have been read before the torrent was known to be private. A private
        // torrent is announced to its own trackers only.
        if !tiers.is_private() {
            wanted.extend(self.listed_trackers.iter().cloned());
        }
        match wanted.is_empty() && !tiers.is_private() {
            true => self.without_tracker.insert(info_hash),
            false => self.without_tracker.remove(&info_hash),
        };
        for url in &wanted {
            let at = SwarmAtTracker {
                swarm: Arc::clone(&swarm.announced),
                tracker_id: None,
                warning: None,
            };
            let due = swarm.announced.first_announce(now);
            self.schedule.begin(info_hash, url, at, due);
        }
        let is_wanted = |url: &String| wanted.contains(url);
        self.schedule.leave_unless(info_hash, is_wanted, now);
    }

    /// Forgets a swarm. The trackers that may list it receive `stopped`.
    pub(super) fn leave(&mut self, info_hash: InfoHash, now: Instant) {
        self.swarms.remove(&info_hash);
        self.without_tracker.remove(&info_hash);
        self.schedule.leave(info_hash, now);
    }

    /// When the next announce is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.schedule.next()
    }

    /// Takes a due announce. If there is none, returns when the next one is due.
    pub(super) fn take(&mut self, now: Instant) -> Result<OpenAnnounce, Option<Instant>> {
        let due = self.schedule.take(now).pop();
        due.ok_or_else(|| self.next())
    }

    /// Updates the tasks of the swarm with the current TRACKER_INFO. Returns whether a taken
    /// announce is still to be made. If it is not, withdraws it.
    pub(super) fn confirm(&mut self, due: &OpenAnnounce, now: Instant) -> bool {
        if due.event == Some(AnnounceEvent::Stopped) {
            return true;
        }
        self.update_tasks(due.info_hash, now);
        let task = self.schedule.task(due.info_hash, &due.tracker);
        let stays = task.is_some_and(|task| !task.is_leaving());
        if !stays {
            self.schedule.withdraw(due);
        }
        stays
    }

    /// Handles the outcome of an announce. `longer_by` is a random number from 0 to 1, which
    /// extends the pause before the next announce: see [`AnnounceOutcome::Failed`] and
    /// [`TrackerAnswer`].
    pub(super) fn settle(
        &mut self,
        due: &OpenAnnounce,
        outcome: Result<AnnounceResponse, AnnounceFailure>,
        lacks_peers: bool,
        longer_by: f64,
        now: Instant,
    ) -> AnnounceResult {
        let (info_hash, url) = (due.info_hash, due.tracker.as_str());
        let mut result = AnnounceResult::default();
        let mut peer_update = PeerUpdate::Ignore;
        if let Some(swarm) = self.swarms.get_mut(&info_hash)
            && due.event != Some(AnnounceEvent::Stopped)
        {
            result.swarm = Some(Arc::clone(&swarm.announced));
            match &outcome {
                Ok(response) => peer_update = swarm.tiers.on_answer(url, response.pieceful),
                Err(_) => swarm.tiers.on_failure(url),
            }
        }
        let outcome = match outcome {
            Ok(response) => {
                let interval = match due.event {
                    Some(AnnounceEvent::Started) => first_interval(info_hash, &response),
                    _ => response.interval,
                };
                let answer = TrackerAnswer {
                    interval,
                    min_interval: response.min_interval,
                    lacks_peers,
                    longer_by,
                };
                if peer_update != PeerUpdate::Ignore {
                    let peers = response.peers.into_iter();
                    result.peers = peers.map(|peer| peer.address).collect();
                    result.named_peers = response.named_peers;
                }
                result.replaces_peers = peer_update == PeerUpdate::Replace;
                let warning = &mut result.warning;
                self.schedule.update_taken(due, |at| {
                    // An answer without an id means that the former id stays valid.
                    at.tracker_id = response.tracker_id.or(at.tracker_id.take());
                    let former = std::mem::replace(&mut at.warning, response.warning);
                    *warning = at
                        .warning
                        .clone()
                        .filter(|latest| Some(latest) != former.as_ref());
                });
                AnnounceOutcome::Answered(answer)
            }
            Err(AnnounceFailure::Refused(Refusal { reason, retry })) => AnnounceOutcome::Refused {
                trouble: reason,
                retry,
            },
            Err(failure) => AnnounceOutcome::Failed {
                trouble: failure.to_string(),
                lacks_peers,
                longer_by,
            },
        };
        result.notice = self.schedule.settle(due, outcome, now);
        self.update_tasks(info_hash, now);
        result
    }

    /// The peer stops. From now on no task begins, and the caller takes only the final announces.
    pub(super) fn end(&mut self) {
        self.schedule.end();
    }

    /// Whether [`AnnouncePlan::end`] was called.
    pub(super) fn has_ended(&self) -> bool {
        self.schedule.has_ended()
    }

    /// Whether an announce is in progress.
    pub(super) fn has_announce_in_progress(&self) -> bool {
        self.schedule.has_announce_in_progress()
    }

    /// Ends everything. Returns the final announces.
    pub(super) fn take_final_announces(&mut self) -> Vec<FinalAnnounce<String, SwarmAtTracker>> {
        // Transfers refer to the announcer, so a plan that kept them would never be freed.
        self.swarms.clear();
        self.schedule.take_final_announces()
    }

    /// All known trackers. A tracker is reachable if the last announce of at least one swarm to it
    /// succeeded.
    pub(super) fn status(&self) -> Vec<TrackerStatus> {
        let mut trackers: BTreeMap<&str, TrackerStatus> = BTreeMap::new();
        for (url, task) in self.schedule.tasks() {
            let so_far = trackers.remove(url.as_str()).unwrap_or_default();
            let trouble = || shown_trouble(task);
            let status = TrackerStatus {
                url: without_user(url),
                reachable: so_far.reachable.max(task.last_succeeded()),
                trouble: so_far.trouble.or_else(trouble),
                control: None,
            };
            trackers.insert(url, status);
        }
        trackers.into_values().collect()
    }

    /// What the user should know about the trackers of a swarm:
    ///
    /// - If the swarm has no tracker: the reason.
    /// - If no tracker answers: the trouble with one of the trackers.
    /// - Otherwise: the warning of a tracker that answers. If no such tracker warns, the trouble
    ///   with a tracker that does not answer.
    ///
    /// `None` if there is no trouble and no warning.
    pub(super) fn trouble(&self, info_hash: InfoHash) -> Option<String> {
        let swarm = self.swarms.get(&info_hash)?;
        let tasks = self.schedule.tasks_of(info_hash);
        let mut tasks = tasks.filter(|(_, task)| !task.is_leaving()).peekable();
        if tasks.peek().is_none() {
            let has_only_unsupported =
                swarm.tiers.is_empty() && !swarm.announced.tiers().is_empty();
            let reason = match (swarm.tiers.is_private(), has_only_unsupported) {
                (true, false) => "the torrent is private and names no tracker",
                (false, false) => "neither the torrent nor TRACKER_INFO names a tracker",
                (true, true) => "the torrent is private and names no http, https or udp tracker",
                (false, true) => {
                    "the torrent names no http, https or udp tracker, and TRACKER_INFO names none"
                }
            };
            return Some(reason.to_owned());
        }
        let (mut of_answering, mut of_failing, mut any_answers) = (None, None, false);
        for (url, task) in tasks {
            let answers = task.last_succeeded() == Some(true);
            any_answers |= answers;
            let shown = shown_trouble(task);
            let shown = shown.map(|reason| format!("{}: {reason}", without_user(url)));
            let trouble = match answers {
                true => &mut of_answering,
                false => &mut of_failing,
            };
            *trouble = shown.or(trouble.take());
        }
        match any_answers {
            true => of_answering.or(of_failing.map(|it| format!("{it}; other trackers answer"))),
            false => of_failing,
        }
    }
}

/// The interval after `started`: between the shortest that the tracker accepts and the one that it
/// asks for, at a point that the info-hash decides. Otherwise a peer that starts with thousands of
/// shares would announce all of them at the same moment, again and again.
fn first_interval(info_hash: InfoHash, response: &AnnounceResponse) -> Duration {
    let shortest = response.min_interval.unwrap_or(response.interval);
    let range = response.interval.saturating_sub(shortest);
    let [first, second, ..] = info_hash.0;
    let point = u32::from(u16::from_be_bytes([first, second]));
    response
        .interval
        .saturating_sub(range * point / (1 << u16::BITS))
}

type Task = schedule::AnnounceTask<SwarmAtTracker>;

/// The trouble with a tracker, or what it warns of.
fn shown_trouble(task: &Task) -> Option<String> {
    let warning = task.payload.warning.as_ref();
    let warning = || warning.map(|warning| format!("the tracker warns: {warning}"));
    task.trouble().map(str::to_owned).or_else(warning)
}

/// Whether the last announce to this tracker failed.
fn has_failed(schedule: &Schedule<String, SwarmAtTracker>, info_hash: InfoHash, url: &str) -> bool {
    let task = schedule.task(info_hash, &url.to_owned());
    task.is_some_and(|task| task.last_succeeded() == Some(false))
}

#[cfg(test)]
mod tests;

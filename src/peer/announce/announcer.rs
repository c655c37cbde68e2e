//! Announces open swarms to their trackers (BEP 3, BEP 15).
//!
//! A few threads make the due announces, so that a silent tracker does not delay the others for
//! long. TRACKER_INFO is read again before each due announce of a swarm that is not private. Out of
//! scope: what is due (`plan`), and the bytes (`http`, `udp`).

use super::http::{self, HttpTrackers};
use super::named_peers::NamedPeerLookUp;
use super::plan::{AnnouncePlan, AnnounceResult, OpenAnnounce, SwarmAtTracker};
use super::udp::{self, UdpTrackers};
use super::{
    AnnounceFailure, AnnounceNotice, AnnounceSource, Announced, Context, IN_PROGRESS_WAIT,
    TierPolicy, TrackerInfoFile, TrackerStatus, Trackers, finals, random_part,
};
use crate::base::url::without_user;
use crate::system::{lock, recover};
use crate::torrent::InfoHash;
use crate::wire::{AnnounceEvent, AnnounceRequest, AnnounceResponse};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// The number of threads that announce.
pub(crate) const THREADS: usize = 4;
/// The longest wait for an announce to become due.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// The number of peers that an announce asks for.
const NUM_WANT: u32 = 50;

/// Makes the announces of all open swarms.
#[derive(Debug)]
pub(crate) struct Announcer {
    pub(crate) tracker_info: TrackerInfoFile,
    http: HttpTrackers,
    udp: UdpTrackers,
    named_peer_look_up: NamedPeerLookUp,
    plan: Mutex<TimedPlan>,
    /// An announce may be due earlier than the threads know, or the plan has ended.
    earlier: Condvar,
    /// An announce has ended.
    settled: Condvar,
    /// Set when the peer stops: only final announces are made.
    ending: AtomicBool,
}

/// The plan, and the time at which a thread looks at it next.
#[derive(Debug, Default)]
struct TimedPlan {
    plan: AnnouncePlan,
    /// The time at which the thread that waits for the next announce will wake. `None` if there is
    /// no such thread.
    next_wake: Option<Instant>,
}

impl Announcer {
    /// An announcer for a peer that listens on `listen`.
    pub(crate) fn new(tracker_info: PathBuf, listen: IpAddr) -> Self {
        let source = AnnounceSource::new(listen);
        Self {
            tracker_info: TrackerInfoFile::new(tracker_info),
            http: HttpTrackers::new(source),
            udp: UdpTrackers::new(source),
            named_peer_look_up: NamedPeerLookUp::default(),
            plan: Mutex::default(),
            earlier: Condvar::new(),
            settled: Condvar::new(),
            ending: AtomicBool::new(false),
        }
    }

    /// Marks the torrent of a magnet link as private: from now on it is announced to one of its own
    /// trackers only (BEP 27).
    pub(crate) fn set_private(&self, info_hash: InfoHash) {
        self.change(|plan, now| plan.set_private(info_hash, now));
    }

    /// Looks for trackers in TRACKER_INFO if a swarm has no tracker. Called every few seconds.
    pub(crate) fn look_for_trackers(&self) {
        if lock(&self.plan).plan.any_lacks_tracker() {
            let urls = self.tracker_info.tracker_urls();
            self.change(|plan, now| {
                plan.set_listed_trackers(urls);
                plan.use_listed_trackers(now);
            });
        }
    }

    /// Announces a starved download to more of its trackers. Called every few seconds.
    pub(crate) fn extend_if_starved(&self, swarm: &dyn Announced, clock: Duration) {
        let (info_hash, is_starved) = (swarm.info_hash(), swarm.is_starved(clock));
        let extend =
            |plan: &mut AnnouncePlan, now| plan.extend_if_starved(info_hash, is_starved, now);
        if self.change(extend) {
            log::info!(
                "{}: no data arrives; announcing to more trackers",
                swarm.name()
            );
        }
    }

    /// Sends `stopped` to all trackers, for all swarms, within a time limit. Nothing is announced
    /// after that.
    pub(crate) fn send_final_announces(&self, context: &Context) {
        let announces = {
            let mut state = lock(&self.plan);
            state.plan.end();
            self.ending.store(true, Ordering::Relaxed);
            self.earlier.notify_all();
            // An announce in progress that arrives after `stopped` would list the peer again.
            let is_in_progress = |state: &mut TimedPlan| state.plan.has_announce_in_progress();
            let waited = self
                .settled
                .wait_timeout_while(state, IN_PROGRESS_WAIT, is_in_progress);
            recover(waited).0.plan.take_final_announces()
        };
        finals::send_all(announces, |announce, limit| {
            // `completed` is sent before `stopped` if the tracker has not received it.
            let completed = announce.sends_completed.then_some(AnnounceEvent::Completed);
            let mut events = completed.into_iter().chain([AnnounceEvent::Stopped]);
            events.all(|event| {
                let (url, payload) = (&announce.tracker, &announce.payload);
                let answer = self.ask(context, url, payload, Some(event), Some(limit));
                // A refusal counts as an answer: the tracker still gets the announces of the other
                // swarms that it lists.
                matches!(answer, Ok(_) | Err(AnnounceFailure::Refused(_)))
            })
        });
    }

    /// Makes the due announces until the peer stops. Runs on the threads `announce-N`.
    pub(crate) fn run(&self, context: &Context) {
        while let Some(due) = self.next_due() {
            // TRACKER_INFO may have changed since the announce was scheduled.
            self.read_tracker_info(due.info_hash);
            if !self.change(|plan, now| plan.confirm(&due, now)) {
                self.settled.notify_all();
                continue;
            }
            let outcome = self.ask(context, &due.tracker, &due.payload, due.event, None);
            let result = self.settle(&due, outcome);
            log_result(&due, &result);
            if let Some(swarm) = result.swarm {
                if result.replaces_peers {
                    swarm.give_up_peers("the tracker that named it has failed");
                }
                swarm.add_peers(result.peers);
                self.named_peer_look_up.call(swarm, &result.named_peers);
            }
        }
    }

    /// All known trackers, each with its latest answer.
    pub(crate) fn status(&self) -> Vec<TrackerStatus> {
        lock(&self.plan).plan.status()
    }

    /// Waits for a due announce and returns it. `None` when the peer stops.
    ///
    /// One thread at a time waits until the next announce is due. The other threads wait until one
    /// of them has to take its place.
    fn next_due(&self) -> Option<OpenAnnounce> {
        let mut state = lock(&self.plan);
        loop {
            if state.plan.has_ended() {
                return None;
            }
            let now = Instant::now();
            let longest = now + MAX_WAIT;
            let until = match state.plan.take(now) {
                Ok(due) => {
                    self.wake_if_due_earlier(&state);
                    return Some(due);
                }
                Err(next) => next.map_or(longest, |next| next.min(longest)),
            };
            let waits_for_next = state.next_wake.is_none_or(|wake| until < wake);
            if waits_for_next {
                state.next_wake = Some(until);
            }
            let pause = if waits_for_next {
                until - now
            } else {
                MAX_WAIT
            };
            state = recover(self.earlier.wait_timeout(state, pause)).0;
            if waits_for_next && state.next_wake == Some(until) {
                state.next_wake = None;
            }
        }
    }

    /// Changes the plan. If an announce is due earlier than before, a thread wakes.
    fn change<R>(&self, change: impl FnOnce(&mut AnnouncePlan, Instant) -> R) -> R {
        let mut state = lock(&self.plan);
        let result = change(&mut state.plan, Instant::now());
        self.wake_if_due_earlier(&state);
        result
    }

    /// Wakes a thread if the next announce is due before any thread would wake for it.
    fn wake_if_due_earlier(&self, state: &TimedPlan) {
        let next = state.plan.next();
        if next.is_some_and(|next| state.next_wake.is_none_or(|wake| next < wake)) {
            self.earlier.notify_one();
        }
    }

    /// Reads TRACKER_INFO, unless the swarm is private.
    fn read_tracker_info(&self, info_hash: InfoHash) {
        if !lock(&self.plan).plan.is_private(info_hash) {
            let urls = self.tracker_info.tracker_urls();
            lock(&self.plan).plan.set_listed_trackers(urls);
        }
    }

    /// Announces to the tracker at a URL. `final_limit` is the time limit of a final announce, and
    /// `None` for other announces. Those have the limit of their protocol; over UDP they also end
    /// when the peer stops.
    fn ask(
        &self,
        context: &Context,
        url: &str,
        payload: &SwarmAtTracker,
        event: Option<AnnounceEvent>,
        final_limit: Option<Duration>,
    ) -> Result<AnnounceResponse, AnnounceFailure> {
        let request = request(context, &*payload.swarm, event).ok_or_else(|| {
            let reason = "this peer has no port that others can connect to";
            AnnounceFailure::Final(reason.to_owned())
        })?;
        match url.split_once("://") {
            Some(("http" | "https", _)) => {
                let limit = final_limit.unwrap_or(http::ANNOUNCE_LIMIT);
                let tracker_id = payload.tracker_id.as_deref();
                self.http.announce(url, &request, tracker_id, limit)
            }
            Some(("udp", _)) => {
                let is_cancelled = || final_limit.is_none() && self.ending.load(Ordering::Relaxed);
                let limit = final_limit.unwrap_or(udp::ANNOUNCE_LIMIT);
                self.udp.announce(url, &request, limit, &is_cancelled)
            }
            _ => Err(AnnounceFailure::Final(
                "the URL of the tracker must begin with http://, https:// or udp://".to_owned(),
            )),
        }
    }

    /// Records the outcome of an announce. Returns what follows from it.
    fn settle(
        &self,
        due: &OpenAnnounce,
        outcome: Result<AnnounceResponse, AnnounceFailure>,
    ) -> AnnounceResult {
        let lacks_peers = due.payload.swarm.lacks_peers();
        let longer_by = random_part();
        let result =
            self.change(|plan, now| plan.settle(due, outcome, lacks_peers, longer_by, now));
        self.settled.notify_all();
        result
    }
}

impl<S: Announced + 'static> Trackers<S> for Announcer {
    fn announce(&self, swarm: Arc<S>, event: Option<AnnounceEvent>) {
        let swarm: Arc<dyn Announced> = swarm;
        // A private swarm is announced to its own trackers only.
        if swarm.tier_policy() != TierPolicy::OneTracker {
            self.read_tracker_info(swarm.info_hash());
        }
        self.change(|plan, now| plan.announce(&swarm, event, now));
    }

    fn leave(&self, info_hash: InfoHash) {
        self.change(|plan, now| plan.leave(info_hash, now));
    }

    fn trouble(&self, info_hash: InfoHash) -> Option<String> {
        lock(&self.plan).plan.trouble(info_hash)
    }

    /// Always `None`: announces of open swarms need no logged-in user.
    fn suspended(&self) -> Option<String> {
        None
    }
}

fn log_result(due: &OpenAnnounce, result: &AnnounceResult) {
    let (name, url) = (due.payload.swarm.name(), without_user(&due.tracker));
    match &result.notice {
        Some(AnnounceNotice::Answers) => log::info!("{name}: {url} answers"),
        Some(AnnounceNotice::Trouble(trouble)) => log::warn!("{name}: {url}: {trouble}"),
        Some(AnnounceNotice::Ended(_)) | None => {}
    }
    if let Some(warning) = &result.warning {
        log::warn!("{name}: {url}: the tracker warns: {warning}");
    }
}

fn request(
    context: &Context,
    swarm: &dyn Announced,
    event: Option<AnnounceEvent>,
) -> Option<AnnounceRequest> {
    let identity = &context.identity;
    let contents = swarm.contents(event);
    Some(AnnounceRequest {
        info_hash: swarm.info_hash(),
        peer_id: identity.peer_id,
        port: NonZeroU16::new(identity.address.port())?,
        uploaded: contents.uploaded,
        downloaded: contents.downloaded,
        left: contents.left,
        event: contents.event,
        num_want: Some(if event == Some(AnnounceEvent::Stopped) {
            0
        } else {
            NUM_WANT
        }),
        compact: true,
        no_peer_id: true,
        key: Some(identity.key.as_bytes().to_vec()),
        pieceful: true,
    })
}

//! Announces open swarms to their trackers (BEP 3, BEP 15).
//!
//! A few threads make the due announces, so that a silent tracker does not delay the others for
//! long. TRACKER_INFO is read again before each announce. Out of scope: what is due (`plan`), and
//! the bytes (`http`, `udp`).

use super::http::{self, HttpTrackers};
use super::named_peers::TrackerNames;
use super::plan::{AnnouncePlan, AnnounceResult, OpenAnnounce, SwarmAtTracker};
use super::schedule::FinalAnnounce;
use super::udp::{self, UdpTrackers};
use super::{
    AnnounceFailure, AnnounceNotice, AnnounceSource, Announced, Context, TierPolicy, TrackerStatus,
    Trackers, tracker_info,
};
use crate::base::url::without_user;
use crate::system::{lock, recover};
use crate::torrent::InfoHash;
use crate::wire::{AnnounceEvent, AnnounceRequest, AnnounceResponse};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The number of threads that announce.
pub(crate) const THREADS: usize = 4;
/// How long the final announces to all trackers may take together.
const FINAL_ANNOUNCES: Duration = Duration::from_secs(3);
/// How long the final announces wait for announces in progress.
const IN_PROGRESS_WAIT: Duration = Duration::from_secs(1);
/// The longest wait for an announce to become due.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// The number of peers that an announce asks for.
const NUM_WANT: u32 = 50;

/// Makes the announces of all open swarms.
#[derive(Debug)]
pub(crate) struct Announcer {
    /// The TRACKER_INFO file.
    pub(crate) tracker_info: PathBuf,
    http: HttpTrackers,
    udp: UdpTrackers,
    names: TrackerNames,
    plan: Mutex<AnnouncePlan>,
    changed: Condvar,
    /// Set when the peer stops: only final announces are made.
    ending: AtomicBool,
}

impl Announcer {
    /// An announcer for a peer that listens on `listen`.
    pub(crate) fn new(tracker_info: PathBuf, listen: IpAddr) -> Self {
        let source = AnnounceSource::new(listen);
        Self {
            tracker_info,
            http: HttpTrackers::new(source),
            udp: UdpTrackers::new(source),
            names: TrackerNames::default(),
            plan: Mutex::default(),
            changed: Condvar::new(),
            ending: AtomicBool::new(false),
        }
    }

    /// Marks the torrent of a magnet link as private: from now on it is announced to one of its own
    /// trackers only (BEP 27).
    pub(crate) fn set_private(&self, info_hash: InfoHash) {
        lock(&self.plan).set_private(info_hash, Instant::now());
        self.changed.notify_all();
    }

    /// Looks in TRACKER_INFO for a tracker of a swarm that has none, and announces a starved
    /// download to more of its trackers. Called every few seconds.
    pub(crate) fn check_trackers(&self, swarm: &dyn Announced, clock: Duration) {
        let (info_hash, now) = (swarm.info_hash(), Instant::now());
        let is_starved = swarm.is_starved(clock);
        let lacks_tracker = lock(&self.plan).lacks_tracker(info_hash);
        if lacks_tracker {
            self.read_tracker_info(info_hash);
            lock(&self.plan).update_tasks(info_hash, now);
            return self.changed.notify_all();
        }
        let is_extended = lock(&self.plan).extend_if_starved(info_hash, is_starved, now);
        if is_extended {
            log::info!(
                "{}: no data arrives; announcing to more trackers",
                swarm.name()
            );
            self.changed.notify_all();
        }
    }

    /// Sends `stopped` to all trackers, for all swarms, within [`FINAL_ANNOUNCES`]. Nothing is
    /// announced after that.
    pub(crate) fn send_final_announces(&self, context: &Context) {
        let mut by_url: BTreeMap<String, Vec<FinalAnnounce<String, SwarmAtTracker>>> =
            BTreeMap::new();
        {
            let mut plan = lock(&self.plan);
            plan.end();
            self.ending.store(true, Ordering::Relaxed);
            self.changed.notify_all();
            // An announce in progress that arrives after `stopped` would list the peer again.
            let is_in_progress = |plan: &mut AnnouncePlan| plan.has_announce_in_progress();
            let waited = self
                .changed
                .wait_timeout_while(plan, IN_PROGRESS_WAIT, is_in_progress);
            let mut plan = recover(waited).0;
            for announce in plan.take_final_announces() {
                by_url
                    .entry(announce.tracker.clone())
                    .or_default()
                    .push(announce);
            }
        }
        self.changed.notify_all();
        let deadline = Instant::now() + FINAL_ANNOUNCES;
        thread::scope(|scope| {
            for announces in by_url.into_values() {
                let thread = thread::Builder::new().name("final-announces".to_owned());
                let spawned = thread.spawn_scoped(scope, move || {
                    self.send_final_to(context, announces, deadline)
                });
                if let Err(error) = spawned {
                    log::warn!("the final announces to a tracker are not sent: {error}");
                }
            }
        });
    }

    /// Sends the final announces to one tracker. Stops at the first one that gets no answer.
    fn send_final_to(
        &self,
        context: &Context,
        announces: Vec<FinalAnnounce<String, SwarmAtTracker>>,
        deadline: Instant,
    ) {
        for FinalAnnounce {
            tracker,
            payload,
            is_completed,
        } in announces
        {
            // `completed` is sent before `stopped` if the tracker has not received it.
            let completed = is_completed.then_some(AnnounceEvent::Completed);
            for event in completed.into_iter().chain([AnnounceEvent::Stopped]) {
                let left = deadline.saturating_duration_since(Instant::now());
                let result = self.ask(context, &tracker, &payload, Some(event), Some(left));
                if left.is_zero() || result.is_err() {
                    return;
                }
            }
        }
    }

    /// Makes the due announces until the peer stops. Runs on the threads `announce-N`.
    pub(crate) fn run(&self, context: &Context) {
        while let Some(due) = self.next_due() {
            // TRACKER_INFO may have changed since the announce was scheduled.
            self.read_tracker_info(due.info_hash);
            if !lock(&self.plan).confirm(&due, Instant::now()) {
                self.changed.notify_all();
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
                self.names.call(swarm, &result.named_peers);
            }
        }
    }

    /// All known trackers, each with its latest answer.
    pub(crate) fn status(&self) -> Vec<TrackerStatus> {
        lock(&self.plan).status()
    }

    /// Waits for a due announce and returns it. `None` when the peer stops.
    fn next_due(&self) -> Option<OpenAnnounce> {
        let mut plan = lock(&self.plan);
        loop {
            if plan.has_ended() {
                return None;
            }
            let now = Instant::now();
            let pause = match plan.take(now) {
                Ok(due) => return Some(due),
                Err(next) => next.map_or(MAX_WAIT, |next| next.saturating_duration_since(now)),
            };
            let waited = self.changed.wait_timeout(plan, pause.min(MAX_WAIT));
            plan = recover(waited).0;
        }
    }

    /// Reads TRACKER_INFO, unless the swarm is private.
    fn read_tracker_info(&self, info_hash: InfoHash) {
        if !lock(&self.plan).is_private(info_hash) {
            let urls = tracker_info::tracker_urls(&self.tracker_info);
            lock(&self.plan).set_listed_trackers(urls);
        }
    }

    /// Announces to the tracker at a URL. `final_limit` is the time limit of a final announce.
    /// Other announces have the limit of their protocol; those over UDP also end when the peer
    /// stops.
    fn ask(
        &self,
        context: &Context,
        url: &str,
        at: &SwarmAtTracker,
        event: Option<AnnounceEvent>,
        final_limit: Option<Duration>,
    ) -> Result<AnnounceResponse, AnnounceFailure> {
        let request = request(context, &*at.swarm, event).ok_or_else(|| {
            let reason = "this peer has no port that others can connect to";
            AnnounceFailure::Final(reason.to_owned())
        })?;
        match url.split_once("://") {
            Some(("http" | "https", _)) => {
                let limit = final_limit.unwrap_or(http::ANSWER);
                let tracker_id = at.tracker_id.as_deref();
                self.http.announce(url, &request, tracker_id, limit)
            }
            Some(("udp", _)) => {
                let is_cancelled = || final_limit.is_none() && self.ending.load(Ordering::Relaxed);
                let limit = final_limit.unwrap_or(udp::ANSWER);
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
        let result = lock(&self.plan).settle(due, outcome, lacks_peers, Instant::now());
        self.changed.notify_all();
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
        lock(&self.plan).announce(&swarm, event, Instant::now());
        self.changed.notify_all();
    }

    fn leave(&self, info_hash: InfoHash) {
        lock(&self.plan).leave(info_hash, Instant::now());
        self.changed.notify_all();
    }

    fn trouble(&self, info_hash: InfoHash) -> Option<String> {
        lock(&self.plan).trouble(info_hash)
    }

    /// Open swarms need no user.
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

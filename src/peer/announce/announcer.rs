//! Announces open swarms to their trackers (BEP 3, BEP 15).
//!
//! A few threads of its own work through what is due, so that a tracker that does not answer holds
//! up no other for long. TRACKER_INFO is read again before each announce. Out of scope: what is due
//! (`plan`), and the bytes (`http`, `udp`).

use super::http::{self, HttpTrackers};
use super::plan::{AtTracker, Due, Found, Plan};
use super::schedule::Farewell;
use super::udp::{self, UdpTrackers};
use super::{Announced, Context, Notice, Reading, Source, TrackerStatus, Trackers, tracker_info};
use crate::system::{lock, recover};
use crate::torrent::InfoHash;
use crate::wire::{AnnounceRequest, AnnounceResponse, Event};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How many threads announce.
pub(crate) const THREADS: usize = 4;
/// How long the farewell to all trackers may take at the end, and to one.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long the farewell waits for announces that are under way.
const UNDER_WAY: Duration = Duration::from_secs(1);
/// The longest wait for something to become due.
const LONG: Duration = Duration::from_secs(60);
/// How many peers are asked for.
const NUM_WANT: u32 = 50;

/// What is announced where, and when next.
#[derive(Debug)]
pub(crate) struct Announcer {
    /// Where the cluster's trackers are written.
    pub(crate) tracker_info: PathBuf,
    http: HttpTrackers,
    udp: UdpTrackers,
    plan: Mutex<Plan>,
    changed: Condvar,
    /// Only the farewell is still said.
    ending: AtomicBool,
}

impl Announcer {
    /// For a peer that listens there.
    pub(crate) fn new(tracker_info: PathBuf, listen: IpAddr) -> Self {
        let source = Source::new(listen);
        Self {
            tracker_info,
            http: HttpTrackers::new(source),
            udp: UdpTrackers::new(source),
            plan: Mutex::default(),
            changed: Condvar::new(),
            ending: AtomicBool::new(false),
        }
    }

    /// Why no tracker is known, for whoever needs one.
    pub(crate) fn no_tracker(&self) -> String {
        tracker_info::no_tracker(&self.tracker_info)
    }

    /// What a magnet link names turned out to be private: from now on one of its own trackers alone
    /// hears of it (BEP 27).
    pub(crate) fn keep_to_one(&self, info_hash: InfoHash) {
        lock(&self.plan).keep_to_one(info_hash, Instant::now());
        self.changed.notify_all();
    }

    /// Looks whether TRACKER_INFO by now names a tracker for a swarm that has none, and has more of
    /// a download's trackers asked once nothing has come for a while. Called every few seconds.
    pub(crate) fn look_at(&self, swarm: &dyn Announced, clock: Duration) {
        let (info_hash, now) = (swarm.info_hash(), Instant::now());
        let nothing_comes = swarm.starves(clock);
        let lacks_tracker = lock(&self.plan).lacks_tracker(info_hash);
        if lacks_tracker {
            self.read_tracker_info(info_hash);
            lock(&self.plan).follow(info_hash, now);
            return self.changed.notify_all();
        }
        let takes_more = lock(&self.plan).need(info_hash, nothing_comes, now);
        if takes_more {
            log::info!("{}: nothing comes; more trackers are asked", swarm.name());
            self.changed.notify_all();
        }
    }

    /// Tells all trackers that the peer ends, without waiting for longer than a moment. Nothing is
    /// announced after that.
    pub(crate) fn farewell(&self, context: &Context) {
        let mut by_url: BTreeMap<String, Vec<Farewell<String, AtTracker>>> = BTreeMap::new();
        {
            let mut plan = lock(&self.plan);
            plan.end();
            self.ending.store(true, Ordering::Relaxed);
            self.changed.notify_all();
            // A word under way that came after the farewell would bring the peer back.
            let speaking = |plan: &mut Plan| plan.is_under_way();
            let waited = self.changed.wait_timeout_while(plan, UNDER_WAY, speaking);
            let mut plan = recover(waited).0;
            for told in plan.farewell() {
                by_url.entry(told.tracker.clone()).or_default().push(told);
            }
        }
        self.changed.notify_all();
        let deadline = Instant::now() + FAREWELL;
        thread::scope(|scope| {
            for told in by_url.into_values() {
                let thread = thread::Builder::new().name("farewell".to_owned());
                let spawned =
                    thread.spawn_scoped(scope, move || self.tell_end(context, told, deadline));
                if let Err(error) = spawned {
                    log::warn!("trackers are not told of the end: {error}");
                }
            }
        });
    }

    /// Tells one tracker that the peer ends, until it does not answer.
    fn tell_end(
        &self,
        context: &Context,
        told: Vec<Farewell<String, AtTracker>>,
        deadline: Instant,
    ) {
        for Farewell {
            tracker,
            payload,
            is_completed,
        } in told
        {
            // A download that has just become complete is told before the end is.
            let completed = is_completed.then_some(Event::Completed);
            for event in completed.into_iter().chain([Event::Stopped]) {
                let left = deadline.saturating_duration_since(Instant::now());
                let asked = self.ask(context, &tracker, &payload, Some(event), Some(left));
                if left.is_zero() || asked.is_err() {
                    return;
                }
            }
        }
    }

    /// Works on what is due until the peer stops. Runs on the threads `announce-N`.
    pub(crate) fn run(&self, context: &Context) {
        while let Some(due) = self.next_due() {
            // TRACKER_INFO may have been written or changed since.
            self.read_tracker_info(due.info_hash);
            if !lock(&self.plan).confirm(&due, Instant::now()) {
                self.changed.notify_all();
                continue;
            }
            let outcome = self.ask(context, &due.tracker, &due.payload, due.event, None);
            let found = self.settle(&due, outcome);
            report(&due, &found);
            if let Some(swarm) = found.swarm {
                if found.instead {
                    swarm.give_up_peers("the tracker that named it has failed");
                }
                swarm.found(found.peers);
            }
        }
    }

    /// Every tracker known, by its latest answer.
    pub(crate) fn status(&self) -> Vec<TrackerStatus> {
        lock(&self.plan).status()
    }

    /// An announce that is due, under way from now on; waits for one. `None` at the end.
    fn next_due(&self) -> Option<Due> {
        let mut plan = lock(&self.plan);
        loop {
            if plan.has_ended() {
                return None;
            }
            let now = Instant::now();
            let pause = match plan.take(now) {
                Ok(due) => return Some(due),
                Err(next) => next.map_or(LONG, |next| next.saturating_duration_since(now)),
            };
            let waited = self.changed.wait_timeout(plan, pause.min(LONG));
            plan = recover(waited).0;
        }
    }

    /// Reads the cluster's own trackers, unless the swarm is not for them.
    fn read_tracker_info(&self, info_hash: InfoHash) {
        if !lock(&self.plan).keeps_to_one(info_hash) {
            let ours = tracker_info::tracker_urls(&self.tracker_info);
            lock(&self.plan).list(ours);
        }
    }

    /// Announces to the tracker at a URL. It takes as long as one of its kind may or until the peer
    /// ends, or, as the peer ends, no longer than `farewell`.
    fn ask(
        &self,
        context: &Context,
        url: &str,
        at: &AtTracker,
        event: Option<Event>,
        farewell: Option<Duration>,
    ) -> Result<AnnounceResponse, String> {
        let request = request(context, &*at.swarm, event).ok_or("no port to be reached at")?;
        match url.split_once("://") {
            Some(("http" | "https", _)) => {
                let limit = farewell.unwrap_or(http::ANSWER);
                let tracker_id = at.tracker_id.as_deref();
                self.http.announce(url, &request, tracker_id, limit)
            }
            Some(("udp", _)) => {
                let gives_up = || farewell.is_none() && self.ending.load(Ordering::Relaxed);
                let limit = farewell.unwrap_or(udp::ANSWER);
                self.udp.announce(url, &request, limit, &gives_up)
            }
            _ => Err("only http://, https:// and udp:// trackers are announced to".to_owned()),
        }
    }

    /// Notes how an announce went. Returns what it brought.
    fn settle(&self, due: &Due, outcome: Result<AnnounceResponse, String>) -> Found {
        let is_hungry = due.payload.swarm.is_hungry();
        let found = lock(&self.plan).settle(due, outcome, is_hungry, Instant::now());
        self.changed.notify_all();
        found
    }
}

impl<S: Announced + 'static> Trackers<S> for Announcer {
    fn announce(&self, swarm: Arc<S>, event: Option<Event>) {
        let swarm: Arc<dyn Announced> = swarm;
        if swarm.reading() != Reading::One {
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

fn report(due: &Due, found: &Found) {
    let (name, url) = (due.payload.swarm.name(), &due.tracker);
    match &found.notice {
        Some(Notice::Answers) => log::info!("{name}: {url} answers"),
        Some(Notice::Trouble(trouble)) => log::warn!("{name}: {url}: {trouble}"),
        Some(Notice::Over(_)) | None => {}
    }
    if let Some(warning) = &found.warning {
        log::warn!("{name}: {url}: the tracker warns: {warning}");
    }
}

fn request(
    context: &Context,
    swarm: &dyn Announced,
    event: Option<Event>,
) -> Option<AnnounceRequest> {
    let identity = &context.identity;
    let snapshot = swarm.snapshot(event);
    Some(AnnounceRequest {
        info_hash: swarm.info_hash(),
        peer_id: identity.peer_id,
        port: NonZeroU16::new(identity.address.port())?,
        uploaded: snapshot.uploaded,
        downloaded: snapshot.downloaded,
        left: snapshot.left,
        event: snapshot.event,
        num_want: Some(if event == Some(Event::Stopped) {
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

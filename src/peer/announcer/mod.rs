//! Announces to trackers (BEP 3, BEP 15): who we are, what we have, who else is there.
//!
//! A few threads of its own work through what is due, so that a tracker that does not answer holds up no other for long.
//! Each transfer is announced to trackers of its metainfo, which ones `tiers.rs` says, and, unless it is private (BEP 27), to all
//! of TRACKER_INFO, which is read again before each try.

mod announced;
mod bound;
mod http;
mod schedule;
mod source;
mod tiers;
mod udp;

use super::{Context, TrackerStatus};
pub(super) use announced::{Announced, Snapshot};
pub(super) use http::{AUTHORITIES_VARIABLE, guarded, trusted_tls};
pub(super) use tiers::Reading;

use crate::system::{lock, recover};
use crate::torrent::InfoHash;
use crate::wire::{AnnounceRequest, AnnounceResponse, Event, TrackerInfo};
use http::HttpTrackers;
use schedule::{Due, Found, Schedule, Task};
use source::Source;
use source::{Failure, canonical};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tiers::{Heard, Tiers};
use udp::UdpTrackers;

/// How many threads announce.
pub(super) const THREADS: usize = 4;
/// How long the farewell to all trackers may take at the end, and to one.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long the farewell waits for announces that are under way.
const UNDER_WAY: Duration = Duration::from_secs(1);
/// How many peers are asked for.
const NUM_WANT: u32 = 50;

/// What is announced where, and when next.
#[derive(Debug)]
pub(super) struct Announcer {
    /// Where the cluster's trackers are written.
    pub(super) tracker_info: PathBuf,
    http: HttpTrackers,
    udp: UdpTrackers,
    schedule: Mutex<Schedule>,
    changed: Condvar,
    /// Only the farewell is still said.
    ending: AtomicBool,
}

impl Announcer {
    /// For a peer that listens there.
    pub(super) fn new(tracker_info: PathBuf, listen: IpAddr) -> Self {
        let source = Source::new(listen);
        Self {
            tracker_info,
            http: HttpTrackers::new(source),
            udp: UdpTrackers::new(source),
            schedule: Mutex::default(),
            changed: Condvar::new(),
            ending: AtomicBool::new(false),
        }
    }

    /// Why no tracker is known, for whoever needs one.
    pub(super) fn no_tracker(&self) -> String {
        let path = self.tracker_info.display();
        match std::fs::read_to_string(&self.tracker_info) {
            Err(error) => format!(
                "no tracker is known: {path}: {error}; write a line HOST:PORT for each tracker into it"
            ),
            Ok(text) => match text.parse::<TrackerInfo>() {
                Err(error) => format!("no tracker is known: {path}: {error}"),
                Ok(_) => format!(
                    "no tracker is known: {path} names none; write a line HOST:PORT for each into it"
                ),
            },
        }
    }

    /// Announces a transfer to its trackers as soon as possible, and from then on.
    pub(super) fn announce(&self, swarm: Arc<dyn Announced>, event: Option<Event>) {
        let (ours, now) = (self.ours(&*swarm), Instant::now());
        lock(&self.schedule).announce(&swarm, &ours, event, now);
        self.changed.notify_all();
    }

    /// What a magnet link names turned out to be private: from now on one of its own trackers alone hears of it (BEP 27).
    pub(super) fn keep_to_one(&self, swarm: Arc<dyn Announced>) {
        let mut schedule = lock(&self.schedule);
        schedule.keep_to_one(swarm.info_hash());
        schedule.follow(&swarm, &[], Instant::now());
        drop(schedule);
        self.changed.notify_all();
    }

    /// Has more of a download's trackers asked once nothing has come for a while. Called every few seconds.
    pub(super) fn look_at_need(&self, swarm: Arc<dyn Announced>, clock: Duration) {
        let (now, info_hash) = (Instant::now(), swarm.info_hash());
        let nothing_comes = swarm.starves(clock);
        if lock(&self.schedule).need(info_hash, nothing_comes, now) {
            log::info!("{}: nothing comes; more trackers are asked", swarm.name());
            let ours = self.ours(&*swarm);
            lock(&self.schedule).follow(&swarm, &ours, now);
            self.changed.notify_all();
        }
    }

    /// Whether a transfer is announced to some tracker; if not, TRACKER_INFO may come to name one.
    pub(super) fn announces(&self, info_hash: InfoHash) -> bool {
        let schedule = lock(&self.schedule);
        schedule.tasks.keys().any(|(hash, _)| *hash == info_hash)
    }

    /// Tells the trackers that have heard of a transfer that it ends here, and forgets it.
    pub(super) fn leave(&self, info_hash: InfoHash) {
        lock(&self.schedule).leave(info_hash, Instant::now());
        self.changed.notify_all();
    }

    /// Tells all trackers that the peer ends, without waiting for longer than a moment. Nothing is announced after that.
    pub(super) fn farewell(&self, context: &Context) {
        let mut by_url: BTreeMap<String, Vec<Task>> = BTreeMap::new();
        {
            let mut schedule = lock(&self.schedule);
            schedule.ended = true;
            self.ending.store(true, Ordering::Relaxed);
            self.changed.notify_all();
            // A word under way that came after the farewell would bring the peer back.
            let speaking =
                |schedule: &mut Schedule| schedule.tasks.values().any(|task| task.running);
            let waited = self
                .changed
                .wait_timeout_while(schedule, UNDER_WAY, speaking);
            let mut schedule = recover(waited).0;
            for ((_, url), task) in schedule.tasks.drain().filter(|(_, task)| task.started) {
                by_url.entry(url).or_default().push(task);
            }
        }
        self.changed.notify_all();
        let deadline = Instant::now() + FAREWELL;
        thread::scope(|scope| {
            for (url, tasks) in by_url {
                let thread = thread::Builder::new().name("farewell".to_owned());
                let spawned = thread.spawn_scoped(scope, move || {
                    for task in tasks {
                        // A download that has just become complete is told before the end is.
                        let completed = task
                            .event
                            .filter(|event| *event == Event::Completed && !task.running);
                        for event in completed.into_iter().chain([Event::Stopped]) {
                            let left = deadline.saturating_duration_since(Instant::now());
                            let asked = self.ask(
                                context,
                                &*task.swarm,
                                (&url, task.latest.tracker_id.as_deref()),
                                Some(event),
                                Some(left),
                            );
                            if left.is_zero() || asked.is_err() {
                                return;
                            }
                        }
                    }
                });
                if let Err(error) = spawned {
                    log::warn!("trackers are not told of the end: {error}");
                }
            }
        });
    }

    /// Works on what is due until the peer stops. Runs on the threads `announce-N`.
    pub(super) fn run(&self, context: &Context) {
        while let Some(Due {
            key,
            swarm,
            event,
            tracker_id,
        }) = self.next_due()
        {
            // TRACKER_INFO may have been written or changed since.
            let ours = self.ours(&*swarm);
            if event != Some(Event::Stopped)
                && !lock(&self.schedule).confirm(&key, &swarm, &ours, Instant::now())
            {
                self.changed.notify_all();
                continue;
            }
            let tracker = (key.1.as_str(), tracker_id.as_deref());
            let outcome = self.ask(context, &*swarm, tracker, event, None);
            let found = self.settle(&key, &swarm, &ours, event, outcome);
            if found.instead {
                swarm.give_up_peers("the tracker that named it has failed");
            }
            swarm.found(found.peers);
        }
    }

    /// Every tracker known, by its latest answer.
    pub(super) fn status(&self) -> Vec<TrackerStatus> {
        let mut trackers: BTreeMap<String, TrackerStatus> = BTreeMap::new();
        for ((_, url), task) in &lock(&self.schedule).tasks {
            let status = trackers.entry(url.clone()).or_default();
            status.url.clone_from(url);
            status.reachable = status.reachable.max(task.latest.reached);
            status.trouble = status
                .trouble
                .take()
                .or_else(|| task.latest.trouble.clone());
        }
        trackers.into_values().collect()
    }

    /// The latest trouble of a transfer with its trackers, if none of them answers. None as long as nothing was announced.
    pub(super) fn trouble(&self, info_hash: InfoHash) -> Option<String> {
        let schedule = lock(&self.schedule);
        if !schedule.knows(info_hash) {
            return None;
        }
        let mut tasks = schedule
            .tasks
            .iter()
            .filter(|((hash, _), task)| *hash == info_hash && !task.last)
            .peekable();
        if tasks.peek().is_none() {
            let none = match schedule.keeps_to_one(info_hash) {
                true => "it is private, and names no tracker",
                false => "it names no tracker, and TRACKER_INFO names none",
            };
            return Some(none.to_owned());
        }
        let mut trouble = None;
        for ((_, url), task) in tasks {
            match (&task.latest.trouble, task.latest.reached) {
                (Some(reason), _) => trouble = Some(format!("{url}: {reason}")),
                (None, Some(true)) => return None,
                _ => {}
            }
        }
        trouble
    }

    /// A task that is due, marked as running; waits for one. `None` at the end.
    fn next_due(&self) -> Option<Due> {
        let mut schedule = lock(&self.schedule);
        loop {
            if schedule.ended {
                return None;
            }
            let pause = match schedule.take_due(Instant::now()) {
                Ok(due) => return Some(due),
                Err(pause) => pause,
            };
            let waited = self.changed.wait_timeout(schedule, pause);
            schedule = recover(waited).0;
        }
    }

    /// The cluster's own trackers, where a transfer may be announced to them.
    fn ours(&self, swarm: &dyn Announced) -> Vec<String> {
        if swarm.reading() == Reading::One || lock(&self.schedule).keeps_to_one(swarm.info_hash()) {
            Vec::new()
        } else {
            tracker_urls(&self.tracker_info)
        }
    }

    /// Announces to the tracker at a URL, and says what it wanted to hear again. It takes as long as one of its kind may or
    /// until the peer ends, or, as the peer ends, no longer than `farewell`.
    fn ask(
        &self,
        context: &Context,
        swarm: &dyn Announced,
        (url, tracker_id): (&str, Option<&[u8]>),
        event: Option<Event>,
        farewell: Option<Duration>,
    ) -> Result<AnnounceResponse, String> {
        let request = request(context, swarm, event).ok_or("no port to be reached at")?;
        match url.split_once("://") {
            Some(("http" | "https", _)) => {
                let limit = farewell.unwrap_or(http::ANSWER);
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

    /// Notes how an announce went; gives what it brought.
    fn settle(
        &self,
        key: &(InfoHash, String),
        swarm: &Arc<dyn Announced>,
        ours: &[String],
        event: Option<Event>,
        outcome: Result<AnnounceResponse, String>,
    ) -> Found {
        let hungry = swarm.is_hungry();
        let now = Instant::now();
        let mut schedule = lock(&self.schedule);
        let found = schedule.settle(key, event, outcome, hungry, now);
        schedule.follow(swarm, ours, now);
        drop(schedule);
        self.changed.notify_all();
        found
    }
}

/// The announce URLs of the trackers in a TRACKER_INFO file; none if it cannot be read.
pub(super) fn tracker_urls(tracker_info: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(tracker_info).unwrap_or_default();
    let info: TrackerInfo = text.parse().unwrap_or_default();
    info.addresses
        .iter()
        .map(|address| url_of(&address.to_string()))
        .collect()
}

/// The announce URL of a tracker of ours at `HOST:PORT`.
pub(super) fn url_of(tracker: &str) -> String {
    format!("http://{tracker}/announce")
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

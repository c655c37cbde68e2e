//! Announces to trackers over HTTP (BEP 3): who we are, what we have, who else is there.
//!
//! A few threads of its own work through what is due, so that a tracker that does not answer holds up no other for long.
//! Each transfer is announced to every tracker of its metainfo and, unless it is private (BEP 27), to those of
//! TRACKER_INFO, which is read again before each try.

use super::shared::Shared;
use super::status::TrackerStatus;
use super::transfer::{Phase, Transfer};
use crate::torrent::InfoHash;
use crate::wire::{AnnounceRequest, AnnounceResponse, Event, MAX_RESPONSE, TrackerInfo};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many threads announce.
pub(super) const THREADS: usize = 4;
/// How long a tracker may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the farewell to all trackers may take at the end, and to one.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long the farewell waits for announces that are under way.
const UNDER_WAY: Duration = Duration::from_secs(1);
/// A download that has no owner to ask announces this often, unless the tracker asks for longer pauses.
const HUNGRY: Duration = Duration::from_secs(5);
/// The pause after a failure; it doubles with each, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How many peers are asked for.
const NUM_WANT: u32 = 50;

/// What is announced where, and when next.
#[derive(Debug)]
pub(super) struct Announcer {
    tracker_info: PathBuf,
    agent: ureq::Agent,
    schedule: Mutex<Schedule>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Schedule {
    tasks: HashMap<(InfoHash, String), Task>,
    ended: bool,
}

/// A task that a thread takes on.
struct Due {
    key: (InfoHash, String),
    transfer: Arc<Transfer>,
    event: Option<Event>,
}

/// One swarm at one tracker.
#[derive(Debug)]
struct Task {
    transfer: Arc<Transfer>,
    due: Instant,
    /// Not before this, whatever happens: the tracker said so.
    not_before: Instant,
    event: Option<Event>,
    /// What is to be told after that.
    then: Option<Event>,
    /// The task ends once `stopped` was tried.
    last: bool,
    /// A thread is at it.
    running: bool,
    /// The tracker has heard `started`.
    started: bool,
    failures: u32,
    trouble: Option<String>,
    reached: Option<bool>,
}

impl Task {
    fn new(transfer: &Arc<Transfer>, now: Instant) -> Self {
        Self {
            transfer: Arc::clone(transfer),
            due: now,
            not_before: now,
            event: Some(Event::Started),
            then: None,
            last: false,
            running: false,
            started: false,
            failures: 0,
            trouble: None,
            reached: None,
        }
    }
}

impl Announcer {
    pub(super) fn new(tracker_info: PathBuf) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER))
            .timeout_connect(Some(ANSWER / 2))
            .http_status_as_error(false)
            .max_redirects(3)
            .max_idle_connections(16)
            .proxy(None)
            .user_agent(concat!("pieceful/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            tracker_info,
            agent: config.into(),
            schedule: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Where the cluster's trackers are written.
    pub(super) fn tracker_info(&self) -> &Path {
        &self.tracker_info
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

    /// Announces a transfer to all its trackers as soon as possible, and from then on.
    pub(super) fn announce(&self, transfer: &Arc<Transfer>, event: Option<Event>) {
        let urls = self.urls(transfer);
        let mut schedule = self.schedule();
        let now = Instant::now();
        for url in urls {
            let key = (transfer.info_hash(), url);
            match schedule.tasks.get_mut(&key).filter(|task| !task.last) {
                // A tracker that has not heard of us yet hears `started` first and then whatever came since.
                Some(task) if !task.started => {
                    task.then = event.filter(|event| *event != Event::Started)
                }
                Some(task) => {
                    task.event = event.or(task.event);
                    task.due = now;
                    // An interval is for peers with nothing to tell.
                    if event.is_some() {
                        task.not_before = now;
                    }
                }
                None => {
                    schedule.tasks.insert(key, Task::new(transfer, now));
                }
            }
        }
        drop(schedule);
        self.changed.notify_all();
    }

    /// Whether a transfer is announced to some tracker; if not, TRACKER_INFO may come to name one.
    pub(super) fn announces(&self, info_hash: InfoHash) -> bool {
        let schedule = self.schedule();
        schedule.tasks.keys().any(|(hash, _)| *hash == info_hash)
    }

    /// Tells the trackers that have heard of a transfer that it ends here, and forgets it.
    pub(super) fn leave(&self, info_hash: InfoHash) {
        let now = Instant::now();
        self.schedule().tasks.retain(|(hash, _), task| {
            if *hash == info_hash {
                task.last = true;
                (task.event, task.then) = (Some(Event::Stopped), None);
                (task.due, task.not_before) = (now, now);
            }
            *hash != info_hash || task.started || task.running
        });
        self.changed.notify_all();
    }

    /// Tells all trackers that the peer ends, without waiting for longer than a moment. Nothing is announced after that.
    pub(super) fn farewell(&self, shared: &Shared) {
        let mut by_url: BTreeMap<String, Vec<Task>> = BTreeMap::new();
        {
            let mut schedule = self.schedule();
            schedule.ended = true;
            self.changed.notify_all();
            // A word under way that came after the farewell would bring the peer back.
            let speaking =
                |schedule: &mut Schedule| schedule.tasks.values().any(|task| task.running);
            let waited = self
                .changed
                .wait_timeout_while(schedule, UNDER_WAY, speaking);
            let mut schedule = waited.unwrap_or_else(PoisonError::into_inner).0;
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
                            let asked = self.ask(shared, &task.transfer, &url, Some(event), left);
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
    pub(super) fn run(&self, shared: &Shared) {
        while let Some(Due {
            key,
            transfer,
            event,
        }) = self.next_due()
        {
            if event != Some(Event::Stopped) && !self.follow_tracker_info(&transfer, &key) {
                continue;
            }
            let outcome = self.ask(shared, &transfer, &key.1, event, ANSWER);
            let found = self.settle(&key, &transfer, event, outcome);
            transfer.add_candidates(shared, found);
        }
    }

    /// Every tracker known, by its latest answer.
    pub(super) fn status(&self) -> Vec<TrackerStatus> {
        let mut trackers: BTreeMap<String, TrackerStatus> = BTreeMap::new();
        for ((_, url), task) in &self.schedule().tasks {
            let status = trackers
                .entry(url.clone())
                .or_insert_with(|| TrackerStatus {
                    url: url.clone(),
                    reachable: None,
                    trouble: None,
                });
            status.reachable = status.reachable.max(task.reached);
            status.trouble = status.trouble.take().or_else(|| task.trouble.clone());
        }
        trackers.into_values().collect()
    }

    /// The latest trouble of a transfer with its trackers, if none of them answers.
    pub(super) fn trouble(&self, info_hash: InfoHash) -> Option<String> {
        let schedule = self.schedule();
        let mut tasks = schedule
            .tasks
            .iter()
            .filter(|((hash, _), _)| *hash == info_hash)
            .peekable();
        if tasks.peek().is_none() {
            return Some("it names no tracker, and TRACKER_INFO names none".to_owned());
        }
        let mut trouble = None;
        for ((_, url), task) in tasks {
            match (&task.trouble, task.reached) {
                (Some(reason), _) => trouble = Some(format!("{url}: {reason}")),
                (None, Some(true)) => return None,
                _ => {}
            }
        }
        trouble
    }

    /// A task that is due, marked as running; waits for one. `None` at the end.
    fn next_due(&self) -> Option<Due> {
        let mut schedule = self.schedule();
        loop {
            if schedule.ended {
                return None;
            }
            let now = Instant::now();
            let waiting = schedule.tasks.iter_mut().filter(|(_, task)| !task.running);
            let next = waiting.min_by_key(|(_, task)| task.due.max(task.not_before));
            let pause = match next {
                Some((key, task)) if task.due.max(task.not_before) <= now => {
                    task.running = true;
                    return Some(Due {
                        key: key.clone(),
                        transfer: Arc::clone(&task.transfer),
                        event: task.event,
                    });
                }
                Some((_, task)) => task.due.max(task.not_before) - now,
                None => Duration::from_secs(60),
            };
            let waited = self.changed.wait_timeout(schedule, pause);
            schedule = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// TRACKER_INFO may have been written or changed since: trackers that it names newly are announced to as well, and
    /// one that nothing names any more is forgotten. Says whether the one at hand is still named.
    fn follow_tracker_info(&self, transfer: &Arc<Transfer>, key: &(InfoHash, String)) -> bool {
        let urls = self.urls(transfer);
        let known: BTreeSet<String> = {
            let schedule = self.schedule();
            let ours = schedule
                .tasks
                .keys()
                .filter(|(hash, _)| *hash == transfer.info_hash());
            ours.map(|(_, url)| url.clone()).collect()
        };
        if urls.iter().any(|url| !known.contains(url)) {
            self.announce(transfer, None);
        }
        let named = urls.contains(&key.1);
        if !named {
            self.schedule().tasks.remove(key);
        }
        named
    }

    fn urls(&self, transfer: &Transfer) -> Vec<String> {
        let mut urls: Vec<String> = transfer
            .metainfo
            .trackers()
            .iter()
            .flatten()
            .cloned()
            .collect();
        if !transfer.info().private() {
            urls.extend(tracker_urls(&self.tracker_info));
        }
        let mut seen = BTreeSet::new();
        urls.retain(|url| seen.insert(url.clone()));
        urls
    }

    fn ask(
        &self,
        shared: &Shared,
        transfer: &Transfer,
        url: &str,
        event: Option<Event>,
        limit: Duration,
    ) -> Result<AnnounceResponse, String> {
        if !url.starts_with("http://") {
            return Err("only http:// trackers are announced to".to_owned());
        }
        let request = request(shared, transfer, event).ok_or("no port to be reached at")?;
        let call = self
            .agent
            .get(request.url(url))
            .config()
            .timeout_global(Some(limit))
            .build();
        let mut response = call.call().map_err(|error| error.to_string())?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("HTTP status {status}"));
        }
        let body = response.body_mut().with_config().limit(MAX_RESPONSE as u64);
        let body = body.read_to_vec().map_err(|error| error.to_string())?;
        AnnounceResponse::parse(&body).map_err(|error| error.to_string())
    }

    fn settle(
        &self,
        key: &(InfoHash, String),
        transfer: &Arc<Transfer>,
        event: Option<Event>,
        outcome: Result<AnnounceResponse, String>,
    ) -> Vec<SocketAddr> {
        let hungry = transfer.is_hungry();
        let now = Instant::now();
        let mut schedule = self.schedule();
        if event == Some(Event::Stopped) {
            if schedule.tasks.get(key).is_some_and(|task| task.last) {
                schedule.tasks.remove(key);
            }
            return Vec::new();
        }
        let Some(task) = schedule.tasks.get_mut(key) else {
            return Vec::new();
        };
        task.running = false;
        let found = match outcome {
            Ok(response) => {
                if task.trouble.take().is_some() || task.reached.is_none() {
                    log::info!("{}: {} answers", transfer.name(), key.1);
                }
                task.reached = Some(true);
                task.failures = 0;
                // What came up while this one was under way is still to be told.
                if task.event == event {
                    task.event = task.then.take();
                }
                task.started = true;
                let pause = response.interval;
                let soonest = response.min_interval.unwrap_or(pause).min(pause);
                task.not_before = now
                    + if task.event.is_some() {
                        Duration::ZERO
                    } else {
                        soonest
                    };
                task.due = now
                    + if hungry {
                        soonest.max(HUNGRY).min(pause)
                    } else {
                        pause
                    };
                response.peers
            }
            Err(trouble) => {
                if task.trouble.as_ref() != Some(&trouble) {
                    log::warn!("{}: {}: {trouble}", transfer.name(), key.1);
                }
                task.trouble = Some(trouble);
                task.reached = Some(false);
                task.failures = task.failures.saturating_add(1);
                let pause = RETRY
                    .0
                    .saturating_mul(1 << (task.failures - 1).min(8))
                    .min(RETRY.1);
                task.due = now + if hungry { pause.min(HUNGRY) } else { pause };
                Vec::new()
            }
        };
        if task.event.is_some() && task.started {
            task.due = task.due.min(now + Duration::from_secs(1));
        }
        drop(schedule);
        self.changed.notify_all();
        found.into_iter().map(|peer| peer.address).collect()
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The announce URLs of the trackers in a TRACKER_INFO file; none if it cannot be read.
pub(super) fn tracker_urls(tracker_info: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(tracker_info).unwrap_or_default();
    let info: TrackerInfo = text.parse().unwrap_or_default();
    info.addresses
        .iter()
        .map(|address| format!("http://{address}/announce"))
        .collect()
}

fn request(shared: &Shared, transfer: &Transfer, event: Option<Event>) -> Option<AnnounceRequest> {
    let state = transfer.state();
    let left = transfer.info().lengths().total()
        - owned_bytes(transfer, &state.phase, state.verified_bytes);
    Some(AnnounceRequest {
        info_hash: transfer.info_hash(),
        peer_id: shared.peer_id,
        port: NonZeroU16::new(shared.address.port())?,
        uploaded: transfer.uploaded_bytes(),
        downloaded: transfer.downloaded_bytes(),
        left,
        event,
        num_want: Some(if event == Some(Event::Stopped) {
            0
        } else {
            NUM_WANT
        }),
        compact: true,
        no_peer_id: true,
        key: Some(shared.key.as_bytes().to_vec()),
        pieceful: true,
    })
}

fn owned_bytes(transfer: &Transfer, phase: &Phase, verified: u64) -> u64 {
    let total = transfer.info().lengths().total();
    if *phase == Phase::Complete {
        total
    } else {
        verified.min(total)
    }
}

impl Transfer {
    /// A download that has nobody to ask.
    fn is_hungry(&self) -> bool {
        let state = self.state();
        state.phase == Phase::Active
            && !state
                .links
                .keys()
                .any(|id| state.picker.is_interesting(*id))
    }
}

//! Announces to the swarms of groups, over the control line of whoever is logged in.
//!
//! In scope: what is announced and when next, on one thread, which also ends links with those who are no members any more.
//! Out of scope: what one announce says and what follows from its answer (`attempt`).

use super::{Due, Group, GroupSwarm, Outcome, Speaker};
use crate::system::{lock, recover};
use crate::torrent::InfoHash;
use crate::wire::Event;
use crate::wire::access::{AnnounceEvent, MAX_ANNOUNCES};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The longest time between two looks at who is logged in and at the links.
const LOOK: Duration = Duration::from_secs(1);
/// The pause after a failure; it doubles with each, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How often it is asked whether what is complete may be shared again that may not be now.
const OUTSIDE: Duration = Duration::from_secs(30);
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long a log-out waits until trackers have heard of it.
const REST: Duration = Duration::from_secs(2);

/// What is announced, and when next.
#[derive(Debug, Default)]
pub(crate) struct GroupAnnouncer {
    schedule: Mutex<Schedule>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Schedule {
    tasks: HashMap<InfoHash, Task>,
    ended: bool,
}

#[derive(Debug)]
struct Task {
    swarm: Arc<dyn GroupSwarm>,
    group: Arc<Group>,
    due: Instant,
    event: Option<AnnounceEvent>,
    /// A tracker has heard of it.
    started: bool,
    /// It ends once `stopped` was tried.
    last: bool,
    /// After `stopped`, it is not announced until it is woken.
    resting: bool,
    failures: u32,
    trouble: Option<String>,
}

impl GroupAnnouncer {
    /// Announces a transfer as soon as possible, and from then on.
    pub(crate) fn announce(
        &self,
        swarm: Arc<dyn GroupSwarm>,
        group: &Arc<Group>,
        event: Option<Event>,
    ) {
        let event = event.and_then(|event| match event {
            Event::Started => Some(AnnounceEvent::Started),
            Event::Completed => Some(AnnounceEvent::Completed),
            Event::Stopped => Some(AnnounceEvent::Stopped),
            Event::Paused => None,
        });
        let mut schedule = lock(&self.schedule);
        let task = schedule.tasks.entry(swarm.info_hash());
        let task = task.or_insert_with(|| Task::new(&swarm, group));
        if task.last || !Arc::ptr_eq(&task.swarm, &swarm) {
            // The same share, begun anew.
            *task = Task::new(&swarm, group);
        }
        if task.started && !task.resting {
            task.event = event.or(task.event);
        }
        task.due = Instant::now();
        drop(schedule);
        self.changed.notify_all();
    }

    /// Somebody has logged in: what was suspended may go on.
    pub(crate) fn wake(&self) {
        let now = Instant::now();
        for task in lock(&self.schedule).tasks.values_mut() {
            task.due = now;
            if std::mem::take(&mut task.resting) && !task.last {
                task.started = false;
                task.event = Some(AnnounceEvent::Started);
            }
        }
        self.changed.notify_all();
    }

    /// Has a tracker told that what is shared and downloaded in these groups stops, while that may still be said in its
    /// user's name; waits for that, but not for long. None of it is announced until [`GroupAnnouncer::wake`].
    pub(crate) fn rest(&self, whose: impl Fn(&Group) -> bool) {
        let mut schedule = lock(&self.schedule);
        for task in schedule.tasks.values_mut() {
            let is_whose = whose(&task.group);
            if is_whose && !task.last {
                task.resting = true;
                task.due = Instant::now();
                task.event = task.started.then_some(AnnounceEvent::Stopped);
            }
        }
        self.changed.notify_all();
        let stopping = |schedule: &mut Schedule| schedule.tasks.values().any(Task::is_stopping);
        let waited = self.changed.wait_timeout_while(schedule, REST, stopping);
        if recover(waited).1.timed_out() {
            log::info!("trackers were not told in time that sharing stops");
        }
    }

    /// Has a tracker told that a transfer ends here, if one has heard of it, and forgets it.
    pub(crate) fn leave(&self, info_hash: InfoHash) {
        let mut schedule = lock(&self.schedule);
        let now = Instant::now();
        schedule.tasks.retain(|hash, task| {
            if *hash == info_hash {
                task.last = true;
                task.event = Some(AnnounceEvent::Stopped);
                task.due = now;
            }
            *hash != info_hash || task.started
        });
        drop(schedule);
        self.changed.notify_all();
    }

    /// The latest trouble with it, if there is one.
    pub(crate) fn trouble(&self, info_hash: InfoHash) -> Option<String> {
        lock(&self.schedule).tasks.get(&info_hash)?.trouble.clone()
    }

    /// Tells that everything ends here, without waiting for longer than a moment. Nothing is announced after that.
    pub(crate) fn farewell(&self, speaker: Speaker) {
        let tasks = {
            let mut schedule = lock(&self.schedule);
            schedule.ended = true;
            std::mem::take(&mut schedule.tasks)
        };
        self.changed.notify_all();
        let started = tasks.into_values().filter(|task| task.started);
        let mut started: Vec<Due> = started
            .map(|task| Due {
                event: Some(AnnounceEvent::Stopped),
                ..task.as_due()
            })
            .collect();
        if started.is_empty() {
            return;
        }
        started.sort_by_key(|due| due.swarm.authority().map(|authority| authority.to_string()));
        let (done, finished) = crossbeam::channel::bounded::<()>(0);
        let spawned = thread::Builder::new()
            .name("farewell".to_owned())
            .spawn(move || {
                let done = done;
                let groups = started.chunk_by(|one, next| one.is_with(next));
                for batch in groups.flat_map(|group| group.chunks(MAX_ANNOUNCES)) {
                    if speaker.say(batch, drop).is_err() {
                        break;
                    }
                }
                drop(done);
            });
        match spawned {
            // One that waits for a tracker which does not answer holds nothing, and must not hold up the end.
            Ok(_) => drop(finished.recv_timeout(FAREWELL)),
            Err(error) => log::warn!("trackers are not told of the end: {error}"),
        }
    }

    /// Works on what is due until the peer stops. Runs on the thread `group-announce`.
    ///
    /// Calls `look` once a second, also while nothing is due.
    pub(crate) fn run(&self, speaker: &Speaker, look: &dyn Fn()) {
        let mut looked = Instant::now();
        while let Some(due) = self.next_due() {
            if looked.elapsed() >= LOOK {
                look();
                looked = Instant::now();
            }
            for (due, outcome) in due.iter().zip(speaker.attempt(&due)) {
                self.settle(due, outcome);
            }
        }
    }

    /// What is due of one group, as much as one request takes; nothing for now, or `None` at the end.
    fn next_due(&self) -> Option<Vec<Due>> {
        let mut schedule = lock(&self.schedule);
        let begun = Instant::now();
        loop {
            if schedule.ended {
                return None;
            }
            let now = Instant::now();
            let awake = || schedule.tasks.values().filter(|task| !task.rests());
            let next = awake().min_by_key(|task| task.due);
            match next {
                Some(first) if first.due <= now => {
                    // Not what was due first alone: it goes in any case.
                    let first = first.as_due();
                    let others = awake().filter(|task| task.due <= now).map(Task::as_due);
                    let others = others.filter(|other| {
                        first.is_with(other) && !Arc::ptr_eq(&other.swarm, &first.swarm)
                    });
                    let mut due: Vec<Due> = others.take(MAX_ANNOUNCES - 1).collect();
                    due.push(first);
                    return Some(due);
                }
                _ if now.duration_since(begun) >= LOOK => return Some(Vec::new()),
                _ => {}
            }
            let pause = next.map_or(LOOK, |task| task.due.saturating_duration_since(now));
            let waited = self.changed.wait_timeout(schedule, pause.min(LOOK));
            schedule = recover(waited).0;
        }
    }

    fn settle(&self, due: &Due, outcome: Outcome) {
        let (swarm, event) = (&due.swarm, due.event);
        // What becomes of the transfer takes its own locks.
        let stays = match &outcome {
            Outcome::Out(reason) => swarm.may_not_be_shared(reason),
            _ => true,
        };
        let mut schedule = lock(&self.schedule);
        let task = schedule.tasks.get_mut(&swarm.info_hash());
        let Some(task) = task.filter(|task| Arc::ptr_eq(&task.swarm, swarm)) else {
            return;
        };
        if task.last && event == Some(AnnounceEvent::Stopped) {
            schedule.tasks.remove(&swarm.info_hash());
            return;
        }
        if task.resting {
            if event == Some(AnnounceEvent::Stopped) {
                // Said or not, it is not tried again: whoever waits goes on then.
                task.event = None;
                self.changed.notify_all();
            } else if matches!(outcome, Outcome::Again(_)) {
                // What was under way has made it known once more.
                task.event = Some(AnnounceEvent::Stopped);
            }
            return;
        }
        let now = Instant::now();
        let trouble = match outcome {
            Outcome::Again(pause) => {
                task.started = true;
                task.failures = 0;
                // What came up while this one was under way is still to be told.
                if task.event == event {
                    task.event = None;
                    task.due = now + pause;
                }
                None
            }
            Outcome::Suspended(trouble) => {
                task.started = false;
                task.event = Some(AnnounceEvent::Started);
                task.due = now + LOOK;
                Some(trouble)
            }
            Outcome::Failed(trouble) => {
                task.failures = task.failures.saturating_add(1);
                let pause = RETRY.0 * (1 << (task.failures - 1).min(8));
                task.due = now + pause.min(RETRY.1);
                Some(trouble)
            }
            Outcome::Out(_) if stays => {
                task.started = false;
                task.event = Some(AnnounceEvent::Started);
                task.due = now + OUTSIDE;
                return;
            }
            Outcome::Out(reason) => {
                schedule.tasks.remove(&swarm.info_hash());
                drop(schedule);
                return swarm.fail(&reason);
            }
        };
        if trouble.is_some() && trouble != task.trouble {
            let told = trouble.as_deref().unwrap_or_default();
            log::warn!("{}: {told}", swarm.name());
        }
        task.trouble = trouble;
    }
}

impl Task {
    fn new(swarm: &Arc<dyn GroupSwarm>, group: &Arc<Group>) -> Self {
        Self {
            swarm: Arc::clone(swarm),
            group: Arc::clone(group),
            due: Instant::now(),
            event: Some(AnnounceEvent::Started),
            started: false,
            last: false,
            resting: false,
            failures: 0,
            trouble: None,
        }
    }

    fn as_due(&self) -> Due {
        Due {
            swarm: Arc::clone(&self.swarm),
            group: Arc::clone(&self.group),
            event: self.event,
        }
    }

    /// Whether somebody waits until `stopped` was tried.
    fn is_stopping(&self) -> bool {
        self.resting && self.event == Some(AnnounceEvent::Stopped)
    }

    /// Whether it is not announced now.
    fn rests(&self) -> bool {
        self.resting && self.event.is_none()
    }
}

//! Announces to the swarms of groups, over the control connection of whoever is logged in.
//!
//! In scope: the one thread that makes announces, which also ends links with those who are members
//! no longer. Out of scope: what is due when (`crate::peer::announce`), what one announce says and
//! what follows from its answer (`attempt`).

use super::client::{Due, GroupTrackers, OfGroup, suspended_until};
use super::{Group, GroupClient};
use crate::peer::announce::{Notice, Outcome, Pace, Schedule};
use crate::peer::{Account, Membership, Trackers, Transfer};
use crate::system::{lock, recover};
use crate::torrent::InfoHash;
use crate::wire::Event;
use crate::wire::access::MAX_ANNOUNCES;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How often is announced to groups. What came up meanwhile goes at once, but not over the pause
/// after a failure.
const PACE: Pace = Pace {
    hungry: Duration::from_secs(3),
    retry: (Duration::from_secs(1), RETRY),
    news: Duration::ZERO,
    retry_news: RETRY,
    batch: MAX_ANNOUNCES,
};
/// The longest pause after a failure.
const RETRY: Duration = Duration::from_secs(60);
/// The longest time between two looks at who is logged in and at the links.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is asked whether what is complete may be shared again that may not be now.
const OUTSIDE: Duration = Duration::from_secs(30);
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long a log-out waits until trackers have heard of it.
const REST: Duration = Duration::from_secs(2);

/// What is announced, and when next.
#[derive(Debug)]
pub(crate) struct GroupAnnouncer {
    schedule: Mutex<Schedule<GroupTrackers, OfGroup>>,
    changed: Condvar,
}

impl Default for GroupAnnouncer {
    fn default() -> Self {
        Self {
            schedule: Mutex::new(Schedule::new(PACE)),
            changed: Condvar::new(),
        }
    }
}

impl GroupAnnouncer {
    /// Announces a transfer as soon as possible, and from then on.
    fn announce(&self, transfer: Arc<Transfer>, group: &Arc<Group>, event: Option<Event>) {
        // Groups have no partial seeds.
        let event = event.filter(|event| *event != Event::Paused);
        let (info_hash, now) = (transfer.info_hash(), Instant::now());
        let group = Arc::clone(group);
        let of_group = OfGroup { transfer, group };
        let mut schedule = lock(&self.schedule);
        schedule.tell(info_hash, event, now);
        let is_another = |of: &OfGroup| !Arc::ptr_eq(&of.transfer, &of_group.transfer);
        let begins_anew = schedule
            .of(info_hash)
            .any(|(_, task)| is_another(&task.payload));
        if begins_anew {
            // The same share, begun anew.
            schedule.leave(info_hash, now);
        }
        schedule.begin(info_hash, &of_group.trackers(), of_group, now);
        drop(schedule);
        self.changed.notify_all();
    }

    /// Somebody has logged in: what was suspended may go on.
    pub(crate) fn wake(&self) {
        lock(&self.schedule).wake(Instant::now());
        self.changed.notify_all();
    }

    /// Has a tracker told that what is shared and downloaded in these groups stops, while that may still be said in its
    /// user's name; waits for that, but not for long. None of it is announced until [`GroupAnnouncer::wake`].
    pub(crate) fn rest(&self, whose: impl Fn(&Membership) -> bool) {
        let mut schedule = lock(&self.schedule);
        schedule.rest(|of| whose(&of.group.membership), Instant::now());
        self.changed.notify_all();
        let stopping = |schedule: &mut Schedule<_, _>| schedule.is_stopping();
        let waited = self.changed.wait_timeout_while(schedule, REST, stopping);
        if recover(waited).1.timed_out() {
            log::info!("trackers were not told in time that sharing stops");
        }
    }

    /// Has a tracker told that a transfer ends here, if one has heard of it, and forgets it.
    fn leave(&self, info_hash: InfoHash) {
        lock(&self.schedule).leave(info_hash, Instant::now());
        self.changed.notify_all();
    }

    /// The latest trouble with it, if there is one.
    fn trouble(&self, info_hash: InfoHash) -> Option<String> {
        let schedule = lock(&self.schedule);
        let mut tasks = schedule.of(info_hash);
        tasks.find_map(|(_, task)| Some(task.trouble()?.to_owned()))
    }

    /// Tells that everything ends here, without waiting for longer than a moment. Nothing is announced after that.
    pub(crate) fn farewell(&self, group_client: GroupClient) {
        let mut told = lock(&self.schedule).farewell();
        self.changed.notify_all();
        if told.is_empty() {
            return;
        }
        told.sort_by(|one, other| one.tracker.cmp(&other.tracker));
        let (done, finished) = crossbeam::channel::bounded::<()>(0);
        let spawned = thread::Builder::new()
            .name("farewell".to_owned())
            .spawn(move || {
                let done = done;
                let groups = told.chunk_by(|one, next| one.tracker == next.tracker);
                for batch in groups.flat_map(|group| group.chunks(MAX_ANNOUNCES)) {
                    let stopped = batch
                        .iter()
                        .map(|told| (&*told.payload.transfer, Some(Event::Stopped)));
                    if group_client.say(stopped, drop).is_err() {
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
    pub(crate) fn run(&self, group_client: &GroupClient, look: &dyn Fn()) {
        let mut looked = Instant::now();
        while let Some(due) = self.next_due() {
            if looked.elapsed() >= LOOK {
                look();
                looked = Instant::now();
            }
            for (due, outcome) in due.iter().zip(group_client.attempt(&due)) {
                self.settle(due, outcome);
            }
        }
    }

    /// What is due of one group, as much as one request takes; nothing for now, or `None` at the end.
    fn next_due(&self) -> Option<Vec<Due>> {
        let mut schedule = lock(&self.schedule);
        let begun = Instant::now();
        loop {
            if schedule.has_ended() {
                return None;
            }
            let now = Instant::now();
            let due = schedule.take(now);
            if !due.is_empty() || now.duration_since(begun) >= LOOK {
                return Some(due);
            }
            let next = schedule.next();
            let pause = next.map_or(LOOK, |next| next.saturating_duration_since(now));
            let waited = self.changed.wait_timeout(schedule, pause.min(LOOK));
            schedule = recover(waited).0;
        }
    }

    fn settle(&self, due: &Due, outcome: Outcome) {
        let transfer = &due.payload.transfer;
        let outcome = match outcome {
            // What becomes of the transfer takes its own locks.
            Outcome::Over(reason) if transfer.withdraw(&reason) => Outcome::Unlisted {
                pause: OUTSIDE,
                trouble: None,
            },
            outcome => outcome,
        };
        let notice = lock(&self.schedule).settle(due, outcome, Instant::now());
        self.changed.notify_all();
        match notice {
            Some(Notice::Over(reason)) => transfer.fail(&reason),
            Some(Notice::Trouble(trouble)) => log::warn!("{}: {trouble}", transfer.name()),
            Some(Notice::Answers) | None => {}
        }
    }
}

/// The trackers of one group, for the shares and downloads of one of its members.
#[derive(Debug)]
pub(crate) struct MemberAnnouncer {
    pub(crate) announcer: Arc<GroupAnnouncer>,
    pub(crate) account: Arc<Account>,
    pub(crate) group: Arc<Group>,
}

impl Trackers<Transfer> for MemberAnnouncer {
    fn announce(&self, transfer: Arc<Transfer>, event: Option<Event>) {
        self.announcer.announce(transfer, &self.group, event);
    }

    fn leave(&self, info_hash: InfoHash) {
        self.announcer.leave(info_hash);
    }

    fn trouble(&self, info_hash: InfoHash) -> Option<String> {
        self.announcer.trouble(info_hash)
    }

    fn suspended(&self) -> Option<String> {
        let user = &self.group.membership.user;
        let is_here = self.account.user().as_ref() == Some(user);
        (!is_here).then(|| suspended_until(user))
    }
}

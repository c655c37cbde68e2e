//! Announces to the swarms of groups, over the control connection of the user who is logged in.
//!
//! In scope: the one thread that sends announces and, once a second, runs other checks of groups.
//! Out of scope: what is due when (`crate::peer::announce`), the contents of an announce and what
//! follows from its answer (`client`), the other checks (`crate::peer::running`).

use super::client::{GroupAnnounce, GroupTrackers, GroupTransfer, suspended_until};
use super::{ChangedFiles, GroupClient};
use crate::peer::announce::{AnnounceNotice, AnnounceOutcome, IN_PROGRESS_WAIT, Pace, Schedule};
use crate::peer::{Account, Membership, Trackers, Transfer, Transfers, superseded};
use crate::storage::RecordError;
use crate::system::{lock, recover};
use crate::torrent::InfoHash;
use crate::wire::AnnounceEvent;
use crate::wire::access::MAX_ANNOUNCES;
use crate::wire::machine::SubjectLabel;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// The pace of announces to groups. An event that comes up during an announce is sent right after
/// the announce. If the announce fails, the event waits until the pause after the failure is over.
const PACE: Pace = Pace {
    without_peers: Duration::from_secs(5),
    retry: (Duration::from_secs(1), RETRY),
    event_delay: Duration::ZERO,
    event_retry: RETRY,
    batch: MAX_ANNOUNCES,
};
/// The longest pause after a failure.
const RETRY: Duration = Duration::from_secs(60);
/// Interval at which [`GroupAnnouncer::run`] calls `check_groups`.
const CHECK: Duration = Duration::from_secs(1);
/// Interval at which the peer asks whether a complete share that was withdrawn may be shared again.
const WITHDRAWN_RETRY: Duration = Duration::from_secs(30);
/// How long the final announces may take.
const FINAL_ANNOUNCES: Duration = Duration::from_secs(3);
/// How long [`GroupAnnouncer::suspend`] waits until the trackers have received `stopped`.
const SUSPEND_LIMIT: Duration = Duration::from_secs(2);

/// The announces of all groups, and when each is due.
#[derive(Debug)]
pub(crate) struct GroupAnnouncer {
    schedule: Mutex<Schedule<GroupTrackers, GroupTransfer>>,
    changed: Condvar,
    changed_files: ChangedFiles,
}

impl Default for GroupAnnouncer {
    fn default() -> Self {
        Self {
            schedule: Mutex::new(Schedule::new(PACE)),
            changed: Condvar::new(),
            changed_files: ChangedFiles::default(),
        }
    }
}

impl GroupAnnouncer {
    /// Announces a transfer regularly, from [`Transfer::first_announce`] on. If it is announced
    /// already, an announce with `event` is due now.
    fn announce(&self, transfer: Arc<Transfer>, event: Option<AnnounceEvent>) {
        // Groups have no partial seeds.
        let event = event.filter(|event| *event != AnnounceEvent::Paused);
        let (info_hash, now) = (transfer.info_hash(), Instant::now());
        let due = transfer.first_announce(now);
        let group_transfer = GroupTransfer { transfer };
        let mut schedule = lock(&self.schedule);
        // This is for the tasks that exist already, because `begin` does not change them.
        schedule.announce_soon(info_hash, event, now);
        let is_of_other_transfer =
            |other: &GroupTransfer| !Arc::ptr_eq(&other.transfer, &group_transfer.transfer);
        let is_restarted = schedule
            .tasks_of(info_hash)
            .any(|(_, task)| is_of_other_transfer(&task.payload));
        if is_restarted {
            // A new transfer of the same share has replaced the former one.
            schedule.leave(info_hash, now);
        }
        if let Some(trackers) = group_transfer.trackers() {
            schedule.begin(info_hash, &trackers, group_transfer, due);
        }
        drop(schedule);
        self.changed.notify_all();
    }

    /// Announces the transfers of the affected memberships at the time `at`, or earlier if they are
    /// due earlier.
    pub(super) fn announce_earlier(&self, is_affected: impl Fn(&Membership) -> bool, at: Instant) {
        let is_affected = |task: &GroupTransfer| task.is_affected(&is_affected);
        lock(&self.schedule).announce_earlier(is_affected, at);
        self.changed.notify_all();
    }

    /// What is known of shares whose files have changed.
    pub(crate) fn changed_files(&self) -> &ChangedFiles {
        &self.changed_files
    }

    /// Resumes suspended announces, for example after a log-in. Makes all other announces due now.
    pub(crate) fn resume(&self) {
        lock(&self.schedule).resume(Instant::now());
        self.changed.notify_all();
    }

    /// Sends `stopped` for the transfers of the affected memberships while their user can still
    /// announce. Waits for that, but at most [`SUSPEND_LIMIT`]. Then nothing is announced for them
    /// until [`GroupAnnouncer::resume`].
    pub(crate) fn suspend(&self, is_affected: impl Fn(&Membership) -> bool) {
        let mut schedule = lock(&self.schedule);
        schedule.suspend(
            |announced: &GroupTransfer| announced.is_affected(&is_affected),
            Instant::now(),
        );
        self.changed.notify_all();
        let stopping = |schedule: &mut Schedule<_, _>| schedule.any_stopping();
        let waited = self
            .changed
            .wait_timeout_while(schedule, SUSPEND_LIMIT, stopping);
        if recover(waited).1.timed_out() {
            log::info!("some trackers did not learn in time that the sharing stops");
        }
    }

    /// Sends `stopped` for a transfer to the trackers that may list it, and forgets it.
    fn leave(&self, info_hash: InfoHash) {
        lock(&self.schedule).leave(info_hash, Instant::now());
        self.changed.notify_all();
    }

    /// The latest trouble with the trackers of a swarm.
    fn trouble(&self, info_hash: InfoHash) -> Option<String> {
        let schedule = lock(&self.schedule);
        let mut tasks = schedule.tasks_of(info_hash);
        tasks.find_map(|(_, task)| Some(task.trouble()?.to_owned()))
    }

    /// Waits for announces in progress, at most [`IN_PROGRESS_WAIT`]. Then sends `stopped` for
    /// everything, within [`FINAL_ANNOUNCES`]. Nothing is announced after that.
    pub(crate) fn send_final_announces(&self, group_client: GroupClient) {
        let mut announces = {
            let mut schedule = lock(&self.schedule);
            schedule.end();
            self.changed.notify_all();
            // An announce in progress that arrives after `stopped` would list the peer again.
            let is_in_progress =
                |schedule: &mut Schedule<_, _>| schedule.has_announce_in_progress();
            let waited =
                self.changed
                    .wait_timeout_while(schedule, IN_PROGRESS_WAIT, is_in_progress);
            recover(waited).0.take_final_announces()
        };
        if announces.is_empty() {
            return;
        }
        announces.sort_by(|one, other| one.tracker.cmp(&other.tracker));
        let (done, finished) = crossbeam::channel::bounded::<()>(0);
        let spawned = thread::Builder::new()
            .name("final-announces".to_owned())
            .spawn(move || {
                let done = done;
                let by_trackers = announces.chunk_by(|one, next| one.tracker == next.tracker);
                for batch in by_trackers.flat_map(|announces| announces.chunks(MAX_ANNOUNCES)) {
                    let Some(first) = batch.first() else { continue };
                    let Some(membership) = first.payload.transfer.membership() else {
                        continue;
                    };
                    let stopped = batch.iter().map(|announce| {
                        (&*announce.payload.transfer, Some(AnnounceEvent::Stopped))
                    });
                    if group_client
                        .announce(&membership.group, stopped, None, drop)
                        .is_err()
                    {
                        break;
                    }
                }
                drop(done);
            });
        match spawned {
            // The thread is not joined, because it may wait for a silent tracker. It holds nothing
            // that the stop of the peer needs.
            Ok(_) => drop(finished.recv_timeout(FINAL_ANNOUNCES)),
            Err(error) => log::warn!("the final announces to the trackers are not sent: {error}"),
        }
    }

    /// Makes the due announces until the peer stops. Runs on the thread `group-announce`.
    ///
    /// Calls `check_groups` once a second, even if nothing is due.
    pub(crate) fn run(&self, group_client: &GroupClient, check_groups: &dyn Fn()) {
        let mut last_check = Instant::now();
        while let Some(due) = self.next_due() {
            if last_check.elapsed() >= CHECK {
                check_groups();
                last_check = Instant::now();
            }
            for (due, outcome) in due.iter().zip(group_client.announce_due(&due)) {
                self.settle(due, outcome);
            }
        }
    }

    /// The due announces of one group, as many as one request takes. Empty if nothing is due within
    /// a second; `None` when the peer stops.
    fn next_due(&self) -> Option<Vec<GroupAnnounce>> {
        let mut schedule = lock(&self.schedule);
        let begun = Instant::now();
        loop {
            if schedule.has_ended() {
                return None;
            }
            let now = Instant::now();
            let due = schedule.take(now);
            if !due.is_empty() || now.duration_since(begun) >= CHECK {
                return Some(due);
            }
            let next = schedule.next();
            let pause = next.map_or(CHECK, |next| next.saturating_duration_since(now));
            let waited = self.changed.wait_timeout(schedule, pause.min(CHECK));
            schedule = recover(waited).0;
        }
    }

    fn settle(&self, due: &GroupAnnounce, outcome: AnnounceOutcome) {
        let transfer = &due.payload.transfer;
        let outcome = match outcome {
            // `withdraw` takes the lock of the transfer, so the schedule is not locked here.
            AnnounceOutcome::Ended(reason) if transfer.withdraw(&reason) => {
                AnnounceOutcome::Unlisted {
                    pause: WITHDRAWN_RETRY,
                    trouble: None,
                }
            }
            outcome => outcome,
        };
        let notice = lock(&self.schedule).settle(due, outcome, Instant::now());
        self.changed.notify_all();
        match notice {
            Some(AnnounceNotice::Ended(reason)) => transfer.fail(&reason),
            Some(AnnounceNotice::Trouble(trouble)) => log::warn!("{}: {trouble}", transfer.name()),
            Some(AnnounceNotice::Answers) | None => {}
        }
    }
}

/// The trackers of one group, for the transfers of one of its members. It also ends those of these
/// transfers whose place another version has taken.
#[derive(Debug)]
pub(crate) struct MemberAnnouncer {
    pub(crate) announcer: Arc<GroupAnnouncer>,
    pub(crate) account: Arc<Account>,
    pub(crate) user: SubjectLabel,
    pub(crate) transfers: Weak<Transfers>,
}

impl Trackers<Transfer> for MemberAnnouncer {
    fn announce(&self, transfer: Arc<Transfer>, event: Option<AnnounceEvent>) {
        self.announcer.announce(transfer, event);
    }

    fn leave(&self, info_hash: InfoHash) {
        self.announcer.leave(info_hash);
    }

    fn trouble(&self, info_hash: InfoHash) -> Option<String> {
        self.announcer.trouble(info_hash)
    }

    fn publisher_trouble(&self, info_hash: InfoHash) -> Option<String> {
        let has_changed = self.announcer.changed_files.has(info_hash);
        has_changed.then(|| "the owner's files have changed".to_owned())
    }

    fn set_place_taken(&self, former: InfoHash, is_taken: bool) {
        let transfers = self.transfers.upgrade();
        if let Some(former) = transfers.and_then(|transfers| transfers.transfer(former)) {
            former.set_place_taken(is_taken);
        }
    }

    fn end_version(&self, former: InfoHash, new: &Transfer) -> Result<(), RecordError> {
        match self.transfers.upgrade() {
            Some(transfers) => superseded::end_complete(&transfers, former, new),
            None => Ok(()),
        }
    }

    fn other_user_of_place(&self, transfer: &Transfer) -> Option<String> {
        let transfers = self.transfers.upgrade()?;
        let (place, except) = (transfer.plan.path(), transfer.supersedes());
        let other = superseded::other_user(&transfers, transfer.info_hash(), &except, &place)?;
        Some(other.name().to_owned())
    }

    fn suspended(&self) -> Option<String> {
        let is_logged_in = self.account.user().as_ref() == Some(&self.user);
        (!is_logged_in).then(|| suspended_until(&self.user))
    }
}

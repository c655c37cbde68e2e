//! Decides what is announced to which tracker, and when: a pure state machine.
//!
//! In scope: which announce each tracker gets for each swarm, when, and how often. Out of scope:
//! sockets, threads, locks and clocks; the peers in an answer; what a swarm is and how a tracker is
//! reached (both are type parameters); which trackers a swarm has (the caller decides, see
//! `tiers`). A [`Pace`] holds what differs between kinds of trackers.
//!
//! # States of a task
//! A task is one swarm at one tracker.
//!
//! | state | what the tracker knows | due |
//! |---|---|---|
//! | `New` | nothing of the swarm | `started` |
//! | `Listed` | the swarm | the pending event, or an announce without an event at the interval |
//! | `Stopping` | the swarm | `stopped` |
//! | `Suspended` | nothing, if `stopped` reached it | nothing |
//! | `Leaving` | the swarm, if an announce has reached it | `stopped` |
//!
//! # Transitions
//! | from | on | to |
//! |---|---|---|
//! | no task | `begin` | `New` |
//! | `New` | an answer to `started` | `Listed`; an event that came up meanwhile is pending |
//! | `New` | a failure | `New`, after a pause that doubles |
//! | `New` | `announce_soon` | `New`, with the event pending |
//! | `Listed` | `announce_soon` | `Listed`, due now; without an event not before `min_interval` |
//! | `Listed` | `announce_earlier` | `Listed`, due by that time, or after an announce in progress |
//! | `Listed` | an answer | `Listed`, due at the interval, or after `event_delay` for an event |
//! | `Listed` | a failure | `Listed`, after a pause that doubles |
//! | `New`, `Listed` | a refusal | the same, after the tracker's pause, or one that doubles |
//! | `New`, `Listed` | the outcome `Unlisted` | `New`, after the pause in the outcome |
//! | `New`, `Listed` | the outcome `Ended` | no task |
//! | `Listed` | `suspend` | `Stopping` |
//! | `New` | `suspend` | `Suspended` |
//! | `Stopping` | `stopped` was tried | `Suspended` |
//! | `Stopping`, `Suspended` | an answer to an earlier announce | `Stopping` |
//! | `Stopping`, `Suspended` | `resume` | `New` |
//! | `Listed`, `Stopping` | `leave` | `Leaving` |
//! | `New`, `Suspended` | `leave` | no task; `Leaving` if an announce is in progress |
//! | `Leaving` | `stopped` was tried, or the outcome `Unlisted` or `Ended` | no task |
//! | `Leaving` | an earlier announce is answered, fails or is refused | `Leaving` |
//! | `Leaving` | `begin` | `New`; it waits for the end of an announce in progress |
//!
//! An announce in progress is not a state: a task may change in any way meanwhile, and a leaving
//! task may be replaced by a new one. The new task waits for the announce of the former task, so
//! that its `started` cannot overtake the `stopped` of the former. The ticket of an announce shows
//! whether a task waits for it. The outcome of an announce decides what the tracker knows of the
//! swarm from then on, whatever came before.
//!
//! # Invariants
//! | | |
//! |---|---|
//! | 1 | The queue contains exactly the tasks that will be due, each at its time. |
//! | 2 | A task with an announce in progress is not due, so its announces never overlap. |
//! | 3 | No two announces in progress have the same ticket. |
//! | 4 | A swarm without a task is removed. |

mod task;
#[cfg(test)]
mod tests;

use super::pace::{AnnounceNotice, AnnounceOutcome, Pace};
use crate::torrent::InfoHash;
use crate::wire::AnnounceEvent;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;
pub(crate) use task::AnnounceTask;

/// All tasks. `T` names a tracker, `P` is the announcer's own data for a swarm at a tracker.
#[derive(Debug)]
pub(crate) struct Schedule<T, P> {
    pace: Pace,
    swarms: HashMap<InfoHash, BTreeMap<T, AnnounceTask<P>>>,
    /// The tasks that will be due, ordered by time.
    queue: BTreeSet<(Instant, InfoHash, T)>,
    /// The ticket that was issued last.
    ticket: u64,
    has_ended: bool,
}

/// An announce that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct DueAnnounce<T, P> {
    pub(crate) info_hash: InfoHash,
    pub(crate) tracker: T,
    pub(crate) payload: P,
    pub(crate) event: Option<AnnounceEvent>,
    ticket: u64,
}

/// The final announce to a tracker: `stopped`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FinalAnnounce<T, P> {
    pub(crate) tracker: T,
    pub(crate) payload: P,
    /// Whether `completed` is sent before `stopped`, because the tracker has not received it.
    pub(crate) sends_completed: bool,
}

impl<T: Ord + Clone, P: Clone> Schedule<T, P> {
    pub(crate) fn new(pace: Pace) -> Self {
        Self {
            pace,
            swarms: HashMap::new(),
            queue: BTreeSet::new(),
            ticket: 0,
            has_ended: false,
        }
    }

    /// Starts to announce a swarm to a tracker at the time `due`. An existing task goes on, but if
    /// it is leaving, a new one replaces it.
    pub(crate) fn begin(&mut self, info_hash: InfoHash, tracker: &T, payload: P, due: Instant) {
        let existing = self.task(info_hash, tracker);
        if self.has_ended || existing.is_some_and(|task| !task.is_leaving()) {
            return;
        }
        let former = self.change(info_hash, tracker, |task| (false, task.in_progress()));
        let task = AnnounceTask::new(payload, former.flatten(), due);
        if let Some(due) = task.next() {
            self.queue.insert((due, info_hash, tracker.clone()));
        }
        let tasks = self.swarms.entry(info_hash).or_default();
        tasks.insert(tracker.clone(), task);
    }

    /// Makes an announce due now at all trackers of a swarm, with `event` if there is one. An
    /// announce without an event still waits for the shortest interval that the tracker accepts.
    pub(crate) fn announce_soon(
        &mut self,
        info_hash: InfoHash,
        event: Option<AnnounceEvent>,
        now: Instant,
    ) {
        self.change_all(Some(info_hash), |_, task| {
            task.announce_soon(event, now);
            true
        });
    }

    /// For each task whose payload `is_affected`: makes an announce due at `at`, unless one is due
    /// earlier.
    pub(crate) fn announce_earlier(&mut self, is_affected: impl Fn(&P) -> bool, at: Instant) {
        self.change_all(None, |_, task| {
            if is_affected(&task.payload) {
                task.announce_earlier(at);
            }
            true
        });
    }

    /// Ends the tasks of a swarm at trackers that are not `wanted`. Trackers that may list the
    /// swarm receive `stopped`.
    pub(crate) fn leave_unless(
        &mut self,
        info_hash: InfoHash,
        wanted: impl Fn(&T) -> bool,
        now: Instant,
    ) {
        self.change_all(Some(info_hash), |tracker, task| {
            task.is_leaving() || wanted(tracker) || task.leave(now)
        });
    }

    /// Ends all tasks of a swarm. Trackers that may list it receive `stopped`.
    pub(crate) fn leave(&mut self, info_hash: InfoHash, now: Instant) {
        self.leave_unless(info_hash, |_| false, now);
    }

    /// Suspends the tasks whose payload `is_affected`: `stopped` is sent where the tracker lists
    /// the swarm, and nothing else until [`Schedule::resume`].
    pub(crate) fn suspend(&mut self, is_affected: impl Fn(&P) -> bool, now: Instant) {
        self.change_all(None, |_, task| {
            if is_affected(&task.payload) {
                task.suspend(now);
            }
            true
        });
    }

    /// Whether some task is in the state `Stopping`: its `stopped` is not sent yet, or in progress.
    pub(crate) fn any_stopping(&self) -> bool {
        self.tasks().any(|(_, task)| task.is_stopping())
    }

    /// Makes all tasks due now, or at the shortest interval that their tracker accepts. Suspended
    /// tasks start with `started`.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.change_all(None, |_, task| {
            task.resume(now);
            true
        });
    }

    /// Changes the payloads of a swarm's tasks, except those that are leaving.
    pub(crate) fn update(&mut self, info_hash: InfoHash, update: impl Fn(&mut P)) {
        let tasks = self.swarms.get_mut(&info_hash).into_iter();
        for task in tasks.flat_map(BTreeMap::values_mut) {
            if !task.is_leaving() {
                update(&mut task.payload);
            }
        }
    }

    /// The tasks of a swarm, with their trackers.
    pub(crate) fn tasks_of(
        &self,
        info_hash: InfoHash,
    ) -> impl Iterator<Item = (&T, &AnnounceTask<P>)> {
        self.swarms.get(&info_hash).into_iter().flatten()
    }

    /// The task of a swarm at a tracker.
    pub(crate) fn task(&self, info_hash: InfoHash, tracker: &T) -> Option<&AnnounceTask<P>> {
        self.swarms.get(&info_hash)?.get(tracker)
    }

    /// All tasks, with their trackers.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = (&T, &AnnounceTask<P>)> {
        self.swarms.values().flatten()
    }

    /// When the next task is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(due, ..)| *due)
    }

    /// Takes the due announces at one tracker, as many as one request holds. They are in progress
    /// until they are settled or withdrawn.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<DueAnnounce<T, P>> {
        let due = self.queue.iter().take_while(|(due, ..)| *due <= now);
        let first = self.queue.first().map(|(.., tracker)| tracker);
        let batch = due.filter(|(.., tracker)| Some(tracker) == first);
        let batch = batch.take(self.pace.batch).cloned();
        let batch: Vec<_> = batch.collect();
        let taken = batch.into_iter().filter_map(|(_, info_hash, tracker)| {
            self.ticket += 1;
            let ticket = self.ticket;
            let (payload, event) = self.change(info_hash, &tracker, |task| {
                let event = task.take(ticket);
                (true, (task.payload.clone(), event))
            })?;
            Some(DueAnnounce {
                info_hash,
                tracker,
                payload,
                event,
                ticket,
            })
        });
        taken.collect()
    }

    /// Handles an announce that was taken but is not made.
    pub(crate) fn withdraw(&mut self, due: &DueAnnounce<T, P>) {
        self.change_taken(due, |task| (task.withdraw(), ()));
    }

    /// Handles the outcome of an announce, if a task waits for it. Returns what is new, if
    /// anything.
    pub(crate) fn settle(
        &mut self,
        due: &DueAnnounce<T, P>,
        outcome: AnnounceOutcome,
        now: Instant,
    ) -> Option<AnnounceNotice> {
        let pace = self.pace;
        self.change_taken(due, |task| task.settle(outcome, &pace, now))?
    }

    /// Changes the payload of the task that waits for this announce, if there is one.
    pub(crate) fn update_taken(&mut self, due: &DueAnnounce<T, P>, update: impl FnOnce(&mut P)) {
        self.change_taken(due, |task| (true, update(&mut task.payload)));
    }

    /// From now on no task is started.
    pub(crate) fn end(&mut self) {
        self.has_ended = true;
    }

    /// Whether [`Schedule::end`] was called.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether an announce is in progress.
    pub(crate) fn has_announce_in_progress(&self) -> bool {
        self.tasks().any(|(_, task)| task.ticket().is_some())
    }

    /// Ends everything. Returns the final announces, for the trackers that list a swarm.
    pub(crate) fn take_final_announces(&mut self) -> Vec<FinalAnnounce<T, P>> {
        self.end();
        self.queue.clear();
        let tasks = self.swarms.drain().flat_map(|(_, tasks)| tasks);
        let announces = tasks.filter_map(|(tracker, task)| {
            let sends_completed = task.final_announce()?;
            Some(FinalAnnounce {
                tracker,
                payload: task.payload,
                sends_completed,
            })
        });
        announces.collect()
    }

    /// Changes the task that waits for this announce, if there is one.
    fn change_taken<R>(
        &mut self,
        due: &DueAnnounce<T, P>,
        change: impl FnOnce(&mut AnnounceTask<P>) -> (bool, R),
    ) -> Option<R> {
        let task = self.task(due.info_hash, &due.tracker);
        task.filter(|task| task.ticket() == Some(due.ticket))?;
        self.change(due.info_hash, &due.tracker, change)
    }

    /// Changes all tasks of a swarm, or of all swarms. Ends those for which `change` returns
    /// `false`.
    fn change_all(
        &mut self,
        info_hash: Option<InfoHash>,
        mut change: impl FnMut(&T, &mut AnnounceTask<P>) -> bool,
    ) {
        let swarms: Vec<InfoHash> = match info_hash {
            Some(info_hash) => vec![info_hash],
            None => self.swarms.keys().copied().collect(),
        };
        for info_hash in swarms {
            let trackers: Vec<T> = self
                .tasks_of(info_hash)
                .map(|(tracker, _)| tracker.clone())
                .collect();
            for tracker in trackers {
                self.change(info_hash, &tracker, |task| (change(&tracker, task), ()));
            }
        }
    }

    /// Changes a task and updates the queue. Ends the task if `change` returns `false`.
    fn change<R>(
        &mut self,
        info_hash: InfoHash,
        tracker: &T,
        change: impl FnOnce(&mut AnnounceTask<P>) -> (bool, R),
    ) -> Option<R> {
        let tasks = self.swarms.get_mut(&info_hash)?;
        let task = tasks.get_mut(tracker)?;
        if let Some(due) = task.next() {
            self.queue.remove(&(due, info_hash, tracker.clone()));
        }
        let (stays, result) = change(task);
        if stays {
            if let Some(due) = task.next() {
                self.queue.insert((due, info_hash, tracker.clone()));
            }
        } else {
            tasks.remove(tracker);
            if tasks.is_empty() {
                self.swarms.remove(&info_hash);
            }
        }
        Some(result)
    }

    /// Checks the invariants.
    #[cfg(test)]
    pub(crate) fn check(&self)
    where
        T: std::fmt::Debug,
    {
        let mut expected_queue = BTreeSet::new();
        let mut tickets = BTreeSet::new();
        for (info_hash, tasks) in &self.swarms {
            assert!(!tasks.is_empty(), "4: {info_hash} has no task");
            for (tracker, task) in tasks {
                if let Some(ticket) = task.ticket() {
                    assert!(task.next().is_none(), "2: {tracker:?} is due");
                    assert!(tickets.insert(ticket), "3: {ticket}");
                }
                expected_queue.extend(task.next().map(|due| (due, *info_hash, tracker.clone())));
            }
        }
        assert_eq!(expected_queue, self.queue, "1");
    }
}

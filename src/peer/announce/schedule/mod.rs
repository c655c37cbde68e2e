//! What is announced to which tracker, and when next: a pure state machine.
//!
//! In scope: what each tracker of each swarm is to hear, when, and how often. Out of scope:
//! sockets, threads, locks and clocks; what a swarm is and how a tracker is reached, which are type
//! parameters; which trackers a swarm has, which the caller decides (`tiers`). What differs between
//! kinds of trackers is a [`Pace`].
//!
//! # States of a task
//! A task is one swarm at one tracker.
//!
//! | state | what the tracker knows | due |
//! |---|---|---|
//! | `New` | nothing of the swarm | `started` |
//! | `Listed` | the swarm | what is new, or an announce without an event by the interval |
//! | `Stopping` | the swarm | `stopped` |
//! | `Asleep` | nothing, if `stopped` reached it | nothing |
//! | `Leaving` | the swarm, or perhaps the announce that was under way | `stopped` |
//!
//! # Transitions
//! | from | on | to |
//! |---|---|---|
//! | no task | `begin` | `New` |
//! | `New` | an answer to `started` | `Listed`, with the event that came since as its news |
//! | `New` | a failure | `New`, after a pause that doubles |
//! | `New` | `tell` | `New`, which keeps the event for later |
//! | `Listed` | `tell` | `Listed`, due now |
//! | `Listed` | an answer | `Listed`, due by the interval; at once if there is more to tell |
//! | `Listed` | a failure | `Listed`, after a pause that doubles |
//! | `New`, `Listed` | "not listed at present" | `New`, after the pause that the outcome names |
//! | `New`, `Listed` | "not to be announced any more" | no task |
//! | `Listed` | `rest` | `Stopping` |
//! | `New` | `rest` | `Asleep` |
//! | `Stopping` | `stopped` was tried | `Asleep` |
//! | `Stopping`, `Asleep` | an answer to what was under way before | `Stopping` |
//! | `Stopping`, `Asleep` | `wake` | `New` |
//! | `Listed`, `Stopping` | `leave` | `Leaving` |
//! | `New`, `Asleep` | `leave` | no task; `Leaving` if an announce is under way |
//! | `Leaving` | `stopped` was tried, or "not listed" | no task |
//! | `Leaving` | an answer or a failure of what was under way before | `Leaving` |
//! | `Leaving` | `begin` | `New`; it waits for the end of the announce under way, if there is one |
//!
//! An announce that is under way is no state: whatever happens to a task may happen to it meanwhile
//! too. Its ticket tells its end from that of one that an earlier task made there. A new task waits
//! for an announce of the task before, so that its `started` cannot overtake its `stopped`. An outcome says
//! what the tracker knows from now on, whatever came before, and peers do not pass through here: so
//! a tracker that speaks unasked needs no other transitions.
//!
//! # Invariants
//! | | |
//! |---|---|
//! | 1 | A task is in the queue, at the time when it is next due, exactly if it has one. |
//! | 2 | A task with an announce under way is not due. So no tracker is asked twice at once about a swarm. |
//! | 3 | No two announces under way have the same ticket. |
//! | 4 | A swarm without a task is not kept. |

mod task;
#[cfg(test)]
mod tests;

use super::pace::{Notice, Outcome, Pace};
use crate::torrent::InfoHash;
use crate::wire::Event;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;
pub(crate) use task::Task;

/// All that is announced. `T` names a tracker, `P` is what the announcer keeps of a swarm there.
#[derive(Debug)]
pub(crate) struct Schedule<T, P> {
    pace: Pace,
    swarms: HashMap<InfoHash, BTreeMap<T, Task<P>>>,
    /// The tasks that wait, the next one first.
    queue: BTreeSet<(Instant, InfoHash, T)>,
    /// The latest ticket.
    ticket: u64,
    has_ended: bool,
}

/// An announce that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Due<T, P> {
    pub(crate) info_hash: InfoHash,
    pub(crate) tracker: T,
    pub(crate) payload: P,
    pub(crate) event: Option<Event>,
    ticket: u64,
}

/// What a tracker hears at the end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Farewell<T, P> {
    pub(crate) tracker: T,
    pub(crate) payload: P,
    /// The download has just become complete, which the tracker has not heard yet.
    pub(crate) is_completed: bool,
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

    /// Has a swarm announced to a tracker from now on. One that is announced there goes on.
    pub(crate) fn begin(&mut self, info_hash: InfoHash, tracker: &T, payload: P, now: Instant) {
        let there = self.task(info_hash, tracker);
        if self.has_ended || there.is_some_and(|task| !task.is_leaving()) {
            return;
        }
        let former = self.change(info_hash, tracker, |task| (false, task.under_way()));
        let task = Task::new(payload, former.flatten(), now);
        if let Some(due) = task.next() {
            self.queue.insert((due, info_hash, tracker.clone()));
        }
        let tasks = self.swarms.entry(info_hash).or_default();
        tasks.insert(tracker.clone(), task);
    }

    /// Tells all trackers of a swarm of an event; or, without one, has it announced now.
    pub(crate) fn tell(&mut self, info_hash: InfoHash, event: Option<Event>, now: Instant) {
        self.change_all(Some(info_hash), |_, task| {
            task.tell(event, now);
            true
        });
    }

    /// Ends the tasks of a swarm at trackers that are not `wanted`. Those that have heard of it
    /// hear `stopped`.
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

    /// Ends all tasks of a swarm. The trackers that have heard of it hear `stopped`.
    pub(crate) fn leave(&mut self, info_hash: InfoHash, now: Instant) {
        self.leave_unless(info_hash, |_| false, now);
    }

    /// Tells the trackers of these tasks that what they list stops; nothing else is announced to
    /// them until they are woken.
    pub(crate) fn rest(&mut self, whose: impl Fn(&P) -> bool, now: Instant) {
        self.change_all(None, |_, task| {
            if whose(&task.payload) {
                task.rest(now);
            }
            true
        });
    }

    /// Whether a tracker is still to hear that what rests has stopped.
    pub(crate) fn is_stopping(&self) -> bool {
        self.all().any(|(_, task)| task.is_stopping())
    }

    /// Has everything announced now, and what rests from the beginning.
    pub(crate) fn wake(&mut self, now: Instant) {
        self.change_all(None, |_, task| {
            task.wake(now);
            true
        });
    }

    /// Changes what is kept of a swarm at its trackers, but for those that it leaves.
    pub(crate) fn update(&mut self, info_hash: InfoHash, update: impl Fn(&mut P)) {
        let tasks = self.swarms.get_mut(&info_hash).into_iter();
        for task in tasks.flat_map(BTreeMap::values_mut) {
            if !task.is_leaving() {
                update(&mut task.payload);
            }
        }
    }

    /// The tasks of a swarm, with their trackers.
    pub(crate) fn of(&self, info_hash: InfoHash) -> impl Iterator<Item = (&T, &Task<P>)> {
        self.swarms.get(&info_hash).into_iter().flatten()
    }

    /// Whether a swarm is announced anywhere, or still leaves.
    pub(crate) fn has(&self, info_hash: InfoHash) -> bool {
        self.swarms.contains_key(&info_hash)
    }

    /// A swarm at a tracker.
    pub(crate) fn task(&self, info_hash: InfoHash, tracker: &T) -> Option<&Task<P>> {
        self.swarms.get(&info_hash)?.get(tracker)
    }

    /// All tasks, with their trackers.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&T, &Task<P>)> {
        self.swarms.values().flatten()
    }

    /// When something is next due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(due, ..)| *due)
    }

    /// What is due at one tracker, as much as one request takes. It is under way from now on, until
    /// it is settled or withdrawn.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<Due<T, P>> {
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
            Some(Due {
                info_hash,
                tracker,
                payload,
                event,
                ticket,
            })
        });
        taken.collect()
    }

    /// An announce is not made after all.
    pub(crate) fn withdraw(&mut self, due: &Due<T, P>) {
        self.change_taken(due, |task| (task.withdraw(), ()));
    }

    /// An announce has ended. Returns what is new; nothing if its task is another by now.
    pub(crate) fn settle(
        &mut self,
        due: &Due<T, P>,
        outcome: Outcome,
        now: Instant,
    ) -> Option<Notice> {
        let pace = self.pace;
        self.change_taken(due, |task| task.settle(outcome, &pace, now))?
    }

    /// Changes what is kept of a swarm at the tracker that an announce is under way to.
    pub(crate) fn keep(&mut self, due: &Due<T, P>, keep: impl FnOnce(&mut P)) {
        self.change_taken(due, |task| (true, keep(&mut task.payload)));
    }

    /// Nothing is begun from now on.
    pub(crate) fn end(&mut self) {
        self.has_ended = true;
    }

    /// Whether nothing is begun any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether an announce is under way.
    pub(crate) fn is_under_way(&self) -> bool {
        self.all().any(|(_, task)| task.ticket().is_some())
    }

    /// Ends everything. Returns what the trackers that list a swarm are still to hear.
    pub(crate) fn farewell(&mut self) -> Vec<Farewell<T, P>> {
        self.end();
        self.queue.clear();
        let tasks = self.swarms.drain().flat_map(|(_, tasks)| tasks);
        let told = tasks.filter_map(|(tracker, task)| {
            let is_completed = task.farewell()?;
            Some(Farewell {
                tracker,
                payload: task.payload,
                is_completed,
            })
        });
        told.collect()
    }

    /// Changes the task of an announce that is under way, unless that is another by now.
    fn change_taken<R>(
        &mut self,
        due: &Due<T, P>,
        change: impl FnOnce(&mut Task<P>) -> (bool, R),
    ) -> Option<R> {
        let task = self.task(due.info_hash, &due.tracker);
        task.filter(|task| task.ticket() == Some(due.ticket))?;
        self.change(due.info_hash, &due.tracker, change)
    }

    /// Changes all tasks of a swarm, or of all, and ends those for which `change` returns `false`.
    fn change_all(
        &mut self,
        info_hash: Option<InfoHash>,
        mut change: impl FnMut(&T, &mut Task<P>) -> bool,
    ) {
        let swarms: Vec<InfoHash> = match info_hash {
            Some(info_hash) => vec![info_hash],
            None => self.swarms.keys().copied().collect(),
        };
        for info_hash in swarms {
            let trackers: Vec<T> = self
                .of(info_hash)
                .map(|(tracker, _)| tracker.clone())
                .collect();
            for tracker in trackers {
                self.change(info_hash, &tracker, |task| (change(&tracker, task), ()));
            }
        }
    }

    /// Changes a task, which ends if `change` returns `false`; the queue follows.
    fn change<R>(
        &mut self,
        info_hash: InfoHash,
        tracker: &T,
        change: impl FnOnce(&mut Task<P>) -> (bool, R),
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
        let mut waiting = BTreeSet::new();
        let mut tickets = BTreeSet::new();
        for (info_hash, tasks) in &self.swarms {
            assert!(!tasks.is_empty(), "4: {info_hash} is kept");
            for (tracker, task) in tasks {
                if let Some(ticket) = task.ticket() {
                    assert!(task.next().is_none(), "2: {tracker:?} is due");
                    assert!(tickets.insert(ticket), "3: {ticket}");
                }
                waiting.extend(task.next().map(|due| (due, *info_hash, tracker.clone())));
            }
        }
        assert_eq!(waiting, self.queue, "1");
    }
}

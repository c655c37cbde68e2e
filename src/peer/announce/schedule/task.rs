//! One swarm at one tracker: its state and all its transitions.

use crate::peer::announce::pace::{AnnounceNotice, AnnounceOutcome, Pace, TrackerAnswer};
use crate::wire::AnnounceEvent;
use std::time::{Duration, Instant};

/// One swarm at one tracker. `P` is the announcer's own data for it.
#[derive(Debug)]
pub(crate) struct AnnounceTask<P> {
    pub(crate) payload: P,
    state: State,
    due: Instant,
    /// No announce is due before this time, because the tracker asked for that.
    not_before: Instant,
    in_progress: Option<AnnounceInProgress>,
    /// If set: after the announce in progress, another one is due at this time, or at the end of
    /// the interval if that is earlier.
    follow_up: Option<Instant>,
    /// The number of failures and refusals since the last success.
    failures: u32,
    last_succeeded: Option<bool>,
    trouble: Option<String>,
}

/// What the tracker knows, and what is due. A tracker "lists the swarm" when it lists this peer in
/// the swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The tracker does not list the swarm. `started` is due, and then the pending event.
    New { pending: Option<AnnounceEvent> },
    /// The tracker lists the swarm. The pending event is to be sent.
    Listed { pending: Option<AnnounceEvent> },
    /// `stopped` is due. Then the task is suspended.
    Stopping,
    /// Nothing is due until the task is resumed.
    Suspended,
    /// `stopped` is due. Then the task ends.
    Leaving {
        /// Whether the tracker is known to list the swarm.
        is_listed: bool,
    },
}

/// An announce in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnnounceInProgress {
    ticket: u64,
    event: Option<AnnounceEvent>,
    /// Whether the former task began it. The present task has replaced that task.
    is_former: bool,
}

impl<P> AnnounceTask<P> {
    /// A task that starts at `due`. If an announce of the former task is in progress, the task does
    /// not start before that announce has ended.
    pub(super) fn new(payload: P, in_progress: Option<AnnounceInProgress>, due: Instant) -> Self {
        let is_former = true;
        Self {
            payload,
            state: State::New { pending: None },
            due,
            not_before: due,
            in_progress: in_progress.map(|announce| AnnounceInProgress {
                is_former,
                ..announce
            }),
            follow_up: None,
            failures: 0,
            last_succeeded: None,
            trouble: None,
        }
    }

    /// Whether the latest announce was answered and not refused. `None` before the first one has
    /// ended.
    pub(crate) fn last_succeeded(&self) -> Option<bool> {
        self.last_succeeded
    }

    /// The latest trouble with the tracker.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether the task ends after one attempt to send `stopped`.
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self.state, State::Leaving { .. })
    }

    /// Whether the task will be suspended after one attempt to send `stopped`.
    pub(super) fn is_stopping(&self) -> bool {
        self.state == State::Stopping
    }

    /// The announce in progress.
    pub(super) fn in_progress(&self) -> Option<AnnounceInProgress> {
        self.in_progress
    }

    /// The ticket of the announce in progress.
    pub(super) fn ticket(&self) -> Option<u64> {
        self.in_progress.map(|announce| announce.ticket)
    }

    /// When the next announce is due. `None` while one is in progress or the task is suspended.
    pub(super) fn next(&self) -> Option<Instant> {
        let waits = self.in_progress.is_none() && self.state != State::Suspended;
        waits.then(|| self.due.max(self.not_before))
    }

    /// The event of the next announce.
    fn event(&self) -> Option<AnnounceEvent> {
        match self.state {
            State::New { .. } => Some(AnnounceEvent::Started),
            State::Listed { pending } => pending,
            State::Suspended => None,
            State::Stopping | State::Leaving { .. } => Some(AnnounceEvent::Stopped),
        }
    }

    /// Whether `completed` must be sent before the final `stopped`. `None` if nothing need be sent,
    /// because the tracker is not known to list the swarm and no announce is in progress.
    pub(super) fn final_announce(&self) -> Option<bool> {
        match self.state {
            State::Listed { pending } => {
                Some(pending == Some(AnnounceEvent::Completed) && self.in_progress.is_none())
            }
            State::Stopping | State::Leaving { is_listed: true } => Some(false),
            // An announce in progress may have reached the tracker.
            State::New { .. } | State::Suspended | State::Leaving { is_listed: false } => {
                self.in_progress.is_some().then_some(false)
            }
        }
    }

    /// Starts the due announce, and returns its event.
    pub(super) fn take(&mut self, ticket: u64) -> Option<AnnounceEvent> {
        let event = self.event();
        self.in_progress = Some(AnnounceInProgress {
            ticket,
            event,
            is_former: false,
        });
        event
    }

    /// Handles an announce that was taken but will not be sent. Returns whether the task goes on.
    pub(super) fn withdraw(&mut self) -> bool {
        self.in_progress = None;
        self.state != State::Leaving { is_listed: false }
    }

    /// If the tracker lists the swarm, makes an announce due now, with `event` if there is one. An
    /// announce without an event waits until `not_before`.
    pub(super) fn announce_soon(&mut self, event: Option<AnnounceEvent>, now: Instant) {
        match &mut self.state {
            // `started` is sent first, and then the pending event.
            State::New { pending } => {
                let event = event.filter(|event| *event != AnnounceEvent::Started);
                *pending = event.or(*pending);
            }
            State::Listed { pending } => {
                *pending = event.or(*pending);
                self.due = now;
                // The interval of a tracker applies to announces without an event.
                if event.is_some() {
                    self.not_before = now;
                }
            }
            State::Stopping | State::Suspended | State::Leaving { .. } => {}
        }
    }

    /// Makes an announce due at `at`, unless one is due earlier. An announce in progress may be
    /// older than the reason for this call, so another one follows it.
    pub(super) fn announce_earlier(&mut self, at: Instant) {
        if matches!(self.state, State::Listed { .. }) {
            self.due = self.due.min(at);
            let follow_up = self.follow_up.map_or(at, |earlier| earlier.min(at));
            self.follow_up = self.in_progress.map(|_| follow_up);
        }
    }

    /// Ends the announces to this tracker. Returns whether `stopped` is still to be sent.
    pub(super) fn leave(&mut self, now: Instant) -> bool {
        let is_listed = match self.state {
            State::Listed { .. } | State::Stopping => true,
            State::New { .. } | State::Suspended => false,
            State::Leaving { is_listed } => is_listed,
        };
        self.state = State::Leaving { is_listed };
        self.make_due(now);
        // An announce in progress may have reached the tracker already.
        is_listed || self.in_progress.is_some()
    }

    /// Suspends the task. `stopped` is sent first if the tracker lists the swarm.
    pub(super) fn suspend(&mut self, now: Instant) {
        self.state = match self.state {
            State::New { .. } | State::Suspended => State::Suspended,
            State::Listed { .. } | State::Stopping => State::Stopping,
            leaving @ State::Leaving { .. } => leaving,
        };
        self.make_due(now);
    }

    /// Makes an announce due now, or at `not_before` if that is later. A suspended task starts
    /// again as `New`.
    pub(super) fn resume(&mut self, now: Instant) {
        if matches!(self.state, State::Stopping | State::Suspended) {
            self.state = State::New { pending: None };
        }
        self.due = now;
    }

    /// Handles the outcome of the announce in progress. Returns whether the task goes on, and what
    /// is new.
    pub(super) fn settle(
        &mut self,
        outcome: AnnounceOutcome,
        pace: &Pace,
        now: Instant,
    ) -> (bool, Option<AnnounceNotice>) {
        let in_progress = self.in_progress.take();
        let is_former = in_progress.is_some_and(|announce| announce.is_former);
        let sent = in_progress.and_then(|announce| announce.event);
        let has_stopped = sent == Some(AnnounceEvent::Stopped);
        match (self.state, outcome) {
            // `stopped` is sent only one time, whether it arrives or not.
            (State::Leaving { .. }, _) if has_stopped => return (false, None),
            (State::Leaving { .. }, AnnounceOutcome::Unlisted { .. }) => return (false, None),
            (State::Stopping | State::Suspended, _) if has_stopped => self.state = State::Suspended,
            (State::Stopping | State::Suspended, AnnounceOutcome::Answered(_)) => {
                // This announce began before the task was to stop. The tracker lists the swarm now,
                // so `stopped` is due.
                self.state = State::Stopping;
                self.make_due(now);
            }
            (State::Stopping | State::Suspended, _) => {}
            // The task was resumed during `stopped`, or it is new and the announce belongs to the
            // former task: `started` is next.
            (State::New { .. }, _) if has_stopped || is_former => {}
            (_, AnnounceOutcome::Answered(answer)) => {
                return (true, self.on_answer(sent, &answer, pace, now));
            }
            (
                _,
                AnnounceOutcome::Failed {
                    trouble,
                    lacks_peers,
                    longer_by,
                },
            ) => {
                self.failures = self.failures.saturating_add(1);
                self.last_succeeded = Some(false);
                self.due = now + pace.after_failures(self.failures, lacks_peers, longer_by);
                self.limit_event_delay(now + pace.event_retry);
                return (true, self.record_trouble(trouble));
            }
            (_, AnnounceOutcome::Refused { trouble, retry }) => {
                self.failures = self.failures.saturating_add(1);
                self.last_succeeded = Some(false);
                self.wait_after_refusal(retry, pace, now);
                return (true, self.record_trouble(trouble));
            }
            (state, AnnounceOutcome::Unlisted { pause, trouble }) => {
                let pending = match state {
                    State::New { pending } => pending,
                    State::Listed { pending } => pending,
                    _ => None,
                };
                self.state = State::New { pending };
                self.due = now + pause;
                return (
                    true,
                    trouble.and_then(|trouble| self.record_trouble(trouble)),
                );
            }
            (_, AnnounceOutcome::Ended(reason)) => {
                return (false, Some(AnnounceNotice::Ended(reason)));
            }
        }
        (true, None)
    }

    /// Handles an answer: the tracker lists the swarm, and has received `sent`.
    fn on_answer(
        &mut self,
        sent: Option<AnnounceEvent>,
        answer: &TrackerAnswer,
        pace: &Pace,
        now: Instant,
    ) -> Option<AnnounceNotice> {
        self.state = match self.state {
            State::New { pending } if sent == Some(AnnounceEvent::Started) => {
                State::Listed { pending }
            }
            // The pending event was sent. Another one that came up meanwhile stays pending.
            State::Listed { pending } if pending == sent => State::Listed { pending: None },
            State::Leaving { .. } => State::Leaving { is_listed: true },
            state => state,
        };
        self.failures = 0;
        self.due = answer.due(pace, now);
        if let Some(follow_up) = self.follow_up.take() {
            self.due = self.due.min(follow_up.max(now));
        }
        self.not_before = match self.event() {
            Some(_) => now,
            None => answer.earliest(now),
        };
        match self.state {
            // The task was resumed meanwhile and starts again.
            State::New { .. } => self.make_due(now),
            _ => self.limit_event_delay(now + pace.event_delay),
        }
        let is_new = self.trouble.take().is_some() || self.last_succeeded.is_none();
        self.last_succeeded = Some(true);
        is_new.then_some(AnnounceNotice::Answers)
    }

    /// Sets when the next announce is due after a refusal. `stopped` does not wait as long as other
    /// announces.
    fn wait_after_refusal(&mut self, retry: Option<Duration>, pace: &Pace, now: Instant) {
        let pause = match self.state {
            State::Leaving { .. } => pace.event_retry,
            _ => retry.unwrap_or_else(|| Pace::after_refusals(self.failures)),
        };
        self.make_due(now + pause);
    }

    /// Makes a pending event due at `by` or earlier, if the tracker lists the swarm. `settle` does
    /// not call this in the states `Stopping` and `Suspended`.
    fn limit_event_delay(&mut self, by: Instant) {
        let has_event_to_send = match self.state {
            State::Listed { pending } => pending.is_some(),
            State::Leaving { is_listed } => is_listed,
            State::New { .. } | State::Stopping | State::Suspended => false,
        };
        if has_event_to_send {
            self.due = self.due.min(by);
        }
    }

    fn record_trouble(&mut self, trouble: String) -> Option<AnnounceNotice> {
        let is_new = self.trouble.as_ref() != Some(&trouble);
        self.trouble = Some(trouble.clone());
        is_new.then_some(AnnounceNotice::Trouble(trouble))
    }

    fn make_due(&mut self, at: Instant) {
        (self.due, self.not_before) = (at, at);
    }

    #[cfg(test)]
    pub(super) fn state(&self) -> State {
        self.state
    }
}

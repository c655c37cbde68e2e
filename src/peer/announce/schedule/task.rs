//! One swarm at one tracker: its state, and every transition of it.

use crate::peer::announce::pace::{Answer, Notice, Outcome, Pace};
use crate::wire::Event;
use std::time::Instant;

/// One swarm at one tracker. `P` is what the announcer keeps of it.
#[derive(Debug)]
pub(crate) struct Task<P> {
    pub(crate) payload: P,
    state: State,
    due: Instant,
    /// Not before this, whatever is due: the tracker said so.
    not_before: Instant,
    under_way: Option<Said>,
    failures: u32,
    reached: Option<bool>,
    trouble: Option<String>,
}

/// What the tracker knows, and what it is to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has not heard of the swarm: `started` is due, and then this.
    New { then: Option<Event> },
    /// It lists the swarm. This is still to be told.
    Listed { news: Option<Event> },
    /// `stopped` is due, after which the task sleeps.
    Stopping,
    /// Nothing is due until the task is woken.
    Asleep,
    /// `stopped` is due, after which the task ends.
    Leaving {
        /// The tracker is known to list the swarm.
        is_listed: bool,
    },
}

/// An announce that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    ticket: u64,
    event: Option<Event>,
    /// The task before made it.
    is_former: bool,
}

impl<P> Task<P> {
    /// A task that begins now, or when the announce under way has ended, which the task before
    /// made.
    pub(super) fn new(payload: P, under_way: Option<Said>, now: Instant) -> Self {
        let is_former = true;
        Self {
            payload,
            state: State::New { then: None },
            due: now,
            not_before: now,
            under_way: under_way.map(|said| Said { is_former, ..said }),
            failures: 0,
            reached: None,
            trouble: None,
        }
    }

    /// Whether the tracker took the latest announce; none before the first has ended.
    pub(crate) fn reached(&self) -> Option<bool> {
        self.reached
    }

    /// The latest trouble, if there is one.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether the task ends once `stopped` was tried.
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self.state, State::Leaving { .. })
    }

    /// Whether the task sleeps once `stopped` was tried.
    pub(super) fn is_stopping(&self) -> bool {
        self.state == State::Stopping
    }

    /// The announce that is under way.
    pub(super) fn under_way(&self) -> Option<Said> {
        self.under_way
    }

    /// The ticket of the announce that is under way.
    pub(super) fn ticket(&self) -> Option<u64> {
        self.under_way.map(|said| said.ticket)
    }

    /// When the next announce is due; never while one is under way or the task sleeps.
    pub(super) fn next(&self) -> Option<Instant> {
        let waits = self.under_way.is_none() && self.state != State::Asleep;
        waits.then(|| self.due.max(self.not_before))
    }

    /// What is due.
    fn event(&self) -> Option<Event> {
        match self.state {
            State::New { .. } => Some(Event::Started),
            State::Listed { news } => news,
            State::Asleep => None,
            State::Stopping | State::Leaving { .. } => Some(Event::Stopped),
        }
    }

    /// What the tracker hears last: whether that is `completed` before `stopped`. `None` if it does
    /// not list the swarm.
    pub(super) fn farewell(&self) -> Option<bool> {
        match self.state {
            State::Listed { news } => {
                Some(news == Some(Event::Completed) && self.under_way.is_none())
            }
            State::Stopping | State::Leaving { is_listed: true } => Some(false),
            State::New { .. } | State::Asleep | State::Leaving { is_listed: false } => None,
        }
    }

    /// The announce that is due is under way from now on.
    pub(super) fn take(&mut self, ticket: u64) -> Option<Event> {
        let event = self.event();
        self.under_way = Some(Said {
            ticket,
            event,
            is_former: false,
        });
        event
    }

    /// The announce under way was not made. Returns whether the task goes on.
    pub(super) fn withdraw(&mut self) -> bool {
        self.under_way = None;
        self.state != State::Leaving { is_listed: false }
    }

    /// This event came up; or, without one, an announce is due now.
    pub(super) fn tell(&mut self, event: Option<Event>, now: Instant) {
        match &mut self.state {
            // A tracker hears `started` first, and then whatever came since.
            State::New { then } => {
                let event = event.filter(|event| *event != Event::Started);
                *then = event.or(*then);
            }
            State::Listed { news } => {
                *news = event.or(*news);
                self.due = now;
                // An interval is for peers with nothing to tell.
                if event.is_some() {
                    self.not_before = now;
                }
            }
            State::Stopping | State::Asleep | State::Leaving { .. } => {}
        }
    }

    /// The swarm is announced there no longer. Returns whether the tracker is still to hear of
    /// that.
    pub(super) fn leave(&mut self, now: Instant) -> bool {
        let is_listed = match self.state {
            State::Listed { .. } | State::Stopping => true,
            State::New { .. } | State::Asleep => false,
            State::Leaving { is_listed } => is_listed,
        };
        self.state = State::Leaving { is_listed };
        self.is_due(now);
        // One that is under way may have been heard already.
        is_listed || self.under_way.is_some()
    }

    /// Nothing is announced until the task is woken, but for `stopped` where the tracker lists it.
    pub(super) fn rest(&mut self, now: Instant) {
        self.state = match self.state {
            State::New { .. } | State::Asleep => State::Asleep,
            State::Listed { .. } | State::Stopping => State::Stopping,
            leaving @ State::Leaving { .. } => leaving,
        };
        self.is_due(now);
    }

    /// An announce is due now, and what sleeps begins anew.
    pub(super) fn wake(&mut self, now: Instant) {
        if matches!(self.state, State::Stopping | State::Asleep) {
            self.state = State::New { then: None };
        }
        self.due = now;
    }

    /// The announce under way has ended. Returns whether the task goes on, and what is new.
    pub(super) fn settle(
        &mut self,
        outcome: Outcome,
        pace: &Pace,
        now: Instant,
    ) -> (bool, Option<Notice>) {
        let under_way = self.under_way.take();
        let is_former = under_way.is_some_and(|said| said.is_former);
        let said = under_way.and_then(|said| said.event);
        let has_stopped = said == Some(Event::Stopped);
        match (self.state, outcome) {
            // Said or not, it is not tried again.
            (State::Leaving { .. }, _) if has_stopped => return (false, None),
            (State::Leaving { .. }, Outcome::Unlisted { .. }) => return (false, None),
            (State::Stopping | State::Asleep, _) if has_stopped => self.state = State::Asleep,
            (State::Stopping | State::Asleep, Outcome::Answered(_)) => {
                // What was under way has made it known once more.
                self.state = State::Stopping;
                self.is_due(now);
            }
            (State::Stopping | State::Asleep, _) => {}
            // Woken before it was asleep, it says `started` next.
            (State::New { .. }, _) if has_stopped || is_former => {}
            (_, Outcome::Answered(answer)) => {
                return (true, self.answered(said, &answer, pace, now));
            }
            (_, Outcome::Failed { trouble, is_hungry }) => {
                self.failures = self.failures.saturating_add(1);
                self.reached = Some(false);
                self.due = now + pace.after_failures(self.failures, is_hungry);
                self.hurry(now + pace.retry_news);
                return (true, self.note(trouble));
            }
            (state, Outcome::Unlisted { pause, trouble }) => {
                let then = match state {
                    State::New { then } => then,
                    State::Listed { news } => news,
                    _ => None,
                };
                self.state = State::New { then };
                self.due = now + pause;
                return (true, trouble.and_then(|trouble| self.note(trouble)));
            }
            (_, Outcome::Over(reason)) => return (false, Some(Notice::Over(reason))),
        }
        (true, None)
    }

    /// The tracker lists the swarm, and has heard `said`.
    fn answered(
        &mut self,
        said: Option<Event>,
        answer: &Answer,
        pace: &Pace,
        now: Instant,
    ) -> Option<Notice> {
        self.state = match self.state {
            State::New { then } if said == Some(Event::Started) => State::Listed { news: then },
            // What came up while this one was under way is still to be told.
            State::Listed { news } if news == said => State::Listed { news: None },
            State::Leaving { .. } => State::Leaving { is_listed: true },
            state => state,
        };
        self.failures = 0;
        self.due = answer.due(pace, now);
        self.not_before = match self.event() {
            Some(_) => now,
            None => answer.soonest(now),
        };
        match self.state {
            // Woken meanwhile, it begins anew.
            State::New { .. } => self.is_due(now),
            _ => self.hurry(now + pace.news),
        }
        let is_news = self.trouble.take().is_some() || self.reached.is_none();
        self.reached = Some(true);
        is_news.then_some(Notice::Answers)
    }

    /// What is to be told to a tracker that lists the swarm is told by then.
    fn hurry(&mut self, by: Instant) {
        let is_listed = match self.state {
            State::Listed { news } => news.is_some(),
            State::Leaving { is_listed } => is_listed,
            State::New { .. } | State::Stopping | State::Asleep => false,
        };
        if is_listed {
            self.due = self.due.min(by);
        }
    }

    fn note(&mut self, trouble: String) -> Option<Notice> {
        let is_news = self.trouble.as_ref() != Some(&trouble);
        self.trouble = Some(trouble.clone());
        is_news.then_some(Notice::Trouble(trouble))
    }

    fn is_due(&mut self, now: Instant) {
        (self.due, self.not_before) = (now, now);
    }

    #[cfg(test)]
    pub(super) fn state(&self) -> State {
        self.state
    }
}

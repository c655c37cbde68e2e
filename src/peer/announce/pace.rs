//! How often announces are made, and what comes of one: all that differs between transports.

use std::time::{Duration, Instant};

/// The rules of one kind of tracker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// A download that has no owner to ask announces this often, unless the tracker asks for longer
    /// pauses.
    pub(crate) hungry: Duration,
    /// The pause after a failure; it doubles with each, up to the second.
    pub(crate) retry: (Duration, Duration),
    /// When an event is sent that came up while another announce was under way.
    pub(crate) news: Duration,
    /// The longest pause after a failure while a tracker that lists the swarm is to hear an event.
    pub(crate) retry_news: Duration,
    /// The most swarms of one tracker that one request announces.
    pub(crate) batch: usize,
}

/// What a tracker that lists a swarm wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// The pause until the next announce.
    pub(crate) interval: Duration,
    /// The shortest pause that it accepts; the interval, if it does not say.
    pub(crate) min_interval: Option<Duration>,
    /// The download has no owner to ask.
    pub(crate) is_hungry: bool,
}

/// How an announce ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The tracker took it.
    Answered(Answer),
    /// The tracker did not take it, and is tried again after the pause for failures.
    Failed {
        trouble: String,
        /// The download has no owner to ask.
        is_hungry: bool,
    },
    /// The tracker does not list the swarm at present, and hears `started` after this pause.
    Unlisted {
        pause: Duration,
        /// What a person is to know, if it is anything new.
        trouble: Option<String>,
    },
    /// The swarm is not to be announced there any more, for this reason.
    Over(String),
}

/// What is new after an announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The tracker answers for the first time, or again.
    Answers,
    /// There is trouble with the tracker, and it is not what it was.
    Trouble(String),
    /// The task has ended, for the reason that the outcome gave.
    Over(String),
}

impl Pace {
    /// The pause after so many failures in a row.
    pub(super) fn after_failures(&self, failures: u32, is_hungry: bool) -> Duration {
        let (first, longest) = self.retry;
        let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(8));
        match is_hungry {
            true => doubled.min(longest).min(self.hungry),
            false => doubled.min(longest),
        }
    }
}

impl Answer {
    /// The soonest that an announce without an event may be made.
    pub(super) fn soonest(&self, now: Instant) -> Instant {
        now + self.shortest()
    }

    /// When the next announce is due.
    pub(super) fn due(&self, pace: &Pace, now: Instant) -> Instant {
        now + match self.is_hungry {
            true => self.shortest().max(pace.hungry).min(self.interval),
            false => self.interval,
        }
    }

    fn shortest(&self) -> Duration {
        self.min_interval
            .unwrap_or(self.interval)
            .min(self.interval)
    }
}

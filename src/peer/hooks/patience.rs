//! When a hook is ended, and with which signal. Pure.

use std::time::{Duration, Instant};

/// How long a hook may take to end after SIGTERM. Then it gets SIGKILL.
pub(super) const KILL_AFTER: Duration = Duration::from_secs(5);
/// How long the system may take to end a killed process. A process that waits for a device or for a
/// network disk ends later, and is not waited for.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(2);

/// What is done to a running hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It goes on.
    Wait,
    /// It gets SIGTERM.
    Terminate,
    /// It gets SIGKILL.
    Kill,
    /// It is no longer waited for.
    GiveUp,
}

/// Why a hook was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndCause {
    /// It has run for too long.
    TimeLimit,
    /// The peer stops.
    Stop,
}

/// The time that a running hook still has.
#[derive(Debug)]
pub(super) struct Patience {
    deadline: Instant,
    cause: Option<EndCause>,
    kill_at: Option<Instant>,
    give_up_at: Option<Instant>,
}

impl Patience {
    /// A hook that begins now and may run for `limit`.
    pub(super) fn new(now: Instant, limit: Duration) -> Self {
        Self {
            // An overflow would be a limit of many years.
            deadline: now.checked_add(limit).unwrap_or(now + KILL_AFTER),
            cause: None,
            kill_at: None,
            give_up_at: None,
        }
    }

    /// What is to be done now. Returns each step but [`Step::Wait`] once.
    pub(super) fn next(&mut self, now: Instant, is_stopped: bool) -> Step {
        if self.cause.is_none() {
            self.cause = match is_stopped {
                true => Some(EndCause::Stop),
                false if now >= self.deadline => Some(EndCause::TimeLimit),
                false => return Step::Wait,
            };
            self.kill_at = Some(now + KILL_AFTER);
            return Step::Terminate;
        }
        if self.kill_at.is_some_and(|at| now >= at) {
            self.kill_at = None;
            self.give_up_at = Some(now + GIVE_UP_AFTER);
            return Step::Kill;
        }
        if self.give_up_at.is_some_and(|at| now >= at) {
            self.give_up_at = None;
            return Step::GiveUp;
        }
        Step::Wait
    }

    /// Why the hook was ended. `None` if it was not.
    pub(super) fn cause(&self) -> Option<EndCause> {
        self.cause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_that_runs_too_long_is_asked_to_end_then_killed_then_given_up() {
        let begin = Instant::now();
        let limit = Duration::from_secs(60);
        let mut patience = Patience::new(begin, limit);
        let mut at = |seconds| patience.next(begin + Duration::from_secs(seconds), false);
        let steps = [0, 59, 60, 61, 64, 65, 66, 67, 99].map(&mut at);
        use Step::{GiveUp, Kill, Terminate, Wait};
        let expected = [Wait, Wait, Terminate, Wait, Wait, Kill, Wait, GiveUp, Wait];
        assert_eq!(steps, expected);
        assert_eq!(patience.cause(), Some(EndCause::TimeLimit));
    }

    #[test]
    fn a_stop_ends_a_hook_at_once_and_does_not_make_a_last_period_longer() {
        let begin = Instant::now();
        let mut patience = Patience::new(begin, Duration::from_secs(60));
        assert_eq!(patience.next(begin, true), Step::Terminate);
        assert_eq!(patience.next(begin + KILL_AFTER, true), Step::Kill);
        assert_eq!(patience.cause(), Some(EndCause::Stop));
        let mut late = Patience::new(begin, Duration::ZERO);
        assert_eq!(late.next(begin, false), Step::Terminate);
        assert_eq!(late.next(begin + KILL_AFTER, true), Step::Kill);
        assert_eq!(late.cause(), Some(EndCause::TimeLimit));
    }
}

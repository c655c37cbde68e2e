//! The running time of this tracker: the time without the pauses in which the tracker did not run.
//!
//! All time limits of replication are measured with the running time. So after a pause, this
//! tracker first reads what other trackers have sent meanwhile, and does not take them for silent.

use super::{Moment, PING_INTERVAL};
use std::time::Duration;

/// If more time than this lies between two events, this tracker was paused. It is ten ticks.
const PAUSE: Duration = Duration::from_secs(1);
/// If a connection is lost within this time after a pause, the other tracker is assumed to have
/// given it up during the pause.
const AFTERMATH: Duration = PING_INTERVAL;

#[derive(Clone, Copy, Debug)]
pub(super) struct RunningClock {
    /// Time of the last event, by the clocks of the caller.
    last_event: Moment,
    /// Length of all pauses together, as far as `Moment::elapsed` has counted them.
    paused: Duration,
    /// The last pause: its length, and the running time at its end.
    last_pause: Option<(Duration, Duration)>,
}

impl RunningClock {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            last_event: now,
            paused: Duration::ZERO,
            last_pause: None,
        }
    }

    /// Time since the last event, by the clock that has advanced more. If the machine slept,
    /// perhaps only one of the clocks has counted the sleep.
    pub(super) fn since_last_event(&self, now: Moment) -> Duration {
        let elapsed = now.elapsed.saturating_sub(self.last_event.elapsed);
        elapsed.max(now.wall.saturating_sub(self.last_event.wall))
    }

    /// Notes an event. Returns the running time at the event, and the length of the pause before
    /// it, if there was one.
    pub(super) fn note(&mut self, now: Moment) -> (Moment, Option<Duration>) {
        let since_last_event = self.since_last_event(now);
        let elapsed = now.elapsed.saturating_sub(self.last_event.elapsed);
        if elapsed > PAUSE {
            self.paused += elapsed;
        }
        self.last_event = now;
        let running = self.running(now);
        if since_last_event <= PAUSE {
            return (running, None);
        }
        self.last_pause = Some((since_last_event, running.elapsed));
        (running, Some(since_last_event))
    }

    /// The running time at `now`.
    pub(super) fn running(&self, now: Moment) -> Moment {
        let elapsed = now.elapsed.saturating_sub(self.paused);
        Moment { elapsed, ..now }
    }

    /// The length of the last pause, if it has just ended. `running` is the running time.
    pub(super) fn pause_just_ended(&self, running: Moment) -> Option<Duration> {
        let (length, end) = self.last_pause?;
        (running.elapsed < end + AFTERMATH).then_some(length)
    }
}

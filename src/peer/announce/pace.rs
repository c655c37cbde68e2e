//! How often announces are made, and how an announce can end.

use std::time::{Duration, Instant};

/// The pace of announces to one kind of tracker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The interval while a download has no peer to request from, unless the shortest interval that
    /// the tracker accepts is longer.
    pub(crate) without_peers: Duration,
    /// The pause after the first failure, and the longest one. The pause doubles with each failure.
    pub(crate) retry: (Duration, Duration),
    /// The delay before sending an event that came up during another announce.
    pub(crate) event_delay: Duration,
    /// The longest pause after a failure while an event is to be sent to a tracker that lists this
    /// peer in the swarm.
    pub(crate) event_retry: Duration,
    /// The maximum number of swarms that one request announces.
    pub(crate) batch: usize,
}

/// The answer of a tracker that lists this peer in the swarm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrackerAnswer {
    /// The interval that the tracker asks for.
    pub(crate) interval: Duration,
    /// The shortest interval that the tracker accepts. Without one, `interval` is the shortest.
    pub(crate) min_interval: Option<Duration>,
    /// Not part of the answer: whether the download has no peer to request from.
    pub(crate) lacks_peers: bool,
    /// Not part of the answer: a random number from 0 to 1. The pause before the next announce is
    /// longer by a tenth of this fraction of the pause. So peers that announce at the same moment
    /// drift apart.
    pub(crate) longer_by: f64,
}

/// How an announce ended.
#[derive(Clone, Debug)]
pub(crate) enum AnnounceOutcome {
    /// The tracker lists this peer in the swarm.
    Answered(TrackerAnswer),
    /// The announce failed. The next attempt follows after the pause for failures.
    Failed {
        trouble: String,
        /// The download has no peer to request from.
        lacks_peers: bool,
        /// The fraction by which the pause is extended, see [`random_part`].
        longer_by: f64,
    },
    /// The tracker refused the announce. If it listed this peer in the swarm before, it may still
    /// do so.
    Refused {
        trouble: String,
        /// The pause that the tracker asks for. Without one, the pause grows with each refusal.
        retry: Option<Duration>,
    },
    /// The tracker no longer lists this peer in the swarm, for example because the user is not
    /// logged in. `started` is sent after `pause`.
    Unlisted {
        pause: Duration,
        /// What to report to a person, if there is anything new.
        trouble: Option<String>,
    },
    /// The swarm must no longer be announced to this tracker, for this reason.
    Ended(String),
}

/// What is new after an announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AnnounceNotice {
    /// The tracker answers for the first time, or again after trouble.
    Answers,
    /// There is new trouble with the tracker.
    Trouble(String),
    /// The swarm is no longer announced to this tracker, for this reason.
    Ended(String),
}

/// How long the final announces wait for announces in progress.
pub(crate) const IN_PROGRESS_WAIT: Duration = Duration::from_secs(1);
/// The largest part of a pause between two announces by which the pause is extended at random.
const DRIFT: f64 = 0.1;
/// The pause after the first refusal, and the longest one. The pause doubles with each refusal.
const REFUSAL_PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// A random fraction by which to extend a pause, from 0 to 1. A failure of a tracker hits all its
/// peers at the same moment, and their next attempts must not meet.
pub(crate) fn random_part() -> f64 {
    fastrand::f64()
}

impl Pace {
    /// The pause after this number of refusals in a row. It is longer than after failures: a
    /// tracker that refuses is working, and would probably refuse again.
    pub(super) fn after_refusals(refusals: u32) -> Duration {
        let (first, longest) = REFUSAL_PAUSE;
        let doubled = first.saturating_mul(1 << refusals.saturating_sub(1).min(8));
        doubled.min(longest)
    }

    /// The pause after this number of failures in a row.
    pub(super) fn after_failures(
        &self,
        failures: u32,
        lacks_peers: bool,
        longer_by: f64,
    ) -> Duration {
        let (first, longest) = self.retry;
        let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(8));
        let pause = match lacks_peers {
            true => doubled.min(longest).min(self.without_peers),
            false => doubled.min(longest),
        };
        pause.mul_f64(1.0 + longer_by.clamp(0.0, 1.0))
    }
}

impl TrackerAnswer {
    /// The earliest time for an announce without an event.
    pub(super) fn earliest(&self, now: Instant) -> Instant {
        now + self.shortest()
    }

    /// When the next announce is due.
    pub(super) fn due(&self, pace: &Pace, now: Instant) -> Instant {
        let pause = match self.lacks_peers {
            true => self.shortest().max(pace.without_peers).min(self.interval),
            false => self.interval,
        };
        now + pause.mul_f64(1.0 + self.longer_by.clamp(0.0, 1.0) * DRIFT)
    }

    fn shortest(&self) -> Duration {
        self.min_interval
            .unwrap_or(self.interval)
            .min(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        without_peers: Duration::from_secs(5),
        retry: (Duration::from_secs(1), Duration::from_secs(60)),
        event_delay: Duration::ZERO,
        event_retry: Duration::from_secs(60),
        batch: 1,
    };

    #[test]
    fn every_pause_between_announces_is_longer_by_a_random_part_of_a_tenth() {
        let now = Instant::now();
        let pause = |lacks_peers, longer_by| {
            let answer = TrackerAnswer {
                interval: Duration::from_secs(100),
                min_interval: Some(Duration::ZERO),
                lacks_peers,
                longer_by,
            };
            answer.due(&PACE, now) - now
        };
        assert_eq!(pause(false, 0.0), Duration::from_secs(100));
        assert_eq!(pause(false, 1.0), Duration::from_secs(110));
        // A download without peers announces every 5 s: these announces drift apart too.
        assert_eq!(pause(true, 0.0), Duration::from_secs(5));
        assert_eq!(pause(true, 1.0), Duration::from_millis(5_500));
    }

    #[test]
    fn random_parts_are_spread_evenly() {
        let parts: Vec<f64> = (0..1_000).map(|_| random_part() * 10.0).collect();
        for tenth in 0..10 {
            let is_in = |part: &&f64| (f64::from(tenth)..f64::from(tenth + 1)).contains(*part);
            let count = parts.iter().filter(is_in).count();
            assert!((40..200).contains(&count), "{count} in tenth {tenth}");
        }
    }
}

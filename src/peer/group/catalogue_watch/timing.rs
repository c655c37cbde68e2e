//! When a list is to be fetched again. Pure.

use std::time::{Duration, Instant};

/// After a hint, the list is fetched within this time. All members get the hint at the same moment.
const AFTER_HINT: Duration = Duration::from_secs(2);
/// The pause while trackers send hints. Hints can be lost with their connection, but the tracker
/// then sends hints about all groups over the next one.
const WITH_HINTS: Duration = Duration::from_secs(600);
/// The pause while no tracker sends hints.
const WITHOUT_HINTS: Duration = Duration::from_secs(30);
/// The first and the longest pause after failures. Each failure doubles it.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

/// When one list is to be fetched.
#[derive(Clone, Debug, Default)]
pub(super) struct ListTimer {
    /// When it was fetched last. `None`: it is due now.
    fetched_at: Option<Instant>,
    /// It is due at this time, although it was fetched.
    earlier: Option<Instant>,
    /// The number of failures since it was fetched, and the end of the pause after the last one.
    failures: Option<(u32, Instant)>,
}

impl ListTimer {
    /// When the list is due. `None`: now. `has_hints`: whether a tracker sends hints.
    pub(super) fn due(&self, has_hints: bool) -> Option<Instant> {
        if let Some((_, retry_at)) = self.failures {
            return Some(retry_at);
        }
        let pause = match has_hints {
            true => WITH_HINTS,
            false => WITHOUT_HINTS,
        };
        let regular = self.fetched_at? + pause;
        Some(self.earlier.map_or(regular, |at| at.min(regular)))
    }

    /// A tracker hints that the list has changed. `random` is from 0 to 1. A hint shows that a
    /// tracker answers again, so a pause after failures is over.
    pub(super) fn on_hint(&mut self, now: Instant, random: f64) {
        self.fetch_at(now + AFTER_HINT.mul_f64(random.clamp(0.0, 1.0)));
        self.failures = None;
    }

    /// Makes the list due at this time, or earlier if it is due earlier.
    pub(super) fn fetch_at(&mut self, at: Instant) {
        self.earlier = Some(self.earlier.map_or(at, |earlier| earlier.min(at)));
    }

    /// The list is being fetched: what is hinted from now on is not in it.
    pub(super) fn on_begun(&mut self) {
        self.earlier = None;
    }

    /// The list was fetched.
    pub(super) fn on_fetched(&mut self, now: Instant) {
        self.fetched_at = Some(now);
        self.failures = None;
    }

    /// The list could not be fetched. `random` is from 0 to 1: members do not all ask again at the
    /// same moment.
    pub(super) fn on_failure(&mut self, now: Instant, random: f64) {
        let failures = self.failures.map_or(0, |(count, _)| count);
        let pause = RETRY.0.saturating_mul(1 << failures.min(16)).min(RETRY.1);
        let pause = pause + pause.mul_f64(random.clamp(0.0, 1.0) / 2.0);
        self.failures = Some((failures.saturating_add(1), now + pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_fetched_at_first_after_hints_and_every_half_minute_without_them() {
        let (mut timer, begin) = (ListTimer::default(), Instant::now());
        assert_eq!(timer.due(true), None);
        timer.on_begun();
        timer.on_fetched(begin);
        assert_eq!(timer.due(false), Some(begin + Duration::from_secs(30)));
        assert_eq!(timer.due(true), Some(begin + WITH_HINTS));
        timer.on_hint(begin, 1.0);
        assert_eq!(timer.due(true), Some(begin + AFTER_HINT));
        // A later hint does not put the list off.
        timer.on_hint(begin + Duration::from_secs(1), 1.0);
        assert_eq!(timer.due(true), Some(begin + AFTER_HINT));
        timer.on_begun();
        // This hint comes during the request.
        timer.on_hint(begin + AFTER_HINT, 0.0);
        timer.on_fetched(begin + AFTER_HINT);
        assert_eq!(timer.due(true), Some(begin + AFTER_HINT));
        assert!(AFTER_HINT < Duration::from_secs(5));
    }

    #[test]
    fn pauses_after_failures_become_longer_and_a_hint_ends_them() {
        let (mut timer, now) = (ListTimer::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..40 {
            timer.on_begun();
            timer.on_failure(now, 0.0);
            pauses.push(timer.due(true).unwrap() - now);
        }
        assert_eq!(pauses[..3], [2, 4, 8].map(Duration::from_secs));
        assert!(pauses.iter().all(|pause| *pause <= RETRY.1));
        assert_eq!(pauses.last(), Some(&RETRY.1));
        timer.on_hint(now, 0.0);
        timer.on_fetched(now);
        timer.on_failure(now, 1.0);
        assert_eq!(timer.due(true), Some(now + RETRY.0.mul_f64(1.5)));
    }

    #[test]
    fn a_hint_before_the_first_list_does_not_put_it_off() {
        let mut timer = ListTimer::default();
        timer.on_hint(Instant::now(), 1.0);
        assert_eq!(timer.due(true), None);
    }
}

//! When one list is to be fetched. Pure.

use std::time::{Duration, Instant};

/// The first and the longest pause before a list is fetched again because it could not be fetched,
/// or was older than the hints. Each time doubles the pause.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// After a list was fetched, it is not fetched again before this multiple of the time that this
/// took is over. So a tracker that answers slowly gets fewer requests.
const REST: u32 = 20;
/// The longest such pause, except for a longer spread.
const MAX_REST: Duration = Duration::from_secs(60);

/// When one list is to be fetched.
#[derive(Clone, Debug, Default)]
pub(super) struct ListTimer {
    /// When the list is due. `None`: not before something changes.
    due: Option<Instant>,
    /// The list is not fetched before this time, even if it is due.
    rest_until: Option<Instant>,
    /// The number of calls of [`ListTimer::retry`] since the last one of [`ListTimer::settle`].
    retries: u32,
}

impl ListTimer {
    /// The list is due at this time.
    pub(super) fn at(due: Instant) -> Self {
        Self {
            due: Some(due),
            ..Self::default()
        }
    }

    /// When the list is to be fetched. `None`: not before something changes.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = self.due?;
        Some(self.rest_until.map_or(due, |rest| due.max(rest)))
    }

    /// Makes the list due at a random moment within `spread`, unless it is due within this time
    /// anyway: further hints do not make it due earlier and earlier. `random` is from 0 to 1.
    pub(super) fn fetch_within(&mut self, now: Instant, spread: Duration, random: f64) {
        if self.due.is_none_or(|due| due > now + spread) {
            self.due = Some(now + part(spread, random));
        }
    }

    /// Nothing is due until something changes.
    pub(super) fn clear(&mut self) {
        self.due = None;
    }

    /// The list is being fetched: what is hinted from now on is not in it.
    pub(super) fn on_begun(&mut self) {
        self.due = None;
    }

    /// The list was fetched between `begun` and `now`. `spread` is the time over which the members
    /// spread their requests.
    pub(super) fn on_fetched(&mut self, begun: Instant, now: Instant, spread: Duration) {
        let took = now.saturating_duration_since(begun);
        let rest = took.saturating_mul(REST).min(MAX_REST).max(spread);
        self.rest_until = Some(now + rest);
    }

    /// What was fetched is what was wanted.
    pub(super) fn settle(&mut self) {
        self.retries = 0;
    }

    /// The list could not be fetched, or is older than the hints. `random` is from 0 to 1: members
    /// do not all ask again at the same moment.
    pub(super) fn retry(&mut self, now: Instant, random: f64) {
        let pause = RETRY.0.saturating_mul(1 << self.retries.min(16));
        let pause = pause.min(RETRY.1);
        self.retries = self.retries.saturating_add(1);
        self.fetch_within(now + pause, pause / 2, random);
        // A hint can make it due earlier, but not at once.
        let rest_until = now + RETRY.0;
        self.rest_until = Some(self.rest_until.map_or(rest_until, |it| it.max(rest_until)));
    }
}

/// A random part of a time. `random` is from 0 to 1.
fn part(time: Duration, random: f64) -> Duration {
    time.mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPREAD: Duration = Duration::from_secs(2);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn many_hints_make_a_list_due_once_within_the_spread() {
        let (mut timer, begin) = (ListTimer::default(), Instant::now());
        assert_eq!(timer.due(), None);
        timer.fetch_within(begin, SPREAD, 0.75);
        let due = Some(begin + SPREAD.mul_f64(0.75));
        for _ in 0..100 {
            timer.fetch_within(begin, SPREAD, 0.0);
            assert_eq!(timer.due(), due);
        }
        timer.on_begun();
        assert_eq!(timer.due(), None);
        // This hint comes during the request.
        timer.fetch_within(begin, SPREAD, 0.5);
        timer.on_fetched(begin, begin, Duration::ZERO);
        assert_eq!(timer.due(), Some(begin + SPREAD / 2));
    }

    #[test]
    fn a_list_rests_after_it_was_fetched() {
        let begin = Instant::now();
        for (took, spread, rest) in [(0, 2, 2), (1, 2, 20), (9, 2, 60), (9, 400, 400)] {
            let mut timer = ListTimer::at(begin);
            timer.on_begun();
            let now = begin + seconds(took);
            timer.on_fetched(begin, now, seconds(spread));
            timer.fetch_within(now, seconds(spread), 0.0);
            assert_eq!(timer.due(), Some(now + seconds(rest)));
        }
    }

    #[test]
    fn pauses_after_failures_become_longer_and_a_hint_ends_them() {
        let (mut timer, now) = (ListTimer::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..40 {
            timer.on_begun();
            timer.retry(now, 0.0);
            pauses.push(timer.due().unwrap() - now);
        }
        assert_eq!(pauses[..3], [2, 4, 8].map(seconds));
        assert_eq!(pauses.last(), Some(&RETRY.1));
        timer.fetch_within(now, SPREAD, 0.0);
        assert_eq!(timer.due(), Some(now + RETRY.0));
        timer.on_begun();
        timer.on_fetched(now, now, Duration::ZERO);
        timer.settle();
        timer.retry(now, 1.0);
        assert_eq!(timer.due(), Some(now + seconds(3)));
    }
}

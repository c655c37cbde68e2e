//! The rate at which bytes came in lately.

use std::collections::VecDeque;
use std::time::Duration;

/// Over how long a rate is taken.
const SPAN: Duration = Duration::from_secs(3);
/// Bytes of one slot are counted together.
const SLOT: Duration = Duration::from_millis(100);

/// Counts bytes and tells the rate over the last seconds.
#[derive(Debug, Default)]
pub(super) struct Rate {
    slots: VecDeque<(Duration, u64)>,
    first: Option<Duration>,
}

impl Rate {
    /// So many bytes came at `now`.
    pub(super) fn add(&mut self, now: Duration, bytes: u64) {
        self.first.get_or_insert(now);
        match self.slots.back_mut() {
            Some((start, sum)) if now.saturating_sub(*start) < SLOT => *sum += bytes,
            _ => self.slots.push_back((now, bytes)),
        }
        self.slots
            .retain(|(start, _)| now.saturating_sub(*start) < SPAN);
    }

    /// Bytes a second over the last seconds before `now`.
    pub(super) fn bytes_per_second(&self, now: Duration) -> u64 {
        let Some(first) = self.first else { return 0 };
        let recent = self
            .slots
            .iter()
            .filter(|(start, _)| now.saturating_sub(*start) < SPAN);
        let bytes: u64 = recent.map(|(_, bytes)| bytes).sum();
        let over = now.saturating_sub(first).clamp(SLOT, SPAN);
        (bytes as f64 / over.as_secs_f64()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_what_comes_and_falls_to_nothing() {
        let mut rate = Rate::default();
        for at in 0..100 {
            rate.add(Duration::from_millis(at * 50), 50_000);
        }
        let shown = rate.bytes_per_second(Duration::from_secs(5));
        assert!((900_000..1_100_000).contains(&shown), "{shown}");
        assert_eq!(rate.bytes_per_second(Duration::from_secs(9)), 0);
    }
}

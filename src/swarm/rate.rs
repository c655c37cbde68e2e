//! The rate of recent traffic.

use std::collections::VecDeque;
use std::time::Duration;

/// The span is divided into this many slots. The bytes of one slot are counted together.
const SLOTS: u32 = 30;

/// Counts bytes and returns their rate over a recent span.
#[derive(Debug)]
pub struct Rate {
    span: Duration,
    /// The start of each recent slot, and the bytes that moved in the slot.
    slots: VecDeque<(Duration, u64)>,
    /// When the first bytes moved.
    first: Option<Duration>,
}

impl Rate {
    /// A rate measured over `span`.
    pub fn over(span: Duration) -> Self {
        Self {
            span,
            slots: VecDeque::new(),
            first: None,
        }
    }

    /// This many bytes moved at `now`.
    pub fn add(&mut self, now: Duration, bytes: u64) {
        let (span, slot) = (self.span, self.span / SLOTS);
        self.first.get_or_insert(now);
        match self.slots.back_mut() {
            Some((start, sum)) if now.saturating_sub(*start) < slot => *sum += bytes,
            _ => self.slots.push_back((now, bytes)),
        }
        self.slots
            .retain(|(start, _)| now.saturating_sub(*start) < span);
    }

    /// Bytes that moved in the span before `now`.
    pub fn bytes(&self, now: Duration) -> u64 {
        let recent = self
            .slots
            .iter()
            .filter(|(start, _)| now.saturating_sub(*start) < self.span);
        recent.map(|(_, bytes)| bytes).sum()
    }

    /// Bytes a second over the span before `now`, or over the time since the first byte if that is
    /// shorter.
    pub fn bytes_per_second(&self, now: Duration) -> u64 {
        let Some(first) = self.first else { return 0 };
        let over = now
            .saturating_sub(first)
            .clamp(self.span / SLOTS, self.span);
        (self.bytes(now) as f64 / over.as_secs_f64()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_the_traffic_and_falls_to_zero() {
        let mut rate = Rate::over(Duration::from_secs(3));
        for at in 0..100 {
            rate.add(Duration::from_millis(at * 50), 50_000);
        }
        let measured = rate.bytes_per_second(Duration::from_secs(5));
        assert!((900_000..1_100_000).contains(&measured), "{measured}");
        assert_eq!(rate.bytes_per_second(Duration::from_secs(9)), 0);
    }
}

//! How many blocks to keep asked for on one link: bandwidth x delay, measured.
//!
//! The window grows by a block for each that arrives (doubling each round trip), to four times what fills the link, as long
//! as the rate grows with it; after
//! that it follows twice the best recent rate times the shortest delay seen. A slack of some milliseconds is added to
//! the delay, so that a sender whose thread sleeps for a moment does not run dry. Never a fixed pipeline: a far, fat
//! link is filled, a slow one holds few blocks that others could fetch.

use std::time::Duration;

/// The window a link starts with and never goes below, in blocks.
const SMALLEST: u32 = 4;
/// What a window starts with, in blocks.
const FIRST: u32 = 16;
/// Added to the measured delay: threads of a busy machine are not always at hand.
const SLACK: Duration = Duration::from_millis(5);
/// A rate is measured over at least this long.
const ROUND: Duration = Duration::from_millis(10);
/// Rounds over which the best rate counts.
const ROUNDS: usize = 8;

/// The window of one link.
#[derive(Debug)]
pub struct Window {
    blocks: u32,
    largest: u32,
    growing: bool,
    flat_rounds: u32,
    rates: [f64; ROUNDS],
    round: usize,
    round_start: Option<Duration>,
    round_bytes: u64,
    round_blocks: u32,
    /// The shortest delay of this link so far. It is not forgotten: while the window is full, every newer delay holds the
    /// queue that the window itself makes.
    shortest: Option<Duration>,
}

impl Window {
    /// A window that never grows over `largest` blocks.
    pub fn new(largest: u32) -> Self {
        let largest = largest.max(1);
        Self {
            blocks: FIRST.min(largest),
            largest,
            growing: true,
            flat_rounds: 0,
            rates: [0.0; ROUNDS],
            round: 0,
            round_start: None,
            round_bytes: 0,
            round_blocks: 0,
            shortest: None,
        }
    }

    /// How many blocks may be in flight.
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// The other side said how many requests it keeps.
    pub fn limit(&mut self, largest: u32) {
        self.largest = largest.max(1);
        self.blocks = self.blocks.min(self.largest);
    }

    /// A block of `bytes` arrived at `now` that was asked for at `asked`.
    pub fn arrived(&mut self, now: Duration, asked: Duration, bytes: u32) {
        let delay = now.saturating_sub(asked);
        let shortest = self.shortest.map_or(delay, |shortest| shortest.min(delay));
        self.shortest = Some(shortest);
        if self.growing {
            self.blocks = (self.blocks + 1).min(self.largest);
        }
        let start = *self.round_start.get_or_insert(asked);
        self.round_bytes += u64::from(bytes);
        self.round_blocks += 1;
        if now.saturating_sub(start) >= ROUND.max(shortest) {
            self.end_round(now, start, shortest);
        }
    }

    /// Nothing arrived for too long: starts anew from the smallest window.
    pub fn stalled(&mut self) {
        *self = Self {
            blocks: SMALLEST.min(self.largest),
            ..Self::new(self.largest)
        };
    }

    fn end_round(&mut self, now: Duration, start: Duration, shortest: Duration) {
        let rate = self.round_bytes as f64 / (now - start).as_secs_f64();
        let best = self.rates.iter().copied().fold(0.0, f64::max);
        self.flat_rounds = if rate > best * 1.25 {
            0
        } else {
            self.flat_rounds + 1
        };
        self.growing &= self.flat_rounds < 3;
        self.rates[self.round % ROUNDS] = rate;
        self.round += 1;
        let block = self.round_bytes as f64 / f64::from(self.round_blocks);
        let best = self.rates.iter().copied().fold(0.0, f64::max);
        let filled = best * (shortest + SLACK).as_secs_f64() / block;
        // Casting a float saturates, whatever the measurement was.
        let due = |factor: f64| {
            ((factor * filled) as u32).clamp(SMALLEST.min(self.largest), self.largest)
        };
        self.blocks = if self.growing {
            self.blocks.min(due(4.0))
        } else {
            due(2.0)
        };
        (self.round_start, self.round_bytes, self.round_blocks) = (Some(now), 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A link of `rate` bytes a second and `delay` each way, kept filled for `seconds`; gives bytes a second reached.
    fn run(rate: f64, delay: Duration, largest: u32, seconds: u64) -> (f64, Window) {
        const BLOCK: u32 = 16 << 10;
        let mut window = Window::new(largest);
        let mut in_flight: VecDeque<(Duration, Duration)> = VecDeque::new();
        let (mut now, mut free, mut bytes) = (Duration::ZERO, Duration::ZERO, 0u64);
        while now < Duration::from_secs(seconds) {
            while (in_flight.len() as u32) < window.blocks() {
                let sent = free.max(now + delay) + Duration::from_secs_f64(f64::from(BLOCK) / rate);
                free = sent;
                in_flight.push_back((now, sent + delay));
            }
            let (asked, arrives) = in_flight.pop_front().unwrap();
            now = arrives;
            bytes += u64::from(BLOCK);
            window.arrived(now, asked, BLOCK);
        }
        (bytes as f64 / now.as_secs_f64(), window)
    }

    #[test]
    fn a_far_fat_link_is_filled() {
        let (reached, window) = run(50e6, Duration::from_millis(50), 2_000, 10);
        assert!(reached > 0.9 * 50e6, "{reached} with {window:?}");
    }

    #[test]
    fn a_slow_link_holds_few_blocks() {
        let (reached, window) = run(200e3, Duration::from_millis(20), 2_000, 60);
        assert!(reached > 0.9 * 200e3, "{reached}");
        assert!(window.blocks() <= 16, "{window:?}");
    }

    #[test]
    fn the_other_sides_limit_holds_and_a_stall_starts_anew() {
        let (_, mut window) = run(1e9, Duration::from_millis(1), 250, 1);
        assert!(window.blocks() <= 250);
        window.limit(10);
        assert!(window.blocks() <= 10);
        window.stalled();
        assert_eq!(window.blocks(), SMALLEST);
    }
}

//! The request window: how many requests to keep in flight on one link, by measured bandwidth x
//! delay.
//!
//! - The window follows twice the product of the best recent rate and the shortest delay. Some
//!   milliseconds of slack are added to the delay, so that the sender does not run dry when one of
//!   its threads sleeps for a moment.
//! - While the rate grows with the window, the window also grows with each block that arrives, to
//!   at most eight times what fills the link. Each block adds one block to the window, which
//!   doubles the window in each round trip. On a far link that is idle for a part of each round
//!   trip, each block adds seven. Over such a link, blocks arrive in bursts with pauses between
//!   them. If they came at the pace of a burst for a whole round trip, there would be more of them
//!   than the window holds.
//!
//! The window is never fixed. So a long fat link is filled. On a slow link few blocks are in
//! flight, and other links can fetch the rest. On a near link the delay is almost zero: the window
//! follows the slack, and `NEAR_ALLOWANCE` bounds it.

use std::time::Duration;

/// The smallest window, in blocks.
const MIN_WINDOW: u32 = 4;
/// The first window, in blocks.
const FIRST_WINDOW: u32 = 16;
/// Added to the measured delay, because threads of a busy machine sometimes run a little late.
const SLACK: Duration = Duration::from_millis(5);
/// By what factor a window may grow in one round trip.
const GROWTH: u32 = 8;
/// The blocks that a window may hold in addition to [`GROWTH`] times rate x delay: 8 MiB. On a near
/// link rate x delay is small, so its window is at most a little larger than this.
const NEAR_ALLOWANCE: u32 = 512;
/// A rate is measured over at least this long.
const MIN_ROUND: Duration = Duration::from_millis(10);
/// The window follows the best rate of the last rounds. This is the number of these rounds.
const KEPT_RATES: usize = 8;

/// The window of one link.
#[derive(Debug)]
pub struct Window {
    blocks: u32,
    largest: u32,
    /// The rate grew with the window in the last round.
    growing: bool,
    rates: [f64; KEPT_RATES],
    rounds: usize,
    /// The round that is being measured.
    round: Option<Round>,
    burst: Burst,
    /// The shortest delay of this link so far. It does not expire, because while the window is
    /// full, every later delay includes the queue that the window itself makes. Only a stall resets
    /// it.
    shortest: Option<Duration>,
}

/// A round, over which one rate is measured: a round trip, from one arrival to another.
#[derive(Clone, Copy, Debug)]
struct Round {
    start: Duration,
    bytes: u64,
    blocks: u32,
}

/// Blocks that arrived with no pause between them.
#[derive(Clone, Copy, Debug, Default)]
struct Burst {
    start: Duration,
    last: Duration,
    /// The number of blocks after the first.
    blocks: u32,
}

impl Window {
    /// A window of at most `largest` blocks.
    pub fn new(largest: u32) -> Self {
        let largest = largest.max(1);
        Self {
            blocks: FIRST_WINDOW.min(largest),
            largest,
            growing: true,
            rates: [0.0; KEPT_RATES],
            rounds: 0,
            round: None,
            burst: Burst::default(),
            shortest: None,
        }
    }

    /// How many requests may be in flight.
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// The shortest delay of a block so far.
    pub fn shortest_delay(&self) -> Duration {
        self.shortest.unwrap_or_default()
    }

    /// The best recent rate, in bytes a second.
    pub fn rate(&self) -> f64 {
        self.best_rate()
    }

    /// Limits the window to `largest` blocks: the peer queues at most this many of our requests
    /// (`reqq`, BEP 10).
    pub fn limit_to(&mut self, largest: u32) {
        self.largest = largest.max(1);
        self.blocks = self.blocks.min(self.largest);
    }

    /// A block of `bytes`, requested at `requested_at`, arrived at `now`.
    pub fn on_block(&mut self, now: Duration, requested_at: Duration, bytes: u32) {
        let delay = now.saturating_sub(requested_at);
        let shortest = self.shortest.map_or(delay, |shortest| shortest.min(delay));
        self.shortest = Some(shortest);
        let is_partly_idle = self.burst.on_block(now, shortest, self.blocks);
        // The first block begins the first round and does not count in it: it was on its way
        // before.
        let Some(round) = &mut self.round else {
            self.round = Some(Round::start(now));
            self.grow(is_partly_idle);
            return;
        };
        round.bytes += u64::from(bytes);
        round.blocks += 1;
        let round = *round;
        self.grow(is_partly_idle);
        if now.saturating_sub(round.start) >= MIN_ROUND.max(shortest) {
            self.end_round(now, round, shortest);
        }
    }

    /// Nothing arrived for too long: starts again from the smallest window.
    pub fn on_stall(&mut self) {
        *self = Self {
            blocks: MIN_WINDOW.min(self.largest),
            ..Self::new(self.largest)
        };
    }

    /// A block arrived. The window grows by more if the link is idle for a part of each round
    /// trip.
    fn grow(&mut self, is_partly_idle: bool) {
        if self.growing {
            let more = if is_partly_idle { GROWTH - 1 } else { 1 };
            self.blocks = (self.blocks + more).min(self.largest);
        }
    }

    fn end_round(&mut self, now: Duration, round: Round, shortest: Duration) {
        let rate = round.bytes as f64 / (now - round.start).as_secs_f64();
        self.growing = rate > self.best_rate() * 1.25;
        self.rates[self.rounds % KEPT_RATES] = rate;
        self.rounds += 1;
        let block = round.bytes as f64 / f64::from(round.blocks);
        let best = self.best_rate() / block;
        let (bandwidth_delay, slack) = (best * shortest.as_secs_f64(), best * SLACK.as_secs_f64());
        // Casting a float saturates, whatever was measured.
        let max_window = ((f64::from(GROWTH) * bandwidth_delay) as u32)
            .saturating_add(NEAR_ALLOWANCE)
            .min(self.largest);
        let window_for = |factor: f64| {
            ((factor * (bandwidth_delay + slack)) as u32)
                .clamp(MIN_WINDOW.min(self.largest), max_window.max(1))
        };
        self.blocks = if self.growing {
            self.blocks.min(window_for(GROWTH.into()))
        } else {
            window_for(2.0)
        };
        self.round = Some(Round::start(now));
    }

    fn best_rate(&self) -> f64 {
        self.rates.iter().copied().fold(0.0, f64::max)
    }
}

impl Round {
    fn start(now: Duration) -> Self {
        Self {
            start: now,
            bytes: 0,
            blocks: 0,
        }
    }
}

impl Burst {
    /// A block arrived. Returns whether more than `window` blocks would arrive within `delay` at
    /// the pace of the burst.
    fn on_block(&mut self, now: Duration, delay: Duration, window: u32) -> bool {
        if now.saturating_sub(self.last) > delay / 4 {
            *self = Self {
                start: now,
                last: now,
                blocks: 0,
            };
            return false;
        }
        self.last = now;
        self.blocks = self.blocks.saturating_add(1);
        delay * self.blocks > now.saturating_sub(self.start) * window
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const BLOCK: u32 = 16 << 10;
    /// The largest window that a peer uses.
    const LARGEST_WINDOW: u32 = 4_096;

    /// A link with `rate` bytes a second and `delay` each way. It never lacks blocks to request.
    struct TestLink {
        rate: f64,
        delay: Duration,
        window: Window,
        /// When each block was requested and when it will arrive.
        in_flight: VecDeque<(Duration, Duration)>,
        now: Duration,
        /// When the link has sent everything that was requested.
        free: Duration,
        bytes: u64,
        max_window: u32,
    }

    impl TestLink {
        fn new(rate: f64, delay: Duration, largest: u32) -> Self {
            Self {
                rate,
                delay,
                window: Window::new(largest),
                in_flight: VecDeque::new(),
                now: Duration::ZERO,
                free: Duration::ZERO,
                bytes: 0,
                max_window: 0,
            }
        }

        /// Runs until `end`. Returns the average rate since the start, in bytes a second.
        fn run(&mut self, end: Duration) -> f64 {
            while self.now < end {
                self.send_requests();
                let (requested, arrives) = self.in_flight.pop_front().unwrap();
                self.now = arrives;
                self.bytes += u64::from(BLOCK);
                self.window.on_block(self.now, requested, BLOCK);
                self.max_window = self.max_window.max(self.window.blocks());
            }
            self.bytes as f64 / self.now.as_secs_f64()
        }

        /// Sends requests in batches of a quarter of the window, as the picker does.
        fn send_requests(&mut self) {
            let (flying, window) = (self.in_flight.len() as u32, self.window.blocks());
            let room = window.saturating_sub(flying);
            if flying > 0 && room < (window / 4).max(1) {
                return;
            }
            for _ in 0..room {
                let takes = Duration::from_secs_f64(f64::from(BLOCK) / self.rate);
                self.free = self.free.max(self.now + self.delay) + takes;
                self.in_flight.push_back((self.now, self.free + self.delay));
            }
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_long_fat_link_is_filled() {
        let reached = TestLink::new(50e6, ms(50), 2_000).run(ms(10_000));
        assert!(reached > 0.9 * 50e6, "{reached}");
    }

    #[test]
    fn a_link_of_125_megabytes_a_second_is_full_after_five_round_trips() {
        for one_way in [50, 100] {
            let mut link = TestLink::new(125e6, ms(one_way), LARGEST_WINDOW);
            let round_trip = 2 * ms(one_way);
            link.run(5 * round_trip);
            let before = link.bytes;
            // Compared with a full link, less than 3.5 round trips are lost. One of them cannot be
            // avoided: nothing arrives in the first.
            let lost = 5.0 * round_trip.as_secs_f64() - before as f64 / 125e6;
            assert!(lost < 3.5 * round_trip.as_secs_f64(), "{lost} s");
            link.run(6 * round_trip);
            let reached = (link.bytes - before) as f64 / round_trip.as_secs_f64();
            assert!(reached > 0.95 * 125e6, "{reached} with {:?}", link.window);
            // The window is then twice what fills the link, which is 763 blocks for each 100 ms.
            link.run(20 * round_trip);
            let full = 763 * (one_way as u32) / 50;
            let window = link.window.blocks();
            assert!((2 * full..5 * full / 2).contains(&window), "{window}");
        }
    }

    #[test]
    fn a_slow_link_holds_few_blocks() {
        for delay in [0, 20, 100] {
            let mut link = TestLink::new(200e3, ms(delay), LARGEST_WINDOW);
            let reached = link.run(ms(60_000));
            assert!(reached > 0.9 * 200e3, "{reached}");
            assert!(link.window.blocks() <= 16, "{:?}", link.window);
            assert!(link.max_window <= 2 * FIRST_WINDOW, "{}", link.max_window);
        }
    }

    #[test]
    fn the_window_of_a_near_link_is_bounded() {
        for rate in [250e6, 1e9, 4e9] {
            let mut link = TestLink::new(rate, Duration::from_micros(50), LARGEST_WINDOW);
            let reached = link.run(ms(1_000));
            assert!(reached > 0.95 * rate, "{reached}");
            assert!(
                link.window.blocks() <= NEAR_ALLOWANCE + NEAR_ALLOWANCE / 2,
                "{:?}",
                link.window
            );
        }
    }

    #[test]
    fn a_link_that_gets_faster_is_filled_again() {
        let mut link = TestLink::new(1e6, ms(50), LARGEST_WINDOW);
        link.run(ms(10_000));
        assert!(link.window.blocks() <= 16, "{:?}", link.window);
        link.rate = 125e6;
        link.run(ms(11_500));
        let before = link.bytes;
        link.run(ms(12_500));
        let reached = (link.bytes - before) as f64;
        assert!(reached > 0.95 * 125e6, "{reached}");
    }

    #[test]
    fn the_limit_of_the_peer_holds_and_a_stall_shrinks_the_window() {
        let mut link = TestLink::new(1e9, ms(1), 250);
        link.run(ms(1_000));
        let mut window = link.window;
        assert!(link.max_window <= 250);
        window.limit_to(10);
        assert!(window.blocks() <= 10);
        window.on_stall();
        assert_eq!(window.blocks(), MIN_WINDOW);
    }
}

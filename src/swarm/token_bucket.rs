//! A rate limit that several links share: a token bucket. It serves reservations in the order
//! in which they are made.
//!
//! A link reserves each block before the block moves. The reservation says from which time the
//! block may move. Each link reserves a block and waits until the block may move, before it
//! reserves the next. So links that always have something to move get equal parts of the rate, and
//! a reservation that is not used costs one block at most.

use crate::torrent::BLOCK;
use std::time::Duration;

/// If nothing was reserved for some time, later reservations may use that time, but at most this
/// much of it. So a thread that wakes up a little late loses nothing. A burst above the rate is at
/// most what the rate allows in this time.
const MAX_UNUSED: Duration = Duration::from_millis(100);

/// The lowest limit in bytes a second. With it, a block takes 16 seconds. Other programs do
/// not give up on a block that soon.
pub const MIN_RATE_LIMIT: u64 = 1 << 10;
/// The highest limit in bytes a second: 1 TiB.
pub const MAX_RATE_LIMIT: u64 = 1 << 40;

/// The token bucket of one direction.
#[derive(Debug)]
pub struct TokenBucket {
    bytes_per_second: f64,
    /// The time at which everything reserved so far has moved.
    free_at: Duration,
}

impl TokenBucket {
    /// A bucket for this rate, clamped to [`MIN_RATE_LIMIT`] and [`MAX_RATE_LIMIT`].
    pub fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.clamp(MIN_RATE_LIMIT, MAX_RATE_LIMIT) as f64,
            free_at: Duration::ZERO,
        }
    }

    /// Reserves up to one block and returns the time from which these bytes may move. For more than
    /// a block the caller reserves several times.
    pub fn reserve(&mut self, now: Duration, bytes: u32) -> Duration {
        let due = self.free_at.max(now.saturating_sub(MAX_UNUSED));
        let takes = f64::from(bytes.min(BLOCK)) / self.bytes_per_second;
        self.free_at = due + Duration::from_secs_f64(takes);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Simulates this many links. Each reserves a block and waits until the block may move. A link
    /// that has to wait wakes at most `late` microseconds too late. It reserves the next block 20
    /// microseconds after it has moved one. Returns which link moved a block at which time.
    fn simulate(rate: u64, links: usize, seconds: u64, late: u64) -> Vec<(usize, Duration)> {
        let mut bucket = TokenBucket::new(rate);
        let mut rng = fastrand::Rng::with_seed(rate);
        let start = Duration::from_secs(7);
        let mut wakes = |now: Duration, due: Duration| {
            let late = Duration::from_micros(rng.u64(0..=late));
            if due > now { due + late } else { now }
        };
        let mut next: Vec<Duration> = (0..links)
            .map(|_| wakes(start, bucket.reserve(start, BLOCK)))
            .collect();
        let mut moved = Vec::new();
        loop {
            let (link, now) = (0..links)
                .map(|link| (link, next[link]))
                .min_by_key(|(_, at)| *at)
                .unwrap();
            if now > start + Duration::from_secs(seconds) {
                return moved;
            }
            moved.push((link, now));
            let now = now + Duration::from_micros(20);
            next[link] = wakes(now, bucket.reserve(now, BLOCK));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn in_any_five_seconds_the_rate_is_near_the_limit(
            rate in (512u64 << 10)..(16 << 20),
            links in 1usize..20,
            late in 0u64..3_000,
        ) {
            let moved = simulate(rate, links, 12, late);
            let mut sums = Vec::new();
            for from in [7, 8, 10, 13] {
                let window = Duration::from_secs(from)..Duration::from_secs(from + 5);
                let bytes: u64 = moved
                    .iter()
                    .filter(|(_, at)| window.contains(at))
                    .map(|_| u64::from(BLOCK))
                    .sum();
                sums.push(bytes as f64 / (5 * rate) as f64);
            }
            prop_assert!(sums.iter().all(|sum| (0.9..1.1).contains(sum)), "{sums:?}");
        }

        #[test]
        fn links_share_the_limit_fairly(rate in (1u64 << 20)..(16 << 20), links in 2usize..12) {
            let moved = simulate(rate, links, 5, 500);
            let mut blocks = vec![0usize; links];
            moved.iter().for_each(|(link, _)| blocks[*link] += 1);
            let (least, most) = (blocks.iter().min().unwrap(), blocks.iter().max().unwrap());
            prop_assert!(most - least <= 2 + most / 10, "{blocks:?}");
        }
    }

    #[test]
    fn long_idle_time_allows_only_a_short_burst_and_the_limit_stays_in_its_bounds() {
        let mut bucket = TokenBucket::new(1 << 20);
        let now = Duration::from_secs(3_600);
        let mut at_once = 0;
        while bucket.reserve(now, BLOCK) <= now {
            at_once += 1;
        }
        assert!((1..=8).contains(&at_once), "{at_once} blocks at once");
        let mut slowest = TokenBucket::new(0);
        slowest.reserve(now, BLOCK);
        let due = slowest.reserve(now, BLOCK);
        // 16 s for the first block, less `MAX_UNUSED`.
        assert_eq!((due - now).as_secs(), 15);
    }
}

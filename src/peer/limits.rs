//! Limits over all links of a peer: rates, memory, and how long a remote peer may take.

use crate::swarm::{TokenBucket, UploadSlots};
use crate::system::{lock, memory};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The default maximum of memory for blocks that are being downloaded: twice the bandwidth-delay
/// product of 125 MB/s in total and 1 s.
const DEFAULT_MEMORY: u64 = 256 << 20;
/// The divisor of the machine's memory: by default an eighth of it is used at most.
const MEMORY_DIVISOR: u64 = 8;
/// The minimum of memory for blocks that are being downloaded: two runs.
const MIN_MEMORY: u64 = 1 << 20;

/// The user's settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// The number of peers of one share that are served at a time. By default as many as the upload
    /// rate allows: at least eight, except with an upload limit below 128 KiB/s.
    pub upload_slots: Option<usize>,
    /// The maximum number of bytes of blocks sent per second, over all links.
    pub up: Option<u64>,
    /// The maximum number of bytes of blocks received per second, over all links.
    pub down: Option<u64>,
    /// The maximum number of bytes of memory for blocks that are being downloaded, at least 1 MiB.
    /// By default an eighth of the machine's memory, at most 256 MiB.
    pub memory: Option<u64>,
}

impl Limits {
    pub(super) fn memory(&self) -> u64 {
        let usual = || {
            memory().map_or(DEFAULT_MEMORY, |all| {
                (all / MEMORY_DIVISOR).min(DEFAULT_MEMORY)
            })
        };
        self.memory.unwrap_or_else(usual).max(MIN_MEMORY)
    }

    pub(super) fn slots(&self) -> UploadSlots {
        match self.upload_slots {
            Some(number) => UploadSlots::Fixed(number),
            None => UploadSlots::ByRate { limit: self.up },
        }
    }
}

/// A rate limit, or the absence of one. Both can change while the peer runs. Under its lock, a
/// thread computes the time from which it may go on. It waits for that time without the lock.
#[derive(Debug)]
pub(super) struct Throttle {
    epoch: Instant,
    /// `None`: there is no limit.
    bucket: Mutex<Option<TokenBucket>>,
    /// Whether there is a limit. Threads that move bytes without a limit take no lock.
    is_limited: AtomicBool,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            epoch: Instant::now(),
            bucket: Mutex::new(bytes_per_second.map(TokenBucket::new)),
            is_limited: AtomicBool::new(bytes_per_second.is_some()),
        }
    }

    /// Sets another limit, or none. Bytes that were reserved before move at their times.
    pub(super) fn set(&self, bytes_per_second: Option<u64>) {
        let mut bucket = lock(&self.bucket);
        *bucket = bytes_per_second.map(TokenBucket::new);
        self.is_limited.store(bucket.is_some(), Ordering::Relaxed);
    }

    /// The limit, if there is one now.
    pub(super) fn limit(&self) -> Option<&Self> {
        self.is_limited.load(Ordering::Relaxed).then_some(self)
    }

    /// Reserves up to one block. Returns the time from which these bytes may be sent or received.
    pub(super) fn reserve(&self, bytes: u32) -> Instant {
        let mut bucket = lock(&self.bucket);
        let now = self.epoch.elapsed();
        let due = bucket.as_mut().map(|bucket| bucket.reserve(now, bytes));
        self.epoch + due.unwrap_or(now)
    }
}

/// Time limits of links. A violation may be noticed late, by at most a sixth of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For the first byte of an accepted connection, and for a whole handshake.
    pub handshake: Duration,
    /// For the rest of a message that has begun to arrive. Pauses of our own rate limit are not
    /// counted.
    pub message: Duration,
    /// Between two bytes from the remote peer (BEP 3: keep-alives are sent every two minutes).
    pub silence: Duration,
    /// For the remote peer to read what we send.
    pub unread: Duration,
    /// The number of stalls in a row after which we close the link. A stall: requests are in
    /// flight, and no block arrives for 6 s.
    pub stalls: u32,
    /// Time without output after which we send a keep-alive (BEP 3: links are closed after two
    /// minutes of silence).
    pub keep_alive: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            message: Duration::from_secs(60),
            silence: Duration::from_secs(150),
            unread: Duration::from_secs(60),
            stalls: 10,
            keep_alive: Duration::from_secs(90),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_by_the_setting_or_by_the_machine() {
        let of = |memory| Limits {
            memory,
            ..Limits::default()
        };
        assert_eq!(of(Some(3 << 20)).memory(), 3 << 20);
        assert_eq!(of(Some(0)).memory(), MIN_MEMORY);
        assert!((MIN_MEMORY..=DEFAULT_MEMORY).contains(&of(None).memory()));
    }

    #[test]
    fn a_rate_limit_can_change_and_end() {
        let throttle = Throttle::new(None);
        assert!(throttle.limit().is_none());
        assert!(throttle.reserve(1 << 14) <= Instant::now());
        throttle.set(Some(1 << 10));
        let limit = throttle.limit().unwrap();
        limit.reserve(1 << 14);
        assert!(limit.reserve(1 << 14) > Instant::now() + Duration::from_secs(10));
        throttle.set(None);
        assert!(throttle.limit().is_none());
        assert!(throttle.reserve(1 << 14) <= Instant::now());
    }

    #[test]
    fn keep_alive_is_under_two_minutes_and_silence_over_two_minutes() {
        let deadlines = Deadlines::default();
        let two_minutes = Duration::from_secs(120);
        assert!(deadlines.keep_alive < two_minutes && two_minutes < deadlines.silence);
    }
}

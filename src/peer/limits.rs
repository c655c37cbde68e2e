//! How much a peer sends, reads and keeps in memory over all its links, and how long the other side
//! of a link may take.

use crate::swarm::{Bucket, UploadSlots};
use crate::system::{lock, memory};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The most memory for blocks that are under way, unless asked otherwise: what fills links of 125
/// MB/s and 1 s in all, twice.
const DEFAULT_MEMORY: u64 = 256 << 20;
/// The part of the machine's memory that is taken at most, unless asked otherwise.
const MEMORY_DIVISOR: u64 = 8;
/// The least memory for blocks that are under way: two runs.
const MIN_MEMORY: u64 = 1 << 20;

/// How much a peer sends, reads and keeps in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// How many peers of one share are served at a time; by default as many as the rate allows, at
    /// least eight.
    pub upload_slots: Option<usize>,
    /// The most bytes of blocks a second that are sent, over all links.
    pub up: Option<u64>,
    /// The most bytes of blocks a second that are read, over all links.
    pub down: Option<u64>,
    /// The most bytes of memory for blocks that are under way, at least 1 MiB; by default an eighth
    /// of the machine's memory, at most 256 MiB.
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

/// A limit that threads wait for. Its lock is held for a sum; a thread that waits holds none.
#[derive(Debug)]
pub(super) struct Throttle {
    epoch: Instant,
    bucket: Mutex<Bucket>,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self {
            epoch: Instant::now(),
            bucket: Mutex::new(Bucket::new(bytes_per_second)),
        }
    }

    /// Reserves up to a block; returns from when on it may move.
    pub(super) fn reserve(&self, bytes: u32) -> Instant {
        let mut bucket = lock(&self.bucket);
        self.epoch + bucket.reserve(self.epoch.elapsed(), bytes)
    }
}

/// The times of links. A message or a silence that is late is seen within a sixth of its time more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For the first byte of a call, and for a handshake, however it trickles.
    pub handshake: Duration,
    /// For a message that has begun to be here whole. What a limit of ours holds up is not counted.
    pub message: Duration,
    /// Between two bytes of the other side (BEP 3: keep-alives come every two minutes).
    pub silence: Duration,
    /// For the other side to take what it is sent next.
    pub unread: Duration,
    /// How often in a row its requests may go stale, each time for 6 s.
    pub stalls: u32,
    /// After so long without a message we send a keep-alive (BEP 3: links end after two minutes of
    /// silence).
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
    fn memory_is_bounded_by_what_was_asked_for_or_by_the_machine() {
        let of = |memory| Limits {
            memory,
            ..Limits::default()
        };
        assert_eq!(of(Some(3 << 20)).memory(), 3 << 20);
        assert_eq!(of(Some(0)).memory(), MIN_MEMORY);
        assert!((MIN_MEMORY..=DEFAULT_MEMORY).contains(&of(None).memory()));
    }

    #[test]
    fn silence_and_keep_alives_stand_on_either_side_of_two_minutes() {
        let deadlines = Deadlines::default();
        let two_minutes = Duration::from_secs(120);
        assert!(deadlines.keep_alive < two_minutes && two_minutes < deadlines.silence);
    }
}

//! How much a peer sends and reads, over all its links.

use crate::swarm::{Bucket, UploadSlots};
use crate::system::lock;
use std::sync::Mutex;
use std::time::Instant;

/// How much a peer sends and reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// How many peers of one share are served at a time; by default as many as the rate allows, at
    /// least eight.
    pub upload_slots: Option<usize>,
    /// The most bytes of blocks a second that are sent, over all links.
    pub up: Option<u64>,
    /// The most bytes of blocks a second that are read, over all links.
    pub down: Option<u64>,
}

impl Limits {
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

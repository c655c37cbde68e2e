//! The progress of a share: verified bytes, their sources, and the download rate.

use super::block::{DISK, Sources};
use crate::swarm::Rate;
use std::collections::HashMap;
use std::time::Duration;

/// The span over which the shown rate is measured.
const SHOWN_RATE: Duration = Duration::from_secs(3);

/// The progress of one share.
#[derive(Debug)]
pub struct Progress {
    verified: u64,
    /// Verified bytes by source, as shown to a user.
    sources: HashMap<String, u64>,
    /// Bytes of blocks that arrived, verified or not.
    downloaded: u64,
    rate: Rate,
    /// When a wanted block last arrived, or when a rate limit last kept us from reading.
    last_arrival: Duration,
}

impl Progress {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            verified: 0,
            sources: HashMap::new(),
            downloaded: 0,
            rate: Rate::over(SHOWN_RATE),
            last_arrival: now,
        }
    }

    /// Verified bytes.
    pub fn verified(&self) -> u64 {
        self.verified
    }

    /// Verified bytes by source, in no order. They add up to all verified bytes.
    pub fn sources(&self) -> impl Iterator<Item = (&str, u64)> {
        let sources = self.sources.iter();
        sources.map(|(source, bytes)| (source.as_str(), *bytes))
    }

    /// Verified bytes that a peer or a web seed sent, as far as is known.
    pub fn fetched(&self) -> u64 {
        let from_disk = self.sources.get(DISK).copied().unwrap_or(0);
        self.verified - from_disk.min(self.verified)
    }

    /// Bytes of blocks that arrived from others, verified or not.
    pub fn downloaded(&self) -> u64 {
        self.downloaded
    }

    /// The recent download rate, in bytes a second.
    pub fn rate(&self, now: Duration) -> u64 {
        self.rate.bytes_per_second(now)
    }

    /// The time since a wanted block last arrived, or since a rate limit last kept us from reading.
    pub fn idle(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_arrival)
    }

    /// Continues earlier counts: recorded ones, or those of the transfer that this one replaces.
    pub(super) fn take_over(&mut self, sources: HashMap<String, u64>, downloaded: u64) {
        (self.sources, self.downloaded) = (sources, downloaded);
    }

    /// The check found this many verified bytes. Those whose sender is not known count as from
    /// [`DISK`].
    pub(super) fn on_checked(&mut self, verified: u64) {
        self.verified = verified;
        // If some of the recorded bytes no longer verify, it is not known who sent the others.
        if self.sources.values().sum::<u64>() > verified {
            self.sources.clear();
        }
        let recorded: u64 = self.sources.values().sum();
        if verified > recorded {
            *self.sources.entry(DISK.to_owned()).or_default() += verified - recorded;
        }
    }

    /// A block arrived, wanted or not.
    pub(super) fn on_block(&mut self, length: u32) {
        self.downloaded += u64::from(length);
    }

    /// A wanted block arrived.
    pub(super) fn on_wanted(&mut self, length: u32, now: Duration) {
        self.last_arrival = now;
        self.rate.add(now, length.into());
    }

    /// Nothing arrived because a rate limit kept us from reading.
    pub(super) fn mark_not_stalled(&mut self, now: Duration) {
        self.last_arrival = now;
    }

    /// A piece of this length was verified.
    pub(super) fn on_verified(&mut self, length: u32, sources: &Sources) {
        self.verified += u64::from(length);
        for (source, bytes) in sources {
            *self.sources.entry(source.to_string()).or_default() += bytes;
        }
    }
}

//! How far a share is: verified bytes, who they came from, and how fast bytes come.

use super::block::Sources;
use crate::swarm::Rate;
use std::collections::HashMap;
use std::time::Duration;

/// The source of bytes that were here at the start and that nobody is known to have sent.
const DISK: &str = "disk";
/// Over how long the rate that a person sees is taken.
const SHOWN_RATE: Duration = Duration::from_secs(3);

/// The progress of one share.
#[derive(Debug)]
pub struct Progress {
    verified: u64,
    /// Verified bytes by source, as a person sees it.
    sources: HashMap<String, u64>,
    /// Bytes of blocks that came, verified or not.
    downloaded: u64,
    rate: Rate,
    /// When a wanted block last came.
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

    /// Verified bytes that were not here at the start.
    pub fn fetched(&self) -> u64 {
        let here = self.sources.get(DISK).copied().unwrap_or(0);
        self.verified - here.min(self.verified)
    }

    /// Bytes of blocks taken from others so far, verified or not.
    pub fn downloaded(&self) -> u64 {
        self.downloaded
    }

    /// Bytes a second that came lately.
    pub fn rate(&self, now: Duration) -> u64 {
        self.rate.bytes_per_second(now)
    }

    /// For how long no wanted block has come.
    pub fn idle(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_arrival)
    }

    /// Goes on with what another counted in its place.
    pub(super) fn take_over(&mut self, sources: HashMap<String, u64>, downloaded: u64) {
        (self.sources, self.downloaded) = (sources, downloaded);
    }

    /// So many bytes were found to be good. Those that are not known to come from a peer count as
    /// from disk.
    pub(super) fn on_checked(&mut self, verified: u64) {
        self.verified = verified;
        if self.sources.values().sum::<u64>() > verified {
            self.sources.clear();
        }
        let known: u64 = self.sources.values().sum();
        if verified > known {
            *self.sources.entry(DISK.to_owned()).or_default() += verified - known;
        }
    }

    /// A block came, wanted or not.
    pub(super) fn on_block(&mut self, length: u32) {
        self.downloaded += u64::from(length);
    }

    /// A wanted block came.
    pub(super) fn on_wanted(&mut self, length: u32, now: Duration) {
        self.last_arrival = now;
        self.rate.add(now, length.into());
    }

    /// Nothing came because we did not read.
    pub(super) fn excuse(&mut self, now: Duration) {
        self.last_arrival = now;
    }

    /// A piece of so many bytes was verified.
    pub(super) fn on_verified(&mut self, length: u32, sources: &Sources) {
        self.verified += u64::from(length);
        for (source, bytes) in sources {
            *self.sources.entry(source.to_string()).or_default() += bytes;
        }
    }
}

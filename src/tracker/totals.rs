//! Counts over all swarms, for monitoring. They name no swarm and no peer.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The size of all swarms now, and the work of the tracker since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Swarms with at least one peer.
    pub swarms: usize,
    /// Peers, in all swarms together.
    pub peers: usize,
    /// Peers that have everything.
    pub seeds: usize,
    /// All other peers.
    pub leeches: usize,
    /// Announces accepted.
    pub announces: u64,
    /// Scrapes answered.
    pub scrapes: u64,
    /// Bytes uploaded, as reported by peers.
    #[serde(rename = "uploaded_bytes")]
    pub uploaded: u64,
    /// Bytes downloaded, as reported by peers.
    #[serde(rename = "downloaded_bytes")]
    pub downloaded: u64,
}

/// Counters that are updated with each event.
#[derive(Debug, Default)]
pub(super) struct Totals {
    seeds: AtomicUsize,
    announces: AtomicU64,
    scrapes: AtomicU64,
    uploaded: AtomicU64,
    downloaded: AtomicU64,
}

impl Totals {
    pub(super) fn count_announce(&self) {
        self.announces.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_scrape(&self) {
        self.scrapes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_traffic(&self, uploaded: u64, downloaded: u64) {
        if uploaded > 0 {
            self.uploaded.fetch_add(uploaded, Ordering::Relaxed);
        }
        if downloaded > 0 {
            self.downloaded.fetch_add(downloaded, Ordering::Relaxed);
        }
    }

    /// Counts a change of the number of seeds of one swarm.
    pub(super) fn update_seeds(&self, before: usize, after: usize) {
        if after > before {
            self.seeds.fetch_add(after - before, Ordering::Relaxed);
        } else if before > after {
            self.seeds.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    pub(super) fn stats(&self, swarms: usize, peers: usize) -> Stats {
        let seeds = self.seeds.load(Ordering::Relaxed);
        Stats {
            swarms,
            peers,
            seeds,
            // The counts are not read at the same instant, so there may be more seeds than peers.
            leeches: peers.saturating_sub(seeds),
            announces: self.announces.load(Ordering::Relaxed),
            scrapes: self.scrapes.load(Ordering::Relaxed),
            uploaded: self.uploaded.load(Ordering::Relaxed),
            downloaded: self.downloaded.load(Ordering::Relaxed),
        }
    }
}

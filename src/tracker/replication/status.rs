//! The state of replication, for the operator.

use super::serving::Serving;
use crate::tracker::registry::Origin;
use crate::wire::replica::TrackerNumber;
use std::time::Duration;

/// State of this tracker and of its replication with every other tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterStatus {
    /// The number of this tracker.
    pub number: TrackerNumber,
    /// Its origin.
    pub origin: Origin,
    /// Whether it serves.
    pub serving: Serving,
    /// Number of writes that wait for another tracker or the disk.
    pub waiting: usize,
    /// Number of info dictionaries (`blobs`) that a row here refers to, but that are not stored
    /// here.
    pub missing_blobs: usize,
    /// The other listed trackers, sorted by number.
    pub others: Vec<ReplicaStatus>,
}

/// State of one other tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Its number.
    pub number: TrackerNumber,
    /// Its origin, while it is connected.
    pub origin: Option<Origin>,
    /// Whether it serves clients, as last reported.
    pub serving: bool,
    /// Whether it is up to date: it has all writes of this tracker, except those in transit. A
    /// write waits until one of the trackers that are up to date confirms it.
    pub current: bool,
    /// Number of writes known here that the other tracker lacks, as it last reported. `None` after
    /// each hello from it and after each stall of this tracker, until the other tracker reports
    /// again.
    pub it_lacks: Option<u64>,
    /// Number of writes that it has reported and that are not known here.
    pub we_lack: u64,
    /// Time since its last message.
    pub silent_for: Option<Duration>,
    /// Milliseconds by which its wall clock is ahead of this tracker's.
    pub clock_ahead: Option<i64>,
}

impl ReplicaStatus {
    /// Whether it is connected.
    pub fn is_up(&self) -> bool {
        self.origin.is_some()
    }
}

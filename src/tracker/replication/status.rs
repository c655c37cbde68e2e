//! How this tracker stands with the others, for the operator.

use super::serving::Serving;
use crate::tracker::registry::Origin;
use crate::wire::replica::TrackerNumber;
use std::time::Duration;

/// How this tracker stands with the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The number of this tracker.
    pub number: TrackerNumber,
    /// Its origin.
    pub origin: Origin,
    /// Whether it serves.
    pub serving: Serving,
    /// Writes that wait for another tracker or the disk.
    pub waiting: usize,
    /// Blobs that rows name and that are not here.
    pub lacking_blobs: usize,
    /// The other trackers listed, by number.
    pub others: Vec<ReplicaStatus>,
}

/// How it stands with one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Its number.
    pub number: TrackerNumber,
    /// Its origin, while there is a line to it.
    pub origin: Option<Origin>,
    /// Whether it serves, as last told.
    pub serving: bool,
    /// Whether writes wait for it: it has all of them but those under way.
    pub current: bool,
    /// Writes known here that it lacks, as last told; none if it has not been heard of in this run.
    pub it_lacks: Option<u64>,
    /// Writes it has told of that are not known here.
    pub we_lack: u64,
    /// How long ago it was last heard of.
    pub last_contact: Option<Duration>,
    /// By how many milliseconds its wall clock is ahead of the one here.
    pub clock_ahead: Option<i64>,
}

impl ReplicaStatus {
    /// Whether there is a line to it.
    pub fn is_up(&self) -> bool {
        self.origin.is_some()
    }
}

//! How it stands with the twins, for the operator.

use super::{Moment, Replica, Serving};
use crate::tracker::registry::Origin;
use crate::wire::twin::TrackerNumber;
use std::time::Duration;

/// How it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The number of this tracker.
    pub number: TrackerNumber,
    /// Its origin.
    pub origin: Origin,
    /// Whether it serves.
    pub serving: Serving,
    /// Writes that wait for a twin or the disk.
    pub waiting: usize,
    /// Blobs that rows name and that are not here.
    pub lacking_blobs: usize,
    /// The other trackers listed, by number.
    pub twins: Vec<TwinStatus>,
}

/// How it stands with one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwinStatus {
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

impl TwinStatus {
    /// Whether there is a line to it.
    pub fn is_up(&self) -> bool {
        self.origin.is_some()
    }
}

impl Replica {
    /// How it stands now.
    pub fn status(&self, now: Moment) -> Status {
        let ours = self.registry.version_vector();
        let twins = self.twins.iter().map(|(number, twin)| {
            let (session, told) = (twin.session.as_ref(), twin.told.as_ref());
            TwinStatus {
                number: *number,
                origin: session.map(|session| session.origin),
                serving: twin.serving,
                current: session.is_some_and(|session| session.current),
                it_lacks: told.map(|told| told.behind(ours)),
                we_lack: told.map_or(0, |told| ours.behind(told)),
                last_contact: twin
                    .last_contact
                    .map(|last| now.elapsed.saturating_sub(last)),
                clock_ahead: twin.offset,
            }
        });
        Status {
            number: self.number,
            origin: self.registry.origin(),
            serving: self.serving(),
            waiting: self.writes.len(),
            lacking_blobs: self.lacking.len(),
            twins: twins.collect(),
        }
    }
}

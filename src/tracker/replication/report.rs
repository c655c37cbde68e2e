//! Reports to the operator, a line each.

use super::serving::Halt;
use crate::torrent::InfoHash;
use crate::tracker::registry::Origin;
use crate::wire::replica::TrackerNumber;
use std::time::Duration;

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Report {
    /// This tracker serves from now on.
    #[error("serving accounts and groups")]
    Serves,
    /// It refuses to serve from now on.
    #[error("refusing to serve: {0}")]
    Halted(Halt),
    /// It has stood still, and starts again.
    #[error("this tracker stood still for {} s, or its clock was set: it serves again once it knows what has changed", .passed.as_secs())]
    StoodStill {
        /// For how long, by the clock that says more.
        passed: Duration,
    },
    /// Another tracker is gone.
    #[error("lost tracker {other}: writes are kept for it")]
    Split {
        /// Which.
        other: TrackerNumber,
    },
    /// Another tracker is here, and both know the same.
    #[error("in step with tracker {other}")]
    Healed {
        /// Which.
        other: TrackerNumber,
    },
    /// The clock of another tracker differs from the own one by more than [`MAX_DRIFT`](crate::tracker::registry::MAX_DRIFT),
    /// or no longer does.
    #[error("the clock of tracker {other} is {} s {} the one here: set the wrong one", .ahead.unsigned_abs() / 1_000, way(*.ahead))]
    ClockOffset {
        /// Which.
        other: TrackerNumber,
        /// By how many milliseconds it is ahead.
        ahead: i64,
    },
    /// Writes are stamped from the future.
    #[error("writes of origin {origin} are stamped {} s in the future: a clock is or was wrong", .ahead.as_secs())]
    Drift {
        /// By which origin.
        origin: Origin,
        /// How far ahead of the own clock.
        ahead: Duration,
    },
    /// No replication with another tracker, or none that works; reported once as long as the reason stays the same.
    #[error("{}: {reason}", trouble(*.other))]
    Trouble {
        /// Which; none if it did not say, or is none that is listed.
        other: Option<TrackerNumber>,
        /// Why.
        reason: String,
    },
    /// A row names a blob that the tracker it came from has not got.
    #[error("the metainfo {info_hash} is at neither tracker; it is asked of each that comes")]
    BlobMissing {
        /// Which blob.
        info_hash: InfoHash,
    },
}

fn way(ahead: i64) -> &'static str {
    if ahead < 0 { "behind" } else { "ahead of" }
}

fn trouble(other: Option<TrackerNumber>) -> String {
    other.map_or("a tracker was turned away".to_owned(), |other| {
        format!("no replication with tracker {other}")
    })
}

//! Reports to the operator, a line each.

use super::serving::Halt;
use crate::torrent::InfoHash;
use crate::tracker::registry::Origin;
use crate::wire::replica::TrackerNumber;
use std::fmt;
use std::time::Duration;

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// This tracker serves from now on.
    Serves,
    /// It refuses to serve from now on.
    Halted(Halt),
    /// It has stood still, and starts again.
    StoodStill {
        /// For how long, by the clock that says more.
        passed: Duration,
    },
    /// Another tracker is gone.
    Split {
        /// Which.
        other: TrackerNumber,
    },
    /// Another tracker is here, and both know the same.
    Healed {
        /// Which.
        other: TrackerNumber,
    },
    /// The clock of another tracker differs from the own one by more than [`MAX_DRIFT`](crate::tracker::registry::MAX_DRIFT),
    /// or no longer does.
    ClockOffset {
        /// Which.
        other: TrackerNumber,
        /// By how many milliseconds it is ahead.
        ahead: i64,
    },
    /// Writes are stamped from the future.
    Drift {
        /// By which origin.
        origin: Origin,
        /// How far ahead of the own clock.
        ahead: Duration,
    },
    /// No replication with another tracker, or none that works; reported once as long as the reason stays the same.
    Trouble {
        /// Which; none if it did not say, or is none that is listed.
        other: Option<TrackerNumber>,
        /// Why.
        reason: String,
    },
    /// A row names a blob that the tracker it came from has not got.
    BlobMissing {
        /// Which blob.
        info_hash: InfoHash,
    },
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serves => f.write_str("serving accounts and groups"),
            Self::Halted(halt) => write!(f, "refusing to serve: {halt}"),
            Self::StoodStill { passed } => write!(
                f,
                "this tracker stood still for {} s, or its clock was set: it serves again once it knows what has changed",
                passed.as_secs()
            ),
            Self::Split { other } => write!(f, "lost tracker {other}: writes are kept for it"),
            Self::Healed { other } => write!(f, "in step with tracker {other}"),
            Self::ClockOffset { other, ahead } => {
                let seconds = ahead.unsigned_abs() / 1_000;
                let way = if *ahead < 0 { "behind" } else { "ahead of" };
                write!(
                    f,
                    "the clock of tracker {other} is {seconds} s {way} the one here: set the wrong one"
                )
            }
            Self::Drift { origin, ahead } => write!(
                f,
                "writes of origin {origin} are stamped {} s in the future: a clock is or was wrong",
                ahead.as_secs()
            ),
            Self::Trouble {
                other: Some(other),
                reason,
            } => write!(f, "no replication with tracker {other}: {reason}"),
            Self::Trouble {
                other: None,
                reason,
            } => {
                write!(f, "a tracker was turned away: {reason}")
            }
            Self::BlobMissing { info_hash } => write!(
                f,
                "the metainfo {info_hash} is at neither tracker; it is asked of each that comes"
            ),
        }
    }
}

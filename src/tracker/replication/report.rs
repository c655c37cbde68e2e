//! Reports to the operator, one log line each.

use super::serving::HaltReason;
use crate::torrent::InfoHash;
use crate::tracker::registry::{MAX_DRIFT, Origin};
use crate::wire::replica::TrackerNumber;
use std::time::Duration;

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Report {
    /// This tracker serves from now on.
    #[error("serving accounts and groups")]
    Serves,
    /// This tracker refuses to serve from now on.
    #[error("refusing to serve: {0}")]
    Halted(HaltReason),
    /// This tracker has stalled. As after a start, it serves when it has caught up.
    #[error("this tracker stalled for {} s, or its clock was set; it serves again once it has caught up", .passed.as_secs())]
    Stalled {
        /// Duration of the stall, by the clock that advanced more: the monotonic or the wall clock.
        passed: Duration,
    },
    /// This tracker got no processor for a short time, less than
    /// [`STALL_LIMIT`](super::STALL_LIMIT), and goes on.
    #[error("this tracker got no processor for {:.1} s; it goes on serving, because no other tracker has gone on without it", .passed.as_secs_f64())]
    Paused {
        /// Duration of the pause, by the clock that advanced more: the monotonic or the wall clock.
        passed: Duration,
    },
    /// The connection to another tracker is lost.
    #[error("lost tracker {other}; it receives new writes when it is back")]
    Lost {
        /// The other tracker.
        other: TrackerNumber,
    },
    /// Another tracker is connected, and both know the same writes.
    #[error("in sync with tracker {other}")]
    InSync {
        /// The other tracker.
        other: TrackerNumber,
    },
    /// The difference between the clock of another tracker and this one's has become greater than
    /// [`MAX_DRIFT`], or is no longer greater.
    #[error("{}", clock_difference(*.other, *.ahead))]
    ClockOffset {
        /// The other tracker.
        other: TrackerNumber,
        /// Milliseconds by which its clock is ahead.
        ahead: i64,
    },
    /// Writes have stamps in the future.
    #[error("writes of origin {origin} have stamps {} s in the future; a clock is or was wrong", .ahead.as_secs())]
    Drift {
        /// The origin of the writes.
        origin: Origin,
        /// How far the stamps are ahead of this tracker's clock.
        ahead: Duration,
    },
    /// This tracker has merged two starts of a machine with one counter, and has suspended it.
    #[error(
        "suspended the machine {machine}: two trackers accepted starts of it with the same number, so copies of its files may be in use; its maker decides with allow_machine or revoke_machine"
    )]
    Suspended {
        /// Its name, or its id if the name is not known.
        machine: String,
    },
    /// Replication with another tracker is not possible. Not reported again while the reason stays
    /// the same.
    #[error("{}: {reason}", trouble(*.other))]
    Trouble {
        /// The other tracker, if it introduced itself and is listed.
        other: Option<TrackerNumber>,
        /// Why.
        reason: String,
    },
    /// A row names a blob that the sender of the row does not have.
    #[error(
        "the metainfo {info_hash} is missing here and at the tracker that sent its share; every tracker that connects is asked for it"
    )]
    BlobMissing {
        /// The blob.
        info_hash: InfoHash,
    },
}

fn clock_difference(other: TrackerNumber, ahead: i64) -> String {
    let difference = Duration::from_millis(ahead.unsigned_abs());
    if difference <= MAX_DRIFT {
        return format!("the clock of tracker {other} agrees with the clock of this one again");
    }
    format!(
        "the clock of tracker {other} is {} s {} the clock of this one; correct the clock that is wrong",
        difference.as_secs(),
        direction(ahead)
    )
}

fn direction(ahead: i64) -> &'static str {
    if ahead < 0 { "behind" } else { "ahead of" }
}

fn trouble(other: Option<TrackerNumber>) -> String {
    other.map_or("a tracker was refused".to_owned(), |other| {
        format!("no replication with tracker {other}")
    })
}

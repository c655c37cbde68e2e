//! The kind of data a tracker starts with, and whether it serves.

use crate::wire::replica::TrackerNumber;

/// What to do about two trackers that run with copies of the same data folder.
pub(super) const COPY_REMEDY: &str = "start one of them with --restore, or with an empty folder, which it fills from the other trackers";

/// The kind of data a tracker starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartData {
    /// The data it had when it ended.
    Resumed,
    /// No data: the state folder is new.
    Empty,
    /// A backup, under a new origin.
    Restored,
    /// Any data. The tracker serves at once: the operator guarantees that no other tracker has
    /// newer data.
    Alone,
}

/// Whether a tracker serves clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Serving {
    /// It serves.
    #[error("serving")]
    Yes,
    /// It waits until it is in sync with another tracker.
    #[error("this tracker has just started or stalled and waits for another tracker; try again")]
    Waiting,
    /// It was restored and waits for a tracker that serves, however long that takes.
    #[error(
        "this tracker was restored and must first catch up with another tracker that serves; start it with --alone if there is none"
    )]
    Restoring,
    /// It will never serve with its present data.
    #[error(transparent)]
    Halted(HaltReason),
    /// A commit failed, so memory is ahead of the disk. `RegistryStore` sets this value.
    #[error(
        "this tracker cannot write its database, and serves again as soon as it can: its operator must look at its disk"
    )]
    Failed,
}

/// Why a tracker must not serve with its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HaltReason {
    /// Other trackers know writes of its origin that it does not know itself.
    #[error(
        "another tracker knows write {known_elsewhere} of this tracker, but this tracker itself knows only {known}: these data are an older copy; restore them with --restore, which gives them a new origin"
    )]
    Rewound {
        /// Number of the last write of its origin that this tracker knows.
        known: u64,
        /// Number of the last write of its origin that another tracker knows.
        known_elsewhere: u64,
    },
    /// Another tracker runs with a copy of this tracker's data.
    #[error("tracker {other} runs with a copy of this one's data folder; {COPY_REMEDY}")]
    Copied {
        /// The other tracker.
        other: TrackerNumber,
    },
}

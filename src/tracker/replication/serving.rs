//! With what data a tracker starts, and whether it serves.

use crate::wire::replica::TrackerNumber;

/// What kind of data a tracker starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Those it had when it ended.
    Resumed,
    /// None: a new folder.
    Empty,
    /// A backup's, under a new origin.
    Restored,
    /// Whatever they are, it serves at once: the operator says that no other tracker has newer data.
    Alone,
}

/// Whether a tracker serves clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Serving {
    /// It does.
    #[error("serving")]
    Yes,
    /// It waits to be in step with another tracker.
    #[error("this tracker has just started or stood still and waits for another one; try again")]
    Waiting,
    /// A restored one waits for a tracker that serves, as long as that takes.
    #[error(
        "this tracker was restored and waits for another one to catch up with; start it with --alone if there is none"
    )]
    Restoring,
    /// It will not serve with these data.
    #[error(transparent)]
    Halted(Halt),
    /// A commit failed, as the caller reports: memory is ahead of the disk.
    #[error("this tracker cannot write its database; its log says why")]
    Failed,
}

/// Why a tracker may not serve with its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// Others know writes of it that it does not know itself.
    #[error(
        "another tracker knows write {heard} of this one, which knows only {known}: these data are an older copy; start them by a restore, which gives them a new origin"
    )]
    Rewound {
        /// The last own write known here.
        known: u64,
        /// The own write another one knows.
        heard: u64,
    },
    /// Another tracker runs with a copy of its data.
    #[error(
        "tracker {other} runs with a copy of this one's data folder; give one of them an empty folder, which fills itself, or start it by a restore"
    )]
    Copied {
        /// Which.
        other: TrackerNumber,
    },
}

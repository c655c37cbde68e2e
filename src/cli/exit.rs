//! Exit codes of the program.

use std::fmt;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Everything succeeded.
    Success,
    /// Something failed; an error was printed.
    Failure,
    /// The arguments are wrong.
    Usage,
    /// The trackers refuse the machine of the peer for good. A restart changes nothing.
    Refused,
    /// A second signal ended the program.
    Killed,
}

impl Exit {
    /// The exit code of the process.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Killed => 130,
        }
    }

    /// Success or failure.
    pub(super) fn of(succeeded: bool) -> Self {
        if succeeded {
            Self::Success
        } else {
            Self::Failure
        }
    }
}

/// Why the program ends before it has done its work: a message for the user, and the exit code.
pub(super) type EarlyExit = (String, Exit);

/// An [`EarlyExit`] with exit code 1.
pub(super) fn early_failure(why: impl fmt::Display) -> EarlyExit {
    (why.to_string(), Exit::Failure)
}

//! How a run ends, and its exit code.

use std::fmt;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// All that was asked for succeeded.
    Success,
    /// Something failed and was told.
    Failure,
    /// The arguments make no sense together.
    Usage,
    /// A second Ctrl-C.
    Killed,
}

impl Exit {
    /// The exit code of the process.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Killed => 130,
        }
    }

    /// Whether all succeeded.
    pub(super) fn of(succeeded: bool) -> Self {
        if succeeded {
            Self::Success
        } else {
            Self::Failure
        }
    }
}

/// Why a run did not come to its work, for a person, and the exit code of that.
pub(super) type Refused = (String, Exit);

/// A run that failed before its work.
pub(super) fn failure(why: impl fmt::Display) -> Refused {
    (why.to_string(), Exit::Failure)
}

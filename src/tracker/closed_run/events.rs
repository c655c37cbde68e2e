//! Inputs and outputs of a closed run's decisions.

use crate::torrent::FileName;
use crate::wire::control::{RunErrorKind, RunNotice, RunRequest, TextLine};

/// A client's connection. The caller numbers connections and never reuses a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunConnectionId(pub u64);

/// An action for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEffect {
    /// Send this notice.
    Send(RunConnectionId, RunNotice),
    /// Close the connection after its notices have been sent. The run ignores later events of this
    /// connection.
    Close(RunConnectionId),
}

/// Result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOutcome {
    /// What went wrong, in order. Empty if all clients finished with everything they wanted.
    pub failures: Vec<TextLine>,
}

/// An error answer: its kind and its message.
pub(super) type Refused = (RunErrorKind, String);

pub(super) fn out_of_order(ask: &RunRequest) -> Refused {
    let message = format!("{} makes no sense at this point", ask.kind());
    (RunErrorKind::OutOfOrder, message)
}

pub(super) fn not_wanted(name: &FileName) -> Refused {
    let message = format!("{name} is not wanted, or is already complete or failed");
    (RunErrorKind::OutOfOrder, message)
}

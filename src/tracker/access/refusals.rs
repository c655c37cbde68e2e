//! Refusals as they are sent: each with its kind and one line that says what to do.

use super::passwords::PasswordsError;
use crate::tracker::registry::Refusal;
use crate::tracker::replication::{ReplicaError, Serving};
use crate::tracker::store::WriteError;
use crate::wire::access::{ErrorKind, Refused};
use crate::wire::control::Line;
use std::fmt::Display;

pub(super) fn refused(kind: ErrorKind, message: impl Display) -> Refused {
    Refused {
        kind,
        message: Line::new(&message.to_string()),
    }
}

/// A rule's refusal as it is sent.
pub(super) fn told(refusal: Refusal) -> Refused {
    let kind = ErrorKind::parse(refusal.kind()).unwrap_or(ErrorKind::BadRequest);
    refused(kind, refusal)
}

/// Why nothing was written, as it is sent: what the disk says is for the operator's log.
pub(super) fn unwritten(error: WriteError) -> Refused {
    match error {
        WriteError::Replica(ReplicaError::Refused(refusal)) => told(refusal),
        WriteError::Replica(error @ ReplicaError::NotServing(Serving::Waiting)) => {
            refused(ErrorKind::Starting, error)
        }
        WriteError::Replica(error @ ReplicaError::NotServing(_)) => {
            refused(ErrorKind::NotServing, error)
        }
        WriteError::Replica(error) => refused(ErrorKind::BadRequest, error),
        WriteError::NotSaved => refused(
            ErrorKind::NotSaved,
            "the tracker cannot write its database; tell its operator (its log says why), and look whether the change \
             is there once it runs again",
        ),
    }
}

pub(super) fn no_randomness() -> Refused {
    refused(
        ErrorKind::Busy,
        "the tracker's system gives no random numbers; try again",
    )
}

pub(super) fn overloaded(error: PasswordsError) -> Refused {
    log::warn!("a password was not checked: {error}");
    refused(ErrorKind::Busy, error)
}

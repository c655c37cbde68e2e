//! Refusals as they are sent: a kind, and one line that says what to do.

use super::passwords::HashingError;
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

/// The refusal of a rule as it is sent.
pub(super) fn from_refusal(refusal: Refusal) -> Refused {
    let kind = ErrorKind::parse(refusal.kind()).unwrap_or(ErrorKind::BadRequest);
    refused(kind, refusal)
}

/// A failed write as it is sent. Errors of the disk are only in the operator's log.
pub(super) fn from_write_error(error: WriteError) -> Refused {
    match error {
        WriteError::Replica(ReplicaError::Refused(refusal)) => from_refusal(refusal),
        WriteError::Replica(error @ ReplicaError::NotServing(Serving::Waiting)) => {
            refused(ErrorKind::Starting, error)
        }
        WriteError::Replica(error @ ReplicaError::NotServing(_)) => {
            refused(ErrorKind::NotServing, error)
        }
        WriteError::Replica(error) => refused(ErrorKind::BadRequest, error),
        WriteError::NotSaved => refused(
            ErrorKind::NotSaved,
            "the tracker cannot write its database; tell its operator, and when the tracker runs \
             again, check whether the change was made",
        ),
    }
}

pub(super) fn no_randomness() -> Refused {
    refused(
        ErrorKind::Busy,
        "the tracker's system has no random numbers; try again",
    )
}

pub(super) fn from_hashing_error(error: HashingError) -> Refused {
    log::warn!("a password was not checked: {error}");
    refused(ErrorKind::Busy, error)
}

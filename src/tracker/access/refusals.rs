//! Refusals as the tracker sends them: a kind, and one line of text for the user.

use super::TokenError;
use super::passwords::HashingError;
use crate::tracker::registry::{LoginTimeError, Refusal};
use crate::tracker::replication::{ReplicaError, Serving};
use crate::tracker::store::WriteError;
use crate::wire::access::{AccessErrorKind, AccessRefusal};
use crate::wire::control::TextLine;
use crate::wire::password::Password;
use std::fmt::Display;

pub(super) fn refused(kind: AccessErrorKind, message: impl Display) -> AccessRefusal {
    AccessRefusal {
        kind,
        message: TextLine::new(&message.to_string()),
        retry_seconds: None,
    }
}

/// The refusal of a request that another function answers. Not reached.
pub(super) fn not_of_this_kind() -> AccessRefusal {
    refused(
        AccessErrorKind::BadRequest,
        "this request must be sent in another way",
    )
}

/// Converts a refusal of the registry to the refusal that is sent.
pub(super) fn from_refusal(refusal: Refusal) -> AccessRefusal {
    let kind = AccessErrorKind::parse(refusal.kind()).unwrap_or(AccessErrorKind::BadRequest);
    refused(kind, refusal)
}

/// Converts the error of a write to the refusal that is sent. The details of disk errors are only
/// in the operator's log.
pub(super) fn from_write_error(error: WriteError) -> AccessRefusal {
    match error {
        WriteError::Replica(ReplicaError::Refused(refusal)) => from_refusal(refusal),
        WriteError::Replica(error @ ReplicaError::NotServing(Serving::Waiting)) => {
            refused(AccessErrorKind::Starting, error)
        }
        WriteError::Replica(error @ ReplicaError::NotServing(_)) => {
            refused(AccessErrorKind::NotServing, error)
        }
        WriteError::Replica(error) => refused(AccessErrorKind::BadRequest, error),
        WriteError::LittleSpace(_) => refused(AccessErrorKind::DiskFull, error),
        WriteError::NotSaved => refused(
            AccessErrorKind::NotSaved,
            "the tracker cannot write its database; tell its operator, and when the tracker serves \
             again, check whether the change was made",
        ),
    }
}

/// Converts the error of a token to the refusal that is sent. If the token may become valid, the
/// refusal does not end the login: a clock that is set back must not log out all peers.
pub(super) fn from_token_error(error: TokenError) -> AccessRefusal {
    let kind = match error {
        TokenError::Time(LoginTimeError::FromFuture) => AccessErrorKind::NotServing,
        _ => AccessErrorKind::SessionEnded,
    };
    refused(kind, error)
}

/// Checks a password that an account is to get. Peers check it too, with an error kind of their
/// own.
pub(super) fn check_new_password(password: &Password) -> Result<(), AccessRefusal> {
    let checked = password.check_new();
    checked.map_err(|error| refused(AccessErrorKind::BadRequest, error))
}

pub(super) fn no_randomness() -> AccessRefusal {
    refused(
        AccessErrorKind::Busy,
        "the tracker's system has no random numbers; try again",
    )
}

pub(super) fn from_hashing_error(error: HashingError) -> AccessRefusal {
    log::warn!("cannot hash or check a password: {error}");
    refused(AccessErrorKind::Busy, error)
}

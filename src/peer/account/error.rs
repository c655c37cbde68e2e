//! Why something about accounts and groups could not be done.

use crate::net::FrameIoError;
use crate::peer::TrustError;
use crate::storage::SessionFileError;
use crate::wire::access::{ErrorKind, Refused};
use crate::wire::control::ControlError;
use crate::wire::name::Label;

/// Why a command about accounts and groups failed. Each has a [`AccountError::kind`] for scripts.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Nobody is logged in at this peer.
    #[error("nobody is logged in here; login USER does that")]
    NotLoggedIn,
    /// Another user is.
    #[error("{0} is logged in here, and a peer has one user at a time; logout first")]
    LoggedIn(Label),
    /// TRACKER_INFO cannot be read, or names nobody.
    #[error("{0}")]
    TrackerInfo(String),
    /// No tracker answers.
    #[error("no tracker answers: {troubles}{}", if *.sent { "; whether it was done is not known: look before you try again" } else { "" })]
    NoTracker {
        /// What each said, or why it could not be asked.
        troubles: String,
        /// Whether one of them was asked and gave no answer.
        sent: bool,
    },
    /// A tracker is not the one it should be.
    #[error(transparent)]
    Untrusted(TrustError),
    /// The tracker refuses.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The tracker's answer is of another kind than the request.
    #[error("the tracker gave an answer that does not belong to {0}; it may be of another version")]
    OtherAnswer(&'static str),
    /// The system gives no random numbers.
    #[error(
        "this machine gives no random numbers, without which nothing can be asked for; try again"
    )]
    NoRandomness,
    /// What the tracker gave cannot be used.
    #[error("what the tracker gave cannot be used: {0}")]
    Certificate(String),
    /// Text that no share is called.
    #[error("there is no share called {0:?}; list_files shows those there are")]
    NoSuchName(String),
    /// The session cannot be read or stored.
    #[error(transparent)]
    Session(#[from] SessionFileError),
    /// A session has begun and cannot be stored.
    #[error("{0}: the session has begun all the same, and is lost when this peer ends")]
    Unstored(#[source] SessionFileError),
}

/// Why a line to a tracker gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrackerLineError {
    /// It was closed first.
    #[error("it closed the line without an answer")]
    NoAnswer,
    /// The number of another request.
    #[error("it answered to another request")]
    OtherAnswer,
    /// The line broke.
    #[error(transparent)]
    Frame(#[from] FrameIoError),
    /// No message.
    #[error("it sent no message: {0}")]
    Message(#[from] ControlError),
}

impl AccountError {
    /// The error's word in JSON, of a closed list: the tracker's own where it refused.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotLoggedIn => "not-logged-in",
            Self::LoggedIn(_) => "logged-in",
            Self::TrackerInfo(_) => "no-tracker",
            Self::NoTracker { .. } | Self::OtherAnswer(_) | Self::Certificate(_) => "unreachable",
            Self::NoRandomness => "busy",
            Self::NoSuchName(_) => "unknown-share",
            Self::Untrusted(_) => "untrusted",
            Self::Refused(refused) => refused.kind.as_str(),
            Self::Session(_) | Self::Unstored(_) => "record",
        }
    }

    /// Why a tracker refused, or would have.
    pub(in crate::peer) fn refusal(&self) -> Option<ErrorKind> {
        match self {
            Self::Refused(refused) => Some(refused.kind),
            Self::NotLoggedIn => Some(ErrorKind::NotLoggedIn),
            _ => None,
        }
    }
}

//! Errors of the control connection of a closed run.

use crate::net::FrameIoError;
use crate::peer::TrustError;
use crate::torrent::MetainfoError;
use crate::wire::control::{ControlError, PartError, RunErrorKind, TextLine};
use std::io;
use std::sync::Arc;

/// Why a request failed or the connection ended. All waiting threads get the same error, so the
/// sources are shared.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClosedRunConnectionError {
    /// The tracker cannot be reached, or is not trusted.
    #[error(transparent)]
    NoConnection(#[from] TrustError),
    /// The system cannot start a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] Arc<io::Error>),
    /// The connection broke: the tracker is dead or silent.
    #[error("the connection to the tracker is lost: {0}")]
    Lost(#[source] Arc<FrameIoError>),
    /// The frame holds no valid message.
    #[error("the tracker sent an invalid control message: {0}")]
    Message(#[from] ControlError),
    /// The tracker answered with an error.
    #[error("the tracker refuses: {message}")]
    Refused {
        /// The kind of error.
        kind: RunErrorKind,
        /// The error for a person.
        message: TextLine,
    },
    /// No answer arrived in time.
    #[error("the tracker did not answer {0} in time")]
    NoAnswer(&'static str),
    /// The answer does not fit the request.
    #[error("the tracker sent a wrong answer to {0}")]
    OtherAnswer(&'static str),
    /// The parts of an info dictionary do not fit together, or it is too large to send.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The tracker sent an info dictionary that is not valid.
    #[error(transparent)]
    Info(#[from] MetainfoError),
    /// The run has ended, with these failures.
    #[error("the run has ended")]
    Ended(Vec<TextLine>),
    /// This client closed the connection.
    #[error("this client closed the connection to the tracker")]
    Stopped,
}

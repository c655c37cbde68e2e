//! Errors of the control connection of a closed run.

use crate::net::FrameIoError;
use crate::peer::TrustError;
use crate::torrent::MetainfoError;
use crate::wire::control::{ControlError, ErrorKind, Line, PartError};
use std::io;
use std::sync::Arc;

/// Why a request failed or the connection ended. All threads that wait on a connection get the same
/// error, hence the shared sources.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RunConnectionError {
    /// The tracker cannot be reached, or is not trusted.
    #[error(transparent)]
    NoLine(#[from] TrustError),
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] Arc<io::Error>),
    /// The connection broke: the tracker is gone or silent.
    #[error("the connection to the tracker is lost: {0}")]
    Lost(#[source] Arc<FrameIoError>),
    /// The frame holds no message.
    #[error("the tracker sent no control message: {0}")]
    Message(#[from] ControlError),
    /// The tracker answered with an error.
    #[error("the tracker refuses: {message}")]
    Refused {
        /// What kind of error.
        kind: ErrorKind,
        /// The error for a person.
        message: Line,
    },
    /// No answer arrived in time.
    #[error("the tracker does not answer to {0}")]
    NoAnswer(&'static str),
    /// The answer does not fit the request.
    #[error("the tracker gave an answer that does not belong to {0}")]
    OtherAnswer(&'static str),
    /// The parts of an info dictionary do not fit together, or it is too large to be sent.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The tracker sent an info dictionary that is not valid.
    #[error(transparent)]
    Info(#[from] MetainfoError),
    /// The run has ended, with these failures.
    #[error("the run has ended")]
    Ended(Vec<Line>),
    /// This side stopped it.
    #[error("the connection to the tracker was closed here")]
    Stopped,
}

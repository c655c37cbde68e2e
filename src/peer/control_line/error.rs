//! Why something could not be had over a control line.

use crate::net::FrameIoError;
use crate::peer::TrustError;
use crate::torrent::MetainfoError;
use crate::wire::control::{ControlError, ErrorKind, Line, PartError};
use std::io;
use std::sync::Arc;

/// Why a request failed or a line ended. Everyone who waits on a line gets the same, hence the shared sources.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ControlLineError {
    /// The tracker cannot be reached, or is not trusted.
    #[error(transparent)]
    NoLine(#[from] TrustError),
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] Arc<io::Error>),
    /// The line broke: the tracker is gone or silent.
    #[error("the line to the tracker is lost: {0}")]
    Lost(#[source] Arc<FrameIoError>),
    /// What came is no message.
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
    /// No answer came in time.
    #[error("the tracker does not answer to {0}")]
    NoAnswer(&'static str),
    /// An answer of a kind that does not belong to the request.
    #[error("the tracker gave an answer that does not belong to {0}")]
    OtherAnswer(&'static str),
    /// An info dictionary's parts do not fit together, or it is too large to be sent.
    #[error(transparent)]
    Part(#[from] PartError),
    /// An info dictionary is none.
    #[error(transparent)]
    Info(#[from] MetainfoError),
    /// The run has ended, with these failures.
    #[error("the run has ended")]
    Ended(Vec<Line>),
    /// This side stopped it.
    #[error("the line to the tracker was closed")]
    Stopped,
}

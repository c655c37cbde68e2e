//! Errors of commands about accounts and groups.

use crate::certificate::{CertificateError, Fingerprint};
use crate::net::FrameIoError;
use crate::peer::TrustError;
use crate::storage::{LoginFileError, MachineFileError};
use crate::wire::JoinTrackersError;
use crate::wire::access::{AccessErrorKind, AccessRefusal};
use crate::wire::control::ControlError;
use crate::wire::machine::SubjectLabel;
use std::path::PathBuf;

/// Why a command about accounts and groups failed. Each error has an [`AccountError::kind`] for
/// scripts.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Nobody is logged in at this peer.
    #[error("nobody is logged in here; log in with login USER")]
    NotLoggedIn,
    /// Another user is logged in.
    #[error("{0} is logged in here, and a peer has one user at a time; logout first")]
    LoggedIn(SubjectLabel),
    /// The command is for persons, and this peer belongs to a machine.
    #[error(
        "this peer belongs to a machine: start a peer with another --dir, and type the command \
         there"
    )]
    OfAMachine,
    /// The token of the machine is of another cluster than the one that TRACKER_INFO pins.
    #[error(
        "TRACKER_INFO pins the fingerprint {pinned}, but the token of this machine is of the \
         cluster {cluster}: nothing was sent; use the TRACKER_INFO of that cluster"
    )]
    OtherCluster {
        /// The cluster of the token.
        cluster: Fingerprint,
        /// The cluster that TRACKER_INFO pins.
        pinned: Fingerprint,
    },
    /// TRACKER_INFO lists no trackers that a join line can carry.
    #[error("TRACKER_INFO cannot be put into a join line: {0}")]
    NoJoinLine(#[source] JoinTrackersError),
    /// The machine has not enrolled, and the peer was started without its token.
    #[error("this machine has not enrolled: start the peer with --token FILE")]
    NoToken,
    /// The files or the key of the machine cannot be used.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// TRACKER_INFO cannot be read, or names no tracker.
    #[error("{0}")]
    TrackerInfo(String),
    /// No tracker gave a final answer to the request. The text says what each one replied, or why
    /// it could not be asked.
    #[error("no tracker answers: {0}")]
    NoFinalAnswer(String),
    /// A tracker may have carried out the write, but no tracker confirmed it.
    #[error("it is not known whether this was done; {advice}: {troubles}")]
    UnknownOutcome {
        /// What each tracker replied, or why it could not be asked.
        troubles: String,
        /// How a person finds out whether the write was made.
        advice: &'static str,
    },
    /// The command was interrupted before a tracker had answered.
    #[error("interrupted before a tracker had answered")]
    Interrupted,
    /// No thread can be started for the request.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The system has no free descriptor for the connections to trackers.
    #[error(
        "cannot prepare the connections to trackers: {0}; raise the limit on open files (ulimit -n)"
    )]
    NoDescriptor(#[source] std::io::Error),
    /// A tracker cannot prove that it belongs to this cluster.
    #[error(transparent)]
    Untrusted(TrustError),
    /// The tracker refuses.
    #[error(transparent)]
    Refused(#[from] AccessRefusal),
    /// The tracker's answer does not fit the request.
    #[error("the tracker sent an answer that does not fit {0}; it may be of another version")]
    OtherAnswer(&'static str),
    /// The system returns no random numbers.
    #[error("this machine has no random numbers, and every request needs some; try again")]
    NoRandomness,
    /// What the tracker sent cannot be used.
    #[error("what the tracker sent cannot be used: {0}")]
    UnusableAnswer(String),
    /// Text that cannot be the name of a share.
    #[error("there is no share called {0:?}; list_files shows all")]
    NoSuchName(String),
    /// This peer has no share of that name.
    #[error("this peer does not share {0:?}; status shows what it shares")]
    NotHere(String),
    /// The stored login cannot be read or written.
    #[error(transparent)]
    Login(#[from] LoginFileError),
    /// The user is logged in, but the login cannot be stored.
    #[error(
        "{0}: you are logged in nevertheless, and the peer stores the login when it can; until \
         then, a restart of the peer ends it"
    )]
    Unstored(#[source] LoginFileError),
}

/// Why a peer cannot be the machine that it is to be.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The state folder is that of a machine with another token.
    #[error(
        "{} is the state folder of a machine with another token: name another folder with --dir; to \
         go on as that machine, start pieceful peer with this folder and without a token",
        .0.display()
    )]
    OtherToken(PathBuf),
    /// A person has logged in with this state folder.
    #[error(
        "{} is the state folder of a person, who has logged in there: a machine needs a folder of \
         its own, name it with --dir",
        .0.display()
    )]
    OfAPerson(PathBuf),
    /// The file with the machine cannot be read or written.
    #[error(transparent)]
    File(#[from] MachineFileError),
    /// The key cannot be made or used.
    #[error("the key of this machine cannot be used: {0}")]
    Key(#[from] CertificateError),
    /// The counter of starts has reached its end.
    #[error("this machine has started too often: join again with another --dir")]
    TooManyStarts,
}

/// Why a request on a control connection has no valid answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// The tracker closed the connection before it answered.
    #[error("it closed the connection without an answer")]
    NoAnswer,
    /// The message is neither a hint nor the reply to the request.
    #[error("it answered another request")]
    UnrelatedMessage,
    /// The connection broke.
    #[error(transparent)]
    Frame(#[from] FrameIoError),
    /// The tracker has not read the request, because it speaks another version of the protocol.
    #[error(transparent)]
    OtherProtocol(ControlError),
    /// The frame holds no message.
    #[error("it sent something that is no message: {0}")]
    Message(ControlError),
}

impl ConnectionError {
    /// Whether a time limit was over. The tracker may answer later.
    pub(super) fn is_time_out(&self) -> bool {
        use FrameIoError::{Silent, TooSlow};
        matches!(self, Self::Frame(Silent(_) | TooSlow(_)))
    }

    /// Whether the tracker may have carried out the request that was sent.
    pub(super) fn request_may_have_been_executed(&self) -> bool {
        !matches!(self, Self::OtherProtocol(_))
    }
}

impl From<ControlError> for ConnectionError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::OtherProtocol { .. } => Self::OtherProtocol(error),
            error => Self::Message(error),
        }
    }
}

impl AccountError {
    /// The `kind` of the error in JSON output. `cli/command_error.rs` lists all kinds. For a
    /// refusal, it is the kind that the tracker sent.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotLoggedIn => "not-logged-in",
            Self::LoggedIn(_) => "logged-in",
            Self::OfAMachine | Self::NoToken => "of-a-machine",
            Self::Machine(_) => "record",
            Self::TrackerInfo(_) | Self::NoJoinLine(_) => "no-tracker",
            Self::NoFinalAnswer(_) | Self::OtherAnswer(_) | Self::UnusableAnswer(_) => {
                "unreachable"
            }
            Self::UnknownOutcome { .. } => "unknown-outcome",
            Self::Interrupted => "interrupted",
            Self::Thread(_) | Self::NoDescriptor(_) => "system",
            Self::NoRandomness => "busy",
            Self::NoSuchName(_) | Self::NotHere(_) => "unknown-share",
            Self::Untrusted(_) | Self::OtherCluster { .. } => "untrusted",
            Self::Refused(refused) => refused.kind.as_str(),
            Self::Login(_) | Self::Unstored(_) => "record",
        }
    }

    /// Why a tracker refused, or would refuse.
    pub(in crate::peer) fn refusal(&self) -> Option<AccessErrorKind> {
        match self {
            Self::Refused(refused) => Some(refused.kind),
            Self::NotLoggedIn => Some(AccessErrorKind::NotLoggedIn),
            _ => None,
        }
    }
}

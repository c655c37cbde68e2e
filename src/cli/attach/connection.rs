//! Attaches to the process that holds a state folder.

use super::frames::{FrameReceiver, FrameSender, SOCKET};
use crate::net::{LocalSocketError, OtherProcess, Stop, connect_local};
use crate::storage::{StateFolder, StateKind};
use crate::system::cause;
use crate::wire::attach::{AttachReply, AttachRequest, AttachVersion, Caller};
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the socket may be missing: a process makes it right after it has locked the folder.
const SOCKET_WAIT: Duration = Duration::from_secs(2);
/// The longest wait until the process has answered the first message.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// After this time, the client says what it waits for.
const NOTE_AFTER: Duration = Duration::from_secs(2);
/// The pause between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(50);

/// A connection to the running process.
#[derive(Debug)]
pub(in crate::cli) struct Connection {
    pub(super) sender: Arc<FrameSender>,
    pub(super) receiver: FrameReceiver,
}

/// Why a client is not attached.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ConnectError {
    /// No process holds the folder any more.
    #[error("the {} of {} has just ended; start the command again", .0.word(), .1.display())]
    Ended(StateKind, PathBuf),
    /// The process that holds the folder has no socket.
    #[error(
        "{} is in use by another process, which accepts no commands from outside: it may be another version of pieceful, \
         or have started with a warning; stop that one or choose another folder",
        .0.display()
    )]
    NoSocket(PathBuf),
    /// The process does not answer.
    #[error(
        "the {} of {} (process {pid}) does not answer within {} s; it may be stopped (kill -CONT {pid}) or overloaded",
        .kind.word(), .folder.display(), ANSWER_WAIT.as_secs()
    )]
    Silent {
        kind: StateKind,
        folder: PathBuf,
        pid: i32,
    },
    /// As many connections as can wait do so, and the process accepts none.
    #[error(
        "the {} of {} does not answer within {} s; it may be stopped or overloaded",
        .0.word(), .1.display(), ANSWER_WAIT.as_secs()
    )]
    Full(StateKind, PathBuf),
    /// The process has another version.
    #[error(
        "the running {kind} has version {} of pieceful (attach protocol {}), and this program has version {} (attach protocol {}); \
         use that version, or start the {kind} again with this one",
        .theirs.program, .theirs.protocol, .ours.program, .ours.protocol, kind = .kind.word()
    )]
    OtherVersion {
        kind: StateKind,
        theirs: AttachVersion,
        ours: AttachVersion,
    },
    /// The process refuses, for this reason.
    #[error("the running {} refuses the command: {reason}", .kind.word())]
    Refused { kind: StateKind, reason: String },
    /// The other side sends something else.
    #[error("the process that uses {} sends what is not an answer: {why}", .folder.display())]
    Foreign { folder: PathBuf, why: String },
    /// The socket cannot be used.
    #[error("cannot attach to the process that uses {}: {source}", .folder.display())]
    Socket {
        folder: PathBuf,
        source: LocalSocketError,
    },
    /// The user stops this client.
    #[error("stopped before the command was attached")]
    Stopped,
}

/// Attaches to the process of this kind that holds `folder`. `note` is called if that takes long.
///
/// # Errors
/// See [`ConnectError`].
pub(in crate::cli) fn connect(
    kind: StateKind,
    folder: &Path,
    caller: Caller,
    stop: &Stop,
    note: impl Fn(&str),
) -> Result<Connection, ConnectError> {
    let (stream, other) = open(kind, folder, stop)?;
    let io_error = |error: io::Error| unusable(folder, error.into());
    let mut receiver = FrameReceiver::new(stream.try_clone().map_err(io_error)?);
    let sender = Arc::new(FrameSender::new(stream));
    let hello = AttachRequest::Hello(caller).encode();
    let sent = sender.send(&hello);
    receiver.set_limit(Some(PAUSE)).map_err(io_error)?;
    let begun = Instant::now();
    let mut is_noted = false;
    let answer = loop {
        match receiver.next() {
            Ok(Some(body)) => break body,
            // A refusal arrives although the other side did not read our message.
            Ok(None) if sent.is_ok() => {
                return Err(ConnectError::Ended(kind, folder.to_owned()));
            }
            Ok(None) => return Err(ConnectError::NoSocket(folder.to_owned())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => {
                let (folder, why) = (folder.to_owned(), cause(&error));
                return Err(ConnectError::Foreign { folder, why });
            }
        }
        if stop.is_stopped() {
            return Err(ConnectError::Stopped);
        }
        if begun.elapsed() >= ANSWER_WAIT {
            let folder = folder.to_owned();
            let pid = other.pid;
            return Err(ConnectError::Silent { kind, folder, pid });
        }
        if !is_noted && begun.elapsed() >= NOTE_AFTER {
            is_noted = true;
            let (word, pid) = (kind.word(), other.pid);
            note(&format!(
                "waiting for the running {word} (process {pid}) to answer; Ctrl-C stops"
            ));
        }
    };
    receiver.set_limit(None).map_err(io_error)?;
    check_welcome(kind, folder, &answer)?;
    Ok(Connection { sender, receiver })
}

/// Checks the first message of the process.
fn check_welcome(kind: StateKind, folder: &Path, body: &[u8]) -> Result<(), ConnectError> {
    let folder = folder.to_owned();
    let foreign = |why: String| ConnectError::Foreign { folder, why };
    let ours = AttachVersion::ours();
    let theirs = AttachVersion::of_first_message(body);
    let theirs = match theirs {
        Ok(theirs) => theirs,
        Err(error) => return Err(foreign(error.to_string())),
    };
    if theirs.protocol != ours.protocol {
        return Err(ConnectError::OtherVersion { kind, theirs, ours });
    }
    match AttachReply::decode(body) {
        Ok(AttachReply::Welcome { .. }) => Ok(()),
        Ok(AttachReply::Refused { reason, .. }) => {
            let reason = reason.as_str().to_owned();
            Err(ConnectError::Refused { kind, reason })
        }
        Ok(_) => Err(foreign("its first message is not welcome".to_owned())),
        Err(error) => Err(foreign(error.to_string())),
    }
}

fn unusable(folder: &Path, source: LocalSocketError) -> ConnectError {
    let folder = folder.to_owned();
    ConnectError::Socket { folder, source }
}

/// Opens the socket. Waits while the process that holds the folder makes it.
fn open(
    kind: StateKind,
    folder: &Path,
    stop: &Stop,
) -> Result<(UnixStream, OtherProcess), ConnectError> {
    let begun = Instant::now();
    loop {
        let error = match connect_local(folder, SOCKET) {
            Ok(connected) => return Ok(connected),
            Err(LocalSocketError::Io(error)) => error,
            Err(error) => return Err(unusable(folder, error)),
        };
        let limit = match error.kind() {
            // There is no socket, or only that of a process that was killed.
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => SOCKET_WAIT,
            // Too many clients wait already.
            ErrorKind::WouldBlock => ANSWER_WAIT,
            _ => return Err(unusable(folder, error.into())),
        };
        if !StateFolder::is_in_use(folder) {
            return Err(ConnectError::Ended(kind, folder.to_owned()));
        }
        if begun.elapsed() >= limit {
            return Err(match error.kind() {
                ErrorKind::WouldBlock => ConnectError::Full(kind, folder.to_owned()),
                _ => ConnectError::NoSocket(folder.to_owned()),
            });
        }
        if stop.wait(PAUSE) {
            return Err(ConnectError::Stopped);
        }
    }
}

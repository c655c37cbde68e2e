//! The errors of commands, and the list of all error kinds in JSON output.

use super::words::SplitWordsError;
use crate::peer::{AccountError, PeerError, Repair, Verified};
use crate::wire::access::{AccessErrorKind, ERROR_KINDS};
use crate::wire::password::PasswordError;

/// The error kinds that a peer finds by itself, each with its meaning. Scripts rely on this list:
/// kinds may be added, but no kind changes its meaning or is removed.
pub(super) const PEER_KINDS: &[(&str, &str)] = &[
    (
        "syntax",
        "the line cannot be split into words, or is not UTF-8 text",
    ),
    ("unknown-command", "there is no command of that name"),
    (
        "arguments",
        "too few or too many arguments, or one that the command cannot read",
    ),
    (
        "interrupted",
        "the command or the peer was stopped before the command was done",
    ),
    (
        "process-ended",
        "the process to which the command is attached has ended: the command may have been carried out",
    ),
    (
        "download-failed",
        "one of the downloads covered by wait has failed",
    ),
    (
        "not-complete",
        "one of the downloads covered by wait, or what wait_for waits for, was not complete in time",
    ),
    (
        "withdrawn",
        "the version that wait_for waits for was withdrawn",
    ),
    (
        "no-mirror",
        "wait_for would wait for all machines that mirror the group, and there is none",
    ),
    (
        "damaged",
        "verify has found files that are bad or missing, and does not repair them",
    ),
    (
        "unfinished",
        "the download is not complete, so verify cannot check it",
    ),
    ("no-such-download", "no unfinished download has that name"),
    (
        "no-such-share",
        "no share or download of an open swarm has that name",
    ),
    (
        "several-shares",
        "several shares have that name; use the info-hash instead",
    ),
    (
        "already",
        "this peer shares or downloads the file or folder already, in another place or way",
    ),
    ("bad-torrent", "the .torrent is malformed or unsafe"),
    ("nothing-chosen", "no file of the torrent matches --only"),
    (
        "bad-magnet",
        "the magnet link is malformed, or names no swarm that this peer can join",
    ),
    ("create", "no torrent can be made of the file or folder"),
    (
        "file",
        "a file named in the command cannot be read or written",
    ),
    ("storage", "the files of a share or download cannot be used"),
    ("record", "the state folder cannot be written"),
    ("no-tracker", "no tracker is known"),
    ("listen", "the peer cannot listen on the address"),
    ("system", "the system refused a thread or another resource"),
    ("stopping", "the peer is stopping"),
    ("bad-name", "no user or group can have that name"),
    (
        "bad-password",
        "no password was given, or it is not allowed, or was typed differently the second time",
    ),
    (
        "of-a-group",
        "the torrent belongs to a group; only members can download it",
    ),
    (
        "exists",
        "another file or folder is at the destination already",
    ),
    (
        "no-holder",
        "no peer has anything of the version of the share that was named",
    ),
    (
        "mirrored",
        "the folder belongs to another mirror, or the group is mirrored into another folder",
    ),
    ("not-mirrored", "the group is not mirrored here"),
    (
        "nothing-to-confirm",
        "status has shown no removal of shares that waits for a confirmation",
    ),
    ("logged-in", "another user is logged in at this peer"),
    (
        "of-a-machine",
        "the peer belongs to a machine, and the command is for persons or needs the machine's token",
    ),
    (
        "unknown-outcome",
        "a tracker received the command and did not answer: it may have been carried out",
    ),
    ("unreachable", "no tracker answers as it should"),
    (
        "untrusted",
        "the tracker's fingerprint is not the expected one",
    ),
];

/// All kinds: those that a peer finds by itself, then the refusals of a tracker.
pub(super) fn kinds() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    PEER_KINDS.iter().chain(ERROR_KINDS)
}

/// Why a command failed. Every variant has a kind of [`kinds`].
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// The line cannot be split into words.
    #[error(transparent)]
    Words(#[from] SplitWordsError),
    /// The line is not UTF-8.
    #[error("the line is not UTF-8 text; nothing was done")]
    NotText,
    /// The table has no such command.
    #[error("unknown command \"{word}\"; {}", suggestion(.nearest))]
    Unknown {
        /// As typed, made safe for a terminal.
        word: String,
        /// The command that was probably meant.
        nearest: Option<&'static str>,
    },
    /// Wrong arguments: what is wrong, and the command's usage.
    #[error("{0}; usage: {1}")]
    Arguments(String, String),
    /// The command or the peer was stopped: the command, and how far it got.
    #[error("{0}: {1}")]
    Interrupted(String, &'static str),
    /// The process to which the command is attached has ended.
    #[error(
        "{0}: the running process has ended before the command was done; it may have been carried out"
    )]
    ProcessEnded(String),
    /// `NAME: REASON` of each download that failed, then `NAME: STATE` of each that was not
    /// complete in time.
    #[error("{}", .0.join("; "))]
    DownloadFailed(Vec<String>),
    /// `NAME: STATE` of each download that was not complete in time; or what `wait_for` lacks.
    #[error("{}", .0.join("; "))]
    NotComplete(Vec<String>),
    /// The name of the version for which `wait_for` has waited.
    #[error("{0} was withdrawn, so no further machine gets it; list_files shows what is there")]
    Withdrawn(String),
    /// `wait_for` has no machine to wait for.
    #[error("no machine mirrors {group}{}", no_mirror(.not_seen))]
    NoMirror {
        /// The group.
        group: String,
        /// The machines that mirror it and were not seen in the last hour.
        not_seen: Vec<String>,
    },
    /// `verify` has found bad files, which are not repaired.
    #[error("{}", damage(.0))]
    Damaged(Box<Verified>),
    /// A name that no user or group can have.
    #[error("{0}")]
    BadName(String),
    /// A password that is not allowed.
    #[error(transparent)]
    BadPassword(#[from] PasswordError),
    /// The two passwords typed are not the same.
    #[error("the two passwords differ; nothing was changed, try again")]
    PasswordsDiffer,
    /// Input ended before the password.
    #[error(
        "a password is missing; type it at the prompt, or write it as the next line of standard input"
    )]
    NoPassword,
    /// The line with the password cannot be read, for this reason.
    #[error("the password cannot be read: {0}")]
    UnreadablePassword(String),
    /// A command about accounts and groups failed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Any other command failed.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

/// Whether a failed command can succeed if it is tried again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prospect {
    /// It cannot, unless a person does something.
    Never,
    /// It can. For example, no tracker was reachable, or the tracker cannot answer now.
    TryAgain,
    /// It need not be tried again: what it asks for is under way, or was done before, perhaps in
    /// another place or way.
    NothingToDo,
}

impl CommandError {
    /// `command` had begun when it was interrupted, or when the peer was stopped.
    pub(super) fn cut_short(command: &str) -> Self {
        Self::Interrupted(command.to_owned(), "stopped before it was done")
    }

    /// `command` came after the peer, or the attached client, was stopped.
    pub(super) fn not_run(command: &str) -> Self {
        Self::Interrupted(command.to_owned(), "not run, because of a request to stop")
    }

    /// `command` came after the process to which it would be attached had ended.
    pub(super) fn not_run_without_process(command: &str) -> Self {
        Self::Interrupted(
            command.to_owned(),
            "not run, because the running process has ended",
        )
    }

    /// Whether this is an [`AccountError`]. Its message says whether the command may have been
    /// carried out.
    pub(super) fn is_account_error(&self) -> bool {
        matches!(self, Self::Account(_) | Self::Peer(PeerError::Account(_)))
    }

    /// The error kind: one of [`kinds`].
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Words(_) | Self::NotText => "syntax",
            Self::Unknown { .. } => "unknown-command",
            Self::Arguments(..) => "arguments",
            Self::Interrupted(..) => "interrupted",
            Self::ProcessEnded(_) => "process-ended",
            Self::DownloadFailed(_) => "download-failed",
            Self::NotComplete(_) => "not-complete",
            Self::Withdrawn(_) => "withdrawn",
            Self::NoMirror { .. } => "no-mirror",
            Self::Damaged(_) => "damaged",
            Self::BadName(_) => "bad-name",
            Self::BadPassword(_)
            | Self::PasswordsDiffer
            | Self::NoPassword
            | Self::UnreadablePassword(_) => "bad-password",
            Self::Account(error) => error.kind(),
            Self::Peer(error) => error.kind(),
        }
    }

    /// Whether the same command can succeed later.
    pub(super) fn prospect(&self) -> Prospect {
        let account = match self {
            Self::NotComplete(_) | Self::Peer(PeerError::Already { .. }) => {
                return Prospect::NothingToDo;
            }
            // TRACKER_INFO may be written later.
            Self::Peer(PeerError::NoTracker(_)) => return Prospect::TryAgain,
            Self::Account(error) => error,
            Self::Peer(PeerError::Account(error)) => &**error,
            _ => return Prospect::Never,
        };
        match account {
            // The command may have been carried out: only a person can find out.
            AccountError::UnknownOutcome { .. } => Prospect::Never,
            AccountError::NoFinalAnswer(_)
            | AccountError::TrackerInfo(_)
            | AccountError::OtherAnswer(_)
            | AccountError::UnusableAnswer(_)
            | AccountError::NoRandomness => Prospect::TryAgain,
            AccountError::Refused(refused) => match refused.kind {
                AccessErrorKind::Busy
                | AccessErrorKind::DiskFull
                | AccessErrorKind::Full
                | AccessErrorKind::IdInUse
                // The machine asks again until a person has answered.
                | AccessErrorKind::MachineSuspended
                | AccessErrorKind::NotServing
                | AccessErrorKind::SlowDown
                | AccessErrorKind::Starting
                // Another tracker may know the machine.
                | AccessErrorKind::UnknownMachine
                | AccessErrorKind::UnknownToken => Prospect::TryAgain,
                AccessErrorKind::AlreadyAMember | AccessErrorKind::AlreadyRequested => {
                    Prospect::NothingToDo
                }
                _ => Prospect::Never,
            },
            _ => Prospect::Never,
        }
    }

    /// Whether the same command can succeed later, without a person.
    pub(super) fn can_succeed_later(&self) -> bool {
        self.prospect() == Prospect::TryAgain
    }

    /// The message as lines of text: one per download if several downloads failed.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::DownloadFailed(each) | Self::NotComplete(each) => each.clone(),
            Self::Damaged(verified) => {
                let each = verified.faults.iter().map(ToString::to_string);
                each.chain([self.to_string()]).collect()
            }
            other => vec![other.to_string()],
        }
    }
}

/// What to do if no machine mirrors a group.
fn no_mirror(not_seen: &[String]) -> String {
    match not_seen {
        [] => "; --on N waits for any N machines".to_owned(),
        _ => format!(
            " that was seen in the last hour; --strict waits for the others: {}",
            not_seen.join("; ")
        ),
    }
}

/// What `verify` has found, and what to do.
fn damage(verified: &Verified) -> String {
    let advice = match &verified.repair {
        Repair::Not(advice) => advice,
        Repair::NotNeeded | Repair::Begun => "",
    };
    format!(
        "{}: {} of {} files are bad; {advice}",
        verified.name,
        verified.faults.len(),
        verified.files
    )
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    match nearest {
        Some(name) => format!("did you mean {name}?"),
        None => "help lists all commands".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::path::PathBuf;

    #[test]
    fn every_kind_is_in_the_list_once() {
        let source = || io::Error::other("x");
        let failures = [
            CommandError::Words(SplitWordsError::Backslash),
            CommandError::NotText,
            CommandError::Unknown {
                word: "x".into(),
                nearest: None,
            },
            CommandError::Arguments("x".into(), "y".into()),
            CommandError::Interrupted("x".into(), "y"),
            CommandError::ProcessEnded("x".into()),
            CommandError::DownloadFailed(Vec::new()),
            CommandError::NotComplete(Vec::new()),
            CommandError::Withdrawn("x@1".into()),
            CommandError::NoMirror {
                group: "lab".into(),
                not_seen: Vec::new(),
            },
            PeerError::Listen {
                address: ([127, 0, 0, 1], 1).into(),
                source: source(),
            }
            .into(),
            PeerError::Thread(source()).into(),
            PeerError::File {
                path: PathBuf::new(),
                source: source(),
            }
            .into(),
            PeerError::Torrent {
                path: PathBuf::new(),
                source: crate::torrent::MetainfoError::NoFiles,
            }
            .into(),
            PeerError::NothingChosen(crate::torrent::NothingChosen {
                patterns: Vec::new(),
            })
            .into(),
            PeerError::Magnet(crate::torrent::MagnetError::NotMagnet).into(),
            PeerError::Metadata(crate::torrent::MetainfoError::NoFiles).into(),
            PeerError::OfGroup(PathBuf::new()).into(),
            PeerError::NoTracker("x".into()).into(),
            PeerError::Create(crate::storage::CreateError::Empty(PathBuf::new())).into(),
            PeerError::Store(crate::storage::StoreError::Stopped).into(),
            PeerError::Already {
                name: "x".into(),
                what: "shared".into(),
                path: PathBuf::new(),
                advice: String::new(),
            }
            .into(),
            PeerError::NoSuchDownload("x".into()).into(),
            PeerError::Complete("x".into(), "y".into()).into(),
            PeerError::NoSuchShare("x".into()).into(),
            PeerError::SeveralShares("x".into(), "y".into()).into(),
            PeerError::Stopping.into(),
            PeerError::NoHolder("x@1".into()).into(),
            PeerError::OwnShare {
                name: "x".into(),
                path: PathBuf::new(),
            }
            .into(),
        ];
        for failure in &failures {
            let found = kinds().filter(|(kind, _)| *kind == failure.kind());
            assert_eq!(found.count(), 1, "{failure:?}");
        }
    }
}

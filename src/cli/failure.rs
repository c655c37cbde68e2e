//! Why a command failed, and the closed list of kinds that scripts see in JSON.

use super::words::WordsError;
use crate::peer::{AccountError, PeerError};
use crate::wire::access::ERROR_KINDS;
use crate::wire::password::PasswordError;

/// Every `kind` an error in JSON can have, and what it means. A script may rely on this list: kinds may be added to it,
/// none changes its meaning.
const KINDS: &[(&str, &str)] = &[
    (
        "syntax",
        "the line cannot be split into words, or is no UTF-8 text",
    ),
    ("unknown-command", "there is no command of that name"),
    (
        "arguments",
        "a command got too few or too many words, or one it cannot read",
    ),
    (
        "interrupted",
        "the peer was told to stop before the command was done",
    ),
    ("download-failed", "a download that wait covers failed"),
    (
        "not-complete",
        "a download that wait covers was not complete in time",
    ),
    (
        "no-such-download",
        "there is no unfinished download of that name",
    ),
    (
        "no-such-share",
        "nothing of that name is shared or downloaded in an open swarm",
    ),
    (
        "several-shares",
        "more than one share has that name; their info-hashes tell them apart",
    ),
    ("already", "it is shared or downloading already"),
    ("bad-torrent", "the .torrent is malformed or unsafe"),
    ("nothing-chosen", "no file is meant by --only"),
    (
        "bad-magnet",
        "the magnet link is malformed, or names no swarm that can be joined",
    ),
    ("create", "no torrent can be made of the file or folder"),
    (
        "file",
        "a file that the command names cannot be read or written",
    ),
    ("storage", "the files of a share or download cannot be used"),
    ("record", "the state folder cannot be written"),
    ("no-tracker", "no tracker is known"),
    ("listen", "the address cannot be bound"),
    ("system", "the system refused a thread or another resource"),
    ("stopping", "the peer is ending"),
    ("bad-name", "the name is none that a user or group can have"),
    (
        "bad-password",
        "no password was given, or one that cannot be",
    ),
    (
        "of-a-group",
        "the torrent is a group's, for its members only",
    ),
    (
        "exists",
        "something else stands where the download is to go",
    ),
    ("logged-in", "another user is logged in at this peer"),
    ("unreachable", "no tracker answers as it should"),
    (
        "untrusted",
        "the tracker has another fingerprint than it should have",
    ),
];

/// The whole list: what a peer finds by itself, then what a tracker refuses.
pub(super) fn kinds() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    KINDS.iter().chain(ERROR_KINDS)
}

/// Why a command failed. Every variant has a kind of [`KINDS`].
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The line cannot be split.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// The line is not UTF-8.
    #[error("the line is not UTF-8 text")]
    NotText,
    /// No such command.
    #[error("there is no command \"{word}\"{}; help lists all", suggestion(.nearest))]
    Unknown {
        /// As typed, made fit for a terminal.
        word: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// Too few or too many words.
    #[error("{0}; usage: {1}")]
    Arguments(String, String),
    /// The peer was told to stop; the command, and how far it was.
    #[error("{0}: {1}")]
    Interrupted(String, &'static str),
    /// Downloads that failed (and perhaps others that were not complete in time), each with its reason.
    #[error("{}", .0.join("; "))]
    DownloadFailed(Vec<String>),
    /// Downloads that were not complete in time, each with what is known of it.
    #[error("{}", .0.join("; "))]
    NotComplete(Vec<String>),
    /// A download that shall be cancelled is complete.
    #[error(
        "{0} is complete, so there is nothing to cancel; it stays and is shared: stop_share {1} {0} ends that"
    )]
    Complete(String, String),
    /// A name that no user or group can have.
    #[error("{0}")]
    BadName(String),
    /// A password that cannot be one.
    #[error(transparent)]
    BadPassword(#[from] PasswordError),
    /// The two passwords typed are not the same.
    #[error("the two passwords are not the same; nothing was changed")]
    PasswordsDiffer,
    /// No password came.
    #[error(
        "a password is asked for: give it at the prompt, or as the next line of standard input"
    )]
    NoPassword,
    /// Something about accounts and groups.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The peer refused.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

impl Failure {
    /// `command` runs and is ended by a wish to stop.
    pub(super) fn cut_short(command: &str) -> Self {
        Self::Interrupted(command.to_owned(), "stopped before it was done")
    }

    /// `command` comes after a wish to stop.
    pub(super) fn not_run(command: &str) -> Self {
        Self::Interrupted(command.to_owned(), "not run, as the peer was told to stop")
    }

    /// The word for it in JSON: one of [`KINDS`].
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Words(_) | Self::NotText => "syntax",
            Self::Unknown { .. } => "unknown-command",
            Self::Arguments(..) => "arguments",
            Self::Interrupted(..) => "interrupted",
            Self::DownloadFailed(_) => "download-failed",
            Self::NotComplete(_) => "not-complete",
            Self::Complete(..) => "no-such-download",
            Self::BadName(_) => "bad-name",
            Self::BadPassword(_) | Self::PasswordsDiffer | Self::NoPassword => "bad-password",
            Self::Account(error) => error.kind(),
            Self::Peer(error) => error.kind(),
        }
    }

    /// The message as lines for a person, one a download where there are several.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::DownloadFailed(each) | Self::NotComplete(each) => each.clone(),
            other => vec![other.to_string()],
        }
    }
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean {name}?"))
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
            Failure::Words(WordsError::Backslash),
            Failure::NotText,
            Failure::Unknown {
                word: "x".into(),
                nearest: None,
            },
            Failure::Arguments("x".into(), "y".into()),
            Failure::Interrupted("x".into(), "y"),
            Failure::DownloadFailed(Vec::new()),
            Failure::NotComplete(Vec::new()),
            Failure::Complete("x".into(), "-".into()),
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
            PeerError::NoSuchShare("x".into()).into(),
            PeerError::SeveralShares("x".into(), "y".into()).into(),
            PeerError::Stopping.into(),
        ];
        for failure in &failures {
            let found = kinds().filter(|(kind, _)| *kind == failure.kind());
            assert_eq!(found.count(), 1, "{failure:?}");
        }
    }
}

//! What can go wrong with a command of a peer.

use super::AccountError;
use crate::certificate::CertificateError;
use crate::storage::{CreateError, RecordError, StoreError};
use crate::torrent::{MagnetError, MetainfoError, NothingChosen};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a command of a peer failed. Each has a [`PeerError::kind`] for scripts.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The address to listen on cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// A file that a command names cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A `.torrent` that cannot be taken.
    #[error("{}: {source}", path.display())]
    Torrent {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: MetainfoError,
    },
    /// Patterns that choose no file.
    #[error(transparent)]
    NothingChosen(#[from] NothingChosen),
    /// Text that is no magnet link, or one that cannot be followed.
    #[error(transparent)]
    Magnet(#[from] MagnetError),
    /// Metadata that has the hash of a magnet link and cannot be taken all the same.
    #[error("the metadata cannot be taken: {0}")]
    Metadata(#[source] MetainfoError),
    /// No tracker is known, so nobody would hear of a share.
    #[error("{0}")]
    NoTracker(String),
    /// Making a metainfo failed.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The files of a share or download cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What a command said could not be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The same content is shared or downloaded already.
    #[error("{name} is already {what} here: {}{advice}", path.display())]
    Already {
        /// The share's name.
        name: String,
        /// "shared" or "downloading", and how much of it.
        what: String,
        /// Where it is or will be.
        path: PathBuf,
        /// What can be done, if more was asked for.
        advice: String,
    },
    /// No download of that name.
    #[error("there is no download called {0:?}; show_downloads lists them")]
    NoSuchDownload(String),
    /// Nothing of that name is shared or downloaded in an open swarm.
    #[error(
        "nothing called {0:?} is shared or downloaded here in an open swarm; status lists all, and stop_share GROUP NAME ends what is a group's"
    )]
    NoSuchShare(String),
    /// Several shares have that name.
    #[error("more than one share is called {0:?}; name one by its info-hash: {1}")]
    SeveralShares(String, String),
    /// A torrent that only members of a group can download.
    #[error("{} is of a group, and only its members can have it: log in and use download_file", .0.display())]
    OfGroup(PathBuf),
    /// Something else stands at the destination.
    #[error("{} exists already and is not what the share is: move it away, choose another destination, or say --force to replace it", .0.display())]
    OtherContent(PathBuf),
    /// Something of another kind stands at the destination; not even `--force` replaces it.
    #[error("{} is {found} and the share is {share}: neither replaces the other; move it away or choose another destination", path.display())]
    OtherKind {
        /// The destination.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What the share is.
        share: &'static str,
    },
    /// No key can be made.
    #[error("cannot make a key: {0}")]
    Key(#[source] CertificateError),
    /// Something about the user, accounts or groups.
    #[error(transparent)]
    Account(#[from] Box<AccountError>),
    /// The peer is ending.
    #[error("the peer is stopping")]
    Stopping,
}

impl From<AccountError> for PeerError {
    fn from(error: AccountError) -> Self {
        Self::Account(Box::new(error))
    }
}

impl PeerError {
    /// For a file that a command names.
    pub(super) fn file(path: &Path) -> impl Fn(io::Error) -> Self + Copy {
        |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }

    /// For what is here already.
    pub(super) fn already(name: &str, what: &str, path: PathBuf) -> Self {
        Self::Already {
            name: name.to_owned(),
            what: what.to_owned(),
            path,
            advice: String::new(),
        }
    }

    /// The error's word in JSON, of a closed list.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "listen",
            Self::Thread(_) | Self::Key(_) => "system",
            Self::File { .. } => "file",
            Self::Torrent { .. } | Self::Metadata(_) => "bad-torrent",
            Self::NothingChosen(_) => "nothing-chosen",
            Self::Magnet(_) => "bad-magnet",
            Self::NoTracker(_) => "no-tracker",
            Self::Create(_) => "create",
            Self::Store(_) => "storage",
            Self::Record(_) => "record",
            Self::Already { .. } => "already",
            Self::NoSuchDownload(_) => "no-such-download",
            Self::NoSuchShare(_) => "no-such-share",
            Self::SeveralShares(..) => "several-shares",
            Self::OfGroup(_) => "of-a-group",
            Self::OtherContent(_) | Self::OtherKind { .. } => "exists",
            Self::Account(error) => error.kind(),
            Self::Stopping => "stopping",
        }
    }
}

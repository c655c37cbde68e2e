//! The errors of a peer's commands.

use super::AccountError;
use crate::certificate::CertificateError;
use crate::storage::{CreateError, FileError, KnownMembersError, RecordError, StoreError};
use crate::system::cause;
use crate::torrent::{MagnetError, MetainfoError, NothingChosen};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a command of a peer failed. [`PeerError::kind`] is for scripts.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The address to listen on cannot be bound.
    #[error("cannot listen on {address}: {}", cause(.source))]
    Listen {
        /// The requested address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The system cannot start a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// A file that a command names cannot be read or written.
    #[error("{}: {}", path.display(), cause(.source))]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A `.torrent` file that is not valid.
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
    /// Text that is not a valid or supported magnet link.
    #[error(transparent)]
    Magnet(#[from] MagnetError),
    /// Metadata that has the info-hash of a magnet link but is not valid.
    #[error("the metadata cannot be used: {0}")]
    Metadata(#[source] MetainfoError),
    /// No tracker is known, so no peer would learn of the share.
    #[error("{0}")]
    NoTracker(String),
    /// The metainfo of a share cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The files of a share or download cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The share was complete, and its files are missing. The text says which, and what to do.
    #[error("{0}")]
    FilesMissing(String),
    /// The result of a command cannot be recorded in the state folder.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What the peer knows of members of its groups cannot be read.
    #[error(transparent)]
    KnownMembers(#[from] KnownMembersError),
    /// What the peer keeps about its mirrors cannot be written.
    #[error(transparent)]
    Mirrors(FileError),
    /// A mirror has another folder, or the folder of another mirror is in the way.
    #[error(
        "the group {group} is mirrored into {}, and the folders of two mirrors are never the same or inside each \
         other, nor does a mirror move: choose another folder, or run unmirror {group} first",
        folder.display()
    )]
    Mirrored {
        /// The group that is mirrored.
        group: String,
        /// Its folder.
        folder: PathBuf,
    },
    /// A mirror wanted to fetch a version of a share that is no longer the newest one.
    #[error("there is another version of {0} by now")]
    OtherVersion(String),
    /// `status` has shown no removal that waits for a confirmation.
    #[error(
        "no removal of shares of the group {0} waits for a confirmation that status has shown; look at status first"
    )]
    NothingToConfirm(String),
    /// The group is not mirrored.
    #[error("the group {0} is not mirrored here; status lists the mirrors")]
    NotMirrored(String),
    /// The same content is already shared or being downloaded.
    #[error("{name} is already {what} here: {}{advice}", path.display())]
    Already {
        /// The share's name.
        name: String,
        /// What the share is here, such as "shared" or "downloading", and how many of its files
        /// are chosen.
        what: String,
        /// Its current or future path.
        path: PathBuf,
        /// What the user can do, if the command asked for more files.
        advice: String,
    },
    /// No download has that name.
    #[error("there is no download called {0:?}; show_downloads lists them")]
    NoSuchDownload(String),
    /// A download that cannot be cancelled, because it is complete: its name, and the command that
    /// ends it.
    #[error("{0} is complete; cancel cannot end it, use: {1}")]
    Complete(String, String),
    /// No share or download in an open swarm has that name.
    #[error(
        "no share or download in an open swarm is called {0:?}; status lists all, and stop_share GROUP NAME ends a group's share"
    )]
    NoSuchShare(String),
    /// No share or download has that name.
    #[error("no share or download is called {0:?}; status lists all")]
    NothingCalled(String),
    /// A download that is not complete, so that its files cannot be verified yet.
    #[error(
        "{0} is not complete: each piece is verified when it arrives; wait until it is complete"
    )]
    NotWhole(String),
    /// Another command verifies files.
    #[error("another verify runs at this peer: wait until it has ended")]
    VerifyRuns,
    /// Several shares have that name.
    #[error("more than one share is called {0:?}; name one by its info-hash: {1}")]
    SeveralShares(String, String),
    /// A torrent of a group, which only members can download.
    #[error("{} belongs to a group, and only its members can download it: log in and use download_file", .0.display())]
    OfGroup(PathBuf),
    /// Other content exists at the destination.
    #[error("{} exists already and differs from the share: move it away, choose another destination, or use --force to replace it", .0.display())]
    OtherContent(PathBuf),
    /// The destination, or a file in a folder that would be replaced, belongs to another share or
    /// download of this peer.
    #[error("{} belongs to {name}, which this peer shares or downloads: choose another destination, or end {name} first", path.display())]
    PlaceInUse {
        /// The path.
        path: PathBuf,
        /// The name of the other share or download.
        name: String,
    },
    /// A download is about to replace the files at a path.
    #[error(
        "{} is to be replaced by the download of {name}: wait until that is complete, or end it first \
         with {command}",
        path.display()
    )]
    BeingReplaced {
        /// The path.
        path: PathBuf,
        /// The name of the download.
        name: String,
        /// The command that ends the download.
        command: String,
    },
    /// A download is just getting its final name.
    #[error("{name} is just being completed at {}: try again when it is complete", path.display())]
    BeingCompleted {
        /// The name of the download.
        name: String,
        /// Its final path.
        path: PathBuf,
    },
    /// This peer publishes a version of the share, and its files are never overwritten.
    #[error("this peer publishes {name} at {}, which is never overwritten: name another place with --as PATH", path.display())]
    OwnShare {
        /// The name of the share.
        name: String,
        /// Where its files are.
        path: PathBuf,
    },
    /// No peer has anything of a version of a share: its name.
    #[error(
        "no peer has {0} any more: list_files GROUP --versions shows how many peers have each version"
    )]
    NoHolder(String),
    /// A file exists where a folder is to be written, or the reverse. `--force` does not replace it
    /// either.
    #[error("{} is {found} and the share is {share}: neither replaces the other; move it away or choose another destination", path.display())]
    OtherKind {
        /// The destination.
        path: PathBuf,
        /// What exists there, such as a folder or a symbolic link.
        found: &'static str,
        /// The share: a file or a folder.
        share: &'static str,
    },
    /// The peer's key cannot be generated.
    #[error("cannot make a key: {0}")]
    Key(#[source] CertificateError),
    /// An error of the user's account or groups.
    #[error(transparent)]
    Account(#[from] Box<AccountError>),
    /// The peer is stopping.
    #[error("the peer is stopping")]
    Stopping,
}

impl From<AccountError> for PeerError {
    fn from(error: AccountError) -> Self {
        Self::Account(Box::new(error))
    }
}

impl PeerError {
    /// Returns a function that wraps the I/O error of a file that a command names.
    pub(super) fn file(path: &Path) -> impl Fn(io::Error) -> Self + Copy {
        |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }

    /// The error for content that is already shared or being downloaded.
    pub(super) fn already(name: &str, what: &str, path: PathBuf) -> Self {
        Self::Already {
            name: name.to_owned(),
            what: what.to_owned(),
            path,
            advice: String::new(),
        }
    }

    /// The `kind` of the error in JSON output. `cli/command_error.rs` lists all kinds.
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
            Self::Store(
                StoreError::LocallyChanged(_)
                | StoreError::LocallyRemoved(_)
                | StoreError::OfNoVersion(_),
            ) => "exists",
            Self::Store(_) | Self::FilesMissing(_) => "storage",
            Self::Record(_) | Self::KnownMembers(_) | Self::Mirrors(_) => "record",
            Self::Mirrored { .. } => "mirrored",
            Self::NotMirrored(_) => "not-mirrored",
            Self::NothingToConfirm(_) => "nothing-to-confirm",
            Self::OtherVersion(_) => "unknown-share",
            Self::Already { .. } => "already",
            Self::NoSuchDownload(_) | Self::Complete(..) => "no-such-download",
            Self::NoSuchShare(_) | Self::NothingCalled(_) => "no-such-share",
            Self::NotWhole(_) => "unfinished",
            Self::VerifyRuns => "busy",
            Self::SeveralShares(..) => "several-shares",
            Self::OfGroup(_) => "of-a-group",
            Self::OtherContent(_)
            | Self::OtherKind { .. }
            | Self::PlaceInUse { .. }
            | Self::BeingReplaced { .. }
            | Self::BeingCompleted { .. }
            | Self::OwnShare { .. } => "exists",
            Self::NoHolder(_) => "no-holder",
            Self::Account(error) => error.kind(),
            Self::Stopping => "stopping",
        }
    }
}

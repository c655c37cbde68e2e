//! What a person asks of a peer.

use super::account::AccountCommand;
use super::file::FileCommand;
use crate::peer::DownloadOptions;
use std::path::PathBuf;
use std::time::Duration;

/// What stands for open swarms where a group is named.
pub(in crate::cli) const OPEN_SWARMS: &str = "-";

/// What a person asks of a peer.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum Command {
    /// Make a `.torrent` of a file or folder and share it.
    Send {
        /// The file or folder.
        path: PathBuf,
        /// Where the `.torrent` goes; without it `NAME.torrent` in the current folder.
        torrent: Option<PathBuf>,
    },
    /// Start a download.
    Download {
        /// What names it.
        source: Source,
        /// Where it goes and what of it is wanted.
        options: DownloadOptions,
    },
    /// List downloads.
    ShowDownloads,
    /// List links.
    ShowPeers,
    /// End a download and forget it.
    Cancel(String),
    /// Wait for downloads, as long as it takes or this long.
    Wait(Option<Duration>),
    /// Tell of the peer as a whole.
    Status,
    /// Tell of all commands or of the one of that name.
    Help(Option<String>),
    /// Something about accounts and groups.
    Account(AccountCommand),
    /// Something about what groups share.
    File(FileCommand),
    /// End the peer.
    Quit,
}

/// What names a share of an open swarm.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum Source {
    /// A `.torrent`.
    Torrent(PathBuf),
    /// A magnet link.
    Magnet(String),
}

impl Command {
    /// What is typed for it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Send { .. } => "send",
            Self::Download { .. } => "download",
            Self::ShowDownloads => "show_downloads",
            Self::ShowPeers => "show_peers",
            Self::Cancel(_) => "cancel",
            Self::Wait(_) => "wait",
            Self::Status => "status",
            Self::Help(_) => "help",
            Self::Quit => "quit",
            Self::Account(command) => command.name(),
            Self::File(command) => command.name(),
        }
    }
}

//! What a person asks of a peer.

use super::account::AccountCommand;
use crate::peer::DownloadOptions;
use crate::wire::name::Label;
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

/// A command about what groups share.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum FileCommand {
    /// Share a file or folder.
    Upload { group: Label, path: PathBuf },
    /// List the catalogue.
    List(Label),
    /// Start a download.
    Download {
        group: Label,
        name: String,
        /// A folder to put it in, or the new file or folder's own path.
        destination: Option<PathBuf>,
        /// Whether something else that stands there is replaced.
        force: bool,
    },
    /// End the sharing.
    Stop {
        /// Whose it is; none for an open swarm.
        group: Option<Label>,
        name: String,
    },
}

impl Command {
    /// What is typed for it, if it is one of those that can be spelled in another way.
    pub(super) fn usual_name(&self) -> Option<&'static str> {
        match self {
            Self::Send { .. } => Some("send"),
            Self::Download { .. } => Some("download"),
            Self::Quit => Some("quit"),
            _ => None,
        }
    }
}

//! The commands of a peer.

use super::account::AccountCommand;
use super::holder::HolderCommand;
use super::machine::MachineCommand;
use super::mirror::MirrorCommand;
use crate::peer::{DownloadOptions, PublishOptions, StopScope};
use crate::torrent::FilePattern;
use crate::wire::name::Label;
use std::path::PathBuf;
use std::time::Duration;

/// The argument that is typed instead of a group's name and means open swarms.
pub(in crate::cli) const OPEN_SWARMS: &str = "-";

/// A command of a peer.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum Command {
    /// Share a file or folder in an open swarm, and write its `.torrent`.
    Send {
        /// The file or folder.
        path: PathBuf,
        /// Path of the `.torrent`. `None`: `NAME.torrent` in the current folder.
        torrent: Option<PathBuf>,
        /// Whether symbolic links inside the folder are followed.
        follow_links: bool,
    },
    /// Start a download in an open swarm.
    Download {
        source: DownloadSource,
        options: DownloadOptions,
    },
    /// List downloads.
    ShowDownloads,
    /// List links.
    ShowPeers,
    /// End an unfinished download and remove its files.
    Cancel(String),
    /// Read the files of a share and compare them with its pieces.
    Verify {
        name: String,
        /// Whether bad pieces of a download are fetched again.
        repairs: bool,
    },
    /// Wait for downloads, without a limit or at most this long.
    Wait(Option<Duration>),
    /// Show the state of the peer.
    Status,
    /// Show help on all commands, or on one.
    Help(Option<String>),
    /// A command about accounts and groups.
    Account(AccountCommand),
    /// A command about machines and their tokens.
    Machine(MachineCommand),
    /// A command about the shares of groups.
    File(FileCommand),
    /// A command about who has the shares of groups.
    Holder(HolderCommand),
    /// A command about mirrors of groups.
    Mirror(MirrorCommand),
    /// End the commands of this user: with them the peer, or the attachment.
    Quit,
    /// End the peer.
    Stop,
}

/// The source of a download from an open swarm.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum DownloadSource {
    /// The path of a `.torrent`.
    Torrent(PathBuf),
    /// A magnet link.
    Magnet(String),
}

/// A command about the shares of groups.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum FileCommand {
    /// Share a file or folder with a group.
    Upload {
        group: Label,
        path: PathBuf,
        publish: PublishOptions,
    },
    /// List a group's catalogue.
    List {
        group: Label,
        /// Whether each version is listed.
        versions: bool,
    },
    /// List the files of a share, or those that match one of the patterns.
    Content {
        group: Label,
        name: String,
        only: Vec<FilePattern>,
    },
    /// Start a download from a group.
    Download {
        group: Label,
        name: String,
        options: DownloadOptions,
        /// Whether the command only says what would be fetched.
        is_preview: bool,
    },
    /// Write what another client needs to join the swarm of a share.
    Export {
        group: Label,
        name: String,
        folder: PathBuf,
    },
    /// Stop sharing.
    Stop {
        /// `None` for a share of an open swarm.
        group: Option<Label>,
        name: String,
        /// Whether a share of a group ends at this peer only. Not used for an open swarm.
        scope: StopScope,
    },
}

impl Command {
    /// Whether the command needs a login. A machine logs in before it, if it is not logged in.
    pub(in crate::cli) fn needs_login(&self) -> bool {
        match self {
            Self::Account(command) => !matches!(
                command,
                AccountCommand::CreateUser { .. }
                    | AccountCommand::Login { .. }
                    | AccountCommand::Logout
                    | AccountCommand::ChangePassword { .. }
            ),
            Self::File(FileCommand::Stop { group, .. }) => group.is_some(),
            Self::Mirror(command) => matches!(command, MirrorCommand::Begin { .. }),
            Self::Machine(_) | Self::File(_) | Self::Holder(_) => true,
            _ => false,
        }
    }

    /// The group that the command names.
    pub(in crate::cli) fn group(&self) -> Option<String> {
        match self {
            Self::Account(command) => command.group(),
            Self::Machine(command) => command.group(),
            Self::Holder(command) => Some(command.group()),
            Self::Mirror(command) => Some(command.group()),
            Self::File(
                FileCommand::Upload { group, .. }
                | FileCommand::List { group, .. }
                | FileCommand::Content { group, .. }
                | FileCommand::Download { group, .. }
                | FileCommand::Export { group, .. },
            ) => Some(group.to_string()),
            Self::File(FileCommand::Stop { group, .. }) => group.as_ref().map(Label::to_string),
            _ => None,
        }
    }
}

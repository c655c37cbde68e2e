//! The results of commands, before they are printed as text (`render`) or as JSON (`json`).

use super::commands::CommandEntry;
use crate::peer::{
    BegunMirror, DownloadPreview, DownloadStatus, ExportedTorrent, LinkStatus, ListedFile,
    NewToken, Sent, ShareContent, Started, Status, Uploaded, Verified,
};
use crate::storage::JoinFiles;
use crate::wire::access::{
    DecisionEntry, GroupEntry, HolderEntry, LoginEntry, MachineEntry, MemberEntry, MirrorEntry,
    NamedVersion, RequestEntry, TokenEntry, TokenGroup,
};
use crate::wire::machine::{MachineLabel, SubjectLabel};
use crate::wire::name::Label;
use std::path::PathBuf;

/// The result of a command.
#[derive(Debug)]
pub(super) enum CommandOutcome {
    /// `send`.
    Sent(Sent),
    /// `download` and `download_file`.
    Started(Started),
    /// What a download would fetch.
    Preview(DownloadPreview),
    /// `show_downloads`.
    Downloads(Vec<DownloadStatus>),
    /// `show_peers`.
    Links(Vec<LinkStatus>),
    /// `cancel`: the name of the download.
    Cancelled(String),
    /// `verify`: no file is bad, or a repair has begun.
    Verified(Verified),
    /// `wait`: the downloads that are complete.
    Waited(Vec<DownloadStatus>),
    /// `status`.
    Status(Box<Status>),
    /// `help`: of one command, or of all.
    Help(Option<&'static CommandEntry>),
    /// A command about accounts and groups.
    Account(AccountOutcome),
    /// A command about machines and their tokens.
    Machine(MachineOutcome),
    /// A command about mirrors of groups.
    Mirror(MirrorOutcome),
    /// `upload_file`.
    Uploaded(Uploaded),
    /// `list_files` with the name of a share.
    Content(ShareContent),
    /// `list_files`.
    Files(Vec<ListedFile>),
    /// A command about who has the shares of groups.
    Holder(HolderOutcome),
    /// `export_torrent`.
    Exported(ExportedTorrent),
    /// `stop_share`: the name, and whether the share was removed from the catalogue.
    StoppedShare(String, bool),
    /// `quit`.
    Quit,
}

/// The result of a command about accounts and groups.
#[derive(Debug)]
pub(super) enum AccountOutcome {
    /// A command without data: one line that says what was done.
    Done(String),
    /// `login`.
    LoggedIn {
        user: Label,
        /// What this peer has not shown yet: decisions about the user, and requests to join groups
        /// that the user owns.
        news: Vec<DecisionEntry>,
    },
    /// `logout`. If `at_trackers` is `false`, the login has ended at this peer only.
    LoggedOut {
        user: SubjectLabel,
        at_trackers: bool,
    },
    /// `list_logins`.
    Logins(Vec<LoginEntry>),
    /// `list_groups`.
    Groups {
        groups: Vec<GroupEntry>,
        /// The same as in [`AccountOutcome::LoggedIn`].
        news: Vec<DecisionEntry>,
    },
    /// `list_members`.
    Members(Vec<MemberEntry>),
    /// `list_requests`.
    Requests(Vec<RequestEntry>),
}

/// The result of a command about holders.
#[derive(Debug)]
pub(super) enum HolderOutcome {
    /// `list_holders`.
    Listed(Vec<HolderEntry>),
    /// `wait_for`.
    Waited(AwaitedOutcome),
}

/// The machines that `wait_for` has waited for.
#[derive(Debug)]
pub(super) struct AwaitedOutcome {
    /// What the name meant when the command began.
    pub(super) version: NamedVersion,
    /// The machines that have it, each with the version that it has: this or a newer one.
    pub(super) holders: Vec<HolderEntry>,
    /// The machines that mirror the group and were not waited for.
    pub(super) left_out: Vec<MirrorEntry>,
}

/// The result of a command about mirrors of groups.
#[derive(Debug)]
pub(super) enum MirrorOutcome {
    /// `mirror`.
    Begun(BegunMirror),
    /// `confirm_prune`.
    Confirmed {
        group: String,
        /// The names of the shares that are removed.
        shares: Vec<String>,
    },
    /// `unmirror`.
    Ended {
        group: String,
        /// The folder with its shares.
        folder: PathBuf,
    },
}

/// The result of a command about machines and their tokens.
#[derive(Debug)]
pub(super) enum MachineOutcome {
    /// A command without data: one line that says what was done.
    Done(String),
    /// `create_token`.
    Token(TokenOutcome),
    /// `create_join`.
    JoinLine(JoinLineOutcome),
    /// `list_tokens`.
    Tokens(Vec<TokenEntry>),
    /// `list_machines`.
    Machines(Vec<MachineEntry>),
}

/// A token that was made.
#[derive(Debug)]
pub(super) struct TokenOutcome {
    pub(super) label: MachineLabel,
    /// The text for the file of the token.
    pub(super) text: String,
    pub(super) new: NewToken,
}

/// A join line that was made.
#[derive(Debug)]
pub(super) struct JoinLineOutcome {
    /// The label of its token.
    pub(super) label: MachineLabel,
    pub(super) line: String,
    pub(super) new: NewToken,
}

/// The result of a join.
#[derive(Debug)]
pub(super) struct Joined {
    /// The label of the machine.
    pub(super) machine: MachineLabel,
    /// Its groups. `None` if it had joined before.
    pub(super) groups: Option<Vec<TokenGroup>>,
    /// The files in its state folder.
    pub(super) files: JoinFiles,
    /// What to run next.
    pub(super) run: String,
}

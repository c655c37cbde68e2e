//! What commands bring about, before it is told: as text (`render`) or as JSON (`json`).

use super::commands::Entry;
use crate::peer::{DownloadStatus, LinkStatus, ListedFile, Sent, Started, Status, Uploaded};
use crate::wire::access::{GroupEntry, MemberEntry, NewsEntry, RequestEntry};
use crate::wire::name::Label;

/// What a command brought about.
#[derive(Debug)]
pub(super) enum Outcome {
    /// `send`.
    Sent(Sent),
    /// `download`.
    Started(Started),
    /// `show_downloads`.
    Downloads(Vec<DownloadStatus>),
    /// `show_peers`.
    Links(Vec<LinkStatus>),
    /// `cancel`, with the name.
    Cancelled(String),
    /// `wait`, with the downloads that are complete.
    Waited(Vec<DownloadStatus>),
    /// `status`.
    Status(Status),
    /// `help`, of one command or all.
    Help(Option<&'static Entry>),
    /// Something about accounts and groups.
    Account(AccountOutcome),
    /// `upload_file`.
    Uploaded(Uploaded),
    /// `list_files`.
    Files(Vec<ListedFile>),
    /// `stop_share`: the name, and whether it is off the catalogue.
    StoppedShare(String, bool),
    /// `quit`.
    Quit,
}

/// What a command about accounts and groups brought about.
#[derive(Debug)]
pub(super) enum AccountOutcome {
    /// It was done, as this says.
    Said(String),
    /// `login`.
    LoggedIn { user: Label, news: Vec<NewsEntry> },
    /// `logout`, at the trackers or here alone.
    LoggedOut { user: Label, everywhere: bool },
    /// `list_groups`.
    Groups {
        groups: Vec<GroupEntry>,
        news: Vec<NewsEntry>,
    },
    /// `list_members`.
    Members(Vec<MemberEntry>),
    /// `list_requests`.
    Requests(Vec<RequestEntry>),
}

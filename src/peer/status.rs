//! The status of a running peer.

use crate::peer::{HookStatus, LoginEnd, MirrorStatus};
use crate::torrent::InfoHash;
use crate::wire::access::TokenGroup;
use crate::wire::machine::MachineLabel;
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The state of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownloadState {
    /// Existing files are being verified. This much is done, in percent.
    Checking(u64),
    /// Pieces are being fetched, or a peer that has them is awaited.
    Downloading,
    /// Every wanted piece is verified, and the files have their final names.
    Complete,
    /// It stopped, for this reason.
    Failed(String),
}

/// The group of a share or download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// The present name of the group.
    pub name: String,
    /// Which version of a share it is. `None` if that is not known.
    pub version: Option<VersionStatus>,
}

/// A version of a share of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionStatus {
    /// The name of the share in the catalogue.
    pub share: String,
    /// The number of the version, from 1.
    pub number: u32,
    /// Whether this peer has no other version of the share.
    pub is_only: bool,
}

impl GroupStatus {
    /// The number of the version.
    pub fn version_number(&self) -> Option<u32> {
        self.version.as_ref().map(|version| version.number)
    }
}

/// The name that is shown to a person: `NAME@N` if this peer has several versions of the share,
/// otherwise `name`.
fn shown_name<'a>(name: &'a str, group: Option<&GroupStatus>) -> Cow<'a, str> {
    match group.and_then(|group| group.version.as_ref()) {
        Some(version) if !version.is_only => {
            Cow::Owned(format!("{}@{}", version.share, version.number))
        }
        _ => Cow::Borrowed(name),
    }
}

/// One download.
#[derive(Clone, Debug)]
pub struct DownloadStatus {
    /// Its swarm.
    pub info_hash: InfoHash,
    /// The name of the file or folder, as given in the torrent. Escape it before it is printed on a
    /// terminal.
    pub name: String,
    /// The group it belongs to; `None` for an open swarm.
    pub group: Option<GroupStatus>,
    /// Its state.
    pub state: DownloadState,
    /// The number of verified bytes.
    pub bytes_done: u64,
    /// The number of wanted bytes.
    pub bytes_total: u64,
    /// Time from its start in this process to its end, or until now.
    pub elapsed: Duration,
    /// Bytes received per second now; after its end, the mean over the whole time.
    pub rate: u64,
    /// The number of open links.
    pub peers: usize,
    /// Verified bytes per source, largest first. Bytes that were on disk at the start have the
    /// source "disk".
    pub from: Vec<(String, u64)>,
    /// The final path of the file or folder.
    pub path: PathBuf,
    /// If the download makes no progress, the reason: the latest problem with trackers or peers.
    pub trouble: Option<String>,
}

/// The number of versions that a peer has of each share; the key is the group and the share.
#[derive(Debug, Default)]
pub(super) struct VersionCounts(HashMap<(String, String), usize>);

impl VersionCounts {
    /// Counts shares and downloads of these groups.
    pub(super) fn of(groups: impl Iterator<Item = GroupStatus>) -> Self {
        let mut counts = Self::default();
        for group in groups {
            if let Some(version) = group.version {
                *counts.0.entry((group.name, version.share)).or_default() += 1;
            }
        }
        counts
    }

    /// The same group, which says whether the peer has other versions of the share.
    fn marked(&self, group: Option<GroupStatus>) -> Option<GroupStatus> {
        let GroupStatus { name, version } = group?;
        let version = version.map(|version| {
            let count = self.0.get(&(name.clone(), version.share.clone()));
            VersionStatus {
                is_only: count.is_none_or(|count| *count <= 1),
                ..version
            }
        });
        Some(GroupStatus { name, version })
    }
}

impl DownloadStatus {
    /// The same status, which says whether the peer has other versions of the share.
    pub(super) fn marked(self, counts: &VersionCounts) -> Self {
        let group = counts.marked(self.group);
        Self { group, ..self }
    }

    /// The name for a person, which may name the version. Escape it before it is printed.
    pub fn shown_name(&self) -> Cow<'_, str> {
        shown_name(&self.name, self.group.as_ref())
    }
}

impl ShareStatus {
    /// The same status, which says whether the peer has other versions of the share.
    pub(super) fn marked(self, counts: &VersionCounts) -> Self {
        let group = counts.marked(self.group);
        Self { group, ..self }
    }

    /// The name for a person, which may name the version. Escape it before it is printed.
    pub fn shown_name(&self) -> Cow<'_, str> {
        shown_name(&self.name, self.group.as_ref())
    }
}

/// A share of this peer: one of its own, or a complete download.
#[derive(Clone, Debug)]
pub struct ShareStatus {
    /// Its swarm.
    pub info_hash: InfoHash,
    /// The name of the file or folder.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its group; `None` in an open swarm.
    pub group: Option<GroupStatus>,
    /// Bytes served since the process started.
    pub uploaded: u64,
    /// The number of open links.
    pub peers: usize,
    /// Why it is not served, if it is not. Otherwise where files are left that it has replaced.
    pub trouble: Option<String>,
}

/// A file in the state folder that cannot be used.
#[derive(Clone, Debug)]
pub struct DamagedRecord {
    /// Its path.
    pub path: PathBuf,
    /// The share or download that it belongs to.
    pub info_hash: Option<InfoHash>,
    /// Whether this may mean that a download is lost.
    pub may_lose_download: bool,
    /// What is wrong with it, and what to do.
    pub message: String,
}

/// One link to another peer.
#[derive(Clone, Debug)]
pub struct LinkStatus {
    /// The name of the share.
    pub share: String,
    /// The address of the other peer.
    pub address: SocketAddr,
    /// In a group, the user in its certificate. In an open swarm, the name that it claims.
    pub name: Option<String>,
    /// The name that it claims, if it sent one. Nobody checks it.
    pub claimed_name: Option<String>,
    /// Its client program.
    pub client: String,
    /// Whether this peer opened the connection.
    pub outgoing: bool,
    /// The number of pieces that the other peer has, and of all pieces.
    pub pieces: (u32, u32),
    /// Bytes of blocks received from the other peer.
    pub downloaded: u64,
    /// Bytes of blocks sent to the other peer.
    pub uploaded: u64,
}

/// A tracker and the result of the last announce to it.
#[derive(Clone, Debug, Default)]
pub struct TrackerStatus {
    /// Its announce URL.
    pub url: String,
    /// Whether the last announce was answered; `None` before the first.
    pub reachable: Option<bool>,
    /// The latest error.
    pub trouble: Option<String>,
    /// How it serves accounts and groups, if TRACKER_INFO lists it.
    pub control: Option<ControlStatus>,
}

/// How a tracker that TRACKER_INFO lists serves accounts and groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlStatus {
    /// Its `HOST:PORT`.
    pub tracker: String,
    /// Whether it answers requests.
    pub state: TrackerState,
    /// The number of registry writes that it lacks. Each tracker that answers reports this number
    /// as far as it knows; the largest one counts. `None` if no tracker answers, or if one that
    /// answers does not know the number, because `tracker` has not reported to it yet.
    pub lag: Option<u64>,
    /// Why it does not answer.
    pub trouble: Option<String>,
}

/// Whether a tracker serves requests about accounts and groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackerState {
    /// It answers and serves requests.
    Serving,
    /// It answers that it does not serve yet: it has just started, or its data is old.
    NotServing,
    /// It does not answer.
    Unreachable,
    /// It belongs to another cluster.
    Untrusted,
}

impl TrackerState {
    /// The state in JSON output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::NotServing => "not-serving",
            Self::Unreachable => "unreachable",
            Self::Untrusted => "untrusted",
        }
    }
}

/// What a machine may do at the moment, as far as this peer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineLoginState {
    /// It is not logged in, and tries to log in.
    Waiting,
    /// It is logged in.
    LoggedIn,
    /// The trackers have suspended it, because copies of its files are in use.
    Suspended,
    /// The trackers refuse it for good.
    Refused,
}

impl MachineLoginState {
    /// The state in JSON output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::LoggedIn => "logged-in",
            Self::Suspended => "suspended",
            Self::Refused => "refused",
        }
    }
}

/// The machine of a peer, and what the trackers say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineStatus {
    /// Its label. `None` before it has enrolled.
    pub label: Option<MachineLabel>,
    /// What it may do.
    pub state: MachineLoginState,
    /// Why the last attempt to log in has failed. `None` if it has succeeded.
    pub trouble: Option<String>,
    /// Its groups, with its role in each. Empty before it has logged in.
    pub groups: Vec<TokenGroup>,
}

/// The peer as a whole.
#[derive(Clone, Debug)]
pub struct Status {
    /// The address of its listener.
    pub address: SocketAddr,
    /// The name that its user gave it.
    pub name: String,
    /// The logged-in user or machine.
    pub user: Option<String>,
    /// The machine that the peer belongs to. `None` if the peer is that of a person.
    pub machine: Option<MachineStatus>,
    /// When the login ends if no tracker is reached before, in milliseconds since 1970. `None` if
    /// nobody is logged in, or if it is not known.
    pub login_expires: Option<u64>,
    /// What the user should know about the end of the login.
    pub login_end: Option<LoginEnd>,
    /// Its own shares and complete downloads.
    pub shares: Vec<ShareStatus>,
    /// Its downloads, finished ones too.
    pub downloads: Vec<DownloadStatus>,
    /// The trackers that it announces to.
    pub trackers: Vec<TrackerStatus>,
    /// The number of open links.
    pub links: usize,
    /// Records that could not be used at the start.
    pub damaged: Vec<DamagedRecord>,
    /// What it does without commands.
    pub automatic: AutomaticStatus,
}

/// What a peer does without commands.
#[derive(Clone, Debug, Default)]
pub struct AutomaticStatus {
    /// Its hooks.
    pub hooks: Vec<HookStatus>,
    /// The groups that it mirrors.
    pub mirrors: Vec<MirrorStatus>,
}

//! What a running peer tells of itself.

use crate::torrent::InfoHash;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How far a download is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownloadState {
    /// What is here already is being checked.
    Checking,
    /// Under way, or waiting for an owner.
    Downloading,
    /// Every piece is here, verified and under its final name.
    Complete,
    /// It stopped for this reason.
    Failed(String),
}

/// One download.
#[derive(Clone, Debug)]
pub struct DownloadStatus {
    /// Which swarm.
    pub info_hash: InfoHash,
    /// The name of the file or folder, as the torrent gives it: not fit for a terminal before it is
    /// escaped.
    pub name: String,
    /// The group it belongs to; `None` for an open swarm.
    pub group: Option<String>,
    /// How far it is.
    pub state: DownloadState,
    /// Verified bytes.
    pub bytes_done: u64,
    /// All bytes.
    pub bytes_total: u64,
    /// Time since its start (of this process), up to its end.
    pub elapsed: Duration,
    /// Bytes a second that arrive now; the mean over the whole time once it has ended.
    pub rate: u64,
    /// Links that stand now.
    pub peers: usize,
    /// Verified bytes by source, most first. What was on disk at the start counts as source "disk".
    pub from: Vec<(String, u64)>,
    /// Where the finished file or folder stands or will stand.
    pub path: PathBuf,
    /// Why nothing moves, if so: the latest trouble with trackers or owners.
    pub trouble: Option<String>,
}

/// One share: what this peer serves, its own or downloaded.
#[derive(Clone, Debug)]
pub struct ShareStatus {
    /// Which swarm.
    pub info_hash: InfoHash,
    /// The name of the file or folder.
    pub name: String,
    /// All bytes.
    pub length: u64,
    /// Bytes served since the process started.
    pub uploaded: u64,
    /// Links that stand now.
    pub peers: usize,
    /// Why it is not served, if so.
    pub trouble: Option<String>,
}

/// One link to another peer.
#[derive(Clone, Debug)]
pub struct LinkStatus {
    /// The name of the share.
    pub share: String,
    /// Where the other side is.
    pub address: SocketAddr,
    /// What its owner calls it, if it said so.
    pub name: Option<String>,
    /// Its program.
    pub client: String,
    /// Whether we called.
    pub outgoing: bool,
    /// Pieces it has, of all.
    pub pieces: (u32, u32),
    /// Bytes of blocks received from it.
    pub downloaded: u64,
    /// Bytes of blocks sent to it.
    pub uploaded: u64,
}

/// One tracker and how it answered last.
#[derive(Clone, Debug, Default)]
pub struct TrackerStatus {
    /// Its announce URL.
    pub url: String,
    /// Whether the last announce was answered; `None` before the first.
    pub reachable: Option<bool>,
    /// The latest failure.
    pub trouble: Option<String>,
    /// How it does for accounts and groups, if TRACKER_INFO lists it.
    pub control: Option<ControlStatus>,
}

/// How a tracker of TRACKER_INFO does for accounts and groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlStatus {
    /// Its `HOST:PORT`.
    pub tracker: String,
    /// Whether it answers.
    pub state: TrackerState,
    /// Writes that it lacks, as the trackers that answer know; none if none of them knows.
    pub lag: Option<u64>,
    /// Why it does not answer.
    pub trouble: Option<String>,
}

/// Whether a tracker answers for accounts and groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackerState {
    /// It does.
    Serving,
    /// It answers that it does not: it has just started, or has old data.
    NotServing,
    /// It does not answer.
    Unreachable,
    /// It is of another cluster.
    Untrusted,
}

impl TrackerState {
    /// Its word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::NotServing => "not-serving",
            Self::Unreachable => "unreachable",
            Self::Untrusted => "untrusted",
        }
    }
}

/// The peer as a whole.
#[derive(Clone, Debug)]
pub struct Status {
    /// Where it listens.
    pub address: SocketAddr,
    /// What its owner calls it.
    pub name: String,
    /// Who is logged in here.
    pub user: Option<String>,
    /// What it serves.
    pub shares: Vec<ShareStatus>,
    /// What it downloads or downloaded.
    pub downloads: Vec<DownloadStatus>,
    /// Trackers it announces to.
    pub trackers: Vec<TrackerStatus>,
    /// Links that stand now.
    pub links: usize,
}

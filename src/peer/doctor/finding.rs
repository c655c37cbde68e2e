//! What is checked, and what was found.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What is checked: the arguments with which the peer is to be started.
#[derive(Clone, Debug)]
pub struct DoctorOptions {
    /// The address that the peer listens on.
    pub listen: SocketAddr,
    /// The file that names the trackers.
    pub tracker_info: PathBuf,
    /// The state folder of the peer. `None` for a temporary one.
    pub folder: Option<PathBuf>,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// How serious the finding is.
    pub verdict: Verdict,
    /// What was found, in one line.
    pub text: String,
    /// What a person can do about it. `None` if nothing is to be done, or if `text` says it.
    pub advice: Option<String>,
}

/// What a [`Finding`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The state folder.
    StateFolder,
    /// The current folder, where downloads and `.torrent` files go.
    CurrentFolder,
    /// The limit on open files and connections.
    Descriptors,
    /// The file that names the trackers.
    TrackerInfo,
    /// One tracker.
    Tracker,
    /// The fingerprint of a tracker.
    Fingerprint,
    /// The clock of this machine.
    Clock,
    /// The port of the peer.
    Port,
}

/// How serious a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Good,
    /// Something works only in part, or may fail later.
    Warning,
    /// A peer cannot work like this.
    Fault,
}

impl Check {
    /// The name of the check, for people and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StateFolder => "state-folder",
            Self::CurrentFolder => "current-folder",
            Self::Descriptors => "descriptors",
            Self::TrackerInfo => "tracker-info",
            Self::Tracker => "tracker",
            Self::Fingerprint => "fingerprint",
            Self::Clock => "clock",
            Self::Port => "port",
        }
    }
}

impl Verdict {
    /// The word for the verdict, for people and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Fault => "error",
        }
    }
}

impl Finding {
    /// Whether a peer cannot work like this.
    pub fn is_fault(&self) -> bool {
        self.verdict == Verdict::Fault
    }

    pub(super) fn good(check: Check, text: impl ToString) -> Self {
        Self {
            check,
            verdict: Verdict::Good,
            text: text.to_string(),
            advice: None,
        }
    }

    pub(super) fn warning(check: Check, text: impl ToString, advice: &str) -> Self {
        Self {
            check,
            verdict: Verdict::Warning,
            text: text.to_string(),
            advice: Some(advice.to_owned()),
        }
    }

    /// `advice` is `None` if `text` says what to do.
    pub(super) fn fault(check: Check, text: impl ToString, advice: Option<&str>) -> Self {
        Self {
            check,
            verdict: Verdict::Fault,
            text: text.to_string(),
            advice: advice.map(str::to_owned),
        }
    }
}

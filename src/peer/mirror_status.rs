//! What `mirror` answers, and what `status` shows of mirrors.

use std::path::PathBuf;
use std::time::Duration;

/// A share that a mirror could not fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorFailure {
    /// The name of the share.
    pub name: String,
    /// Why the last attempt has failed.
    pub reason: String,
    /// The number of attempts so far.
    pub attempts: u32,
    /// The time until the next attempt. Zero if it has begun.
    pub again_in: Duration,
}

/// A group that this peer mirrors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorStatus {
    /// The present name of the group.
    pub group: String,
    /// The user or machine that is the member of the group.
    pub user: String,
    /// The folder that has the shares.
    pub folder: PathBuf,
    /// The number of shares that are mirrored. `None` until the catalogue is known.
    pub shares: Option<usize>,
    /// The number of those whose newest version is complete here.
    pub complete: usize,
    /// Why the mirror does nothing now.
    pub trouble: Option<String>,
    /// What some of its shares wait for, one text for each reason.
    pub waits: Vec<String>,
    /// The withdrawn shares whose removal waits for `confirm_prune`.
    pub to_confirm: Vec<String>,
    /// The shares that could not be fetched.
    pub failures: Vec<MirrorFailure>,
    /// Withdrawn shares whose files stay, because some of them were changed here.
    pub left: Vec<PathBuf>,
}

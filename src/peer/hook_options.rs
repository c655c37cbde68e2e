//! What the user says about hooks, and what `status` shows of them.

use std::collections::BTreeMap;
use std::time::Duration;

/// An event that can have a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookKind {
    /// A download is complete.
    Complete,
    /// A share or download has failed, or the files of a complete share have changed or are gone.
    Error,
    /// A group has a new share.
    Share,
}

impl HookKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Complete, Self::Error, Self::Share];

    /// The name of the event, as the variable `PIECEFUL_EVENT` has it.
    pub fn event(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Error => "error",
            Self::Share => "share",
        }
    }

    /// The option that names the hook, without the dashes.
    pub fn option(self) -> &'static str {
        match self {
            Self::Complete => "on-complete",
            Self::Error => "on-error",
            Self::Share => "on-share",
        }
    }
}

/// A program and its arguments. None of them contains a NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookCommand {
    /// The program. Without a slash, it is looked for in `PATH`.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// The hooks of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookOptions {
    /// The hook of each kind of event that has one.
    pub commands: BTreeMap<HookKind, HookCommand>,
    /// How long a hook may run. Then the peer ends it.
    pub time: Duration,
}

/// How a hook has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookResult {
    /// The name of the share that the event was about.
    pub name: String,
    /// When the hook ended, in milliseconds since 1970.
    pub ended_ms: u64,
    /// Whether it ended with the exit code 0.
    pub is_success: bool,
    /// How it ended.
    pub text: String,
}

/// The hook of one kind of event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookStatus {
    /// The kind of event.
    pub kind: HookKind,
    /// The name of the share of the event whose hook runs now.
    pub running: Option<String>,
    /// The number of events that wait.
    pub waiting: usize,
    /// How the last hook has ended, since the start.
    pub last: Option<HookResult>,
}

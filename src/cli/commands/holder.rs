//! The commands about who has the shares of a group.

use crate::wire::name::Label;
use std::time::Duration;

/// A command about holders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum HolderCommand {
    /// List the holders of a share, of a version, or of all shares of the group.
    List { group: Label, name: Option<String> },
    /// Wait until machines have a version.
    Wait(WaitForCommand),
}

/// The arguments of `wait_for`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct WaitForCommand {
    pub(in crate::cli) group: Label,
    /// The name of a share or of a version.
    pub(in crate::cli) name: String,
    pub(in crate::cli) on: WantedMachines,
    /// The longest wait. `None`: no limit.
    pub(in crate::cli) limit: Option<Duration>,
    /// Whether machines that were not seen lately are waited for too.
    pub(in crate::cli) is_strict: bool,
}

/// Which machines are to have the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum WantedMachines {
    /// Any machines, this number of them.
    Count(u32),
    /// All that mirror the group.
    All,
}

impl HolderCommand {
    /// The group that the command names.
    pub(super) fn group(&self) -> String {
        match self {
            Self::List { group, .. } => group.to_string(),
            Self::Wait(command) => command.group.to_string(),
        }
    }
}

//! What a person asks of a peer about accounts and groups.

use crate::wire::access::Place;
use crate::wire::name::{GroupName, Label, UserName};
use crate::wire::password::Password;

/// A command about accounts and groups. A password that is left out is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum AccountCommand {
    /// Make an account.
    CreateUser {
        user: UserName,
        password: Option<Password>,
        invite: Option<Place>,
    },
    /// Log in.
    Login {
        user: Label,
        password: Option<Password>,
    },
    /// Log out.
    Logout,
    /// Change the password: both are given or none.
    ChangePassword {
        old: Option<Password>,
        new: Option<Password>,
    },
    /// Make a group.
    CreateGroup(GroupName),
    /// Ask to be let in.
    JoinGroup(Label),
    /// Leave, as the last member too if `end` says so.
    LeaveGroup { group: Label, end: bool },
    /// List groups.
    ListGroups,
    /// List members.
    ListMembers(Label),
    /// List requests.
    ListRequests(Label),
    /// Let somebody in.
    AcceptRequest { group: Label, user: Label },
    /// Turn somebody away.
    RejectRequest { group: Label, user: Label },
    /// Put a member out.
    RemoveMember { group: Label, user: Label },
}

impl AccountCommand {
    /// Whether a password was typed with it.
    pub(super) fn holds_password(&self) -> bool {
        match self {
            Self::CreateUser { password, .. } | Self::Login { password, .. } => password.is_some(),
            Self::ChangePassword { old, .. } => old.is_some(),
            _ => false,
        }
    }
}

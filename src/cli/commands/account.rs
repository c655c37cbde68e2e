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
    CreateGroup { group: GroupName },
    /// Ask to be let in.
    JoinGroup { group: Label },
    /// Leave, as the last member too if `end` says so.
    LeaveGroup { group: Label, end: bool },
    /// List groups.
    ListGroups,
    /// List members.
    ListMembers { group: Label },
    /// List requests.
    ListRequests { group: Label },
    /// Let somebody in.
    AcceptRequest { group: Label, user: Label },
    /// Turn somebody away.
    RejectRequest { group: Label, user: Label },
    /// Put a member out.
    RemoveMember { group: Label, user: Label },
}

impl AccountCommand {
    /// What is typed for it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::CreateUser { .. } => "create_user",
            Self::Login { .. } => "login",
            Self::Logout => "logout",
            Self::ChangePassword { .. } => "change_password",
            Self::CreateGroup { .. } => "create_group",
            Self::JoinGroup { .. } => "join_group",
            Self::LeaveGroup { .. } => "leave_group",
            Self::ListGroups => "list_groups",
            Self::ListMembers { .. } => "list_members",
            Self::ListRequests { .. } => "list_requests",
            Self::AcceptRequest { .. } => "accept_request",
            Self::RejectRequest { .. } => "reject_request",
            Self::RemoveMember { .. } => "remove_member",
        }
    }

    /// Whether a password was typed with it.
    pub(super) fn holds_password(&self) -> bool {
        match self {
            Self::CreateUser { password, .. } | Self::Login { password, .. } => password.is_some(),
            Self::ChangePassword { old, .. } => old.is_some(),
            _ => false,
        }
    }
}

//! The commands about accounts and groups.

use crate::wire::access::ShortText;
use crate::wire::login_id::LoginId;
use crate::wire::machine::SubjectLabel;
use crate::wire::name::{GroupName, Label, UserName};
use crate::wire::password::Password;
use crate::wire::role::Role;

/// A command about the logins of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum LoginCommand {
    /// List them.
    List,
    /// End one at another peer.
    End(LoginId),
}

/// A command about accounts and groups. If a password is `None`, the user is asked for it before
/// the command is executed.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum AccountCommand {
    /// Create an account.
    CreateUser {
        user: UserName,
        password: Option<Password>,
        invite: Option<ShortText>,
    },
    /// Log in.
    Login {
        user: Label,
        password: Option<Password>,
    },
    /// Log out.
    Logout,
    /// Change the password. Either both are `Some` or neither.
    ChangePassword {
        old: Option<Password>,
        new: Option<Password>,
    },
    /// List or end logins of the user.
    Logins(LoginCommand),
    /// Create a group.
    CreateGroup(GroupName),
    /// Ask to join a group.
    JoinGroup(Label),
    /// Leave a group. If the last member leaves, the group ends; `end` confirms that.
    LeaveGroup { group: Label, end: bool },
    /// List all groups.
    ListGroups,
    /// List the members of a group.
    ListMembers(Label),
    /// List the open requests to join a group.
    ListRequests(Label),
    /// Accept a user's request to join.
    AcceptRequest { group: Label, user: Label },
    /// Reject a user's request to join.
    RejectRequest { group: Label, user: Label },
    /// Remove a member.
    RemoveMember { group: Label, user: Label },
    /// Give a member a role.
    SetRole {
        group: Label,
        user: SubjectLabel,
        role: Role,
    },
    /// Rename a group.
    RenameGroup { group: Label, name: GroupName },
}

impl AccountCommand {
    /// The group that the command names.
    pub(super) fn group(&self) -> Option<String> {
        match self {
            Self::CreateGroup(group) => Some(group.to_string()),
            Self::JoinGroup(group)
            | Self::LeaveGroup { group, .. }
            | Self::ListMembers(group)
            | Self::ListRequests(group)
            | Self::AcceptRequest { group, .. }
            | Self::RejectRequest { group, .. }
            | Self::RemoveMember { group, .. }
            | Self::SetRole { group, .. }
            | Self::RenameGroup { group, .. } => Some(group.to_string()),
            _ => None,
        }
    }

    /// Whether the command contains a password.
    pub(super) fn holds_password(&self) -> bool {
        match self {
            Self::CreateUser { password, .. } | Self::Login { password, .. } => password.is_some(),
            Self::ChangePassword { old, .. } => old.is_some(),
            _ => false,
        }
    }
}

//! What a person asks of a peer about accounts and groups.

use super::{Failure, Words};
use crate::wire::access::Place;
use crate::wire::name::{GroupName, Label, LabelError, NameError, UserName};
use crate::wire::password::Password;
use std::str::FromStr;

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

/// What may stand where a name of a user or group is asked for.
pub(super) trait Named: FromStr {
    /// Why it is none.
    fn why(error: Self::Err) -> String;
}

impl Named for UserName {
    fn why(error: NameError) -> String {
        error.to_string()
    }
}

impl Named for GroupName {
    fn why(error: NameError) -> String {
        error.to_string()
    }
}

impl Named for Label {
    fn why(error: LabelError) -> String {
        error.to_string()
    }
}

impl Words<'_> {
    /// The name of a user or group.
    pub(super) fn parsed<T: Named>(&self, at: usize) -> Result<T, Failure> {
        let word = self.words.get(at).map_or("", String::as_str);
        word.parse()
            .map_err(|error| Failure::BadName(T::why(error)))
    }

    /// A password, if one stands there.
    pub(super) fn password(&self, at: usize) -> Result<Option<Password>, Failure> {
        let word = self.words.get(at);
        let password = word.map(|word| Password::new(word.as_str()));
        Ok(password.transpose()?)
    }

    /// The invite code, if one is given.
    pub(super) fn invite(&self) -> Result<Option<Place>, Failure> {
        let code = self.flag("--invite");
        let place = code.map(Place::new);
        match place {
            Some(None) => Err(self.wrong("an invite code is asked for".to_owned())),
            other => Ok(other.flatten()),
        }
    }
}

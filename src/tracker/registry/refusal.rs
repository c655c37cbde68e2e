//! The reasons to refuse an operation: one variant for each rule, each with a stable kind for
//! scripts.

use super::{Label, NameError, RowId};
use crate::base::command_text;

/// A rule that the operation would break. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The account that makes the request does not exist.
    #[error("this tracker does not know your account; log in again")]
    AccountGone,
    /// The user logged out, changed the password, or ended all logins.
    #[error("this login has ended; log in again")]
    LoginEnded,
    /// No account has this name.
    #[error("there is no user {0}; check the name")]
    UnknownUser(Label),
    /// No group has this name, or the group has ended.
    #[error("there is no group {0}; list_groups shows all groups")]
    UnknownGroup(Label),
    /// Another user or group has this name, perhaps in other letter case.
    #[error("the name {0} is taken; choose another")]
    NameTaken(Label),
    /// A new user or group cannot have this name.
    #[error("{0}; choose another")]
    BadName(#[from] NameError),
    /// The account or group holds its name. Only an account or group that lost its name to an
    /// earlier claim can be renamed.
    #[error("{0} cannot be renamed: only users and groups that are shown as NAME~TAG can")]
    NameKept(Label),
    /// The account is not a member of the group.
    #[error("you are not a member of {0}; join_group asks its owner")]
    NotMember(Label),
    /// The account is a member of the group but does not own it.
    #[error("only the owner of {0} can do this")]
    NotOwner(Label),
    /// The account is already a member of the group.
    #[error("you are already a member of {0}")]
    AlreadyMember(Label),
    /// The account has an open request already.
    #[error("you have already asked to join {0}; its owner has not answered yet")]
    AlreadyRequested(Label),
    /// The user to accept or reject has no open request: none was made, or it was answered.
    #[error("{0} has no open request; list_requests shows all open requests")]
    NoRequest(Label),
    /// The user to remove is not a member of the group.
    #[error("{0} is not a member; list_members shows all members")]
    UnknownMember(Label),
    /// Owners cannot remove themselves.
    #[error("you cannot remove yourself; use leave_group")]
    OwnRemoval,
    /// The group would end, and the caller did not allow that.
    #[error("you are the last member of {0}, so leaving ends the group; add --yes to confirm")]
    LastMember(Label),
    /// No invite has this code.
    #[error("this invite code does not exist; check it, or ask for a new one")]
    UnknownInvite,
    /// The code was already used to create an account.
    #[error("this invite code has been used; ask for a new one")]
    InviteUsed,
    /// The code has expired.
    #[error("this invite code has expired; ask for a new one")]
    InviteExpired,
    /// The group's catalogue has no share of this name.
    #[error("there is no share {share} in {group}; list_files shows all shares")]
    UnknownShare {
        /// The group.
        group: Label,
        /// The requested name.
        share: String,
    },
    /// The group's catalogue already has a share of this name.
    #[error(
        "{group} already has a share {share}; rename yours, or stop the other one with {}",
        command_text("stop_share", &[&.group.to_string(), .share], &[])
    )]
    ShareExists {
        /// The group.
        group: Label,
        /// The requested name.
        share: String,
    },
    /// The account did not publish the share and does not own the group.
    #[error("only the user who shared {share} and the owner of {group} can withdraw it")]
    NotPublisher {
        /// The group.
        group: Label,
        /// The name of the share.
        share: String,
    },
    /// The account has the maximum number of groups.
    #[error(
        "you have made {0} groups, the most that one user may have here; leave one, or ask the \
         tracker's operator"
    )]
    GroupQuota(u64),
    /// The account has the maximum number of shares.
    #[error(
        "you have published {0} shares, the most that one user may have here; withdraw one with \
         stop_share, or ask the tracker's operator"
    )]
    ShareQuota(u64),
    /// With the new share, the metadata of the account's shares would exceed its limit.
    #[error(
        "the metadata of your shares takes {used} bytes, and this share needs {added} more; one \
         user may have at most {most} here: withdraw a share with stop_share, use longer pieces, \
         or ask the tracker's operator"
    )]
    MetadataQuota {
        /// The bytes of the metadata of the shares so far.
        used: u64,
        /// The bytes that the metadata of the new share adds.
        added: u64,
        /// The maximum number of bytes of metadata of one account.
        most: u64,
    },
    /// Another row has this id.
    #[error("the id {0} is already in use; use another one")]
    IdInUse(RowId),
}

impl Refusal {
    /// The kind that scripts rely on. It never changes.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AccountGone => "account-gone",
            Self::LoginEnded => "session-ended",
            Self::UnknownUser(_) => "unknown-user",
            Self::UnknownGroup(_) => "unknown-group",
            Self::NameTaken(_) => "name-taken",
            Self::BadName(_) => "bad-request",
            Self::NameKept(_) => "name-kept",
            Self::NotMember(_) => "not-a-member",
            Self::NotOwner(_) => "not-the-owner",
            Self::AlreadyMember(_) => "already-a-member",
            Self::AlreadyRequested(_) => "already-requested",
            Self::NoRequest(_) => "no-request",
            Self::UnknownMember(_) => "unknown-member",
            Self::OwnRemoval => "own-removal",
            Self::LastMember(_) => "last-member",
            Self::UnknownInvite => "unknown-invite",
            Self::InviteUsed => "invite-used",
            Self::InviteExpired => "invite-expired",
            Self::UnknownShare { .. } => "unknown-share",
            Self::ShareExists { .. } => "share-exists",
            Self::NotPublisher { .. } => "not-the-publisher",
            Self::GroupQuota(_) | Self::ShareQuota(_) | Self::MetadataQuota { .. } => "quota",
            Self::IdInUse(_) => "id-in-use",
        }
    }
}

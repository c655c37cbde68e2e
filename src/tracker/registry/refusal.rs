//! The reasons to refuse an operation: one variant for each rule, each with a stable kind for
//! scripts.

use super::{Label, NameError, RowId};
use crate::base::command_text;
use crate::wire::access::only_reads;
use crate::wire::login_id::LoginId;
use crate::wire::machine::MachineLabel;

/// A rule that the operation would break. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The account that makes the request does not exist.
    #[error("this tracker does not know your account; log in again")]
    AccountGone,
    /// The user logged out, changed the password, or ended all logins.
    #[error("this login has ended; log in again")]
    LoginEnded,
    /// No login of the user that has not ended has this id, or several have it.
    #[error("you have no login {0}, or several whose ids begin so; list_logins shows your logins")]
    UnknownLogin(LoginId),
    /// The user wants to end the login of the request as if it were another one.
    #[error("this is the login of this peer; to end it, type logout")]
    OwnLogin,
    /// No account has this name.
    #[error("there is no user {0}; check the name")]
    UnknownUser(Label),
    /// No group has this name, or the group has ended.
    #[error("there is no group {0}; list_groups shows all groups")]
    UnknownGroup(Label),
    /// Another user or group has this name, perhaps in other letter case.
    #[error("the name {0} is taken; choose another")]
    NameTaken(Label),
    /// The group has the name that it would get.
    #[error("the group is already called {0}; choose another name")]
    NameUnchanged(Label),
    /// A new user or group cannot have this name.
    #[error("{0}; choose another")]
    BadName(#[from] NameError),
    /// The account holds its name. Only an account that lost its name to an earlier claim can be
    /// renamed.
    #[error("{0} cannot be renamed: only users that are shown as NAME~TAG can")]
    NameKept(Label),
    /// The account is not a member of the group.
    #[error("you are not a member of {0}; join_group asks its owners")]
    NotMember(Label),
    /// The account is a member of the group but does not own it.
    #[error("only an owner of {0} can do this; list_members shows who that is")]
    NotOwner(Label),
    /// The account is a reader of the group.
    #[error("{}", only_reads(.0))]
    NotPublishing(Label),
    /// The member is the only owner, and would lose that role.
    #[error("{0} would have no owner; first make another member its owner with set_role")]
    LastOwner(Label),
    /// The account is already a member of the group.
    #[error("you are already a member of {0}")]
    AlreadyMember(Label),
    /// The account has an open request already.
    #[error("you have already asked to join {0}; its owners have not answered yet")]
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
    /// The name means another share or version at this tracker than at the one that the peer asked,
    /// or nothing.
    #[error(
        "{share} in {group} is not what this peer saw a moment ago; list_files --versions shows \
         all versions: check the name, then repeat the command"
    )]
    OtherShare {
        /// The group.
        group: Label,
        /// The requested name.
        share: String,
    },
    /// The group's catalogue already has a share of this name.
    #[error(
        "{group} already has a share {share}; rename yours, publish it as a new version with \
         --update, or stop the other one with {}",
        command_text("stop_share", &[&.group.to_string(), .share], &[])
    )]
    ShareExists {
        /// The group.
        group: Label,
        /// The requested name.
        share: String,
    },
    /// The name of a new share has the form of a name of a version.
    #[error(
        "no new share can be called {name}, because that means version {number} of {share}; rename \
         the file or folder"
    )]
    NumberedName {
        /// The name.
        name: String,
        /// The share that it would name a version of.
        share: String,
        /// The number of that version.
        number: u32,
    },
    /// The name of a new share means another share, which has a tag in its name.
    #[error("{0} is the name of another share, with its tag; rename the file or folder")]
    NameOfOther(String),
    /// The newest version of the share has exactly the content of the update.
    #[error("{share} in {group} has this content already, as version {number}; nothing to publish")]
    ShareUnchanged {
        /// The group.
        group: Label,
        /// The name of the share.
        share: String,
        /// The number of the newest version.
        number: u32,
    },
    /// The account did not publish a version of the share and does not own the group.
    #[error(
        "only users who shared a version of {share} and the owners of {group} can update or \
         withdraw it"
    )]
    NotPublisher {
        /// The group.
        group: Label,
        /// The name of the share.
        share: String,
    },
    /// The share has too many versions for another one.
    #[error(
        "{share} in {group} has {most} versions or more; list_files --versions shows them: first \
         withdraw old ones with {}",
        command_text("stop_share", &[&.group.to_string(), &format!("{share}@1")], &[])
    )]
    TooManyVersions {
        /// The group.
        group: Label,
        /// The name of the share.
        share: String,
        /// The number of versions that is too many.
        most: usize,
    },
    /// The account has the maximum number of groups.
    #[error(
        "you have made {0} groups, the most that one user may have here; leave one, or ask the \
         tracker's operator"
    )]
    GroupQuota(u64),
    /// The account has the maximum number of shares.
    #[error(
        "you have published {0} shares and versions of shares, the most that one user may have \
         here; withdraw one with stop_share, or ask the tracker's operator"
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
    /// A machine asks for something that only users may do.
    #[error("machines cannot do this; a user must log in at another peer")]
    OnlyUsers,
    /// The machine was revoked.
    #[error("this machine was revoked; it needs a new key and another token to enrol again")]
    MachineRevoked,
    /// The machine is suspended.
    #[error(
        "this machine is suspended, because copies of its files may be in use; its maker or an \
         owner must allow it with allow_machine"
    )]
    MachineSuspended,
    /// The machine to allow is not suspended.
    #[error("{0} is not suspended; list_machines shows all machines")]
    NotSuspended(MachineLabel),
    /// No machine has this name, this id or this key.
    #[error("there is no such machine; list_machines shows all machines")]
    UnknownMachine,
    /// The token was revoked or is too old, or its maker has left.
    #[error(
        "the token was revoked or is too old, or its maker has left its groups; ask for another \
         token"
    )]
    TokenEnded,
    /// All machines of the token have enrolled.
    #[error("all machines of this token have enrolled; ask for another token")]
    TokenSpent,
    /// No token has this name or this secret.
    #[error("there is no such token; list_tokens shows all tokens")]
    UnknownToken,
    /// Machines cannot own groups.
    #[error("a machine can be a reader or a publisher, not an owner")]
    TokenRole,
    /// The account did not make the token, and does not own all its groups.
    #[error("only the maker of the token and the owners of all its groups can do this")]
    NotMaker,
    /// The account has the maximum number of tokens.
    #[error("you have {0} tokens, the most that one user may have; revoke one with revoke_token")]
    TokenQuota(usize),
    /// The maker of the token has the maximum number of machines.
    #[error(
        "the maker of the token has {0} machines, the most that one user may have; the maker can \
         revoke a token"
    )]
    MachineQuota(usize),
    /// Another row has this id.
    #[error("the id {0} is already in use; use another one")]
    IdInUse(RowId),
}

impl Refusal {
    /// No share or version of `group` has this name.
    pub(super) fn unknown_share(group: &Label, name: &str) -> Self {
        Self::UnknownShare {
            group: group.clone(),
            share: name.chars().take(300).collect(),
        }
    }

    /// The kind that scripts rely on. It never changes.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AccountGone => "account-gone",
            Self::LoginEnded => "session-ended",
            Self::UnknownLogin(_) => "unknown-login",
            Self::OwnLogin => "own-login",
            Self::UnknownUser(_) => "unknown-user",
            Self::UnknownGroup(_) => "unknown-group",
            Self::NameTaken(_) | Self::NameUnchanged(_) => "name-taken",
            Self::NumberedName { .. } | Self::NameOfOther(_) => "name-taken",
            Self::BadName(_) => "bad-request",
            Self::NameKept(_) => "name-kept",
            Self::NotMember(_) => "not-a-member",
            Self::NotOwner(_) => "not-the-owner",
            Self::NotPublishing(_) => "not-a-publisher",
            Self::LastOwner(_) => "last-owner",
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
            Self::OtherShare { .. } => "other-version",
            Self::ShareExists { .. } | Self::ShareUnchanged { .. } => "share-exists",
            Self::TooManyVersions { .. } => "quota",
            Self::NotPublisher { .. } => "not-the-publisher",
            Self::GroupQuota(_) | Self::ShareQuota(_) | Self::MetadataQuota { .. } => "quota",
            Self::OnlyUsers => "only-users",
            Self::MachineRevoked => "machine-revoked",
            Self::MachineSuspended => "machine-suspended",
            Self::NotSuspended(_) => "not-suspended",
            Self::UnknownMachine => "unknown-machine",
            Self::TokenEnded => "token-ended",
            Self::TokenSpent => "token-spent",
            Self::UnknownToken => "unknown-token",
            Self::TokenRole => "bad-request",
            Self::NotMaker => "not-the-owner",
            Self::TokenQuota(_) | Self::MachineQuota(_) => "quota",
            Self::IdInUse(_) => "id-in-use",
        }
    }
}

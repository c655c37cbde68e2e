//! Why an operation is refused: one variant a rule, each with a word that scripts can rely on.

use super::{Label, RowId};

/// A rule that an operation would break. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The acting account does not exist.
    #[error("your account is not known here; log in again")]
    AccountGone,
    /// The session was logged out, or its password or all sessions were revoked since.
    #[error("this session has ended; log in again")]
    SessionEnded,
    /// No account of that name.
    #[error("there is no user {0}; check the name")]
    UnknownUser(Label),
    /// No group of that name, or it has ended.
    #[error("there is no group {0}; list_groups shows those there are")]
    UnknownGroup(Label),
    /// The name belongs to another user or group.
    #[error("the name {0} is taken; choose another")]
    NameTaken(Label),
    /// A new name for one that holds its own: only a name that was taken on two trackers at once can be given up.
    #[error("{0} keeps its name; only a name given twice by mistake can be changed")]
    NameKept(Label),
    /// The acting account is not in the group.
    #[error("you are not a member of {0}; join_group asks its owner")]
    NotMember(Label),
    /// The acting account is in the group but does not own it.
    #[error("only the owner of {0} can do this")]
    NotOwner(Label),
    /// The acting account is in the group already.
    #[error("you are a member of {0} already")]
    AlreadyMember(Label),
    /// The acting account has asked already.
    #[error("you have asked to join {0} already; its owner has not answered yet")]
    AlreadyRequested(Label),
    /// That user has not asked, or has been answered.
    #[error("{0} has no open request; list_requests shows those there are")]
    NoRequest(Label),
    /// That user is not in the group.
    #[error("{0} is not a member; list_members shows those there are")]
    UnknownMember(Label),
    /// An owner's own removal.
    #[error("you cannot remove yourself; leave_group does that")]
    OwnRemoval,
    /// The group would end.
    #[error("you are the last member of {0}: leaving ends the group; say --yes if you mean it")]
    LastMember(Label),
    /// No invite with that code.
    #[error("this invite code is not known; ask for a new one")]
    UnknownInvite,
    /// An account was made with the code already.
    #[error("this invite code has been used; ask for a new one")]
    InviteUsed,
    /// The code's time is over.
    #[error("this invite code has expired; ask for a new one")]
    InviteExpired,
    /// No share of that name in the group's catalogue.
    #[error("there is no share {share} in {group}; list_files shows those there are")]
    UnknownShare {
        /// The group.
        group: Label,
        /// The name asked for.
        share: String,
    },
    /// A share of that name is in the group's catalogue already.
    #[error("{group} has a share {share} already; rename yours, or stop_share the other one")]
    ShareExists {
        /// The group.
        group: Label,
        /// The name.
        share: String,
    },
    /// The acting account neither published the share nor owns the group.
    #[error("only who shared {share} or the owner of {group} can take it off the catalogue")]
    NotPublisher {
        /// The group.
        group: Label,
        /// The share.
        share: String,
    },
    /// The random id handed in names a row already.
    #[error("the id {0} names another row already; draw another")]
    IdInUse(RowId),
}

impl Refusal {
    /// Its word, stable for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AccountGone => "account-gone",
            Self::SessionEnded => "session-ended",
            Self::UnknownUser(_) => "unknown-user",
            Self::UnknownGroup(_) => "unknown-group",
            Self::NameTaken(_) => "name-taken",
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
            Self::IdInUse(_) => "id-in-use",
        }
    }
}

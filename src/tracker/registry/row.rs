//! The rows: their contents, and how two states of one row merge.

use super::{
    AuditDetail, CodeHash, GivenRole, GroupKey, GroupName, LoginRow, Machine, MachineToken,
    PasswordHash, Register, RowId, Share, Stamp, UserName, Version, merge_optional,
};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A row of the registry. Its fields are the struct members that are a [`Register`]. Each field
/// merges by its own rule. The other struct members are attributes. The id, the kind and the
/// attributes never change, with one exception: if two trackers create the same row for one
/// repeated command, the row takes `created`, and `key` or `expires` if it has one, from
/// the later creation. A [`Revocation`] takes them from the write with the later expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// A user who can log in.
    Account(Account),
    /// A group. Its members and its owner are derived from its memberships.
    Group(Group),
    /// The request of a user to join a group, and what became of it.
    Membership(Membership),
    /// The record that one login was ended by a log-out.
    Revocation(Revocation),
    /// A code that can be used to create one account.
    Invite(Invite),
    /// A version of a file or folder in the catalogue of a group.
    Share(Share),
    /// States that a write was made, so that it is not made again.
    Receipt(Receipt),
    /// Who did something, and from where.
    Audit(AuditEntry),
    /// Lets machines enrol.
    Token(MachineToken),
    /// A machine that has enrolled.
    Machine(Machine),
    /// A login of a user.
    Login(LoginRow),
}

/// A user who can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The id of the row.
    pub id: RowId,
    /// The write that created the row.
    pub created: Version,
    /// The claimed name. Of two names of one account, the last writer wins. Of two accounts that
    /// claim one name, the account with the earlier claim (the earlier version) holds it.
    pub name: Register<UserName>,
    /// The hash of the password; the last writer wins.
    pub password: Register<PasswordHash>,
    /// The write that last ended all logins; the last writer wins.
    pub revoked: Option<Register<()>>,
    /// The write that removed the account; the last writer wins. A removal is final.
    pub removed: Option<Register<()>>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The id of the row.
    pub id: RowId,
    /// The write that created the row.
    pub created: Version,
    /// The claimed name, under the same rules as the name of an account.
    pub name: Register<GroupName>,
    /// The key of the group's own authority, created with the group.
    pub key: GroupKey,
}

/// The request of a user to join a group. When the request is accepted, the row is a membership. An
/// end is final: a new request is a new row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The id of the row.
    pub id: RowId,
    /// The group.
    pub group: RowId,
    /// The user who made the request.
    pub account: RowId,
    /// The write that created the row: the request, or the creation of the group.
    pub created: Version,
    /// The account that accepted the request; the first writer wins. The creator of a group accepts
    /// its own membership.
    pub accepted: Option<Register<RowId>>,
    /// How the request or membership ended; the last writer wins. No acceptance undoes an end.
    pub ended: Option<Register<End>>,
    /// The role that the member was given; the last writer wins. `None` if the member was given
    /// none: see [`Registry::role_of`](super::Registry::role_of).
    pub role: Option<Register<GivenRole>>,
}

/// How a membership or a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// Why it ended.
    pub reason: EndReason,
    /// The account that ended it.
    pub by: RowId,
}

/// Why a membership or a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndReason {
    /// An owner rejected the request.
    Rejected,
    /// The member left.
    Left,
    /// An owner removed the member.
    Removed,
}

/// The record that one login was ended by a log-out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The id of the login, which is also the id of the row.
    pub id: RowId,
    /// The account that was logged in.
    pub account: RowId,
    /// The write that set `expires`: the log-out, or a later write of a tracker that must keep the
    /// row longer.
    pub created: Version,
    /// After this time no tracker accepts a token of the login, in milliseconds since 1970. The
    /// latest time wins.
    pub expires: u64,
}

/// A code that can be used to create one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// The id of the row.
    pub id: RowId,
    /// The write that created the row.
    pub created: Version,
    /// The hash of the code.
    pub code: CodeHash,
    /// When the code expires, in milliseconds since 1970.
    pub expires: u64,
    /// The account that was created with the code; the first writer wins.
    pub used: Option<Register<RowId>>,
}

/// States that a write was made for an account. It is stored and sent together with the rows of
/// that write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Derived from the id of the write and from the account that asked for it.
    pub id: RowId,
    /// The write that the receipt confirms. After a renewal: the write that renewed it last.
    pub created: Version,
    /// The time after which no peer repeats the write, in milliseconds since 1970.
    pub expires: u64,
}

/// An entry of the audit log. It is stored and sent together with the rows of the write that it
/// describes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditEntry {
    /// The id of the row: random, or derived from a write id.
    pub id: RowId,
    /// The write that it describes. If a command was repeated: the later one.
    pub created: Version,
    /// When the entry expires, in milliseconds since 1970.
    pub expires: u64,
    /// The account or machine that did it. All zero: the operator of a tracker.
    pub who: RowId,
    /// What was done.
    pub action: AuditAction,
    /// The account, share, invite, token or machine that it was done to.
    pub subject: Option<RowId>,
    /// The group.
    pub group: Option<RowId>,
    /// The role or the name that was given. Earlier versions did not write it.
    pub detail: Option<AuditDetail>,
    /// The address of the peer that asked for it.
    pub from: Option<IpAddr>,
}

/// What was done. If a write does several things, the first one in this list is the one that the
/// audit log names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditAction {
    /// The operator removed a user.
    RemovedUser,
    /// The operator ended a group.
    EndedGroup,
    /// A user was created.
    MadeUser,
    /// A user or the operator changed a password.
    ChangedPassword,
    /// All logins of a user were ended.
    EndedLogins,
    /// A user ended one of his logins from another one.
    EndedLogin,
    /// The operator made an invite.
    MadeInvite,
    /// A group was created.
    MadeGroup,
    /// An owner of a group accepted a user.
    Accepted,
    /// An owner of a group rejected a user.
    Rejected,
    /// An owner of a group removed a member.
    RemovedMember,
    /// A member left a group.
    Left,
    /// A member published a share, or a version of one.
    Published,
    /// A share was withdrawn, with all its versions.
    Withdrew,
    /// One version of a share was withdrawn.
    WithdrewVersion,
    /// An owner of a group gave a member a role.
    SetRole,
    /// An owner of a group renamed it.
    RenamedGroup,
    /// An owner made a token for machines.
    MadeToken,
    /// The maker or an owner revoked a token.
    RevokedToken,
    /// A machine enrolled.
    Enrolled,
    /// A machine was suspended.
    SuspendedMachine,
    /// The maker or an owner allowed a suspended machine again.
    AllowedMachine,
    /// The maker or an owner revoked a machine.
    RevokedMachine,
}

/// What a write has done: the action, its subject and its group.
pub type Done = (AuditAction, Option<RowId>, Option<RowId>);

/// Two rows have the same id but different kinds or attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "two different rows have the id {0}: the data of one of the two trackers are damaged or belong to another cluster; compare the data of the two trackers"
)]
pub struct Contradiction(pub RowId);

/// All rows, by id.
pub(super) type Rows = BTreeMap<RowId, Row>;

/// Stands for the operator where a row names the account that made a change. No account has this
/// id.
pub(super) const OPERATOR: RowId = RowId([0; 16]);

/// The account that is responsible for a subject: the maker of a machine, or the account itself.
/// `None` if the row of a machine is known, but not that of its token.
pub(super) fn responsible<'r>(
    row: impl Fn(RowId) -> Option<&'r Row>,
    subject: RowId,
) -> Option<RowId> {
    let Some(Row::Machine(machine)) = row(subject) else {
        return Some(subject);
    };
    match row(machine.token) {
        Some(Row::Token(token)) => Some(token.maker),
        _ => None,
    }
}

/// The write that removed an account, or the maker of a machine, if there is one.
pub(super) fn removal(rows: &Rows, subject: RowId) -> Option<Version> {
    let account = responsible(|id| rows.get(&id), subject)?;
    match rows.get(&account) {
        Some(Row::Account(row)) => row.removed.as_ref().map(|field| field.version),
        _ => None,
    }
}

impl Row {
    /// The id of the row.
    pub fn id(&self) -> RowId {
        match self {
            Self::Account(row) => row.id,
            Self::Group(row) => row.id,
            Self::Membership(row) => row.id,
            Self::Revocation(row) => row.id,
            Self::Invite(row) => row.id,
            Self::Share(row) => row.id,
            Self::Receipt(row) => row.id,
            Self::Audit(row) => row.id,
            Self::Token(row) => row.id,
            Self::Machine(row) => row.id,
            Self::Login(row) => row.id,
        }
    }

    /// The name of the row's kind in encodings and messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Group(_) => "group",
            Self::Membership(_) => "membership",
            Self::Revocation(_) => "revocation",
            Self::Invite(_) => "invite",
            Self::Share(_) => "share",
            Self::Receipt(_) => "receipt",
            Self::Audit(_) => "audit",
            Self::Token(_) => "token",
            Self::Machine(_) => "machine",
            Self::Login(_) => "login",
        }
    }

    /// The write that created the row.
    pub fn created(&self) -> Version {
        match self {
            Self::Account(row) => row.created,
            Self::Group(row) => row.created,
            Self::Membership(row) => row.created,
            Self::Revocation(row) => row.created,
            Self::Invite(row) => row.created,
            Self::Share(row) => row.created,
            Self::Receipt(row) => row.created,
            Self::Audit(row) => row.created,
            Self::Token(row) => row.created,
            Self::Machine(row) => row.created,
            Self::Login(row) => row.created,
        }
    }

    /// The versions of the row's creation and of all its fields, sorted.
    pub fn versions(&self) -> Vec<Version> {
        let mut versions = vec![self.created()];
        match self {
            Self::Account(row) => {
                versions.extend([row.name.version, row.password.version]);
                versions.extend(row.revoked.iter().map(|field| field.version));
                versions.extend(row.removed.iter().map(|field| field.version));
            }
            Self::Group(row) => versions.push(row.name.version),
            Self::Membership(row) => {
                versions.extend(row.accepted.iter().map(|field| field.version));
                versions.extend(row.ended.iter().map(|field| field.version));
                versions.extend(row.role.iter().map(|field| field.version));
            }
            Self::Revocation(_) | Self::Receipt(_) | Self::Audit(_) => {}
            Self::Token(row) => versions.extend(row.field_versions()),
            Self::Machine(row) => versions.extend(row.field_versions()),
            Self::Login(row) => versions.push(row.used.version),
            Self::Invite(row) => versions.extend(row.used.iter().map(|field| field.version)),
            Self::Share(row) => {
                versions.push(row.edition.version);
                versions.extend(row.withdrawn.iter().map(|field| field.version));
            }
        }
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    /// When the row expires, in milliseconds since 1970; `None` for kinds that do not expire.
    pub fn expires(&self) -> Option<u64> {
        match self {
            Self::Revocation(row) => Some(row.expires),
            Self::Invite(row) => Some(row.expires),
            Self::Receipt(row) => Some(row.expires),
            Self::Audit(row) => Some(row.expires),
            Self::Login(row) => Some(row.used.value.until),
            Self::Account(_) | Self::Group(_) | Self::Membership(_) => None,
            Self::Share(_) | Self::Token(_) | Self::Machine(_) => None,
        }
    }

    /// Merges two states of one row, which have the same id. Commutative, associative and
    /// idempotent.
    ///
    /// # Errors
    /// The two rows have different kinds or attributes. Different ids are an error too.
    pub fn merge(self, other: Self) -> Result<Self, Contradiction> {
        let contradiction = Contradiction(self.id());
        if !self.is_same_row(&other) {
            return Err(contradiction);
        }
        Ok(match (self, other) {
            (Self::Account(ours), Self::Account(theirs)) => Self::Account(Account {
                id: ours.id,
                created: ours.created.max(theirs.created),
                name: ours.name.max(theirs.name),
                password: ours.password.max(theirs.password),
                revoked: merge_optional(ours.revoked, theirs.revoked, Ord::max),
                removed: merge_optional(ours.removed, theirs.removed, Ord::max),
            }),
            (Self::Group(ours), Self::Group(theirs)) => {
                // A peer repeats the command only until one creation is confirmed. So the confirmed
                // creation is normally the later one, and members received certificates under its
                // key.
                let (created, key) = (ours.created, ours.key).max((theirs.created, theirs.key));
                Self::Group(Group {
                    id: ours.id,
                    created,
                    name: ours.name.max(theirs.name),
                    key,
                })
            }
            (Self::Membership(ours), Self::Membership(theirs)) => Self::Membership(Membership {
                created: ours.created.max(theirs.created),
                accepted: merge_optional(ours.accepted, theirs.accepted, Ord::min),
                ended: merge_optional(ours.ended, theirs.ended, Ord::max),
                role: merge_optional(ours.role, theirs.role, Ord::max),
                ..ours
            }),
            (Self::Revocation(ours), Self::Revocation(theirs)) => {
                // The later expiry wins, so that no tracker forgets the log-out too early.
                let (expires, created) =
                    (ours.expires, ours.created).max((theirs.expires, theirs.created));
                Self::Revocation(Revocation {
                    created,
                    expires,
                    ..ours
                })
            }
            (Self::Invite(ours), Self::Invite(theirs)) => Self::Invite(Invite {
                used: merge_optional(ours.used, theirs.used, Ord::min),
                ..ours
            }),
            (Self::Share(ours), Self::Share(theirs)) => Self::Share(ours.merge(theirs)),
            (Self::Receipt(ours), Self::Receipt(theirs)) => {
                let (created, expires) =
                    (ours.created, ours.expires).max((theirs.created, theirs.expires));
                Self::Receipt(Receipt {
                    id: ours.id,
                    created,
                    expires,
                })
            }
            // The later one: the ids are equal, and the creation is compared next.
            (Self::Audit(ours), Self::Audit(theirs)) => Self::Audit(ours.max(theirs)),
            (Self::Token(ours), Self::Token(theirs)) => Self::Token(ours.merge(theirs)),
            (Self::Machine(ours), Self::Machine(theirs)) => Self::Machine(ours.merge(theirs)),
            (Self::Login(ours), Self::Login(theirs)) => Self::Login(ours.merge(theirs)),
            _ => return Err(contradiction),
        })
    }

    /// Whether both rows have the same id and the same attributes. Does not compare their kinds,
    /// nor the attributes that a repeated command may change (see [`Row`]). Compares all attributes
    /// of an invite, because no peer repeats the command that creates an invite.
    fn is_same_row(&self, other: &Self) -> bool {
        let same = match (self, other) {
            (Self::Membership(a), Self::Membership(b)) => {
                (a.group, a.account) == (b.group, b.account)
            }
            (Self::Revocation(a), Self::Revocation(b)) => a.account == b.account,
            (Self::Invite(a), Self::Invite(b)) => {
                (a.created, a.code, a.expires) == (b.created, b.code, b.expires)
            }
            (Self::Share(a), Self::Share(b)) => a.is_same_row(b),
            (Self::Token(a), Self::Token(b)) => a.is_same_row(b),
            (Self::Machine(a), Self::Machine(b)) => a.is_same_row(b),
            (Self::Login(a), Self::Login(b)) => a.is_same_row(b),
            _ => true,
        };
        same && self.id() == other.id()
    }
}

impl Account {
    /// The stamp that tokens are bound to: the later of the last password change and the last end
    /// of all logins. A token that is bound to another stamp is not valid.
    pub fn credential(&self) -> Stamp {
        let revoked = self.revoked.iter().map(|field| field.version.stamp);
        revoked.fold(self.password.version.stamp, Stamp::max)
    }
}

impl AuditAction {
    const ALL: [Self; 23] = [
        Self::RemovedUser,
        Self::EndedGroup,
        Self::MadeUser,
        Self::ChangedPassword,
        Self::EndedLogins,
        Self::EndedLogin,
        Self::MadeInvite,
        Self::MadeGroup,
        Self::Accepted,
        Self::Rejected,
        Self::RemovedMember,
        Self::Left,
        Self::Published,
        Self::Withdrew,
        Self::WithdrewVersion,
        Self::SetRole,
        Self::RenamedGroup,
        Self::MadeToken,
        Self::RevokedToken,
        Self::Enrolled,
        Self::SuspendedMachine,
        Self::AllowedMachine,
        Self::RevokedMachine,
    ];

    /// Its name in rows and exports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RemovedUser => "removed-user",
            Self::EndedGroup => "ended-group",
            Self::MadeUser => "made-user",
            Self::ChangedPassword => "changed-password",
            Self::EndedLogins => "ended-logins",
            Self::EndedLogin => "ended-login",
            Self::MadeInvite => "made-invite",
            Self::MadeGroup => "made-group",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::RemovedMember => "removed-member",
            Self::Left => "left",
            Self::Published => "published",
            Self::Withdrew => "withdrew",
            Self::WithdrewVersion => "withdrew-version",
            Self::SetRole => "set-role",
            Self::RenamedGroup => "renamed-group",
            Self::MadeToken => "made-token",
            Self::RevokedToken => "revoked-token",
            Self::Enrolled => "enrolled",
            Self::SuspendedMachine => "suspended-machine",
            Self::AllowedMachine => "allowed-machine",
            Self::RevokedMachine => "revoked-machine",
        }
    }

    /// The inverse of [`AuditAction::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|action| action.as_str() == word)
    }
}

impl EndReason {
    /// Its name in rows, logs and replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Left => "left",
            Self::Removed => "removed",
        }
    }

    /// The inverse of [`EndReason::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Rejected, Self::Left, Self::Removed]
            .into_iter()
            .find(|reason| reason.as_str() == word)
    }
}

#[cfg(test)]
mod tests;

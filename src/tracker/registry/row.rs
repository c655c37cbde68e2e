//! The rows: what they hold, and how two states of one row become one.

use super::{
    CodeHash, GroupKey, GroupName, PasswordHash, Register, RowId, Stamp, UserName, Version, merge,
};
use crate::torrent::{FileName, InfoHash};
use std::collections::BTreeMap;

/// A row of the registry. Its id, kind and facts never change; each field is merged by its own rule. What was created on two
/// sides by one write that was asked for twice is one row: the later creation is the one that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// Somebody who can log in.
    Account(Account),
    /// A group, whose members and owner follow from its memberships.
    Group(Group),
    /// Somebody's way into a group and out of it.
    Membership(Membership),
    /// A session that was logged out.
    Revocation(Revocation),
    /// A code that one account may be made with.
    Invite(Invite),
    /// A file or folder that a group has.
    Share(Share),
    /// A write that was made, so that it is not made again.
    Receipt(Receipt),
}

/// Somebody who can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The row.
    pub id: RowId,
    /// The write that made it.
    pub created: Version,
    /// The name it claims; the last writer wins. Its version is the claim's: of several claims the earliest holds.
    pub name: Register<UserName>,
    /// The last writer wins.
    pub password: Register<PasswordHash>,
    /// When all sessions were last ended at once; the last writer wins.
    pub revoked: Option<Register<()>>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The row.
    pub id: RowId,
    /// The write that made it.
    pub created: Version,
    /// The name it claims, as an account's.
    pub name: Register<GroupName>,
    /// The key of its own authority, made with it.
    pub key: GroupKey,
}

/// Somebody's way into a group: a request, then perhaps a membership, then an end that is final for this row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The row.
    pub id: RowId,
    /// The group.
    pub group: RowId,
    /// Who asks or is a member.
    pub account: RowId,
    /// The write that made it: the request, or the making of the group.
    pub created: Version,
    /// Who accepted it (for the maker of a group, the same account); the first writer wins.
    pub accepted: Option<Register<RowId>>,
    /// How it ended; the last writer wins, and no acceptance undoes it.
    pub ended: Option<Register<End>>,
}

/// How a membership or a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// Why.
    pub reason: EndReason,
    /// Who did it.
    pub by: RowId,
}

/// Why a membership or a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndReason {
    /// The owner rejected the request.
    Rejected,
    /// The member left.
    Left,
    /// The owner removed the member.
    Removed,
}

/// A session that was logged out; its id is the row's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The session, and the row.
    pub id: RowId,
    /// Whose.
    pub account: RowId,
    /// The write that made it.
    pub created: Version,
    /// From when on no token of the session is valid anyway, in milliseconds since 1970.
    pub expires: u64,
}

/// A code that one account may be made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// The row.
    pub id: RowId,
    /// The write that made it.
    pub created: Version,
    /// The hash of the code.
    pub code: CodeHash,
    /// From when on it is refused, in milliseconds since 1970.
    pub expires: u64,
    /// The account made with it; the first writer wins.
    pub used: Option<Register<RowId>>,
}

/// A file or folder in the catalogue of a group. What it is never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The row.
    pub id: RowId,
    /// The group.
    pub group: RowId,
    /// Who put it there.
    pub publisher: RowId,
    /// The write that made it.
    pub created: Version,
    /// The name it claims in the catalogue: of several claims the earliest holds.
    pub name: FileName,
    /// Its swarm. The info dictionary of that hash is kept beside the rows.
    pub info_hash: InfoHash,
    /// Its length in bytes.
    pub length: u64,
    /// Who took it off the catalogue; the last writer wins.
    pub withdrawn: Option<Register<RowId>>,
}

/// A write that was made in the name of somebody. It lies beside what was written, and both are told together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The row; its id follows from the write's and from who asked for it.
    pub id: RowId,
    /// The write, or the last one that confirmed it.
    pub created: Version,
    /// From when on nobody asks for it again, in milliseconds since 1970.
    pub expires: u64,
}

/// Two rows under one id that are not states of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "two different rows have the id {0}: the other tracker's data are not of this cluster or are damaged; compare both"
)]
pub struct Contradiction(pub RowId);

/// Rows by their ids.
pub(super) type Rows = BTreeMap<RowId, Row>;

impl Row {
    /// Its id.
    pub fn id(&self) -> RowId {
        match self {
            Self::Account(row) => row.id,
            Self::Group(row) => row.id,
            Self::Membership(row) => row.id,
            Self::Revocation(row) => row.id,
            Self::Invite(row) => row.id,
            Self::Share(row) => row.id,
            Self::Receipt(row) => row.id,
        }
    }

    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Group(_) => "group",
            Self::Membership(_) => "membership",
            Self::Revocation(_) => "revocation",
            Self::Invite(_) => "invite",
            Self::Share(_) => "share",
            Self::Receipt(_) => "receipt",
        }
    }

    /// The write that made it.
    pub fn created(&self) -> Version {
        match self {
            Self::Account(row) => row.created,
            Self::Group(row) => row.created,
            Self::Membership(row) => row.created,
            Self::Revocation(row) => row.created,
            Self::Invite(row) => row.created,
            Self::Share(row) => row.created,
            Self::Receipt(row) => row.created,
        }
    }

    /// The versions of its creation and of all its fields.
    pub fn versions(&self) -> Vec<Version> {
        let mut versions = vec![self.created()];
        match self {
            Self::Account(row) => {
                versions.extend([row.name.version, row.password.version]);
                versions.extend(row.revoked.iter().map(|field| field.version));
            }
            Self::Group(row) => versions.push(row.name.version),
            Self::Membership(row) => {
                versions.extend(row.accepted.iter().map(|field| field.version));
                versions.extend(row.ended.iter().map(|field| field.version));
            }
            Self::Revocation(_) | Self::Receipt(_) => {}
            Self::Invite(row) => versions.extend(row.used.iter().map(|field| field.version)),
            Self::Share(row) => versions.extend(row.withdrawn.iter().map(|field| field.version)),
        }
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    /// From when on it says nothing any more, for the kinds that have such a time; milliseconds since 1970.
    pub fn expires(&self) -> Option<u64> {
        match self {
            Self::Revocation(row) => Some(row.expires),
            Self::Invite(row) => Some(row.expires),
            Self::Receipt(row) => Some(row.expires),
            Self::Account(_) | Self::Group(_) | Self::Membership(_) | Self::Share(_) => None,
        }
    }

    /// Two states of one row become one: commutative, associative, idempotent.
    ///
    /// # Errors
    /// They are not states of one row.
    pub fn merge(self, other: Self) -> Result<Self, Contradiction> {
        let contradiction = Contradiction(self.id());
        if !self.has_facts_of(&other) {
            return Err(contradiction);
        }
        Ok(match (self, other) {
            (Self::Account(ours), Self::Account(theirs)) => Self::Account(Account {
                id: ours.id,
                created: ours.created.max(theirs.created),
                name: ours.name.max(theirs.name),
                password: ours.password.max(theirs.password),
                revoked: merge(ours.revoked, theirs.revoked, Ord::max),
            }),
            (Self::Group(ours), Self::Group(theirs)) => {
                // The key that members of the later one were given certificates by.
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
                accepted: merge(ours.accepted, theirs.accepted, Ord::min),
                ended: merge(ours.ended, theirs.ended, Ord::max),
                ..ours
            }),
            (Self::Revocation(ours), Self::Revocation(theirs)) => {
                let (created, expires) =
                    (ours.created, ours.expires).max((theirs.created, theirs.expires));
                Self::Revocation(Revocation {
                    created,
                    expires,
                    ..ours
                })
            }
            (Self::Invite(ours), Self::Invite(theirs)) => Self::Invite(Invite {
                used: merge(ours.used, theirs.used, Ord::min),
                ..ours
            }),
            (Self::Share(ours), Self::Share(theirs)) => Self::Share(Share {
                created: ours.created.max(theirs.created),
                withdrawn: merge(ours.withdrawn, theirs.withdrawn, Ord::max),
                ..ours
            }),
            (Self::Receipt(ours), Self::Receipt(theirs)) => {
                let (created, expires) =
                    (ours.created, ours.expires).max((theirs.created, theirs.expires));
                Self::Receipt(Receipt {
                    id: ours.id,
                    created,
                    expires,
                })
            }
            _ => return Err(contradiction),
        })
    }

    /// Whether they are states of one row. The creation of an invite is among what never changes, as nobody asks for one
    /// twice.
    fn has_facts_of(&self, other: &Self) -> bool {
        let same = match (self, other) {
            (Self::Membership(a), Self::Membership(b)) => {
                (a.group, a.account) == (b.group, b.account)
            }
            (Self::Revocation(a), Self::Revocation(b)) => a.account == b.account,
            (Self::Invite(a), Self::Invite(b)) => {
                (a.created, a.code, a.expires) == (b.created, b.code, b.expires)
            }
            (Self::Share(a), Self::Share(b)) => {
                (a.group, a.publisher, a.info_hash) == (b.group, b.publisher, b.info_hash)
                    && (&a.name, a.length) == (&b.name, b.length)
            }
            _ => true,
        };
        same && self.id() == other.id()
    }
}

impl Account {
    /// What a session token is bound to: the last change of password or end of all sessions. A token made under another
    /// one is not valid.
    pub fn credential(&self) -> Stamp {
        let revoked = self.revoked.iter().map(|field| field.version.stamp);
        revoked.fold(self.password.version.stamp, Stamp::max)
    }
}

impl EndReason {
    /// Its word in rows, logs and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Left => "left",
            Self::Removed => "removed",
        }
    }

    /// The reason of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Rejected, Self::Left, Self::Removed]
            .into_iter()
            .find(|reason| reason.as_str() == word)
    }
}

#[cfg(test)]
mod tests;

//! The whole state as plain text, sorted, without secrets: what a person inspects and what tests compare. Two registries
//! that know the same rows have equal dumps.

use super::{Register, Registry, Row, RowId, Standing, Version};
use serde::Serialize;

/// Everything in a registry but its secrets. Writes are shown as `MILLISECONDS.COUNTER.ORIGIN#SEQUENCE`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dump {
    /// Accounts, by id.
    pub accounts: Vec<AccountDump>,
    /// Groups, by id.
    pub groups: Vec<GroupDump>,
    /// Requests and memberships, by id.
    pub memberships: Vec<MembershipDump>,
    /// Sessions logged out, by id.
    pub revocations: Vec<RevocationDump>,
    /// Invites, by id, without their codes.
    pub invites: Vec<InviteDump>,
    /// Shares, by id.
    pub shares: Vec<ShareDump>,
    /// Writes that were made and may be asked for again, by id.
    pub receipts: Vec<ReceiptDump>,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountDump {
    /// Its id.
    pub id: String,
    /// How it is named: with a tag if it does not hold its name.
    pub label: String,
    /// The write that made it.
    pub created: String,
    /// The write that named it.
    pub named: String,
    /// The write that set its password.
    pub password: String,
    /// The write that ended all its sessions.
    pub revoked: Option<String>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupDump {
    /// Its id.
    pub id: String,
    /// How it is named: with a tag if it does not hold its name.
    pub label: String,
    /// The write that made it.
    pub created: String,
    /// The write that named it.
    pub named: String,
    /// The account that owns it; none if it has ended.
    pub owner: Option<String>,
    /// How many members it has.
    pub members: usize,
}

/// A request or membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MembershipDump {
    /// Its id.
    pub id: String,
    /// The group.
    pub group: String,
    /// The account.
    pub account: String,
    /// What the account is to the group now, by all its rows: `stranger`, `requester`, `member` or `owner`.
    pub standing: &'static str,
    /// The write that made it.
    pub created: String,
    /// The write that accepted it, and who.
    pub accepted: Option<(String, String)>,
    /// The write that ended it, why, and who.
    pub ended: Option<(String, &'static str, String)>,
}

/// A session logged out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevocationDump {
    /// The session.
    pub id: String,
    /// Whose.
    pub account: String,
    /// The write that made it.
    pub created: String,
    /// Until when it is kept, in milliseconds since 1970.
    pub expires: u64,
}

/// An invite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InviteDump {
    /// Its id.
    pub id: String,
    /// The write that made it.
    pub created: String,
    /// Until when it is good, in milliseconds since 1970.
    pub expires: u64,
    /// The write that used it, and the account made with it.
    pub used: Option<(String, String)>,
}

/// A share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShareDump {
    /// Its id.
    pub id: String,
    /// The group.
    pub group: String,
    /// How the catalogue names it: with a tag if another one holds its name.
    pub name: String,
    /// Its swarm.
    pub info_hash: String,
    /// Its length in bytes.
    pub length: u64,
    /// Who put it there.
    pub publisher: String,
    /// The write that made it.
    pub created: String,
    /// The write that took it off the catalogue, and who.
    pub withdrawn: Option<(String, String)>,
}

/// A write that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiptDump {
    /// Its id.
    pub id: String,
    /// The write, or the last one that confirmed it.
    pub created: String,
    /// Until when it is kept, in milliseconds since 1970.
    pub expires: u64,
}

impl Registry {
    /// Everything but the secrets.
    pub fn dump(&self) -> Dump {
        let (mut dump, index) = (Dump::default(), &self.index);
        for row in self.rows() {
            let (id, created) = (row.id().to_string(), shown(row.created()));
            match row {
                Row::Account(row) => dump.accounts.push(AccountDump {
                    id,
                    label: index.accounts.label(&row.name.value, row.id).to_string(),
                    created,
                    named: shown(row.name.version),
                    password: shown(row.password.version),
                    revoked: row.revoked.as_ref().map(|field| shown(field.version)),
                }),
                Row::Group(row) => dump.groups.push(GroupDump {
                    id,
                    label: index.groups.label(&row.name.value, row.id).to_string(),
                    created,
                    named: shown(row.name.version),
                    owner: self.owner(row.id).map(|id| id.to_string()),
                    members: self.member_count(row.id),
                }),
                Row::Membership(row) => dump.memberships.push(MembershipDump {
                    id,
                    group: row.group.to_string(),
                    account: row.account.to_string(),
                    standing: word(self.standing(row.group, row.account)),
                    created,
                    accepted: row.accepted.as_ref().map(by),
                    ended: row.ended.as_ref().map(|field| {
                        let end = field.value;
                        let by = end.by.to_string();
                        (shown(field.version), end.reason.as_str(), by)
                    }),
                }),
                Row::Revocation(row) => dump.revocations.push(RevocationDump {
                    id,
                    account: row.account.to_string(),
                    created,
                    expires: row.expires,
                }),
                Row::Invite(row) => dump.invites.push(InviteDump {
                    id,
                    created,
                    expires: row.expires,
                    used: row.used.as_ref().map(by),
                }),
                Row::Receipt(row) => dump.receipts.push(ReceiptDump {
                    id,
                    created,
                    expires: row.expires,
                }),
                Row::Share(row) => dump.shares.push(ShareDump {
                    id,
                    group: row.group.to_string(),
                    name: index.catalogue.shown(row),
                    info_hash: row.info_hash.to_string(),
                    length: row.length,
                    publisher: row.publisher.to_string(),
                    created,
                    withdrawn: row.withdrawn.as_ref().map(by),
                }),
            }
        }
        dump
    }
}

fn by(field: &Register<RowId>) -> (String, String) {
    (shown(field.version), field.value.to_string())
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Stranger => "stranger",
        Standing::Requester => "requester",
        Standing::Member => "member",
        Standing::Owner => "owner",
    }
}

fn shown(version: Version) -> String {
    let (stamp, sequence) = (version.stamp, version.sequence.number());
    let (wall, counter, origin) = (stamp.wall(), stamp.counter(), stamp.origin());
    format!("{wall}.{counter}.{origin}#{sequence}")
}

//! The whole registry as sorted text without secrets. People inspect it, and tests compare it. Two
//! registries with the same rows have equal dumps.

use super::row::End;
use super::{Account, AuditEntry, GivenRole, GroupRole, Register, Registry, Row};
use serde::Serialize;

mod logins;
mod machines;
mod shares;
mod texts;

use logins::LoginDump;
use machines::{MachineDump, TokenDump};
use shares::ShareDump;
use texts::{version_and_account, version_text};

/// The contents of a registry without its secrets. A write is shown as
/// `MILLISECONDS.COUNTER.ORIGIN#SEQUENCE`, and a reference to another row as the id of that row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dump {
    /// Accounts, by id.
    pub accounts: Vec<AccountDump>,
    /// Groups, by id.
    pub groups: Vec<GroupDump>,
    /// Requests and memberships, by id.
    pub memberships: Vec<MembershipDump>,
    /// Log-outs, by id.
    pub revocations: Vec<RevocationDump>,
    /// Invites, by id, without their codes.
    pub invites: Vec<InviteDump>,
    /// Versions of shares, by id.
    pub shares: Vec<ShareDump>,
    /// Receipts, by id.
    pub receipts: Vec<ReceiptDump>,
    /// Entries of the audit log, by id.
    pub audit: Vec<AuditDump>,
    /// Tokens, by id, without their secrets.
    pub tokens: Vec<TokenDump>,
    /// Machines, by id.
    pub machines: Vec<MachineDump>,
    /// Logins, by the ids of their rows; left out if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logins: Vec<LoginDump>,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountDump {
    /// Its id.
    pub id: String,
    /// Its name, with a tag if another account holds the name.
    pub label: String,
    /// The write that created it.
    pub created: String,
    /// The write that set its name.
    pub named: String,
    /// The write that set its password.
    pub password: String,
    /// The write that last ended all its logins.
    pub revoked: Option<String>,
    /// The write that removed it.
    pub removed: Option<String>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupDump {
    /// Its id.
    pub id: String,
    /// Its name, with a tag if another group holds the name.
    pub label: String,
    /// The write that created it.
    pub created: String,
    /// The write that set its name.
    pub named: String,
    /// The most senior owner; `None` if the group has ended.
    pub owner: Option<String>,
    /// The number of its members.
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
    /// The present relation of the account to the group, from all rows of this account and group:
    /// `stranger`, `requester`, `member` or `owner`.
    pub standing: &'static str,
    /// The write that gave the member a role, the role, and the account that gave it.
    pub role: Option<(String, &'static str, String)>,
    /// The write that created it.
    pub created: String,
    /// The write that accepted it, and the account that accepted it.
    pub accepted: Option<(String, String)>,
    /// The write that ended it, the reason, and the account that ended it.
    pub ended: Option<(String, &'static str, String)>,
}

/// A log-out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevocationDump {
    /// The id of the login that ended.
    pub id: String,
    /// The account that was logged in.
    pub account: String,
    /// The write that created the log-out.
    pub created: String,
    /// When the log-out can be dropped, in milliseconds since 1970.
    pub expires: u64,
}

/// An invite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InviteDump {
    /// Its id.
    pub id: String,
    /// The write that created it.
    pub created: String,
    /// When it expires, in milliseconds since 1970.
    pub expires: u64,
    /// The write that used it, and the account that was created with it.
    pub used: Option<(String, String)>,
}

/// A receipt of a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiptDump {
    /// Its id.
    pub id: String,
    /// The write that the receipt confirms. After a renewal: the write that renewed it last.
    pub created: String,
    /// When it can be dropped, in milliseconds since 1970.
    pub expires: u64,
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditDump {
    /// Its id.
    pub id: String,
    /// The write that it describes.
    pub created: String,
    /// When it can be dropped, in milliseconds since 1970.
    pub expires: u64,
    /// The account that did it; all zero for the operator.
    pub who: String,
    /// What was done.
    pub action: &'static str,
    /// The account, share or invite that it was done to.
    pub subject: Option<String>,
    /// The group.
    pub group: Option<String>,
    /// The role or the name that was given; left out if the action gives neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The address of the peer that asked for it.
    pub from: Option<String>,
}

impl Registry {
    /// Everything except the secrets.
    pub fn dump(&self) -> Dump {
        let (mut dump, index) = (Dump::default(), &self.index);
        for row in self.rows() {
            let (id, created) = (row.id().to_string(), version_text(row.created()));
            match row {
                Row::Account(row) => {
                    let label = index.account_names.label(&row.name.value, row.id);
                    dump.accounts.push(account_dump(row, label.to_string()));
                }
                Row::Group(row) => dump.groups.push(GroupDump {
                    id,
                    label: index.group_names.label(&row.name.value, row.id).to_string(),
                    created,
                    named: version_text(row.name.version),
                    owner: self.owner(row.id).map(|id| id.to_string()),
                    members: self.member_count(row.id),
                }),
                Row::Membership(row) => dump.memberships.push(MembershipDump {
                    id,
                    group: row.group.to_string(),
                    account: row.account.to_string(),
                    standing: role_name(self.role(row.group, row.account)),
                    created,
                    accepted: row.accepted.as_ref().map(version_and_account),
                    ended: row.ended.as_ref().map(version_reason_and_account),
                    role: row.role.as_ref().map(version_role_and_account),
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
                    used: row.used.as_ref().map(version_and_account),
                }),
                Row::Receipt(row) => dump.receipts.push(ReceiptDump {
                    id,
                    created,
                    expires: row.expires,
                }),
                Row::Audit(row) => dump.audit.push(audit_dump(row)),
                Row::Token(row) => dump.tokens.push(machines::token(self, row)),
                Row::Machine(row) => dump.machines.push(machines::machine(self, row)),
                Row::Login(row) => dump.logins.push(logins::login(row)),
                Row::Share(row) => dump.shares.push(shares::share(self, row)),
            }
        }
        dump
    }
}

fn account_dump(row: &Account, label: String) -> AccountDump {
    let version = |field: &Register<()>| version_text(field.version);
    AccountDump {
        id: row.id.to_string(),
        label,
        created: version_text(row.created),
        named: version_text(row.name.version),
        password: version_text(row.password.version),
        revoked: row.revoked.as_ref().map(version),
        removed: row.removed.as_ref().map(version),
    }
}

fn audit_dump(row: &AuditEntry) -> AuditDump {
    AuditDump {
        id: row.id.to_string(),
        created: version_text(row.created),
        expires: row.expires,
        who: row.who.to_string(),
        action: row.action.as_str(),
        subject: row.subject.map(|id| id.to_string()),
        group: row.group.map(|id| id.to_string()),
        detail: row.detail.as_ref().map(|it| it.as_str().to_owned()),
        from: row.from.map(|from| from.to_string()),
    }
}

fn version_reason_and_account(field: &Register<End>) -> (String, &'static str, String) {
    let end = field.value;
    let by = end.by.to_string();
    (version_text(field.version), end.reason.as_str(), by)
}

fn version_role_and_account(field: &Register<GivenRole>) -> (String, &'static str, String) {
    let GivenRole { role, by } = field.value;
    (version_text(field.version), role.as_str(), by.to_string())
}

fn role_name(role: GroupRole) -> &'static str {
    match role {
        GroupRole::Stranger => "stranger",
        GroupRole::Requester => "requester",
        GroupRole::Member => "member",
        GroupRole::Owner => "owner",
    }
}

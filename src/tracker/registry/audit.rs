//! The audit log: who did what, and from where. It is a part of the registry, so all trackers have
//! the same one.
//!
//! An entry is a row of the same write as the change that it describes: a tracker that has one has
//! the other. What was done is derived from the rows of that write, so no operation can forget its
//! entry. Log-ins and log-outs are not in the audit log, but in the log of their tracker. The end
//! of a login from another one is: only the operation can tell it from a log-out.
//!
//! Entries expire after [`AUDIT_LIFETIME`], and a garbage collection leaves at most
//! [`MAX_AUDIT`](super::MAX_AUDIT). If there are more, those of the accounts with the most entries
//! go first, the oldest first. So one user cannot flush the entries of others. But a user can push
//! out his own entries with about [`MAX_AUDIT`](super::MAX_AUDIT) writes, and many accounts
//! together can push out those of others.

use super::{
    AuditAction, AuditDetail, AuditEntry, Done, EndReason, Label, Machine, MachineToken,
    Membership, OPERATOR, Register, Registry, Role, Row, RowId, Share, Update, Version, millis,
    tag_of,
};
use ring::digest::{Context, SHA256};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// How long an entry is kept.
pub const AUDIT_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);

/// Who makes a write, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Author {
    /// The account; `None`: the operator of a tracker.
    pub account: Option<RowId>,
    /// The address of the peer; `None` on the console of a tracker.
    pub from: Option<IpAddr>,
}

impl Author {
    /// The operator, on the console.
    pub const OPERATOR: Self = Self {
        account: None,
        from: None,
    };
}

/// An entry, with names. The name of a removed account has a tag, because another account may have
/// the name now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditView {
    /// When it was done, since 1970, by the clock of the tracker that did it.
    pub at: Duration,
    /// Who did it. `the operator` is no name of a user.
    pub who: String,
    /// The account of who did it; `None`: the operator.
    pub who_id: Option<RowId>,
    /// What was done.
    pub action: AuditAction,
    /// The user or share that it was done to. `None` for an action on a whole group, or by a user
    /// to himself.
    pub subject: Option<String>,
    /// The id of `subject`.
    pub subject_id: Option<RowId>,
    /// The group.
    pub group: Option<String>,
    /// The id of `group`.
    pub group_id: Option<RowId>,
    /// The role or the name that was given, as it was then.
    pub detail: Option<AuditDetail>,
    /// The address of the peer that asked for it.
    pub from: Option<IpAddr>,
}

impl Registry {
    /// Adds an entry of the audit log to `write`, which this tracker must have made at `now` from
    /// the present revision of the registry. Adds none if the write does nothing that the audit log
    /// lists. The id of the entry is derived from `seed` (random, or derived from a write id) and
    /// from what is done.
    #[must_use]
    pub fn with_audit(&self, write: Update, seed: RowId, author: Author, now: Duration) -> Update {
        match write.action.or_else(|| self.done_by(&write)) {
            Some(done) => self.with_audit_of(write, seed, author, done, now),
            None => write,
        }
    }

    /// Like [`Registry::with_audit`], for a write of many rows that is a step of one action on a
    /// group or account.
    #[must_use]
    pub fn with_audit_of(
        &self,
        mut write: Update,
        seed: RowId,
        author: Author,
        done: Done,
        now: Duration,
    ) -> Update {
        let created = self.next_version(now);
        let detail = detail_of(&write.rows, done);
        let id = self.entry_id(seed, done, detail.as_ref(), created);
        let (action, subject, group) = done;
        let entry = Row::Audit(AuditEntry {
            id,
            created,
            expires: millis(now.saturating_add(AUDIT_LIFETIME)),
            who: author.account.unwrap_or(OPERATOR),
            action,
            subject,
            group,
            detail,
            from: author.from,
        });
        if let Some(change) = &mut write.change {
            change.rows.insert(id, entry.clone());
            write.rows.push(entry);
        }
        write
    }

    /// The id of a new entry. All trackers derive the same id if they carry out the same command.
    /// Another action gets another id, and so does the same action if an entry here has the id
    /// already. So nobody can replace an entry by using a write id again.
    fn entry_id(
        &self,
        seed: RowId,
        (action, subject, group): Done,
        detail: Option<&AuditDetail>,
        created: Version,
    ) -> RowId {
        let mut hash = Context::new(&SHA256);
        hash.update(b"pieceful audit v1");
        hash.update(&seed.0);
        for part in [subject, group] {
            hash.update(&[u8::from(part.is_some())]);
            hash.update(&part.map_or([0; 16], |id| id.0));
        }
        hash.update(action.as_str().as_bytes());
        if let Some(detail) = detail {
            hash.update(b" ");
            hash.update(detail.as_str().as_bytes());
        }
        let id = id_of(hash.clone());
        if self.row(id).is_none() {
            return id;
        }
        hash.update(&created.sequence.number().to_be_bytes());
        hash.update(&created.stamp.origin().0);
        id_of(hash)
    }

    /// What `write` does. `None` if the audit log does not list that. `write` is a write of this
    /// tracker that is not applied yet.
    fn done_by(&self, write: &Update) -> Option<Done> {
        let origin = self.origin();
        let sequence = write.versions.of(origin);
        let is_new =
            |version: Version| version.stamp.origin() == origin && version.sequence == sequence;
        let rows = write.rows.iter();
        let gives_role = rows.clone().any(|row| match row {
            Row::Membership(row) => row
                .role
                .as_ref()
                .is_some_and(|given| is_new(given.version) && given.value.by != row.account),
            _ => false,
        });
        let done = rows.filter_map(|row| match row {
            Row::Account(row) if row.removed.as_ref().is_some_and(|it| is_new(it.version)) => {
                Some((AuditAction::RemovedUser, Some(row.id), None))
            }
            Row::Account(row) if is_new(row.created) => {
                Some((AuditAction::MadeUser, Some(row.id), None))
            }
            Row::Account(row) if is_new(row.password.version) => {
                Some((AuditAction::ChangedPassword, Some(row.id), None))
            }
            Row::Account(row) if row.revoked.as_ref().is_some_and(|it| is_new(it.version)) => {
                Some((AuditAction::EndedLogins, Some(row.id), None))
            }
            Row::Group(row) if is_new(row.created) => {
                Some((AuditAction::MadeGroup, None, Some(row.id)))
            }
            Row::Group(row) if is_new(row.name.version) => {
                Some((AuditAction::RenamedGroup, None, Some(row.id)))
            }
            Row::Membership(row) => done_to_member(row, gives_role, is_new),
            Row::Share(row) => done_to_share(row, is_new),
            Row::Invite(row) if is_new(row.created) => {
                Some((AuditAction::MadeInvite, Some(row.id), None))
            }
            Row::Token(row) => done_to_token(row, is_new),
            Row::Machine(row) => done_to_machine(row, is_new),
            _ => None,
        });
        done.min()
    }

    /// The last entries of the audit log, at most `limit`, the oldest first.
    pub fn audit(&self, limit: usize) -> Vec<AuditView> {
        let entries = self.index.audit.by_author.values().flatten();
        let entries: BTreeSet<_> = entries.copied().collect();
        let skipped = entries.len().saturating_sub(limit);
        let ids = entries.into_iter().skip(skipped);
        ids.filter_map(|(_, id)| match self.row(id)? {
            Row::Audit(entry) => Some(self.audit_view(entry)),
            _ => None,
        })
        .collect()
    }

    /// The name of a user, a machine or a token, also of one that has ended.
    fn audit_name(&self, id: RowId) -> Option<String> {
        let label = match self.row(id)? {
            Row::Machine(_) => self.label_of_machine(id)?.to_string(),
            Row::Token(_) => self.label_of_token(id)?.to_string(),
            _ => self.tagged_if_removed(id)?.to_string(),
        };
        Some(label)
    }

    fn tagged_if_removed(&self, account: RowId) -> Option<Label> {
        let label = self.label_of_any(account)?;
        Some(match self.account(account) {
            Some(_) => label,
            None => label.tagged(tag_of(account)),
        })
    }

    fn audit_view(&self, entry: &AuditEntry) -> AuditView {
        let user = |id| self.audit_name(id);
        let subject = entry.subject.filter(|subject| *subject != entry.who);
        AuditView {
            // The stamp in `created` may be later than the clock was: each stamp is later than all
            // stamps before it.
            at: Duration::from_millis(entry.expires).saturating_sub(AUDIT_LIFETIME),
            who_id: (entry.who != OPERATOR).then_some(entry.who),
            subject_id: subject,
            group_id: entry.group,
            who: match entry.who {
                OPERATOR => "the operator".to_owned(),
                who => user(who).unwrap_or_else(|| who.to_string()),
            },
            action: entry.action,
            subject: subject.map(|id| match self.row(id) {
                Some(Row::Share(share)) => share_text(share, entry.action),
                _ => user(id).unwrap_or_else(|| id.to_string()),
            }),
            group: entry.group.map(|id| {
                let label = self.group_label(id).map(|label| label.to_string());
                label.unwrap_or_else(|| id.to_string())
            }),
            detail: entry.detail.clone(),
            from: entry.from,
        }
    }
}

/// The entry for a suspension that a merge has found. Two trackers that find the same copies make
/// an entry each.
pub(super) fn suspension_entry(machine: RowId, version: Version, now: Duration) -> Row {
    let mut hash = Context::new(&SHA256);
    hash.update(b"pieceful audit of a merge v1");
    hash.update(&version.sequence.number().to_be_bytes());
    hash.update(&version.stamp.origin().0);
    Row::Audit(AuditEntry {
        id: id_of(hash),
        created: version,
        expires: millis(now.saturating_add(AUDIT_LIFETIME)),
        who: machine,
        action: AuditAction::SuspendedMachine,
        subject: Some(machine),
        group: None,
        detail: None,
        from: None,
    })
}

/// The name of a share, with the number of the version that the action is about. The number of a
/// first version is only shown if that version was withdrawn alone.
fn share_text(share: &Share, action: AuditAction) -> String {
    let (name, number) = (share.name.as_str(), share.edition.value.number);
    match action {
        AuditAction::WithdrewVersion => format!("{name}@{number}"),
        AuditAction::Published if number > 1 => format!("{name}@{number}"),
        _ => name.to_owned(),
    }
}

/// The role or the name that an action has given, from the rows of its write.
fn detail_of(rows: &[Row], (action, subject, group): Done) -> Option<AuditDetail> {
    rows.iter().find_map(|row| match (action, row) {
        (AuditAction::SetRole, Row::Membership(row)) if subject == Some(row.account) => {
            let given = row.role.as_ref()?;
            Some(AuditDetail::Role(given.value.role))
        }
        (AuditAction::RenamedGroup, Row::Group(row)) if group == Some(row.id) => {
            Some(AuditDetail::Name(row.name.value.clone()))
        }
        _ => None,
    })
}

/// The first 16 bytes of the hash.
fn id_of(hash: Context) -> RowId {
    let id = hash.finish().as_ref().first_chunk().copied();
    RowId(id.unwrap_or_default())
}

/// `gives_role`: the write gives another member a role.
fn done_to_member(
    row: &Membership,
    gives_role: bool,
    is_new: impl Fn(Version) -> bool,
) -> Option<Done> {
    let action = match (&row.ended, &row.accepted) {
        (Some(ended), _) if is_new(ended.version) => match ended.value.reason {
            EndReason::Rejected => AuditAction::Rejected,
            EndReason::Left => AuditAction::Left,
            EndReason::Removed => AuditAction::RemovedMember,
        },
        (None, Some(accepted)) if is_new(accepted.version) => AuditAction::Accepted,
        (None, _) => {
            let given = row.role.as_ref().filter(|given| is_new(given.version))?;
            // An owner who gives a role to another member may write his own role again, unchanged,
            // so that he stays an owner. That is no action of its own.
            let keeps_own = given.value.by == row.account && given.value.role == Role::Owner;
            if keeps_own && gives_role {
                return None;
            }
            AuditAction::SetRole
        }
        _ => return None,
    };
    Some((action, Some(row.account), Some(row.group)))
}

fn done_to_token(row: &MachineToken, is_new: impl Fn(Version) -> bool) -> Option<Done> {
    let group = row.groups.keys().next().copied();
    let action = match &row.revoked {
        None if is_new(row.created) => AuditAction::MadeToken,
        Some(revoked) if is_new(revoked.version) => AuditAction::RevokedToken,
        _ => return None,
    };
    Some((action, Some(row.id), group))
}

/// What is done to a machine. Its starts are not listed: each machine makes many.
fn done_to_machine(row: &Machine, is_new: impl Fn(Version) -> bool) -> Option<Done> {
    let is_new_field =
        |field: &Option<Register<RowId>>| field.as_ref().is_some_and(|field| is_new(field.version));
    let suspended = row.suspended.as_ref().map(|field| field.version);
    let given = row.roles.iter().find(|(_, role)| is_new(role.version));
    let (action, group) = match given {
        Some((group, _)) => (AuditAction::SetRole, Some(*group)),
        None if is_new_field(&row.revoked) => (AuditAction::RevokedMachine, None),
        // A suspended machine is answered by allowing it to start again.
        None if is_new_field(&row.answered) => (AuditAction::AllowedMachine, None),
        None if suspended.is_some_and(&is_new) => (AuditAction::SuspendedMachine, None),
        None if is_new(row.name.version) => (AuditAction::Enrolled, None),
        None => return None,
    };
    Some((action, Some(row.id), group))
}

fn done_to_share(row: &Share, is_new: impl Fn(Version) -> bool) -> Option<Done> {
    let action = match &row.withdrawn {
        None if is_new(row.created) => AuditAction::Published,
        Some(withdrawn) if is_new(withdrawn.version) => AuditAction::Withdrew,
        _ => return None,
    };
    Some((action, Some(row.id), Some(row.group)))
}

//! How entries of the audit log are shown: as lines on the console, and as JSON.

use crate::base::escape;
use crate::tracker::registry::{AuditAction, AuditDetail, AuditView, RowId};
use serde_json::{Value, json};
use std::time::SystemTime;

/// A line for the operator: when, who, what, and from where.
pub(super) fn line(entry: &AuditView) -> String {
    let subject = entry.subject.as_deref().unwrap_or(&entry.who);
    let group = entry.group.as_deref().unwrap_or_default();
    let detail = entry.detail.as_ref().map_or("?", AuditDetail::as_str);
    let done = match entry.action {
        AuditAction::RemovedUser => format!("removed the user {subject}"),
        AuditAction::EndedGroup => format!("ended the group {group}"),
        AuditAction::MadeUser => format!("created the user {subject}"),
        AuditAction::ChangedPassword => format!("changed the password of {subject}"),
        AuditAction::EndedLogin => "ended one of their logins".to_owned(),
        AuditAction::EndedLogins => format!("ended all logins of {subject}"),
        AuditAction::MadeInvite => "made an invite".to_owned(),
        AuditAction::MadeGroup => format!("created the group {group}"),
        AuditAction::Accepted => format!("accepted {subject} into {group}"),
        AuditAction::Rejected => format!("rejected {subject} for {group}"),
        AuditAction::RemovedMember => format!("removed {subject} from {group}"),
        AuditAction::Left => format!("left {group}"),
        AuditAction::Published => format!("published {subject} in {group}"),
        AuditAction::Withdrew if entry.group.is_none() => format!("withdrew shares of {subject}"),
        AuditAction::Withdrew | AuditAction::WithdrewVersion => {
            format!("withdrew {subject} from {group}")
        }
        AuditAction::SetRole => format!("gave {subject} the role {detail} in {group}"),
        AuditAction::MadeToken => format!("made the token {subject} for {group}"),
        AuditAction::RevokedToken => format!("revoked the token {subject} for {group}"),
        AuditAction::Enrolled => format!("enrolled the machine {subject}"),
        AuditAction::SuspendedMachine => format!("suspended the machine {subject}"),
        AuditAction::AllowedMachine => format!("allowed the machine {subject} again"),
        AuditAction::RevokedMachine => format!("revoked the machine {subject}"),
        AuditAction::RenamedGroup => format!("renamed a group to {detail}; it is now {group}"),
    };
    let from = entry.from.map(|from| format!("  from {from}"));
    let (time, from) = (time_of(entry), from.unwrap_or_default());
    escape(&format!("{time}  {} {done}{from}", entry.who)).into_owned()
}

/// An object for programs. Names are as they are now, and ids never change. `who_id` and `from` are
/// null on the console.
pub(super) fn object(entry: &AuditView) -> Value {
    json!({
        "time": time_of(entry),
        "who": entry.who,
        "who_id": id_text(entry.who_id),
        "action": entry.action.as_str(),
        "subject": entry.subject,
        "subject_id": id_text(entry.subject_id),
        "group": entry.group,
        "group_id": id_text(entry.group_id),
        "detail": entry.detail.as_ref().map(AuditDetail::as_str),
        "from": entry.from,
    })
}

fn id_text(id: Option<RowId>) -> Option<String> {
    id.map(|id| id.to_string())
}

/// The time in UTC, as in logs.
fn time_of(entry: &AuditView) -> String {
    let time = SystemTime::UNIX_EPOCH + entry.at;
    humantime::format_rfc3339_millis(time).to_string()
}

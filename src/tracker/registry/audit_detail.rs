//! What an action of the audit log gave: a role or a name. Roles and names change later, so the
//! entry itself contains what was given.

use super::{GroupName, Role};

/// The role or the name that an action gave.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditDetail {
    /// The role of a member, for [`AuditAction::SetRole`](super::AuditAction::SetRole).
    Role(Role),
    /// The new name of a group, for
    /// [`AuditAction::RenamedGroup`](super::AuditAction::RenamedGroup).
    Name(GroupName),
}

impl AuditDetail {
    /// The word of the role, or the name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Role(role) => role.as_str(),
            Self::Name(name) => name.as_str(),
        }
    }
}

//! The value of the fields that have the role of a member or a machine.

use super::RowId;
use crate::wire::role::Role;

/// The role that a member or a machine was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GivenRole {
    /// The role.
    pub role: Role,
    /// The account that gave it.
    pub by: RowId,
}

//! What a user chooses for a new token, and the token that is made.

use crate::wire::MachineToken;
use crate::wire::machine::MachineLabel;
use crate::wire::name::{Label, MachineName};
use crate::wire::role::Role;

/// What a new token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// The groups of its machines.
    pub groups: Vec<Label>,
    /// The role of its machines in these groups.
    pub role: Role,
    /// The largest number of machines that can enrol with it.
    pub machines: u32,
    /// For how many seconds machines can enrol. `None`: until it is revoked.
    pub enrol_seconds: Option<u32>,
    /// Its name. `None`: the name of its first group, and a random part.
    pub name: Option<MachineName>,
}

/// A token that was made. Its secret is known only here.
#[derive(Debug)]
pub struct CreatedToken {
    /// The label of the token.
    pub label: MachineLabel,
    /// The token.
    pub token: MachineToken,
}

//! The commands about machines and their tokens.

use crate::peer::NewToken;
use crate::wire::machine::MachineLabel;
use crate::wire::name::Label;

/// A command about machines and tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum MachineCommand {
    /// Make a token.
    CreateToken(NewToken),
    /// Make a join line.
    CreateJoin(NewToken),
    /// List the tokens of a group, or those of the user.
    ListTokens(Option<Label>),
    /// List the machines of a group, or those of the user.
    ListMachines(Option<Label>),
    /// Revoke a token, and so its machines.
    RevokeToken(MachineLabel),
    /// Revoke a machine.
    RevokeMachine(MachineLabel),
    /// Answer the suspension of a machine.
    AllowMachine(MachineLabel),
}

impl MachineCommand {
    /// The group that the command names, if it names one only.
    pub(super) fn group(&self) -> Option<String> {
        match self {
            Self::CreateToken(new) | Self::CreateJoin(new) => match &*new.groups {
                [group] => Some(group.to_string()),
                _ => None,
            },
            Self::ListTokens(group) | Self::ListMachines(group) => {
                group.as_ref().map(Label::to_string)
            }
            Self::RevokeToken(_) | Self::RevokeMachine(_) | Self::AllowMachine(_) => None,
        }
    }
}

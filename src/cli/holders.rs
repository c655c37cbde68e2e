//! Runs the commands about who has the shares of a group.

use super::command_error::CommandError;
use super::commands::HolderCommand;
use super::outcome::HolderOutcome;
use super::output::Output;
use super::wait_for::wait_for;
use crate::peer::Peer;

/// Runs a command about holders.
///
/// # Errors
/// No tracker answers, or the tracker refuses; those of [`wait_for`].
pub(super) fn run(
    peer: &Peer,
    output: &Output,
    command: &HolderCommand,
) -> Result<HolderOutcome, CommandError> {
    match command {
        HolderCommand::List { group, name } => {
            let list = peer.account().holders(group, name.as_deref())?;
            Ok(HolderOutcome::Listed(list.holders))
        }
        HolderCommand::Wait(command) => wait_for(peer, command, output).map(HolderOutcome::Waited),
    }
}

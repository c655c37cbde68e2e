//! Runs the commands about mirrors of groups.

use super::command_error::CommandError;
use super::commands::MirrorCommand;
use super::outcome::MirrorOutcome;
use crate::peer::Peer;

/// Runs a command.
///
/// # Errors
/// See the methods of [`Peer`] with the names of the commands.
pub(super) fn run(peer: &Peer, command: MirrorCommand) -> Result<MirrorOutcome, CommandError> {
    Ok(match command {
        MirrorCommand::Begin {
            group,
            place,
            settings,
        } => MirrorOutcome::Begun(peer.mirror(&group, &place, settings)?),
        MirrorCommand::ConfirmPrune(group) => MirrorOutcome::Confirmed {
            shares: peer.confirm_prune(&group)?,
            group: group.to_string(),
        },
        MirrorCommand::End(group) => {
            let folder = peer.unmirror(&group)?;
            MirrorOutcome::Ended {
                group: group.to_string(),
                folder,
            }
        }
    })
}

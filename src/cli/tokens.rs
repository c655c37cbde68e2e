//! Runs the commands about machines and their tokens.

use super::command_error::CommandError;
use super::commands::MachineCommand;
use super::outcome::{JoinLineOutcome, MachineOutcome, TokenOutcome};
use super::output::Output;
use crate::peer::{Account, NewToken};
use crate::wire::{HostPort, JoinLine};
use std::net::IpAddr;

/// Runs a command of the user of `account`.
///
/// # Errors
/// No tracker answers, or the tracker refuses.
pub(super) fn run(
    account: &Account,
    output: &Output,
    command: MachineCommand,
) -> Result<MachineOutcome, CommandError> {
    Ok(match command {
        MachineCommand::CreateToken(new) => {
            let created = account.create_token(&new)?;
            MachineOutcome::Token(TokenOutcome {
                label: created.label,
                text: created.token.to_string(),
                new,
            })
        }
        MachineCommand::CreateJoin(new) => {
            let (label, line) = account.create_join(&new)?;
            note_local_trackers(&line, output);
            MachineOutcome::JoinLine(JoinLineOutcome {
                label,
                line: line.to_string(),
                new,
            })
        }
        MachineCommand::ListTokens(group) => {
            MachineOutcome::Tokens(account.tokens(group.as_ref())?)
        }
        MachineCommand::ListMachines(group) => {
            MachineOutcome::Machines(account.machines(group.as_ref())?)
        }
        MachineCommand::RevokeToken(token) => {
            account.revoke_token(token.clone())?;
            MachineOutcome::Done(format!(
                "revoked {token}; its machines may do nothing any more"
            ))
        }
        MachineCommand::RevokeMachine(machine) => {
            account.revoke_machine(machine.clone())?;
            MachineOutcome::Done(format!("revoked {machine}; it may do nothing any more"))
        }
        MachineCommand::AllowMachine(machine) => {
            account.allow_machine(machine.clone())?;
            MachineOutcome::Done(format!("{machine} may go on; its next start is accepted"))
        }
    })
}

/// A note if the line names a tracker that only this machine reaches.
fn note_local_trackers(line: &JoinLine, output: &Output) {
    let is_local = |tracker: &&HostPort| {
        let address: Option<IpAddr> = tracker.host.parse().ok();
        address.is_some_and(|address| address.is_loopback()) || tracker.host == "localhost"
    };
    let trackers = line.tracker_info().addresses;
    let local: Vec<String> = trackers
        .iter()
        .filter(is_local)
        .map(HostPort::to_string)
        .collect();
    if !local.is_empty() {
        output.note(&format!(
            "only this machine reaches {}; for other machines, write the addresses of the trackers in the network into \
             TRACKER_INFO, and make another line",
            local.join(" and ")
        ));
    }
}

/// The groups and the limits of a new token, for a person.
pub(super) fn described(new: &NewToken) -> String {
    let groups: Vec<String> = new.groups.iter().map(ToString::to_string).collect();
    let machines = match new.machines {
        1 => "1 machine".to_owned(),
        count => format!("{count} machines"),
    };
    let time = match new.enrol_seconds {
        None => "until it is revoked".to_owned(),
        Some(seconds) => match seconds / 3_600 {
            1 => "within 1 hour".to_owned(),
            hours if hours % 24 == 0 && hours > 24 => format!("within {} days", hours / 24),
            hours => format!("within {hours} hours"),
        },
    };
    let role = new.role.as_str();
    format!(
        "{machines} can join {} as {role}, {time}",
        groups.join(", ")
    )
}

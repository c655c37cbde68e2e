//! The commands about machines and their tokens.

use crate::cli::command_error::CommandError;
use crate::cli::commands::command::Command;
use crate::cli::commands::command_words::CommandWords;
use crate::cli::commands::entry::{
    ArgumentKind, CommandEntry, option, optional, repeated, required,
};
use crate::cli::commands::machine::MachineCommand;
use crate::peer::NewToken;
use crate::wire::access::MAX_MACHINES_OF_TOKEN;
use crate::wire::role::Role;

/// The longest time for which machines can enrol, in days: ten years.
const MAX_DAYS: u32 = 3_650;
/// For how long a join line is valid, in hours, if the user does not say it.
const JOIN_HOURS: u32 = 24;
const SECONDS_OF_HOUR: u32 = 3_600;

/// Machines and tokens.
pub(super) static MACHINES: &[CommandEntry] = &[
    CommandEntry {
        name: "create_join",
        arguments: &[required("G", ArgumentKind::Group)],
        options: &[
            option("--role", Some("ROLE")),
            option("--uses", Some("N")),
            option("--hours", Some("N")),
        ],
        summary: "print a line with which a machine joins a group",
        details: "For owners. On the machine, type pieceful join --run and then the line. ROLE is reader (the default: downloads \
                  and serves) or publisher. One machine can use the line within 24 hours, if --uses and --hours do not say otherwise. \
                  Who has the line can make a machine of the group until it is used up: send it like a \
                  password. revoke_token ends the line and its machines.\nExample: create_join lab --uses 6",
        read: |words| {
            let hours = words
                .number("--hours", MAX_DAYS * 24)?
                .unwrap_or(JOIN_HOURS);
            Ok(Command::Machine(MachineCommand::CreateJoin(NewToken {
                groups: vec![words.name(0)?],
                role: role_of_machines(&words)?,
                machines: words.number("--uses", MAX_MACHINES_OF_TOKEN)?.unwrap_or(1),
                enrol_seconds: Some(hours * SECONDS_OF_HOUR),
                name: None,
            })))
        },
    },
    CommandEntry {
        name: "create_token",
        arguments: &[repeated("G", ArgumentKind::Group)],
        options: &[
            option("--role", Some("ROLE")),
            option("--days", Some("N")),
            option("--machines", Some("N")),
            option("--name", Some("TEXT")),
        ],
        summary: "print a token, with which machines enrol in groups",
        details: "For owners of all these groups. Write the printed line into a file that only the machine can read, and start \
                  pieceful peer --token FILE there, with the TRACKER_INFO of this cluster. ROLE is reader (the default) or publisher. One machine can \
                  enrol at any time, if --machines and --days do not say otherwise. A machine that has enrolled goes on until it or the token is \
                  revoked, or you leave the group.\nExample: create_token lab club --role publisher --machines 4 --name gpus",
        read: |words| {
            let days = words.number("--days", MAX_DAYS)?;
            Ok(Command::Machine(MachineCommand::CreateToken(NewToken {
                groups: words.names()?,
                role: role_of_machines(&words)?,
                machines: words
                    .number("--machines", MAX_MACHINES_OF_TOKEN)?
                    .unwrap_or(1),
                enrol_seconds: days.map(|days| days * 24 * SECONDS_OF_HOUR),
                name: words.option_name("--name")?,
            })))
        },
    },
    CommandEntry {
        name: "list_tokens",
        arguments: &[optional("G", ArgumentKind::Group)],
        options: &[],
        summary: "list tokens and join lines",
        details: "Lists your tokens, or with G all tokens of a group that you own. The secrets are not shown: only the machines have them.",
        read: |words| {
            let group = words.optional_name(0)?;
            Ok(Command::Machine(MachineCommand::ListTokens(group)))
        },
    },
    CommandEntry {
        name: "list_machines",
        arguments: &[optional("G", ArgumentKind::Group)],
        options: &[],
        summary: "list machines",
        details: "Lists the machines that have enrolled with your tokens, or with G all machines of a group that you are in.",
        read: |words| {
            let group = words.optional_name(0)?;
            Ok(Command::Machine(MachineCommand::ListMachines(group)))
        },
    },
    CommandEntry {
        name: "revoke_token",
        arguments: &[required("TOKEN", ArgumentKind::Token)],
        options: &[],
        summary: "end a token or join line, and all its machines",
        details: "TOKEN is a name that list_tokens shows. No machine can enrol with it any more, and those that have enrolled \
                  may do nothing any more: their links end. For the maker of the token and for owners of its groups.\nExample: revoke_token nik/gpus",
        read: |words| {
            let token = words.name(0)?;
            Ok(Command::Machine(MachineCommand::RevokeToken(token)))
        },
    },
    CommandEntry {
        name: "revoke_machine",
        arguments: &[required("MACHINE", ArgumentKind::Machine)],
        options: &[],
        summary: "end a machine",
        details: "MACHINE is a name that list_machines shows. Its links end, and it gets nothing any more. Files that it has stay there. \
                  For the maker of its token and for owners of its groups.\nExample: revoke_machine nik/gpu1",
        read: |words| {
            let machine = words.name(0)?;
            Ok(Command::Machine(MachineCommand::RevokeMachine(machine)))
        },
    },
    CommandEntry {
        name: "allow_machine",
        arguments: &[required("MACHINE", ArgumentKind::Machine)],
        options: &[],
        summary: "let a suspended machine go on",
        details: "A machine is suspended if copies of its state folder have started. First remove all copies but one: if a second \
                  one starts again, the machine is suspended again. For the maker of its token and for owners of its groups.\n\
                  Example: allow_machine nik/gpu1",
        read: |words| {
            let machine = words.name(0)?;
            Ok(Command::Machine(MachineCommand::AllowMachine(machine)))
        },
    },
];

/// The value of `--role`. A machine does not own groups.
fn role_of_machines(words: &CommandWords<'_>) -> Result<Role, CommandError> {
    match words.option("--role") {
        None | Some("reader") => Ok(Role::Reader),
        Some("publisher") => Ok(Role::Publisher),
        Some(_) => Err(words.error("the role of a machine is reader or publisher".to_owned())),
    }
}

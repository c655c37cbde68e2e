//! The commands about who has the shares of a group.

use crate::cli::command_error::CommandError;
use crate::cli::commands::command::Command;
use crate::cli::commands::command_words::CommandWords;
use crate::cli::commands::entry::{ArgumentKind, CommandEntry, option, optional, required};
use crate::cli::commands::holder::{HolderCommand, WaitForCommand, WantedMachines};
use crate::cli::values;

/// The largest number after `--on`.
const MAX_MACHINES: u32 = 1_000_000;

/// Holders of shares.
pub(super) static HOLDERS: &[CommandEntry] = &[
    CommandEntry {
        name: "list_holders",
        arguments: &[
            required("G", ArgumentKind::Group),
            optional("NAME", ArgumentKind::Share),
        ],
        options: &[],
        summary: "list which machines have the shares of a group",
        details: "For members of the group. One line per machine and version: the version, the machine's host and user, how \
                  much of it the machine has, its rate, when it was last heard of, 'mirror' if it mirrors the group, \
                  'this peer', and 'silent' if it has missed its announces. NAME is a share, with all its versions, or \
                  NAME@N. A peer that ends or stops sharing leaves the list at once; a silent one stays for a day.\n\
                  Example: list_holders lab disk.img",
        read: |words| {
            Ok(Command::Holder(HolderCommand::List {
                group: words.name(0)?,
                name: words
                    .get(1)
                    .map(|_| words.word(1).map(str::to_owned))
                    .transpose()?,
            }))
        },
    },
    CommandEntry {
        name: "wait_for",
        arguments: &[
            required("G", ArgumentKind::Group),
            required("NAME", ArgumentKind::Share),
            optional("SECONDS", ArgumentKind::Other),
        ],
        options: &[option("--on", Some("N|all")), option("--strict", None)],
        summary: "wait until machines have a share of a group",
        details: "Waits until N machines have the version that NAME means now, or a newer one; NAME@N means exactly version N. \
                  --on all, the default, waits for every machine that mirrors the group now and was seen in the last hour; \
                  the others are named, and --strict waits for them too. Fails after SECONDS, and if the version is \
                  withdrawn.\nExample: wait_for lab disk.img --on 3 600",
        read: |words| {
            let limit = words.get(2).map(values::seconds);
            Ok(Command::Holder(HolderCommand::Wait(WaitForCommand {
                group: words.name(0)?,
                name: words.word(1)?.to_owned(),
                on: wanted_machines(&words)?,
                limit: limit.transpose().map_err(|what| words.error(what))?,
                is_strict: words.has_option("--strict"),
            })))
        },
    },
];

fn wanted_machines(words: &CommandWords<'_>) -> Result<WantedMachines, CommandError> {
    match words.option("--on") {
        None | Some("all") => Ok(WantedMachines::All),
        Some(_) => match words.number("--on", MAX_MACHINES) {
            Ok(number) => Ok(WantedMachines::Count(number.unwrap_or(1))),
            Err(_) => Err(words.error(format!(
                "--on needs a number from 1 to {MAX_MACHINES}, or the word all"
            ))),
        },
    }
}

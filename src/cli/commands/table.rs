//! The table of all commands, by area.

mod account;
mod run;

use super::super::failure::Failure;
use super::{Command, Words};

/// One command of the table.
#[derive(Debug)]
pub(in crate::cli) struct Entry {
    /// What is typed, and `command` in JSON.
    pub(in crate::cli) name: &'static str,
    /// What follows it.
    pub(in crate::cli) arguments: &'static [Argument],
    /// What may stand anywhere behind it.
    pub(in crate::cli) flags: &'static [Flag],
    /// What it does, in one line.
    pub(in crate::cli) summary: &'static str,
    /// What else there is to know, with an example.
    pub(in crate::cli) details: &'static str,
    pub(super) read: fn(Words<'_>) -> Result<Command, Failure>,
}

/// One argument of a command.
#[derive(Debug)]
pub(in crate::cli) struct Argument {
    pub(super) name: &'static str,
    pub(super) required: bool,
    /// What it names, for completion.
    pub(in crate::cli) what: What,
}

/// A word that changes what a command does.
#[derive(Debug)]
pub(in crate::cli) struct Flag {
    /// As it is typed.
    pub(in crate::cli) name: &'static str,
    /// What must follow it, if anything.
    pub(in crate::cli) value: Option<&'static str>,
}

/// What an argument names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum What {
    /// A file or folder.
    Path,
    /// A download.
    Download,
    /// A command.
    Command,
    /// A password: never kept, never shown.
    Secret,
    /// Something that cannot be completed.
    Other,
}

impl Entry {
    /// The command with its arguments, as help shows it.
    pub(in crate::cli) fn usage(&self) -> String {
        let mut usage = self.name.to_owned();
        for Argument { name, required, .. } in self.arguments {
            let word = if *required {
                format!(" {name}")
            } else {
                format!(" [{name}]")
            };
            usage.push_str(&word);
        }
        for Flag { name, value } in self.flags {
            let value = value.map_or_else(String::new, |value| format!(" {value}"));
            usage.push_str(&format!(" [{name}{value}]"));
        }
        usage
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

const fn required(name: &'static str, what: What) -> Argument {
    Argument {
        name,
        required: true,
        what,
    }
}

const fn optional(name: &'static str, what: What) -> Argument {
    Argument {
        name,
        required: false,
        what,
    }
}

/// Commands that belong together.
#[derive(Debug)]
pub(in crate::cli) struct Area {
    /// What they are about.
    pub(in crate::cli) title: &'static str,
    /// The commands.
    pub(in crate::cli) entries: &'static [Entry],
}

/// All commands, in the order in which `help` lists them.
pub(in crate::cli) static AREAS: &[Area] = &[
    Area {
        title: "account",
        entries: account::ACCOUNT,
    },
    Area {
        title: "groups",
        entries: account::GROUPS,
    },
    Area {
        title: "files of groups",
        entries: account::FILES,
    },
    Area {
        title: "open swarms",
        entries: run::OPEN,
    },
    Area {
        title: "run",
        entries: run::RUN,
    },
];

/// All commands.
pub(in crate::cli) fn entries() -> impl Iterator<Item = &'static Entry> {
    AREAS.iter().flat_map(|area| area.entries)
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    #[test]
    fn the_table_is_sound() {
        for entry in entries() {
            let first_optional = entry
                .arguments
                .iter()
                .position(|argument| !argument.required);
            let last_required = entry
                .arguments
                .iter()
                .rposition(|argument| argument.required);
            assert!(
                first_optional.zip(last_required).is_none_or(|(o, r)| r < o),
                "{}",
                entry.name
            );
            assert!(find(entry.name).is_ok() && !entry.summary.contains('\n'));
        }
    }
}

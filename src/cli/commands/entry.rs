//! One command of the table: its name and arguments, its help, and how its arguments are read.

use super::command::Command;
use super::command_words::{CommandWords, GivenFlags, ReadOtherCommand};
use crate::cli::command_error::CommandError;

/// One command of the table.
#[derive(Debug)]
pub(in crate::cli) struct CommandEntry {
    /// The name as typed, and the value of `command` in JSON.
    pub(in crate::cli) name: &'static str,
    /// The arguments in their order: required ones first.
    pub(in crate::cli) arguments: &'static [Argument],
    /// The flags, allowed anywhere after the name.
    pub(in crate::cli) flags: &'static [Flag],
    /// One line of help.
    pub(in crate::cli) summary: &'static str,
    /// The rest of the help, with an example.
    pub(in crate::cli) details: &'static str,
    /// Makes the command from its arguments.
    pub(super) read: fn(CommandWords<'_>) -> Result<Command, CommandError>,
}

/// One argument of a command.
#[derive(Debug)]
pub(in crate::cli) struct Argument {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(in crate::cli) kind: ArgumentKind,
}

/// A word such as `--force` that changes what a command does.
#[derive(Debug)]
pub(in crate::cli) struct Flag {
    /// As it is typed.
    pub(in crate::cli) name: &'static str,
    /// The name of the value that must follow, if there is one.
    pub(in crate::cli) value: Option<&'static str>,
}

/// What an argument names; completion depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum ArgumentKind {
    /// A file or folder.
    Path,
    /// A download.
    Download,
    /// A group.
    Group,
    /// A share of the group that an earlier argument names.
    Share,
    /// A member of that group.
    Member,
    /// A user who has asked to join that group.
    Requester,
    /// A command.
    Command,
    /// A password: never kept in the history, never shown.
    Secret,
    /// Anything else: no completion.
    Other,
}

impl CommandEntry {
    /// The command with its arguments and flags, as help shows it.
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

    /// Reads the words after the command's name. `read_as` reads words as the arguments of another
    /// command.
    pub(super) fn read(
        &self,
        words: &[String],
        read_as: ReadOtherCommand,
    ) -> Result<Command, CommandError> {
        let (words, flags) = self.split_flags(words)?;
        let required_count = self
            .arguments
            .iter()
            .filter(|argument| argument.required)
            .count();
        let missing = self
            .arguments
            .get(words.len())
            .filter(|_| words.len() < required_count);
        let words = CommandWords::new(&words, &flags, self.usage(), read_as);
        match (missing, words.get(self.arguments.len())) {
            (Some(missing), _) => Err(words.error(format!("{} is missing", missing.name))),
            // The message does not quote the word: it may be part of a password.
            (_, Some(_)) if self.takes_secrets() => {
                Err(words.error("too many arguments".to_owned()))
            }
            (_, Some(extra)) => Err(words.error(format!("too many arguments: {extra:?}"))),
            _ => (self.read)(words),
        }
    }

    /// Splits the words into arguments and the flags of this command.
    pub(super) fn split_flags(
        &self,
        words: &[String],
    ) -> Result<(Vec<String>, GivenFlags), CommandError> {
        let (mut rest, mut flags) = (Vec::new(), GivenFlags::new());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match self.flags.iter().find(|flag| flag.name == word) {
                None => rest.push(word.clone()),
                Some(flag) => {
                    let value = match flag.value {
                        None => Some(String::new()),
                        Some(_) => words.next().cloned(),
                    };
                    let value = value.ok_or_else(|| {
                        let message = format!("{} needs a value", flag.name);
                        CommandError::Arguments(message, self.usage())
                    })?;
                    flags.push((flag.name, value));
                }
            }
        }
        Ok((rest, flags))
    }

    /// Whether a password is among the arguments.
    pub(super) fn takes_secrets(&self) -> bool {
        let mut arguments = self.arguments.iter();
        arguments.any(|argument| argument.kind == ArgumentKind::Secret)
    }
}

/// A required argument.
pub(super) const fn required(name: &'static str, kind: ArgumentKind) -> Argument {
    Argument {
        name,
        required: true,
        kind,
    }
}

/// An optional argument.
pub(super) const fn optional(name: &'static str, kind: ArgumentKind) -> Argument {
    Argument {
        name,
        required: false,
        kind,
    }
}

/// A flag, and the name of its value if it has one.
pub(super) const fn flag(name: &'static str, value: Option<&'static str>) -> Flag {
    Flag { name, value }
}

//! One command of the table: what is typed, what help says of it, and how its words are read.

use super::command::Command;
use super::typed::{Flags, ReadAs, Words};
use crate::cli::failure::Failure;

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
    /// Reads its arguments.
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

    /// Reads what follows the command; `read_as` reads it as another's.
    pub(super) fn read(&self, words: &[String], read_as: ReadAs) -> Result<Command, Failure> {
        let (words, flags) = self.sort(words)?;
        let least = self
            .arguments
            .iter()
            .filter(|argument| argument.required)
            .count();
        let missing = self
            .arguments
            .get(words.len())
            .filter(|_| words.len() < least);
        let words = Words::new(&words, &flags, self.usage(), read_as);
        match (missing, words.get(self.arguments.len())) {
            (Some(missing), _) => Err(words.wrong(format!("{} is missing", missing.name))),
            // It may be part of a password.
            (_, Some(_)) if self.takes_secrets() => {
                Err(words.wrong("there are words too many".to_owned()))
            }
            (_, Some(extra)) => Err(words.wrong(format!("{extra:?} is one word too many"))),
            _ => (self.read)(words),
        }
    }

    /// Takes the flags of this command out of the words.
    pub(super) fn sort(&self, words: &[String]) -> Result<(Vec<String>, Flags), Failure> {
        let (mut rest, mut flags) = (Vec::new(), Flags::new());
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
                        let what = format!("nothing follows {}", flag.name);
                        Failure::Arguments(what, self.usage())
                    })?;
                    flags.push((flag.name, value));
                }
            }
        }
        Ok((rest, flags))
    }

    /// Whether passwords may follow it.
    pub(super) fn takes_secrets(&self) -> bool {
        let mut arguments = self.arguments.iter();
        arguments.any(|argument| argument.what == What::Secret)
    }
}

/// An argument that must be there.
pub(super) const fn required(name: &'static str, what: What) -> Argument {
    Argument {
        name,
        required: true,
        what,
    }
}

/// An argument that may be left out.
pub(super) const fn optional(name: &'static str, what: What) -> Argument {
    Argument {
        name,
        required: false,
        what,
    }
}

/// A word that may stand anywhere, and what must follow it.
pub(super) const fn flag(name: &'static str, value: Option<&'static str>) -> Flag {
    Flag { name, value }
}

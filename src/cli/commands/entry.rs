//! One command of the table: its name and arguments, its help, and how its arguments are read.

use super::command::Command;
use super::command_words::{CommandWords, TypedOptions};
use super::nearest::nearest;
use crate::base::escape;
use crate::cli::command_error::CommandError;

/// One command of the table.
#[derive(Debug)]
pub(in crate::cli) struct CommandEntry {
    /// The name as typed, and the value of `command` in JSON.
    pub(in crate::cli) name: &'static str,
    /// The arguments in their order: required ones first.
    pub(in crate::cli) arguments: &'static [Argument],
    /// The options, allowed anywhere after the name.
    pub(in crate::cli) options: &'static [CommandOption],
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
    /// Whether it may be repeated. Only the last argument may.
    pub(super) repeats: bool,
    pub(in crate::cli) kind: ArgumentKind,
}

/// A word such as `--force` that changes what a command does.
#[derive(Debug)]
pub(in crate::cli) struct CommandOption {
    /// As it is typed.
    pub(in crate::cli) name: &'static str,
    /// The name of the value that must follow, if there is one.
    pub(in crate::cli) value: Option<&'static str>,
}

/// The option that shows the help of a command. Every command has it; usage lines leave it out.
const HELP: CommandOption = option("--help", None);

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
    /// A member of the group that an earlier argument names.
    Member,
    /// A user who has asked to join the group that an earlier argument names.
    Requester,
    /// A token that `list_tokens` has shown.
    Token,
    /// A machine that `list_machines` has shown.
    Machine,
    /// A login that `list_logins` has shown.
    Login,
    /// A role in a group.
    Role,
    /// A command.
    Command,
    /// A password: never kept in the history, never shown.
    Secret,
    /// Anything else: no completion.
    Other,
}

impl ArgumentKind {
    /// The kinds whose names a peer offers, and the word of each.
    const OFFERED: [(Self, &'static str); 5] = [
        (Self::Download, "download"),
        (Self::Group, "group"),
        (Self::Share, "share"),
        (Self::Member, "member"),
        (Self::Requester, "requester"),
    ];

    /// The word of a kind whose names a peer offers.
    pub(in crate::cli) fn word(self) -> Option<&'static str> {
        let found = Self::OFFERED.iter().find(|(kind, _)| *kind == self);
        found.map(|(_, word)| *word)
    }

    /// The kind of this word.
    pub(in crate::cli) fn of_word(word: &str) -> Option<Self> {
        let found = Self::OFFERED.iter().find(|(_, known)| *known == word);
        found.map(|(kind, _)| *kind)
    }
}

impl CommandEntry {
    /// The command with its arguments and options, as help shows it.
    pub(in crate::cli) fn usage(&self) -> String {
        let mut usage = self.name.to_owned();
        for Argument {
            name,
            required,
            repeats,
            ..
        } in self.arguments
        {
            let dots = if *repeats { "..." } else { "" };
            let word = if *required {
                format!(" {name}{dots}")
            } else {
                format!(" [{name}]")
            };
            usage.push_str(&word);
        }
        for CommandOption { name, value } in self.options {
            let value = value.map_or_else(String::new, |value| format!(" {value}"));
            usage.push_str(&format!(" [{name}{value}]"));
        }
        usage
    }

    /// The argument at this position. A repeated one is at all later positions too.
    pub(in crate::cli) fn argument(&self, at: usize) -> Option<&Argument> {
        let last = self.arguments.last().filter(|last| last.repeats);
        self.arguments.get(at).or(last)
    }

    /// Parses the words after the command's name.
    pub(super) fn parse(&self, words: &[String]) -> Result<Command, CommandError> {
        let (words, options) = self.split_options(words)?;
        if options.iter().any(|(option, _)| *option == HELP.name) {
            return Ok(Command::Help(Some(self.name.to_owned())));
        }
        let required_count = self
            .arguments
            .iter()
            .filter(|argument| argument.required)
            .count();
        let missing = self
            .arguments
            .get(words.len())
            .filter(|_| words.len() < required_count);
        let repeats = self.arguments.last().is_some_and(|last| last.repeats);
        let words = CommandWords::new(&words, &options, self.usage());
        let extra = words.get(self.arguments.len()).filter(|_| !repeats);
        match (missing, extra) {
            (Some(missing), _) => Err(words.error(format!("{} is missing", missing.name))),
            // The message does not quote the word: it may be part of a password.
            (_, Some(_)) if self.takes_secrets() => {
                Err(words.error("too many arguments".to_owned()))
            }
            (_, Some(extra)) => Err(words.error(format!("too many arguments: {extra:?}"))),
            _ => (self.read)(words),
        }
    }

    /// Splits the words into arguments and options. A word that begins with `--` is an option, if
    /// there is no word `--` before it.
    pub(super) fn split_options(
        &self,
        words: &[String],
    ) -> Result<(Vec<String>, TypedOptions), CommandError> {
        let (mut arguments, mut options) = (Vec::new(), TypedOptions::new());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                arguments.extend(words.by_ref().cloned());
            } else if word.starts_with("--") {
                let (name, value) = match word.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (word.as_str(), None),
                };
                let mut all_options = self.options.iter().chain([&HELP]);
                let option = all_options.find(|option| option.name == name);
                let option = option.ok_or_else(|| self.error(self.no_such_option(name)))?;
                let mut next = || words.next().filter(|next| !next.starts_with("--")).cloned();
                let value = match option.value {
                    Some(_) => value.or_else(&mut next).ok_or("needs a value"),
                    None => value.map_or(Ok(String::new()), |_| Err("takes no value")),
                };
                let wrong = |what| self.error(format!("{} {what}", option.name));
                options.push((option.name, value.map_err(wrong)?));
            } else {
                arguments.push(word.clone());
            }
        }
        Ok((arguments, options))
    }

    /// The number of words that are arguments. For a mistyped option, the nearest option decides
    /// whether the next word is its value.
    pub(super) fn count_arguments(&self, words: &[String]) -> usize {
        let mut words = words.iter();
        let mut count = 0;
        while let Some(word) = words.next() {
            if word == "--" {
                return count + words.len();
            }
            let meant = nearest(word, self.options.iter().map(|option| option.name));
            let mut options = self.options.iter();
            if !word.starts_with("--") {
                count += 1;
            } else if !word.contains('=')
                && options.any(|option| Some(option.name) == meant && option.value.is_some())
            {
                // The value of the option.
                words.next();
            }
        }
        count
    }

    /// The message about a word that begins with `--` and is no option of this command.
    fn no_such_option(&self, word: &str) -> String {
        let name = self.name;
        // The message does not show the word if it may be a password.
        let (shown, what) = match self.takes_secrets() {
            true => ("such option".to_owned(), "a password"),
            false => {
                let word: String = word.chars().take(60).collect();
                (format!("option {}", escape(&word)), "a name")
            }
        };
        let names = self.options.iter().chain([&HELP]).map(|option| option.name);
        match nearest(word, names) {
            Some(nearest) => format!("{name} has no {shown}, the nearest is {nearest}"),
            None => {
                format!("{name} has no {shown} (if {what} begins with --, type -- before it)")
            }
        }
    }

    /// An error about the arguments, with the usage.
    fn error(&self, message: String) -> CommandError {
        CommandError::Arguments(message, self.usage())
    }

    /// Whether the command has an argument for a password.
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
        repeats: false,
        kind,
    }
}

/// A required argument that may be repeated. It is the last one.
pub(super) const fn repeated(name: &'static str, kind: ArgumentKind) -> Argument {
    Argument {
        name,
        required: true,
        repeats: true,
        kind,
    }
}

/// An optional argument.
pub(super) const fn optional(name: &'static str, kind: ArgumentKind) -> Argument {
    Argument {
        name,
        required: false,
        repeats: false,
        kind,
    }
}

/// An option, and the name of its value if it has one.
pub(super) const fn option(name: &'static str, value: Option<&'static str>) -> CommandOption {
    CommandOption { name, value }
}

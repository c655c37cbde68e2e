//! The arguments and options of one command, as typed.

use super::command::{DownloadSource, OPEN_SWARMS};
use crate::cli::command_error::CommandError;
use crate::peer::{FileChoice, WantedPlace};
use crate::torrent::{FilePattern, Glob, GlobError};
use crate::wire::access::ShortText;
use crate::wire::name::NameError;
use crate::wire::note::{Note, NoteError};
use crate::wire::password::Password;
use crate::wire::role::Role;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

/// The options of one command, as typed: the name of each option, and its value, or `""` if the
/// option takes no value.
pub(super) type TypedOptions = Vec<(&'static str, String)>;

/// The arguments and options as typed. [`CommandEntry::parse`](super::CommandEntry) checks the
/// number of arguments.
pub(super) struct CommandWords<'a> {
    words: &'a [String],
    options: &'a TypedOptions,
    usage: String,
}

impl<'a> CommandWords<'a> {
    /// The words typed for a command with this usage.
    pub(super) fn new(words: &'a [String], options: &'a TypedOptions, usage: String) -> Self {
        Self {
            words,
            options,
            usage,
        }
    }

    /// The value of an option; `None` if the option was not typed.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|(option, _)| *option == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether the option was typed.
    pub(super) fn has_option(&self, option: &str) -> bool {
        self.option(option).is_some()
    }

    /// The argument at this position, if there is one; it may be empty.
    pub(super) fn get(&self, at: usize) -> Option<&str> {
        self.words.get(at).map(String::as_str)
    }

    /// The argument at this position; an empty one is an error.
    pub(super) fn word(&self, at: usize) -> Result<&str, CommandError> {
        let word = self.words.get(at).filter(|word| !word.is_empty());
        word.map(String::as_str)
            .ok_or_else(|| self.error("an argument is empty".to_owned()))
    }

    /// Whether this argument is [`OPEN_SWARMS`] instead of a group.
    pub(super) fn names_open_swarms(&self, at: usize) -> bool {
        self.words.get(at).is_some_and(|word| word == OPEN_SWARMS)
    }

    /// A file or folder.
    pub(super) fn path(&self, at: usize) -> Result<PathBuf, CommandError> {
        self.word(at).map(PathBuf::from)
    }

    /// A file or folder, if there is such an argument.
    pub(super) fn optional_path(&self, at: usize) -> Result<Option<PathBuf>, CommandError> {
        self.words.get(at).map(|_| self.path(at)).transpose()
    }

    /// The place of a download, named or not.
    pub(super) fn wanted_place(&self, at: usize) -> Result<WantedPlace, CommandError> {
        Ok(WantedPlace {
            named: self.optional_path(at)?,
            ..WantedPlace::default()
        })
    }

    /// The place of a download: an argument, or the value of `option`, which is the path of the
    /// file or folder itself.
    pub(super) fn wanted_place_or_path(
        &self,
        at: usize,
        option: &str,
    ) -> Result<WantedPlace, CommandError> {
        let place = self.wanted_place(at)?;
        match (self.option(option), place.named.is_some()) {
            (None, _) => Ok(place),
            (Some(""), _) => Err(self.error(format!("{option} needs a path"))),
            (Some(_), true) => Err(self.error(format!("give either DEST or {option}, not both"))),
            (Some(path), false) => Ok(WantedPlace {
                named: Some(path.into()),
                is_exact: true,
                ..place
            }),
        }
    }

    /// The note of a publisher, if `--note` was typed.
    pub(super) fn note(&self) -> Result<Option<Note>, CommandError> {
        let note = self.option("--note").map(str::parse).transpose();
        note.map_err(|error: NoteError| self.error(error.to_string()))
    }

    /// A `.torrent` or a magnet link.
    pub(super) fn source(&self, at: usize) -> Result<DownloadSource, CommandError> {
        let word = self.word(at)?;
        let start = word.trim_start().get(..7).unwrap_or_default();
        Ok(match start.eq_ignore_ascii_case("magnet:") {
            true => DownloadSource::Magnet(word.to_owned()),
            false => DownloadSource::Torrent(word.into()),
        })
    }

    /// The options of `download`.
    pub(super) fn file_choice(&self) -> Result<FileChoice, CommandError> {
        let only = self.globs("--only")?.into_iter();
        Ok(FileChoice {
            only: only.map(FilePattern::Path).collect(),
            sequential: self.has_option("--sequential"),
            force: self.has_option("--force"),
        })
    }

    /// An error about the arguments, with the command's usage.
    pub(super) fn error(&self, message: String) -> CommandError {
        CommandError::Arguments(message, self.usage.clone())
    }

    /// The name of a user or group.
    pub(super) fn name<T: FromStr<Err: Display>>(&self, at: usize) -> Result<T, CommandError> {
        let word = self.words.get(at).map_or("", String::as_str);
        word.parse()
            .map_err(|error: T::Err| CommandError::BadName(error.to_string()))
    }

    /// The name of a group, if there is such an argument.
    pub(super) fn optional_name<T: FromStr<Err: Display>>(
        &self,
        at: usize,
    ) -> Result<Option<T>, CommandError> {
        self.words.get(at).map(|_| self.name(at)).transpose()
    }

    /// All arguments, each the name of a group.
    pub(super) fn names<T: FromStr<Err: Display>>(&self) -> Result<Vec<T>, CommandError> {
        (0..self.words.len()).map(|at| self.name(at)).collect()
    }

    /// The value of an option that is a name, if the option was typed.
    pub(super) fn option_name<T: FromStr<Err: Display>>(
        &self,
        option: &str,
    ) -> Result<Option<T>, CommandError> {
        let parsed = self.option(option).map(str::parse).transpose();
        parsed.map_err(|error: T::Err| CommandError::BadName(error.to_string()))
    }

    /// The value of an option that is a number from 1 to `most`, if the option was typed.
    pub(super) fn number(&self, option: &str, most: u32) -> Result<Option<u32>, CommandError> {
        let Some(typed) = self.option(option) else {
            return Ok(None);
        };
        let is_number = typed.bytes().all(|byte| byte.is_ascii_digit());
        let number = typed.parse().ok().filter(|_| is_number);
        let number = number.filter(|number| (1..=most).contains(number));
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(self.error(format!("{option} needs a number from 1 to {most}"))),
        }
    }

    /// The value of an option, which `read` reads, if the option was typed.
    pub(super) fn value<T>(
        &self,
        option: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, CommandError> {
        let read = self.option(option).map(read).transpose();
        read.map_err(|expected| self.error(format!("{option}: {expected}")))
    }

    /// The patterns of an option that may be repeated.
    pub(super) fn globs(&self, option: &str) -> Result<Vec<Glob>, CommandError> {
        let typed = self.options.iter().filter(|(name, _)| *name == option);
        let globs = typed.map(|(_, pattern)| pattern.parse());
        let globs = globs.collect::<Result<_, GlobError>>();
        globs.map_err(|error| self.error(error.to_string()))
    }

    /// The name of a new user or group.
    pub(super) fn new_name<T>(
        &self,
        at: usize,
        check: fn(&T) -> Result<(), NameError>,
    ) -> Result<T, CommandError>
    where
        T: FromStr<Err: Display>,
    {
        let name = self.name(at)?;
        check(&name).map_err(|error| CommandError::BadName(error.to_string()))?;
        Ok(name)
    }

    /// A role in a group.
    pub(super) fn role(&self, at: usize) -> Result<Role, CommandError> {
        let role = Role::parse(self.word(at)?);
        role.ok_or_else(|| {
            let words: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
            self.error(format!("a role is one of: {}", words.join(", ")))
        })
    }

    /// A password, if there is such an argument.
    pub(super) fn password(&self, at: usize) -> Result<Option<Password>, CommandError> {
        let word = self.words.get(at);
        let password = word.map(|word| Password::new(word.as_str()));
        Ok(password.transpose()?)
    }

    /// The value of `--invite`, if it was typed.
    pub(super) fn invite(&self) -> Result<Option<ShortText>, CommandError> {
        let code = self.option("--invite");
        let invite = code.map(ShortText::new);
        match invite {
            Some(None) => Err(self.error(
                "the invite code is malformed; copy it as the tracker's operator sent it"
                    .to_owned(),
            )),
            other => Ok(other.flatten()),
        }
    }
}

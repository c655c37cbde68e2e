//! The arguments and flags of one command as they were typed.

use super::command::{Command, OPEN_SWARMS, Source};
use crate::cli::failure::Failure;
use crate::peer::FileChoice;
use crate::torrent::GlobError;
use crate::wire::access::Place;
use crate::wire::password::Password;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

/// Flags that stand in a line, each with what follows it.
pub(super) type Flags = Vec<(&'static str, String)>;
/// Reads words as the arguments of another command.
pub(super) type ReadAs = fn(&str, &[String]) -> Result<Command, Failure>;

/// The arguments as typed; as many as the entry allows.
pub(super) struct Words<'a> {
    words: &'a [String],
    flags: &'a Flags,
    /// How the command is typed.
    usage: String,
    read_as: ReadAs,
}

impl<'a> Words<'a> {
    /// What was typed for a command of that usage.
    pub(super) fn new(
        words: &'a [String],
        flags: &'a Flags,
        usage: String,
        read_as: ReadAs,
    ) -> Self {
        Self {
            words,
            flags,
            usage,
            read_as,
        }
    }

    /// What follows a flag; nothing if the flag is not there.
    pub(super) fn flag(&self, name: &str) -> Option<&str> {
        let found = self.flags.iter().find(|(flag, _)| *flag == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether the flag is there.
    pub(super) fn has(&self, flag: &str) -> bool {
        self.flag(flag).is_some()
    }

    /// The word, if there is one; it may be empty.
    pub(super) fn get(&self, at: usize) -> Option<&str> {
        self.words.get(at).map(String::as_str)
    }

    /// A word that is not empty.
    pub(super) fn word(&self, at: usize) -> Result<&str, Failure> {
        let word = self.words.get(at).filter(|word| !word.is_empty());
        word.map(String::as_str)
            .ok_or_else(|| self.wrong("a name is empty".to_owned()))
    }

    /// Whether [`OPEN_SWARMS`] stands where a group would.
    pub(super) fn names_open_swarms(&self, at: usize) -> bool {
        self.words.get(at).is_some_and(|word| word == OPEN_SWARMS)
    }

    /// A file or folder.
    pub(super) fn path(&self, at: usize) -> Result<PathBuf, Failure> {
        self.word(at).map(PathBuf::from)
    }

    /// A file or folder, if one is given.
    pub(super) fn optional_path(&self, at: usize) -> Result<Option<PathBuf>, Failure> {
        self.words.get(at).map(|_| self.path(at)).transpose()
    }

    /// What names a share of an open swarm.
    pub(super) fn source(&self, at: usize) -> Result<Source, Failure> {
        let word = self.word(at)?;
        let start = word.get(..7).unwrap_or_default();
        Ok(match start.eq_ignore_ascii_case("magnet:") {
            true => Source::Magnet(word.to_owned()),
            false => Source::Torrent(word.into()),
        })
    }

    /// What of a share is wanted, and how.
    pub(super) fn choice(&self) -> Result<FileChoice, Failure> {
        let patterns = self.flags.iter().filter(|(flag, _)| *flag == "--only");
        let only = patterns.map(|(_, pattern)| pattern.parse());
        let only = only.collect::<Result<_, GlobError>>();
        Ok(FileChoice {
            only: only.map_err(|error| self.wrong(error.to_string()))?,
            sequential: self.has("--sequential"),
            force: self.has("--force"),
        })
    }

    /// `torrent -setMode send FILE` and its like.
    pub(super) fn other_spelling(&self) -> Result<Command, Failure> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let rest = self.words.get(2..).unwrap_or_default();
        match words.as_slice() {
            ["exit"] | ["-setMode", "exit"] => Ok(Command::Quit),
            ["-setMode", "send" | "upload", ..] => (self.read_as)("send", rest),
            ["-setMode", "download", ..] => (self.read_as)("download", rest),
            _ => Err(self.wrong("the mode is one of send, upload, download and exit".to_owned())),
        }
    }

    /// What is wrong with the words.
    pub(super) fn wrong(&self, what: String) -> Failure {
        Failure::Arguments(what, self.usage.clone())
    }

    /// The name of a user or group.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, at: usize) -> Result<T, Failure> {
        let word = self.words.get(at).map_or("", String::as_str);
        word.parse()
            .map_err(|error: T::Err| Failure::BadName(error.to_string()))
    }

    /// A password, if one stands there.
    pub(super) fn password(&self, at: usize) -> Result<Option<Password>, Failure> {
        let word = self.words.get(at);
        let password = word.map(|word| Password::new(word.as_str()));
        Ok(password.transpose()?)
    }

    /// The invite code, if one is given.
    pub(super) fn invite(&self) -> Result<Option<Place>, Failure> {
        let code = self.flag("--invite");
        let place = code.map(Place::new);
        match place {
            Some(None) => Err(self.wrong("an invite code is asked for".to_owned())),
            other => Ok(other.flatten()),
        }
    }
}

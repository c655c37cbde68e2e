//! Configuration files: what options say, under the names of the long options, as TOML.
//!
//! In scope: reading a file against the definitions of the options; a file with the defaults, made
//! of the same definitions; what has changed in a file. Out of scope: the meaning of the settings.
//! A setting becomes the default of its option, so an option that is typed overrides it.

mod file;
mod keys;
mod print;

pub(super) use print::print;

use super::attach::{self, AttachArguments};
use super::options::{flag, path_option};
use clap::builder::OsStr as ClapText;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use file::{Setting, read};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The configuration of a process.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Configuration {
    /// The file.
    pub(in crate::cli) path: PathBuf,
    /// All arguments of the process.
    typed: Vec<OsString>,
    /// The settings of the file by key.
    settings: BTreeMap<String, Setting>,
}

/// What a mode has that runs a process: how it attaches, and its configuration.
#[derive(Debug, Default)]
pub(in crate::cli) struct ProcessArguments {
    /// Whether and how the command attaches to a running process.
    pub(in crate::cli) attach: AttachArguments,
    /// The configuration file, if there is one.
    pub(in crate::cli) config: Option<Configuration>,
}

/// A setting that differs from the one before.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Change {
    /// The key.
    pub(in crate::cli) key: String,
    /// The value before; `None` for the default.
    pub(in crate::cli) before: Option<String>,
    /// The value now; `None` for the default.
    pub(in crate::cli) now: Option<String>,
    /// Whether an option of the process overrides the file.
    pub(in crate::cli) is_overridden: bool,
}

/// The options `--config` and `--print-config`.
pub(super) fn config_options() -> [Arg; 2] {
    [
        path_option("config", "FILE")
            .help("Read settings from this TOML file; options override them"),
        flag("print-config")
            .help("Print a configuration file with all settings and their defaults, and exit"),
    ]
}

impl Configuration {
    /// Reads the file that `--config` names in the arguments of a mode.
    ///
    /// # Errors
    /// One line with the file, the line in it, and what is wrong.
    pub(super) fn read(
        matches: &ArgMatches,
        command: &Command,
        typed: &[OsString],
    ) -> Result<Option<Self>, String> {
        let Some(path) = matches.get_one::<PathBuf>("config") else {
            return Ok(None);
        };
        let path = std::path::absolute(path).map_err(|error| format!("--config: {error}"))?;
        let settings = read(&path, command)?;
        let typed = typed.to_vec();
        Ok(Some(Self {
            path,
            typed,
            settings,
        }))
    }

    /// The definition of a mode with the settings as the defaults of its options. `join` does not
    /// have all options of a peer, and its `--name` allows fewer names.
    pub(super) fn apply(&self, mut command: Command) -> Command {
        let is_join = command.get_name() == "join";
        for setting in self.settings.values() {
            let is_own = |option: &Arg| option.get_id() == setting.id.as_str();
            let has_option = command.get_arguments().any(is_own);
            if !has_option || is_join && setting.id == "name" {
                continue;
            }
            let values: Vec<ClapText> = setting.values.iter().map(ClapText::from).collect();
            command = command.mut_arg(&setting.id, |argument| argument.default_values(values));
        }
        command
    }

    /// Checks that no argument that was typed conflicts with a setting. For clap a default
    /// conflicts with nothing. `typed` are the arguments without the settings.
    ///
    /// # Errors
    /// One line with the argument, the setting and the file.
    pub(super) fn check_conflicts(
        &self,
        command: &Command,
        typed: &ArgMatches,
    ) -> Result<(), String> {
        let is_typed = |argument: &&Arg| {
            typed.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine)
        };
        let conflicts = |one: &Arg, other: &Arg| {
            let with_one = command.get_arg_conflicts_with(one);
            with_one
                .iter()
                .any(|found| found.get_id() == other.get_id())
        };
        for (key, setting) in &self.settings {
            let is_default = setting.values.is_empty() || setting.values == ["false"];
            let mut all = command.get_arguments();
            let set = all.find(|argument| argument.get_id() == setting.id.as_str());
            let Some(set) = set.filter(|set| !is_default && !is_typed(set)) else {
                continue;
            };
            let mut typed = command.get_arguments().filter(is_typed);
            let other = typed.find(|other| conflicts(set, other) || conflicts(other, set));
            if let Some(other) = other {
                let (other, path) = (attach::shown(other), self.path.display());
                return Err(format!(
                    "{other} cannot be used with the setting {key} of {path}; leave one of them out"
                ));
            }
        }
        Ok(())
    }

    /// The value of a setting; `None` for the default.
    pub(in crate::cli) fn value(&self, key: &str) -> Option<String> {
        let setting = self.settings.get(key);
        setting.map(|setting| setting.values.join(", "))
    }

    /// The arguments of the process.
    pub(super) fn typed(&self) -> &[OsString] {
        &self.typed
    }

    /// The folder of the file. Relative paths in the file belong to it.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// The differences from the configuration before.
    pub(super) fn changes(&self, before: &Self, matches: &ArgMatches) -> Vec<Change> {
        let keys = self.settings.keys().chain(before.settings.keys());
        let mut keys: Vec<&String> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        let changed = keys.into_iter().filter_map(|key| {
            let setting = self.settings.get(key).or(before.settings.get(key));
            let id = &setting?.id;
            let (now, before) = (self.value(key), before.value(key));
            (now != before).then(|| Change {
                key: key.clone(),
                before,
                now,
                is_overridden: matches.try_contains_id(id).is_ok()
                    && matches.value_source(id) == Some(ValueSource::CommandLine),
            })
        });
        changed.collect()
    }
}

#[cfg(test)]
mod tests;

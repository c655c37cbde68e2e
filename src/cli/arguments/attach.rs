//! Arguments of a command that may attach to a running process: which of them make sense only at
//! the start of a process.

use super::options::flag;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// Whether and how a command attaches to the process that uses its state folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct AttachArguments {
    /// Whether it fails instead.
    pub(in crate::cli) refused: bool,
    /// The arguments, as typed, that make sense only at the start of a process.
    pub(in crate::cli) start_only: Vec<String>,
}

/// The option `--no-attach`.
pub(super) fn no_attach_option() -> Arg {
    flag("no-attach")
        .help("Fail if a process uses the state folder, instead of attaching to that process")
}

/// The arguments of `command` that were typed, except those of `anytime`, which make sense whenever
/// the command runs.
pub(super) fn read(matches: &ArgMatches, command: &Command, anytime: &[&str]) -> AttachArguments {
    let is_typed = |argument: &&Arg| {
        let id = argument.get_id().as_str();
        matches.value_source(id) == Some(ValueSource::CommandLine) && !anytime.contains(&id)
    };
    AttachArguments {
        refused: matches.get_flag("no-attach"),
        start_only: command
            .get_arguments()
            .filter(is_typed)
            .map(shown)
            .collect(),
    }
}

/// An argument, as a person types it: `--NAME`, or the name of its value.
pub(super) fn shown(argument: &Arg) -> String {
    match (argument.get_long(), argument.get_value_names()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some([name, ..])) => name.to_string(),
        (None, _) => argument.get_id().to_string(),
    }
}

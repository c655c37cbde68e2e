//! The keys of a configuration file: which settings of a mode can be in a file.

use clap::{Arg, Command};

/// Options of one command, or of an experiment. They cannot be in a file.
pub(super) const NOT_IN_FILES: [&str; 15] = [
    "config",
    "print-config",
    "no-attach",
    "scenario",
    "out",
    "audit",
    "dump",
    "backup",
    "restore",
    "alone",
    "new-cluster",
    "check",
    "expect",
    "wait",
    "help",
];

/// The settings that a file can have, by key: the name of the long option, or of the argument.
pub(super) fn keys(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    let is_standing = |argument: &&Arg| !NOT_IN_FILES.contains(&argument.get_id().as_str());
    // A tracker has no standing commands: `-c` asks another process.
    let is_of_tracker = command.get_name() == "tracker";
    let arguments = command.get_arguments().filter(is_standing);
    arguments.filter_map(move |argument| match argument.get_id().as_str() {
        "command" if is_of_tracker => None,
        "command" => Some(("commands", argument)),
        id => Some((argument.get_long().unwrap_or(id), argument)),
    })
}

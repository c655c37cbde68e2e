//! Builders of options, and `--log LEVEL`, which tracker and peer share.

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use log::LevelFilter;
use std::path::PathBuf;

/// `--NAME`, without a value.
pub(super) fn flag(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

/// `--NAME VALUE`.
pub(super) fn option(name: &'static str, value: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value)
}

/// A file or folder as an argument.
pub(super) fn path(name: &'static str, value: &'static str) -> Arg {
    let parser = value_parser!(PathBuf);
    Arg::new(name).value_name(value).value_parser(parser)
}

/// `--NAME PATH`.
pub(super) fn path_option(name: &'static str, value: &'static str) -> Arg {
    path(name, value).long(name)
}

/// The option `--log`.
pub(super) fn log_option() -> Arg {
    option("log", "LEVEL")
        .default_value("info")
        .ignore_case(true)
        .value_parser(["error", "warn", "info", "debug", "trace"])
        .hide_possible_values(true)
        .help("Which events go to the log in the state folder: error, warn, info, debug or trace")
}

/// The value of `--log`.
pub(super) fn log_level(matches: &ArgMatches) -> LevelFilter {
    let level = matches
        .get_one::<String>("log")
        .and_then(|level| level.parse().ok());
    level.unwrap_or(LevelFilter::Info)
}

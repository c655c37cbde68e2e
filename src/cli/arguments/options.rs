//! Builders of options, and the options of the log, which both tracker and peer have.

use crate::cli::logging::{DEFAULT_FILE_SIZE, LogOptions};
use crate::cli::values;
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

/// The options of the log.
pub(super) fn log_options() -> [Arg; 2] {
    let level = option("log", "LEVEL")
        .default_value("info")
        .ignore_case(true)
        .value_parser(["error", "warn", "info", "debug", "trace"])
        .hide_possible_values(true)
        .help("Which events go to the log in the state folder: error, warn, info, debug or trace");
    let size = option("log-size", "SIZE")
        .value_parser(values::log_size)
        .help("The maximum size of one file of the log, such as 64M; the newest five files are kept [default: 20M]");
    [level, size]
}

/// The values of [`log_options`].
pub(super) fn log_settings(matches: &ArgMatches) -> LogOptions {
    let level = matches
        .get_one::<String>("log")
        .and_then(|level| level.parse().ok());
    let file_size = matches.get_one("log-size").copied();
    LogOptions {
        level: level.unwrap_or(LevelFilter::Info),
        file_size: file_size.unwrap_or(DEFAULT_FILE_SIZE),
    }
}

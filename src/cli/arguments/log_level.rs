//! `--log LEVEL`, which tracker and peer have in common.

use clap::{Arg, ArgMatches};
use log::LevelFilter;

/// The option.
pub(super) fn log_option() -> Arg {
    Arg::new("log")
        .long("log")
        .value_name("LEVEL")
        .default_value("info")
        .ignore_case(true)
        .value_parser(["error", "warn", "info", "debug", "trace"])
        .hide_possible_values(true)
        .help("How much goes into the log in the state folder: error, warn, info, debug or trace")
}

/// What was given.
pub(super) fn log_level(matches: &ArgMatches) -> LevelFilter {
    let level = matches
        .get_one::<String>("log")
        .and_then(|level| level.parse().ok());
    level.unwrap_or(LevelFilter::Info)
}

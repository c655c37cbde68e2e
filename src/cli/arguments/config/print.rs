//! Prints a configuration file with all settings and their defaults.

use super::keys::keys;
use crate::cli::wrap;
use clap::{Arg, ArgAction, Command};
use std::path::PathBuf;

/// The width of a comment in columns.
const COLUMNS: usize = 96;

/// A configuration file of a mode. Settings without a fixed default are comments.
pub(in crate::cli::arguments) fn print(command: &Command) -> String {
    let mode = command.get_name();
    let mut lines = vec![
        format!("# Settings of pieceful {mode}: use this file with pieceful {mode} --config FILE."),
        "# Options override the file. Relative paths belong to the folder of the file.".to_owned(),
        "# At SIGUSR1 the process reads the file again, and says what needs a restart.".to_owned(),
    ];
    for (key, argument) in keys(command) {
        lines.push(String::new());
        let help = argument.get_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let help = wrap::fit(&help, COLUMNS).into_iter();
        lines.extend(help.map(|line| format!("# {line}")));
        lines.push(entry(key, argument));
    }
    lines.join("\n")
}

fn entry(key: &str, argument: &Arg) -> String {
    let default = argument.get_default_values().first();
    let default = default.and_then(|default| default.to_str());
    let is_path = argument.get_value_parser().type_id() == std::any::TypeId::of::<PathBuf>();
    match (argument.get_action(), default) {
        (ArgAction::SetTrue, _) => format!("{key} = false"),
        (ArgAction::Append, _) => format!("{key} = []"),
        // As an option, a relative path belongs to the current folder.
        (_, Some(default)) if is_path => format!("# {key} = {}", value(default)),
        (_, Some(default)) => format!("{key} = {}", value(default)),
        (_, None) => {
            let names = argument.get_value_names().unwrap_or_default();
            let name = names.first().map(ToString::to_string);
            format!("# {key} = {}", value(&name.unwrap_or_default()))
        }
    }
}

/// A value in TOML: a number, or a text in quotes.
fn value(text: &str) -> String {
    match text.parse::<u64>() {
        Ok(number) => number.to_string(),
        Err(_) => format!("{text:?}"),
    }
}

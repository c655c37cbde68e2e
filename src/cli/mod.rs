//! The user interface: arguments, prompt, commands, tables, progress, JSON.
//!
//! In scope: the command line that people and scripts rely on (`docs/cli.md`), exit codes, signals,
//! the log file. Out of scope: the work of the commands, which the lower layers do.

mod account;
mod answers;
mod arguments;
mod attach;
mod audit;
mod client;
mod command_error;
mod commands;
mod completion;
mod console;
mod doctor;
mod execute;
mod exit;
mod hashing;
mod holder_names;
mod holders;
mod join;
mod json;
mod line_runner;
mod listed_names;
mod logging;
mod mirrors;
mod news;
mod notices;
mod outcome;
mod output;
mod own_machine;
mod passwords;
mod paths;
mod peer;
mod peer_host;
mod progress;
mod prompt;
#[cfg(test)]
mod reference;
mod reload;
mod render;
mod retry;
mod scenario;
mod screen;
mod signals;
mod state_folder;
mod terminal;
mod tokens;
mod torrent;
mod tracker;
mod units;
mod values;
mod wait;
mod wait_for;
mod words;
mod wrap;

use arguments::Invocation;
use exit::Exit;
use output::Output;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program with these arguments (the first one is the program's name) and returns its exit
/// code. Call it once in a process: it installs signal handlers and the log.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    crate::net::raise_descriptor_limit();
    let exit = match arguments::read(arguments) {
        Ok(Invocation::Tracker(arguments)) => tracker::run(arguments),
        Ok(Invocation::Peer(arguments)) => peer::run(arguments, None),
        Ok(Invocation::Join(arguments)) => join::run(arguments),
        Ok(Invocation::Torrent(arguments)) => torrent::run(arguments),
        Ok(Invocation::Doctor(arguments)) => doctor::run(arguments),
        Ok(Invocation::Print(text)) => {
            let output = Output::new(false);
            output.result(&wrap::fit_text(&text, terminal::columns()));
            Exit::of(output.finish())
        }
        Ok(Invocation::PrintRaw(text)) => {
            let output = Output::new(false);
            output.result(&text);
            Exit::of(output.finish())
        }
        Err(message) => {
            Output::new(false).error(&message);
            Exit::Usage
        }
    };
    log::logger().flush();
    exit.code().into()
}

//! What a person sees: arguments, prompt, commands, tables, progress, JSON.
//!
//! In scope: the command line as scripts and people rely on it, exit codes, signals, the log file. Out of scope: what the
//! commands do: see the floors below.

mod account;
mod arguments;
mod commands;
mod completion;
mod console;
mod escape;
mod execute;
mod exit;
mod failure;
mod hashing;
mod json;
mod logging;
mod news;
mod outcome;
mod output;
mod peer;
mod progress;
mod prompt;
mod render;
mod scenario;
mod signals;
mod state;
mod torrent;
mod tracker;
mod units;
mod values;
mod wait;
mod words;

use arguments::Invocation;
use exit::Exit;
use output::Output;
use std::ffi::OsString;
use std::process::ExitCode;

/// Does what the arguments ask for, the binary's own name first, and says how it ended. To be called once in a process:
/// it takes over signals and the log.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    crate::net::raise_descriptor_limit();
    let exit = match arguments::read(arguments) {
        Ok(Invocation::Tracker(arguments)) => tracker::run(arguments),
        Ok(Invocation::Peer(arguments)) => peer::run(arguments),
        Ok(Invocation::Torrent(arguments)) => torrent::run(arguments),
        Ok(Invocation::Print(text)) => {
            let output = Output::new(false);
            output.result(&text);
            Exit::of(output.finish())
        }
        Err(message) => {
            Output::new(false).error(&message);
            Exit::Usage
        }
    };
    exit.code().into()
}

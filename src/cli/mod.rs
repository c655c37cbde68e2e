//! What a person sees: arguments, prompt, commands, tables, progress, JSON.
//!
//! In scope: the command line as scripts and people rely on it, exit codes, signals, the log file. Out of scope: what the
//! commands do, which is the matter of the floors below.

mod account;
mod arguments;
mod commands;
mod completion;
mod console;
mod escape;
mod execute;
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
mod values;
mod wait;
mod words;

use arguments::Invocation;
use output::Output;
use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// All that was asked for succeeded.
    Success,
    /// Something failed and was told.
    Failure,
    /// The arguments make no sense together.
    Usage,
    /// A second Ctrl-C.
    Killed,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Killed => 130,
        }
    }

    fn of(succeeded: bool) -> Self {
        if succeeded {
            Self::Success
        } else {
            Self::Failure
        }
    }
}

/// Why a run did not come to its work, for a person, and the exit code of that.
type Refused = (String, Exit);

fn failure(why: impl fmt::Display) -> Refused {
    (why.to_string(), Exit::Failure)
}

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

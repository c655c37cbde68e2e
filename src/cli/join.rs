//! `pieceful join`: enrols this machine with a join line, and with `--run` goes on as a peer.

use super::arguments::{DEFAULT_LISTEN, JoinArguments, PeerArguments};
use super::exit::{EarlyExit, Exit, early_failure};
use super::outcome::Joined;
use super::output::Output;
use super::own_machine::{groups_text, host_name};
use super::peer::PeerProcess;
use super::signals::wait_for_stop;
use super::terminal::StandardInput;
use super::{json, peer, state_folder};
use crate::base::command_text;
use crate::net::Stop;
use crate::peer::{JoinError, Joining, joined_before};
use crate::storage::{JoinFiles, StateKind};
use crate::wire::access::TokenGroup;
use crate::wire::machine::MachineLabel;
use crate::wire::name::MachineName;
use crate::wire::{JoinLine, JoinTextError, MAX_JOIN_TEXT};
use std::io::{self, IsTerminal, Read};
use std::path::{self, Path};
use std::sync::Arc;
use std::thread;

/// Why a join has not succeeded.
#[derive(Debug)]
enum JoinFailure {
    /// Before the join began.
    Early(EarlyExit),
    /// The join itself.
    Join(JoinError),
}

impl From<EarlyExit> for JoinFailure {
    fn from(early: EarlyExit) -> Self {
        Self::Early(early)
    }
}

/// A join that has succeeded.
struct Success {
    joined: Joined,
    /// What the process has opened for the join, which the peer goes on to use. `None` if the
    /// machine had joined before.
    process: Option<PeerProcess>,
}

/// Joins, and with `--run` runs the peer.
pub(super) fn run(mut arguments: JoinArguments) -> Exit {
    let output = Output::new(arguments.peer.commands.json);
    let success = match join(&mut arguments, &output) {
        Ok(success) => success,
        Err(failure) => {
            let exit = report_failure(failure, &output);
            return if output.finish() { exit } else { Exit::Failure };
        }
    };
    report(&success.joined, arguments.run, &output);
    if !output.finish() {
        return Exit::Failure;
    }
    match arguments.run {
        true => peer::run(arguments.peer, success.process),
        false => Exit::Success,
    }
}

/// Joins. Sets the TRACKER_INFO and the state folder of the peer.
fn join(arguments: &mut JoinArguments, output: &Output) -> Result<Success, JoinFailure> {
    let text = match arguments.line.take() {
        Some(text) => text,
        None => {
            if io::stdin().is_terminal() {
                output.note("paste or type the join line, then press Enter");
            }
            first_line(StandardInput::new(Arc::default(), &Stop::new())).map_err(early_failure)?
        }
    };
    let line: JoinLine = text.parse().map_err(bad_line)?;
    let peer = &mut arguments.peer;
    let folder = match peer.dir.take() {
        Some(named) => named,
        None if peer.listen.port == 0 => {
            let why =
                "with port 0, name the state folder with --dir: the machine's key stays there";
            return Err((why.to_owned(), Exit::Usage).into());
        }
        None => state_folder::default_path(StateKind::Peer, peer.listen.port)
            .map_err(|error| (error.to_string(), Exit::Usage))?,
    };
    // The advice about the next command is also true in another folder.
    let folder = path::absolute(&folder).unwrap_or(folder);
    let files = JoinFiles::of(&folder);
    peer.tracker_info.clone_from(&files.tracker_info);
    peer.dir = Some(folder.clone());
    let (machine, groups, process) = match joined_before(&line, &folder) {
        Ok(Some(machine)) => (machine, None, None),
        Ok(None) => {
            let name = arguments.name.clone().unwrap_or_else(host_name);
            let process = PeerProcess::start(&arguments.peer, output)?;
            let joined = enrol(&line, name, &process)?;
            (joined.0, Some(joined.1), Some(process))
        }
        Err(error) => return Err(JoinFailure::Join(error)),
    };
    let joined = Joined {
        machine,
        groups,
        run: next_command(&arguments.peer, &folder, &files),
        files,
    };
    Ok(Success { joined, process })
}

/// Enrols the machine. A signal ends the attempt.
fn enrol(
    line: &JoinLine,
    name: MachineName,
    process: &PeerProcess,
) -> Result<(MachineLabel, Vec<TokenGroup>), JoinFailure> {
    let joining = Arc::new(Joining::default());
    let (interrupted, stop) = (Arc::downgrade(&joining), process.signals.stop.clone());
    let thread = thread::Builder::new().name("stop".to_owned());
    // The thread ends with the process.
    let watcher = thread.spawn(move || {
        wait_for_stop(&stop);
        if let Some(joining) = interrupted.upgrade() {
            joining.interrupt();
        }
    });
    watcher.map_err(|error| early_failure(format!("cannot start a thread: {error}")))?;
    let joined = joining.join(line, &process.folder, name);
    joined.map_err(JoinFailure::Join)
}

/// What to type to start the peer of the machine.
fn next_command(peer: &PeerArguments, folder: &Path, files: &JoinFiles) -> String {
    let default = state_folder::default_path(StateKind::Peer, peer.listen.port).ok();
    let info = files.tracker_info.to_string_lossy();
    let listen = peer.listen.to_string();
    let shown = folder.to_string_lossy();
    let mut words: Vec<&str> = Vec::new();
    if listen != DEFAULT_LISTEN {
        words.push(&listen);
    }
    words.push(&info);
    let command = command_text("pieceful peer", &words, &[]);
    let dir = match default.as_deref() == Some(folder) {
        true => String::new(),
        false => command_text(" --dir", &[&shown], &[]),
    };
    format!("{command}{dir} --stay")
}

fn report(joined: &Joined, runs: bool, output: &Output) {
    if output.is_json() {
        output.result(&json::join_line(&Ok(joined)));
        return;
    }
    let machine = &joined.machine;
    output.result(&match &joined.groups {
        None => format!("this machine has joined before: it is {machine}"),
        Some(groups) => format!("joined as {machine}: {}", groups_text(groups)),
    });
    if !runs {
        output.result(&format!("to share and download, type: {}", joined.run));
    }
}

/// Shows why the join has failed. Returns the exit code.
fn report_failure(failure: JoinFailure, output: &Output) -> Exit {
    match failure {
        JoinFailure::Early((message, exit)) => {
            output.error(&message);
            exit
        }
        JoinFailure::Join(error) => {
            if output.is_json() {
                output.result(&json::join_line(&Err(error)));
            } else {
                let again = match error.may_succeed_later() {
                    true => "; run the same command again",
                    false => "",
                };
                output.error(&format!("{error}{again}"));
            }
            Exit::Failure
        }
    }
}

fn bad_line(error: JoinTextError) -> EarlyExit {
    (
        format!("the join line cannot be used: {error}"),
        Exit::Usage,
    )
}

/// The first line of standard input. It is read byte by byte: what follows it stays there, for the
/// peer.
fn first_line(mut input: impl Read) -> Result<String, String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while line.len() <= MAX_JOIN_TEXT {
        match input.read(&mut byte) {
            Ok(0) => break,
            Ok(_) if byte == *b"\n" => break,
            Ok(_) => line.extend(byte),
            Err(error) => return Err(format!("cannot read the join line: {error}")),
        }
    }
    match line.is_empty() {
        true => Err("standard input has no join line; create_join prints one".to_owned()),
        false => Ok(String::from_utf8_lossy(&line).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_read_and_the_rest_stays() {
        let mut input = &b"join-0 1\nstatus\n"[..];
        assert_eq!(first_line(&mut input).as_deref(), Ok("join-0 1"));
        assert_eq!(input, b"status\n");
        assert_eq!(first_line(&b"join"[..]).as_deref(), Ok("join"));
        let error = first_line(&b""[..]).unwrap_err();
        assert!(error.contains("create_join"), "{error}");
        let endless = first_line(io::repeat(b'x')).unwrap();
        assert_eq!(endless.parse::<JoinLine>(), Err(JoinTextError::TooLong));
    }
}

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
    let line = match arguments.line.take() {
        Some(text) => text.parse().map_err(bad_line)?,
        None => ask_for_line(output)?,
    };
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
    check_settings(&arguments.peer, &files)?;
    let start = |advice: &str| PeerProcess::start(&arguments.peer, advice, output);
    let (machine, groups, process) = match joined_before(&line, &folder) {
        Ok(Some(machine)) if !arguments.run => (machine, None, None),
        Ok(Some(machine)) => {
            let attached = command_text("pieceful peer --dir", &[&folder.to_string_lossy()], &[]);
            let advice = format!(
                "the peer of {machine} runs already; to send it commands, type: {attached}"
            );
            (machine, None, Some(start(&advice)?))
        }
        Ok(None) => {
            let name = arguments.name.clone().unwrap_or_else(host_name);
            let process = start("stop that one, or name another folder with --dir")?;
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

/// Reads the join line from standard input.
fn ask_for_line(output: &Output) -> Result<JoinLine, EarlyExit> {
    let is_typed = io::stdin().is_terminal();
    if is_typed {
        output.note("paste or type the join line, then press Enter");
    }
    read_line(StandardInput::new(Arc::default(), &Stop::new()), || {
        if is_typed {
            output.note("a part of the line is missing: paste the rest, or press Ctrl-D");
        }
    })
}

/// Checks that the configuration names no other TRACKER_INFO and no other token than those that the
/// join writes.
fn check_settings(peer: &PeerArguments, files: &JoinFiles) -> Result<(), EarlyExit> {
    let Some(config) = &peer.process.config else {
        return Ok(());
    };
    for (key, written) in [
        ("tracker_info", &files.tracker_info),
        ("token", &files.token),
    ] {
        if config
            .value(key)
            .is_some_and(|set| Path::new(&set) != written)
        {
            let (file, written) = (config.path.display(), written.display());
            let why = format!(
                "{file} has the setting {key}, but a join writes that file itself, to {written}: \
                 leave the setting out, or name that path"
            );
            return Err((why, Exit::Usage));
        }
    }
    Ok(())
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
    let config = peer.process.config.as_ref();
    let config = config.map(|config| config.path.to_string_lossy());
    let config = config.map(|path| command_text(" --config", &[&path], &[]));
    format!("{command}{dir}{} --stay", config.unwrap_or_default())
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
            let exit = match error.is_final() {
                true => Exit::Refused,
                false => Exit::Failure,
            };
            if output.is_json() {
                output.result(&json::join_line(&Err(error)));
            } else {
                let again = match error.may_succeed_later() {
                    true => "; run the same command again",
                    false => "",
                };
                output.error(&format!("{error}{again}"));
            }
            exit
        }
    }
}

fn bad_line(error: JoinTextError) -> EarlyExit {
    (
        format!("the join line cannot be used: {error}"),
        Exit::Usage,
    )
}

/// The join line on standard input, which may be wrapped. It is read byte by byte: what follows it
/// stays there, for the peer. Calls `on_part` after each line that is only a part of it.
fn read_line(mut input: impl Read, on_part: impl Fn()) -> Result<JoinLine, EarlyExit> {
    let (mut text, mut byte) = (Vec::new(), [0]);
    let mut first_error = None;
    loop {
        let is_at_end = loop {
            match input.read(&mut byte) {
                Ok(0) => break true,
                Ok(_) => text.extend(byte),
                Err(error) => {
                    return Err(early_failure(format!("cannot read the join line: {error}")));
                }
            }
            if byte == *b"\n" || text.len() > MAX_JOIN_TEXT {
                break false;
            }
        };
        let typed = String::from_utf8_lossy(&text);
        let is_blank = typed.trim().is_empty();
        if is_blank && is_at_end {
            let why = "standard input has no join line; create_join prints one";
            return Err(early_failure(why));
        }
        match typed.parse() {
            Err(_) if is_blank => {}
            Err(error @ JoinTextError::Typing(_)) if error.is_incomplete() && !is_at_end => {
                first_error.get_or_insert(error);
                on_part();
            }
            // What follows a line that was cut is no part of it.
            Err(JoinTextError::Typing(error)) => {
                return Err(bad_line(first_error.unwrap_or(error.into())));
            }
            parsed => return parsed.map_err(bad_line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Fingerprint;
    use crate::wire::MachineToken;
    use crate::wire::machine::MachineSecret;

    fn read(input: &mut &[u8]) -> Result<String, String> {
        let read = read_line(input, || {});
        read.map(|line| line.to_string()).map_err(|error| error.0)
    }

    fn line() -> String {
        let token = MachineToken {
            cluster: Fingerprint::of(b"cluster"),
            secret: MachineSecret([3; 16]),
        };
        let trackers = vec!["127.0.0.1:5000".parse().unwrap()];
        JoinLine::new(token, trackers).unwrap().to_string()
    }

    #[test]
    fn the_line_is_read_even_if_it_is_wrapped_and_what_follows_stays() {
        let line = line();
        let (start, end) = line.split_at(line.len() / 2);
        for typed in [
            format!("{line}\nstatus\n"),
            format!("\n  {start}\r\n{end}\nstatus\n"),
        ] {
            let mut input = typed.as_bytes();
            assert_eq!(read(&mut input), Ok(line.clone()));
            assert_eq!(input, b"status\n");
        }
        assert_eq!(read(&mut line.as_bytes()), Ok(line));
    }

    #[test]
    fn what_is_no_line_is_an_error_that_says_what_to_do() {
        let line = line();
        let cut = &line[..line.len() - 9];
        let twice = format!("{line}{line}\n");
        for (typed, part) in [
            ("", "create_join"),
            ("\n \n", "create_join"),
            (cut, "a part of it is missing"),
            (&format!("{cut}\nstatus\n"), "a part of it is missing"),
            (&twice, "more than once"),
            (&"x".repeat(MAX_JOIN_TEXT + 2), "too long"),
        ] {
            let error = read(&mut typed.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{typed}: {error}");
        }
    }
}

//! `pieceful peer`: runs the commands, keeps sharing with `--stay`, and ends gracefully.

use super::arguments::PeerArguments;
use super::command_error::CommandError;
use super::completion::PromptHelper;
use super::execute::{CommandRunner, PromptParts};
use super::exit::{EarlyExit, Exit, early_failure};
use super::news::NewsWatcher;
use super::notices::Notices;
use super::output::Output;
use super::prompt::{Greeting, InputLines, NextInput};
use super::signals::{StopSignals, wait_for_stop};
use super::{json, logging, scenario, signals, state_folder, terminal};
use crate::net::Stop;
use crate::peer::{Deadlines, DownloadState, FirstUseNotice, Peer, PeerError, PeerOptions};
use crate::storage::StateKind;
use crate::wire::HostPort;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// What a prompt shows first, without `--stay` and with it.
const GREETING: &str = "help lists all commands; Ctrl-D ends the peer";
const STAYING_GREETING: &str =
    "help lists all commands; Ctrl-D ends the input; Ctrl-C ends the peer";

/// Runs the peer that the arguments describe.
pub(super) fn run(arguments: PeerArguments) -> Exit {
    let output = Output::new(arguments.json);
    let exit = serve(arguments, &output).unwrap_or_else(|(message, exit)| {
        output.error(&message);
        exit
    });
    if output.finish() { exit } else { Exit::Failure }
}

fn serve(arguments: PeerArguments, output: &Output) -> Result<Exit, EarlyExit> {
    let scenario = arguments
        .scenario
        .as_ref()
        .map(scenario::read)
        .transpose()
        .map_err(early_failure)?;
    let listen = resolve(&arguments.listen).map_err(early_failure)?;
    let folder = state_folder::open(StateKind::Peer, arguments.dir.clone(), &arguments.listen)?;
    let log = logging::start(folder.path(), StateKind::Peer.log_name(), arguments.log)
        .map_err(early_failure)?;
    state_folder::warn(&folder, output);
    let signals = signals::watch(move || log.reopen()).map_err(early_failure)?;
    if arguments.dir.is_none() && listen.port() == 0 {
        signals.remove_when_killed(folder.path());
    }
    let stop = signals.stop.clone();
    let options = PeerOptions {
        listen,
        tracker_info: arguments.tracker_info.clone(),
        folder,
        name: arguments.name.clone(),
        threads: arguments.threads,
        max_peers: arguments.max_peers,
        first_use: FirstUseNotice::new(|first| {
            Output::new(false).note(&scenario::first_use_note(first));
        }),
        limits: arguments.limits,
        deadlines: Deadlines::default(),
    };
    let peer = Arc::new(Peer::start(options).map_err(|error| match &error {
        PeerError::Listen { source, .. } if source.kind() == ErrorKind::AddrInUse => {
            let advice = state_folder::another_port_advice(StateKind::Peer, &arguments.listen);
            early_failure(format!("{error}; {advice}"))
        }
        _ => early_failure(error),
    })?);
    let first_line = format!("peer listening on {}", peer.address());
    match output.is_json() {
        true => {
            output.result(&json::listening_line(peer.address()));
            output.note(&first_line);
        }
        false => {
            output.result(&first_line);
        }
    }
    for damaged in peer.damaged() {
        output.note(&damaged.message);
    }
    let watcher = interrupt_on_stop(&peer, &stop)
        .map_err(|error| early_failure(format!("cannot start a thread: {error}")))?;
    let succeeded = match &scenario {
        Some((client, scenario)) => {
            scenario::run_client(&peer, &arguments, *client, scenario, &stop, output)
        }
        None => run_commands(&peer, &arguments, output, &signals),
    };
    stop.stop();
    let _ = watcher.join();
    peer.stop();
    Ok(Exit::of(succeeded))
}

/// Runs all commands; returns whether all succeeded.
fn run_commands(
    peer: &Arc<Peer>,
    arguments: &PeerArguments,
    output: &Output,
    signals: &StopSignals,
) -> bool {
    let stop = &signals.stop;
    if let Err(error) = peer.account().check_tracker_info() {
        output.note(&error.to_string());
    }
    let from_input = arguments.commands.lines.is_empty();
    let stays = arguments.commands.stay;
    let at_prompt = from_input && output.is_interactive();
    let prompt = at_prompt.then(|| PromptParts {
        signals: signals.clone(),
        listed: Arc::default(),
        greeting: if stays { STAYING_GREETING } else { GREETING },
        notices: Arc::new(Notices::new(peer.unchanged_at_start().clone())),
    });
    let (lines, news) = match input_lines(peer, prompt.as_ref(), stop) {
        Ok(lines) => lines,
        Err(error) => {
            output.error(&format!("cannot read commands: {error}"));
            return false;
        }
    };
    let home = std::env::var("HOME").ok().filter(|_| at_prompt);
    let mut runner =
        CommandRunner::new(peer, output, &lines, stop, home.as_deref(), prompt.as_ref());
    let mut is_stopped = false;
    let mut input_error = None;
    let fails_fast = arguments.commands.fail_fast;
    let is_over =
        |runner: &CommandRunner<'_>| runner.has_quit() || (fails_fast && !runner.all_succeeded());
    while from_input && !is_over(&runner) && !is_stopped && input_error.is_none() {
        match lines.next() {
            NextInput::Line(line) => runner.run(&line),
            NextInput::NotText => runner.refuse(CommandError::NotText),
            NextInput::End => break,
            NextInput::Quit | NextInput::Stopped => is_stopped = true,
            NextInput::Failed(why) => input_error = Some(why),
        }
    }
    drop(news);
    for command in &arguments.commands.lines {
        if !is_over(&runner) {
            runner.run_argument(command, stays);
        }
    }
    if let Some(why) = &input_error {
        output.error(&format!("cannot read commands: {why}"));
    }
    if stays && !is_over(&runner) && !is_stopped && !stop.is_stopped() {
        match !from_input && runner.has_hopeless_failure() {
            true => output.note("leaving: a command has failed and cannot succeed later"),
            false => stay(at_prompt, output, stop),
        }
    }
    // `open_prompt` is called only for its result: the notices that no prompt has shown.
    for line in prompt
        .iter()
        .flat_map(|prompt| prompt.notices.open_prompt())
    {
        output.note(&line);
    }
    // With port 0 and without `--dir`, the state folder is temporary.
    let keeps_state = arguments.dir.is_some() || arguments.listen.port != 0;
    runner.note_unfinished_downloads(keeps_state);
    runner.all_succeeded() && input_error.is_none()
}

/// Waits for a stop signal. At a prompt, first says how to end the peer.
fn stay(at_prompt: bool, output: &Output, stop: &Stop) {
    if at_prompt {
        output.note("the input has ended and the peer goes on; Ctrl-C ends it");
    }
    wait_for_stop(stop);
}

/// The source of commands and answers; at a prompt, also the thread that shows news.
fn input_lines(
    peer: &Arc<Peer>,
    prompt: Option<&PromptParts>,
    stop: &Stop,
) -> io::Result<(InputLines, Option<NewsWatcher>)> {
    let Some(PromptParts {
        greeting,
        listed,
        notices,
        ..
    }) = prompt
    else {
        return Ok((InputLines::standard_input(None, stop)?, None));
    };
    let (text, notices) = (*greeting, Arc::clone(notices));
    if terminal::is_plain() {
        let greeting = Greeting {
            text,
            notices: Some(Arc::clone(&notices)),
        };
        let lines = InputLines::standard_input(Some(greeting), stop)?;
        return Ok((lines, Some(NewsWatcher::start(peer, notices, None)?)));
    }
    // Weak: the reading thread is never joined and must not keep the peer alive.
    let weak_peer = Arc::downgrade(peer);
    let names = move || {
        let downloads = weak_peer
            .upgrade()
            .map(|peer| peer.downloads())
            .unwrap_or_default();
        downloads
            .into_iter()
            // Only downloads that are not complete can be cancelled.
            .filter(|download| download.state != DownloadState::Complete)
            .map(|download| download.name)
            .collect()
    };
    let history = peer.folder().path().join("history");
    let helper = PromptHelper::new(Box::new(names), Arc::clone(listed));
    let (lines, printer) = InputLines::prompt(history, helper, Arc::clone(&notices), text, stop)?;
    let watcher = NewsWatcher::start(peer, notices, Some(Box::new(printer)))?;
    Ok((lines, Some(watcher)))
}

/// Starts a thread that interrupts hashing when `stop` is raised, because the running command may
/// wait for hashing.
fn interrupt_on_stop(peer: &Arc<Peer>, stop: &Stop) -> io::Result<JoinHandle<()>> {
    let (peer, stop) = (Arc::downgrade(peer), stop.clone());
    thread::Builder::new().name("stop".into()).spawn(move || {
        wait_for_stop(&stop);
        if let Some(peer) = peer.upgrade() {
            peer.interrupt();
        }
    })
}

/// The first address that the host name resolves to.
pub(super) fn resolve(address: &HostPort) -> Result<SocketAddr, String> {
    let error_text = |why: String| format!("cannot listen on {address}: {why}");
    let mut found = (address.host.as_str(), address.port)
        .to_socket_addrs()
        .map_err(|error| error_text(error.to_string()))?;
    found
        .next()
        .ok_or_else(|| error_text("the name has no address".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_resolved() {
        for (text, found) in [("127.0.0.1:5", "127.0.0.1:5"), ("[::1]:0", "[::1]:0")] {
            assert_eq!(resolve(&text.parse().unwrap()), Ok(found.parse().unwrap()));
        }
        let local = resolve(&"localhost:7".parse().unwrap()).unwrap();
        assert!(local.ip().is_loopback() && local.port() == 7);
    }
}

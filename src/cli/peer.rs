//! Running a peer: its commands, then sharing on if asked to, then a graceful end.

use super::arguments::PeerArguments;
use super::completion::Typing;
use super::execute::PromptSession;
use super::exit::{Exit, Refused, failure};
use super::failure::Failure;
use super::news::NewsTeller;
use super::output::Output;
use super::prompt::{Input, Lines};
use super::signals::Stopped;
use super::{logging, scenario, signals, state};
use crate::net::Stop;
use crate::peer::{Deadlines, DownloadState, FirstUseNotice, Peer, PeerOptions};
use crate::storage::StateKind;
use crate::wire::HostPort;
use std::io::{self, BufReader};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Runs the peer that the arguments describe.
pub(super) fn run(arguments: PeerArguments) -> Exit {
    let output = Output::new(arguments.json);
    let exit = serve(arguments, &output).unwrap_or_else(|(message, exit)| {
        output.error(&message);
        exit
    });
    if output.finish() { exit } else { Exit::Failure }
}

fn serve(arguments: PeerArguments, output: &Output) -> Result<Exit, Refused> {
    let part = arguments
        .scenario
        .as_ref()
        .map(scenario::read)
        .transpose()
        .map_err(failure)?;
    let listen = resolve(&arguments.listen).map_err(failure)?;
    let folder = state::open(StateKind::Peer, arguments.dir.clone(), listen.port())?;
    logging::start(folder.path(), "peer.log", arguments.log).map_err(failure)?;
    let signals = signals::watch().map_err(failure)?;
    if arguments.dir.is_none() && listen.port() == 0 {
        signals.remove_when_killed(folder.path());
    }
    let stop = signals.stop;
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
    let peer = Arc::new(Peer::start(options).map_err(failure)?);
    output.result(&format!("peer listening on {}", peer.address()));
    let watcher =
        watch(&peer, &stop).map_err(|error| failure(format!("cannot start a thread: {error}")))?;
    let succeeded = match &part {
        Some((client, scenario)) => {
            scenario::play(&peer, &arguments, *client, scenario, &stop, output)
        }
        None => commands(&peer, &arguments, output, &stop),
    };
    stop.stop();
    let _ = watcher.join();
    peer.stop();
    Ok(Exit::of(succeeded))
}

/// Carries out all commands; says whether each succeeded.
fn commands(peer: &Arc<Peer>, arguments: &PeerArguments, output: &Output, stop: &Stop) -> bool {
    let from_input = arguments.commands.is_empty();
    let (lines, news) = match lines(peer, from_input && output.is_interactive(), output, stop) {
        Ok(lines) => lines,
        Err(error) => {
            output.error(&format!("cannot read commands: {error}"));
            return false;
        }
    };
    let mut session = PromptSession::new(peer, output, &lines, stop);
    let mut told_to_end = false;
    let mut input_failed = None;
    while from_input && !session.has_quit() && !told_to_end && input_failed.is_none() {
        match lines.next() {
            Input::Line(line) => session.run(&line),
            Input::NotText => session.refuse(Failure::NotText),
            Input::End => break,
            Input::Quit | Input::Stopped => told_to_end = true,
            Input::Failed(why) => input_failed = Some(why),
        }
    }
    drop(news);
    for command in &arguments.commands {
        if !session.has_quit() {
            session.run_argument(command);
        }
    }
    if let Some(why) = &input_failed {
        output.error(&format!("cannot read commands: {why}"));
    }
    if arguments.stay && !session.has_quit() && !told_to_end {
        Stopped::wait(stop);
    }
    // With port 0 and no folder named, the state folder is temporary.
    session.tell_of_unfinished(arguments.dir.is_some() || arguments.listen.port != 0);
    session.all_succeeded() && input_failed.is_none()
}

/// Where commands and answers come from; and, at a prompt, who tells what is new.
fn lines(
    peer: &Arc<Peer>,
    at_prompt: bool,
    output: &Output,
    stop: &Stop,
) -> io::Result<(Lines, Option<NewsTeller>)> {
    if !at_prompt {
        let lines = Lines::plain(BufReader::new(io::stdin()), stop)?;
        return Ok((lines, None));
    }
    // Weak, as the thread that reads is never joined and must not keep the peer.
    let asked = Arc::downgrade(peer);
    let names = move || {
        let downloads = asked
            .upgrade()
            .map(|peer| peer.downloads())
            .unwrap_or_default();
        downloads
            .into_iter()
            // What can be cancelled.
            .filter(|download| download.state != DownloadState::Complete)
            .map(|download| download.name)
            .collect()
    };
    output.note("help lists the commands; Ctrl-D leaves");
    let history = peer.folder().path().join("history");
    let (lines, printer) = Lines::prompt(history, Typing::new(Box::new(names)), stop)?;
    Ok((lines, Some(NewsTeller::start(peer, printer)?)))
}

/// Lets a wish to stop end the hashing that a command waits for.
fn watch(peer: &Arc<Peer>, stop: &Stop) -> io::Result<JoinHandle<()>> {
    let (peer, stop) = (Arc::downgrade(peer), stop.clone());
    thread::Builder::new().name("stop".into()).spawn(move || {
        Stopped::wait(&stop);
        if let Some(peer) = peer.upgrade() {
            peer.interrupt();
        }
    })
}

/// The first address of a host.
fn resolve(address: &HostPort) -> Result<SocketAddr, String> {
    let unknown = |why: String| format!("cannot listen on {address}: {why}");
    let mut found = (address.host.as_str(), address.port)
        .to_socket_addrs()
        .map_err(|error| unknown(error.to_string()))?;
    found
        .next()
        .ok_or_else(|| unknown("the name has no address".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_found() {
        for (text, found) in [("127.0.0.1:5", "127.0.0.1:5"), ("[::1]:0", "[::1]:0")] {
            assert_eq!(resolve(&text.parse().unwrap()), Ok(found.parse().unwrap()));
        }
        let local = resolve(&"localhost:7".parse().unwrap()).unwrap();
        assert!(local.ip().is_loopback() && local.port() == 7);
    }
}

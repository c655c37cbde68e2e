//! `pieceful peer`: runs the commands, keeps sharing with `--stay`, and ends gracefully.

use super::answers::Interrupts;
use super::arguments::PeerArguments;
use super::attach::{self, Attachments};
use super::client::{self, ClientOptions};
use super::completion::PromptHelper;
use super::execute::{CommandRunner, CommandUser, PromptParts};
use super::exit::{EarlyExit, Exit, early_failure};
use super::line_runner::{InputEnd, LineRunner, is_over, run_arguments, run_input};
use super::news::{NewsFeed, NewsSubscription};
use super::notices::Notices;
use super::output::Output;
use super::own_machine::{self, RefusedFlag};
use super::peer_host::{PeerHost, names, print_first_line};
use super::prompt::{Greeting, InputLines};
use super::reload::Reload;
use super::signals::{StopSignals, wait_for_stop};
use super::state_folder::OpenedFolder;
use super::terminal::Question;
use super::wait::WaitExclusions;
use super::{logging, render, scenario, signals, state_folder, terminal};
use crate::net::{LocalListener, Stop};
use crate::peer::{
    Deadlines, FirstUseNotice, MachineNotice, MachineOptions, Peer, PeerError, PeerOptions,
};
use crate::storage::{StateFolder, StateKind};
use crate::wire::HostPort;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What a prompt shows first, without `--stay` and with it.
const GREETING: &str = "help lists all commands; Ctrl-D ends the peer";
const STAYING_GREETING: &str =
    "help lists all commands; Ctrl-D ends the input; Ctrl-C ends the peer";

/// What a peer that stays says if it leaves nevertheless.
const LEAVING: &str = "leaving: a command has failed and cannot succeed later";

/// Interval at which a peer that stays without a prompt checks whether its login goes on.
const LOGIN_CHECK: Duration = Duration::from_secs(1);

/// What the process of a peer opens before the peer itself starts. Once in a process.
#[derive(Debug)]
pub(super) struct PeerProcess {
    pub(super) folder: StateFolder,
    pub(super) signals: StopSignals,
    reload: Reload,
}

impl PeerProcess {
    /// Opens the state folder and the log, and begins to handle signals. `advice` says what to do
    /// if another process uses the folder.
    ///
    /// # Errors
    /// A message for the user, and the exit code. Another process uses the folder.
    pub(super) fn start(
        arguments: &PeerArguments,
        advice: &str,
        output: &Output,
    ) -> Result<Self, EarlyExit> {
        match open_folder(arguments)? {
            OpenedFolder::Own(folder) => Self::begin(folder, arguments, output),
            OpenedFolder::InUse { path, .. } => Err(early_failure(format!(
                "{} is in use by another process: {advice}",
                path.display()
            ))),
        }
    }

    /// The same. If another process uses the folder, attaches to it, carries out the commands
    /// there, and returns how they ended.
    ///
    /// # Errors
    /// A message for the user, and the exit code.
    fn open_or_attach(
        arguments: &PeerArguments,
        output: &Output,
    ) -> Result<ControlFlow<Exit, Self>, EarlyExit> {
        let opened = open_folder(arguments)?;
        let client = ClientOptions {
            kind: StateKind::Peer,
            attach: &arguments.process.attach,
            commands: &arguments.commands.lines,
            fail_fast: arguments.commands.fail_fast,
        };
        Ok(match client::open_or_attach(opened, &client, output)? {
            ControlFlow::Continue(folder) => {
                ControlFlow::Continue(Self::begin(folder, arguments, output)?)
            }
            ControlFlow::Break(exit) => ControlFlow::Break(exit),
        })
    }

    fn begin(
        folder: StateFolder,
        arguments: &PeerArguments,
        output: &Output,
    ) -> Result<Self, EarlyExit> {
        let log = logging::start(folder.path(), StateKind::Peer.log_name(), arguments.log)
            .map_err(early_failure)?;
        state_folder::warn(&folder, output);
        let reload = Reload::new(log, arguments.process.config.clone());
        let at_signal = reload.clone();
        let signals = signals::watch(move || at_signal.run()).map_err(early_failure)?;
        if arguments.dir.is_none() && arguments.listen.port == 0 {
            signals.remove_when_killed(folder.path());
        }
        Ok(Self {
            folder,
            signals,
            reload,
        })
    }
}

fn open_folder(arguments: &PeerArguments) -> Result<OpenedFolder, EarlyExit> {
    state_folder::open(StateKind::Peer, arguments.dir.clone(), &arguments.listen)
}

/// Runs the peer that the arguments describe. `process`: what a join has opened before.
pub(super) fn run(arguments: PeerArguments, process: Option<PeerProcess>) -> Exit {
    let output = Output::new(arguments.commands.json);
    let exit = serve(arguments, process, &output).unwrap_or_else(|(message, exit)| {
        output.error(&message);
        exit
    });
    if output.finish() { exit } else { Exit::Failure }
}

fn serve(
    arguments: PeerArguments,
    process: Option<PeerProcess>,
    output: &Output,
) -> Result<Exit, EarlyExit> {
    let scenario = arguments
        .scenario
        .as_ref()
        .map(scenario::read)
        .transpose()
        .map_err(early_failure)?;
    let listen = resolve(&arguments.listen).map_err(early_failure)?;
    let process = match process {
        Some(process) => process,
        None => match PeerProcess::open_or_attach(&arguments, output)? {
            ControlFlow::Continue(process) => process,
            ControlFlow::Break(exit) => return Ok(exit),
        },
    };
    // Not before: a command that attaches needs no token.
    let identity = &arguments.identity;
    let token = identity.token.as_deref();
    let machine = token.map(|file| own_machine::options(file, &identity.name, output));
    let machine = machine.transpose().map_err(early_failure)?;
    let PeerProcess {
        folder,
        signals,
        reload,
    } = process;
    // Bound before the peer starts: a client that attaches now waits until the peer has started.
    // The peer of a closed run carries out no commands.
    let listener = match scenario {
        Some(_) => None,
        None => attach::bind(&folder, output),
    };
    let (stop, refused) = (signals.stop.clone(), RefusedFlag::default());
    let peer = start(&arguments, listen, folder, machine, refused.notice(&stop))?;
    reload.set_peer(&peer);
    print_first_line(&peer, output);
    for damaged in peer.damaged() {
        output.note(&damaged.message);
    }
    let no_thread = |error: io::Error| early_failure(format!("cannot start a thread: {error}"));
    let watcher = interrupt_on_stop(&peer, &stop).map_err(no_thread)?;
    let succeeded = match &scenario {
        Some((client, scenario)) => {
            scenario::run_client(&peer, &arguments, *client, scenario, &stop, output)
        }
        None => {
            let users = Users::start(&peer, listener, &stop).map_err(no_thread)?;
            let succeeded = run_commands(&peer, &arguments, output, &signals, &users);
            stop.stop();
            users.attachments.into_iter().for_each(Attachments::stop);
            succeeded
        }
    };
    stop.stop();
    let _ = watcher.join();
    peer.stop();
    Ok(refused.exit(succeeded))
}

/// Starts the peer. `machine` and `machine_notice` are those of a machine.
fn start(
    arguments: &PeerArguments,
    listen: SocketAddr,
    folder: StateFolder,
    machine: Option<MachineOptions>,
    machine_notice: MachineNotice,
) -> Result<Arc<Peer>, EarlyExit> {
    let options = PeerOptions {
        listen,
        tracker_info: arguments.tracker_info.clone(),
        folder,
        name: arguments.identity.name.clone(),
        threads: arguments.threads,
        max_peers: arguments.max_peers,
        first_use: FirstUseNotice::new(|first| {
            Output::new(false).note(&scenario::first_use_note(first));
        }),
        machine,
        machine_notice,
        limits: arguments.limits,
        deadlines: Deadlines::default(),
        hooks: arguments.hooks.clone(),
    };
    let started = Peer::start(options).map_err(|error| match &error {
        PeerError::Listen { source, .. } if source.kind() == ErrorKind::AddrInUse => {
            let advice = state_folder::another_port_advice(StateKind::Peer, &arguments.listen);
            early_failure(format!("{error}; {advice}"))
        }
        _ => early_failure(error),
    });
    started.map(Arc::new)
}

/// What the user of this process shares with those of attached clients.
struct Users {
    exclusions: WaitExclusions,
    news: Arc<NewsFeed>,
    attachments: Option<Attachments>,
}

impl Users {
    /// Begins to accept attached clients.
    fn start(peer: &Arc<Peer>, listener: Option<LocalListener>, stop: &Stop) -> io::Result<Self> {
        let exclusions = WaitExclusions::new(peer.unchanged_at_start().clone());
        let news = Arc::<NewsFeed>::default();
        let host = PeerHost {
            peer: Arc::clone(peer),
            exclusions: exclusions.for_another_user(),
            news: Arc::clone(&news),
            stop: stop.clone(),
        };
        let start = |listener| Attachments::start(listener, Arc::new(host));
        Ok(Self {
            exclusions,
            news,
            attachments: listener.map(start).transpose()?,
        })
    }
}

/// At a prompt, a first Ctrl-C ends only the command that runs, or its question.
#[derive(Debug)]
struct PromptInterrupts {
    signals: StopSignals,
    question: Arc<Question>,
}

impl Interrupts for PromptInterrupts {
    fn begin_command(&self, interrupt: Box<dyn Fn() + Send>) {
        let question = Arc::clone(&self.question);
        self.signals.begin_command(Box::new(move || {
            question.interrupt();
            interrupt();
        }));
    }

    fn end_command(&self) {
        self.signals.end_command();
    }
}

/// Runs all commands; returns whether all succeeded.
fn run_commands(
    peer: &Arc<Peer>,
    arguments: &PeerArguments,
    output: &Output,
    signals: &StopSignals,
    users: &Users,
) -> bool {
    let stop = &signals.stop;
    if let Err(error) = peer.account().check_tracker_info() {
        output.note(&error.to_string());
    }
    let from_input = arguments.commands.lines.is_empty();
    let stays = arguments.commands.stay;
    let at_prompt = from_input && output.is_interactive();
    let prompt = at_prompt.then(|| PromptParts {
        listed: Arc::default(),
        notices: Arc::new(Notices::new(peer.unchanged_at_start().clone())),
    });
    let greeting = if stays { STAYING_GREETING } else { GREETING };
    let opened = input_lines(peer, prompt.as_ref(), greeting, &users.news, stop);
    let (lines, news) = match opened {
        Ok(lines) => lines,
        Err(error) => {
            output.error(&format!("cannot read commands: {error}"));
            return false;
        }
    };
    let home = std::env::var("HOME").ok().filter(|_| at_prompt);
    let interrupts = at_prompt.then(|| PromptInterrupts {
        signals: signals.clone(),
        question: lines.question(),
    });
    let user = CommandUser {
        home: home.as_deref(),
        folder: arguments.commands.folder.as_deref(),
        interrupts: interrupts.as_ref().map(|own| own as &dyn Interrupts),
        prompt: prompt.as_ref(),
    };
    let exclusions = users.exclusions.clone();
    let mut runner = CommandRunner::new(peer, user, output, &lines, stop, exclusions);
    let fails_fast = arguments.commands.fail_fast;
    let input_end = match from_input {
        true => run_input(&mut runner, &lines, fails_fast),
        false => InputEnd::Ended,
    };
    drop(news);
    run_arguments(&mut runner, &arguments.commands.lines, fails_fast, stays);
    if let InputEnd::Failed(why) = &input_end {
        output.error(&format!("cannot read commands: {why}"));
    }
    let goes_on = input_end != InputEnd::Stopped && !stop.is_stopped();
    match (goes_on && !is_over(&runner, fails_fast), stays) {
        (true, true) if !from_input && runner.has_hopeless_failure() => output.note(LEAVING),
        (true, true) => stay(peer, at_prompt, output, stop),
        (true, false) => finish_hooks(peer, at_prompt, output, stop),
        (false, _) => {}
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
    runner.all_succeeded() && !matches!(input_end, InputEnd::Failed(_))
}

/// Waits for hooks, and says so. A person at a prompt wants the peer to end: then it waits only for
/// the hooks that run. What waits is reported after the next start.
fn finish_hooks(peer: &Peer, at_prompt: bool, output: &Output, stop: &Stop) {
    peer.finish_hooks(!at_prompt, stop, |count| {
        let hooks = if count == 1 { "hook has" } else { "hooks have" };
        let end = "Ctrl-C ends it now";
        output.note(&format!("the peer ends when {count} {hooks} ended; {end}"));
    });
}

/// Waits for a stop signal. At a prompt, first says how to end the peer. Says that the login is
/// about to end, or has ended: nobody else would notice that the peer serves groups no longer.
fn stay(peer: &Peer, at_prompt: bool, output: &Output, stop: &Stop) {
    if at_prompt {
        output.note("the input has ended and the peer goes on; Ctrl-C ends it");
    }
    loop {
        if let Some(end) = peer.account().take_login_end() {
            output.note(&end.text(render::time));
        }
        if stop.wait(LOGIN_CHECK) {
            return;
        }
    }
}

/// The source of commands and answers. At a prompt, news appears as long as the second value
/// exists.
fn input_lines(
    peer: &Arc<Peer>,
    prompt: Option<&PromptParts>,
    text: &'static str,
    feed: &Arc<NewsFeed>,
    stop: &Stop,
) -> io::Result<(InputLines, Option<NewsSubscription>)> {
    let Some(PromptParts { listed, notices }) = prompt else {
        return Ok((InputLines::standard_input(None, stop)?, None));
    };
    let notices = Arc::clone(notices);
    if terminal::is_plain() {
        let greeting = Greeting {
            text,
            notices: Some(Arc::clone(&notices)),
        };
        let lines = InputLines::standard_input(Some(greeting), stop)?;
        return Ok((lines, Some(feed.subscribe(peer, notices, None)?)));
    }
    let history = Some(peer.folder().path().join("history"));
    let names = names(Arc::downgrade(peer), Arc::clone(listed));
    let helper = PromptHelper::new(Box::new(names));
    let (lines, printer) = InputLines::prompt(history, helper, Arc::clone(&notices), text, stop)?;
    let news = feed.subscribe(peer, notices, Some(Box::new(printer)))?;
    Ok((lines, Some(news)))
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

//! A command that finds its state folder in use: it attaches to the process that uses the folder.

use super::arguments::AttachArguments;
use super::attach::{self, AttachedRunner, Attachment};
use super::commands::ArgumentKind;
use super::completion::PromptHelper;
use super::exit::{EarlyExit, Exit, early_failure};
use super::line_runner::{InputEnd, LineRunner, run_arguments, run_input};
use super::notices::Notices;
use super::output::Output;
use super::prompt::{Greeting, InputLines};
use super::signals::StopSignals;
use super::state_folder::OpenedFolder;
use super::{signals, terminal};
use crate::net::Stop;
use crate::storage::{StateFolder, StateKind};
use crate::wire::attach::{AttachVersion, Caller, Ending};
use nix::unistd::geteuid;
use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long `stop` waits until the process has ended.
const END_WAIT: Duration = Duration::from_secs(60);
/// The pause between two checks whether it has ended.
const END_PAUSE: Duration = Duration::from_millis(50);

/// What a person sees first at the prompt.
const PEER_GREETING: &str = "attached to the running peer; help lists all commands; Ctrl-D ends the attachment, stop the peer";
const TRACKER_GREETING: &str = "attached to the running tracker; help lists all commands; Ctrl-D ends the attachment, stop the tracker";

/// A command that may attach.
#[derive(Debug)]
pub(super) struct ClientOptions<'a> {
    pub(super) kind: StateKind,
    pub(super) attach: &'a AttachArguments,
    /// The commands of `-c`. If there are none, commands come from standard input.
    pub(super) commands: &'a [String],
    pub(super) fail_fast: bool,
}

/// Returns the folder if it is free. Otherwise attaches to the process that uses it, carries out
/// the commands there, and returns how they ended.
///
/// # Errors
/// The command may not attach, the process does not answer or refuses, or the system lacks threads.
pub(super) fn open_or_attach(
    opened: OpenedFolder,
    options: &ClientOptions<'_>,
    output: &Output,
) -> Result<ControlFlow<Exit, StateFolder>, EarlyExit> {
    match opened {
        OpenedFolder::Own(folder) => Ok(ControlFlow::Continue(folder)),
        OpenedFolder::InUse { path, error } => {
            check(options.kind, &path, options.attach, error)?;
            run(options, &path, output).map(ControlFlow::Break)
        }
    }
}

/// Checks that a command with these arguments may attach. `in_use` is the error without attaching.
///
/// # Errors
/// `--no-attach`, or an argument that makes sense only at the start of a process.
fn check(
    kind: StateKind,
    folder: &Path,
    arguments: &AttachArguments,
    in_use: EarlyExit,
) -> Result<(), EarlyExit> {
    if arguments.refused {
        return Err(in_use);
    }
    if arguments.start_only.is_empty() {
        return Ok(());
    }
    let (word, folder) = (kind.word(), folder.display());
    let named = arguments.start_only.join(", ");
    let message = format!(
        "{folder} is in use by another process, to which this command attaches; {named} can only be used when a {word} starts: \
         leave it out, or stop the running {word}"
    );
    // As before processes could attach: the same arguments are right if no process runs.
    Err(early_failure(message))
}

/// Attaches to the process that uses `folder`, and carries out the commands there.
fn run(options: &ClientOptions<'_>, folder: &Path, output: &Output) -> Result<Exit, EarlyExit> {
    let signals = signals::watch(|| ()).map_err(early_failure)?;
    let at_prompt = options.commands.is_empty() && output.is_interactive();
    let caller = caller(at_prompt, output.is_json()).map_err(early_failure)?;
    let note = |text: &str| output.note(text);
    let connection = attach::connect(options.kind, folder, caller, &signals.stop, note);
    let connection = connection.map_err(early_failure)?;
    let received = Arc::new(Output::new(output.is_json()));
    let no_thread = |error| early_failure(format!("cannot start a thread: {error}"));
    let attachment = attach::attach(connection, &signals, Arc::clone(&received));
    let attachment = attachment.map_err(no_thread)?;
    let lines = match at_prompt {
        true => prompt_lines(options.kind, folder, &attachment, &signals.stop),
        false => InputLines::standard_input(None, &signals.stop),
    };
    let lines = lines.map_err(|error| early_failure(format!("cannot read commands: {error}")))?;
    let prompt_signals = at_prompt.then_some(&signals);
    let mut runner = AttachedRunner::new(&attachment, &lines, prompt_signals, output);
    let ended = carry_out(options, &mut runner, &lines);
    let succeeded = report_end(options.kind, &runner, ended, at_prompt, &signals, output);
    let has_ended = match runner.ending() {
        Ending::Process => wait_for_end(options.kind, folder, &signals, output),
        Ending::Attachment | Ending::Nothing => true,
    };
    Ok(Exit::of(succeeded && has_ended && received.finish()))
}

/// Carries out all commands. Returns why no more input is read.
fn carry_out(
    options: &ClientOptions<'_>,
    runner: &mut AttachedRunner<'_>,
    lines: &InputLines,
) -> InputEnd {
    let fails_fast = options.fail_fast;
    runner.begin();
    run_arguments(runner, options.commands, fails_fast, false);
    if !fails_fast {
        runner.report_rest(options.commands);
    }
    match options.commands.is_empty() {
        true => run_input(runner, lines, fails_fast),
        false => InputEnd::Ended,
    }
}

/// Reports why the input has ended. Returns whether all commands succeeded.
fn report_end(
    kind: StateKind,
    runner: &AttachedRunner<'_>,
    ended: InputEnd,
    at_prompt: bool,
    signals: &StopSignals,
    output: &Output,
) -> bool {
    let has_gone = || runner.is_lost_now() && !signals.is_stopped_by_signal();
    match ended {
        InputEnd::Failed(why) => {
            output.error(&format!("cannot read commands: {why}"));
            return false;
        }
        InputEnd::Stopped if has_gone() => {
            let message = format!("the running {} has ended", kind.word());
            if !at_prompt {
                // The rest of the input is not carried out.
                output.error(&message);
                return false;
            }
            output.note(&message);
        }
        InputEnd::Stopped | InputEnd::Ended => {}
    }
    runner.all_succeeded()
}

/// Waits until the running process has released its state folder.
fn wait_for_end(kind: StateKind, folder: &Path, signals: &StopSignals, output: &Output) -> bool {
    let begun = Instant::now();
    while StateFolder::is_in_use(folder) {
        if begun.elapsed() >= END_WAIT || signals.is_stopped_by_signal() {
            output.error(&format!("the running {} is still ending", kind.word()));
            return false;
        }
        std::thread::sleep(END_PAUSE);
    }
    true
}

/// This process, as the running one sees it.
fn caller(at_prompt: bool, json: bool) -> Result<Caller, String> {
    let folder = std::env::current_dir()
        .map_err(|error| format!("cannot find the current folder: {error}"))?;
    let home = std::env::var_os("HOME").filter(|home| at_prompt && !home.is_empty());
    Ok(Caller {
        version: AttachVersion::ours(),
        folder: folder.into_os_string().into_vec(),
        home: home.map(OsStringExt::into_vec),
        json,
        prompt: at_prompt,
        input_terminal: io::stdin().is_terminal(),
        error_terminal: io::stderr().is_terminal(),
        plain: terminal::is_plain(),
        columns: terminal::bar_columns(),
    })
}

/// The source of commands and answers at a prompt.
fn prompt_lines(
    kind: StateKind,
    folder: &Path,
    attachment: &Arc<Attachment>,
    stop: &Stop,
) -> io::Result<InputLines> {
    let notices = Arc::new(Notices::default());
    let (text, has_editor) = match kind {
        StateKind::Peer => (PEER_GREETING, !terminal::is_plain()),
        StateKind::Tracker => (TRACKER_GREETING, false),
    };
    if !has_editor {
        attachment.show_news(Arc::clone(&notices), None);
        let notices = (kind == StateKind::Peer).then_some(notices);
        return InputLines::standard_input(Some(Greeting { text, notices }), stop);
    }
    let asked = Arc::clone(attachment);
    let names = move |kind: ArgumentKind, group: Option<&str>| {
        let word = kind.word();
        word.map(|word| asked.names(word, group))
            .unwrap_or_default()
    };
    let helper = PromptHelper::new(Box::new(names));
    let history = history(folder);
    let shown = Arc::clone(&notices);
    let (lines, printer) = InputLines::prompt(history, helper, shown, text, stop)?;
    attachment.show_news(notices, Some(Box::new(printer)));
    Ok(lines)
}

/// The history of the running peer. None if the folder belongs to another user, who could not read
/// a file that this user makes.
fn history(folder: &Path) -> Option<PathBuf> {
    let owner = folder.metadata().ok()?.uid();
    (owner == geteuid().as_raw()).then(|| folder.join("history"))
}

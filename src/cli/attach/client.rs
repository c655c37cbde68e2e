//! The attached client: sends lines, shows what it receives, and asks its user the questions of the
//! running process.

use super::connection::Connection;
use super::frames::{FrameReceiver, FrameSender};
use crate::cli::answers::Answers;
use crate::cli::command_error::CommandError;
use crate::cli::json;
use crate::cli::line_runner::LineRunner;
use crate::cli::news::Printer;
use crate::cli::notices::Notices;
use crate::cli::output::Output;
use crate::cli::prompt::{InputLines, NextInput};
use crate::cli::signals::{StopSignals, wait_for_stop};
use crate::system::lock;
use crate::wire::attach::{
    AttachReply, AttachRequest, AttachedAnswer, Ending, LineSource, MAX_TEXT,
};
use crossbeam::channel::{Receiver, Sender, TryRecvError, unbounded};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How long the completion of a word waits for names.
const NAMES_TIMEOUT: Duration = Duration::from_secs(1);

/// The most notices that wait until the prompt opens.
const MAX_EARLY: usize = 1_000;

/// What the running process wants of the thread that sends the lines.
#[derive(Debug)]
enum Event {
    Ask { question: String, hidden: bool },
    Done { succeeded: bool, ending: Ending },
}

/// Some names, and whether others follow.
type NamesPart = (Vec<String>, bool);

/// The connection to the running process, once this process is attached.
pub(in crate::cli) struct Attachment {
    sender: Arc<FrameSender>,
    events: Receiver<Event>,
    names: Mutex<Receiver<NamesPart>>,
    news: Mutex<PromptNews>,
}

/// Where notices are shown.
enum PromptNews {
    /// The prompt has not opened yet. These lines wait for it.
    Early(Vec<String>),
    Prompt {
        notices: Arc<Notices>,
        printer: Option<Printer>,
    },
}

impl Default for PromptNews {
    fn default() -> Self {
        Self::Early(Vec::new())
    }
}

impl PromptNews {
    fn show(&mut self, line: String) {
        match self {
            Self::Early(lines) if lines.len() < MAX_EARLY => lines.push(line),
            Self::Early(_) => {}
            Self::Prompt { notices, printer } => {
                if let (Some(line), Some(printer)) = (notices.add(line), printer) {
                    // Fails only if the terminal was closed.
                    let _ = printer.print(format!("{line}\n"));
                }
            }
        }
    }
}

/// Starts the threads that receive from the running process, and that tell it of a stop of this
/// process. What arrives is shown on `output`.
///
/// # Errors
/// The system cannot start a thread.
pub(in crate::cli) fn attach(
    connection: Connection,
    signals: &StopSignals,
    output: Arc<Output>,
) -> io::Result<Arc<Attachment>> {
    let (event_sender, events) = unbounded();
    let (names_sender, names) = unbounded();
    let attachment = Arc::new(Attachment {
        sender: connection.sender,
        events,
        names: Mutex::new(names),
        news: Mutex::default(),
    });
    let receiving = Receiving {
        attachment: Arc::clone(&attachment),
        output,
        events: event_sender,
        names: names_sender,
    };
    let (receiver, stop) = (connection.receiver, signals.stop.clone());
    let thread = thread::Builder::new().name("attach-receive".to_owned());
    // Not joined: the thread ends with the connection or with the process.
    thread.spawn(move || {
        receiving.receive(receiver);
        // The running process has gone: no line is waited for.
        stop.stop();
    })?;
    let (sender, stop) = (Arc::clone(&attachment.sender), signals.stop.clone());
    let thread = thread::Builder::new().name("attach-stop".to_owned());
    thread.spawn(move || {
        wait_for_stop(&stop);
        let _ = sender.send(&AttachRequest::Stop.encode());
    })?;
    Ok(attachment)
}

impl Attachment {
    /// Shows notices of the running process at a prompt from now on.
    pub(in crate::cli) fn show_news(&self, notices: Arc<Notices>, printer: Option<Printer>) {
        let mut news = lock(&self.news);
        let shown = PromptNews::Prompt { notices, printer };
        if let PromptNews::Early(lines) = std::mem::replace(&mut *news, shown) {
            lines.into_iter().for_each(|line| news.show(line));
        }
    }

    /// Asks the running process for names. None if it does not answer soon.
    pub(in crate::cli) fn names(&self, kind: &str, group: Option<&str>) -> Vec<String> {
        let answers = lock(&self.names);
        // Parts of an answer that came too late.
        answers.try_iter().for_each(drop);
        let (kind, group) = (kind.to_owned(), group.map(str::to_owned));
        let request = AttachRequest::Names { kind, group };
        if self.sender.send(&request.encode()).is_err() {
            return Vec::new();
        }
        let mut names = Vec::new();
        while let Ok((part, more)) = answers.recv_timeout(NAMES_TIMEOUT) {
            names.extend(part);
            if !more {
                break;
            }
        }
        names
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").finish_non_exhaustive()
    }
}

/// The parts of the thread that receives.
struct Receiving {
    attachment: Arc<Attachment>,
    output: Arc<Output>,
    events: Sender<Event>,
    names: Sender<NamesPart>,
}

impl Receiving {
    fn receive(self, mut receiver: FrameReceiver) {
        while let Ok(Some(body)) = receiver.next() {
            let reply = match AttachReply::decode(&body) {
                Ok(AttachReply::End) => return,
                Ok(reply) => reply,
                Err(error) => {
                    let output = &self.output;
                    output.error(&format!("the running process sends foreign bytes: {error}"));
                    return;
                }
            };
            self.on_reply(reply);
        }
    }

    fn on_reply(&self, reply: AttachReply) {
        // The receivers exist as long as the attachment.
        match reply {
            AttachReply::Output(bytes) => drop(self.output.raw_result(&bytes)),
            AttachReply::Error(bytes) => self.output.raw_error(&bytes),
            AttachReply::Ask { question, hidden } => {
                let _ = self.events.send(Event::Ask { question, hidden });
            }
            AttachReply::Done { succeeded, ending } => {
                let _ = self.events.send(Event::Done { succeeded, ending });
            }
            AttachReply::Notice(line) => lock(&self.attachment.news).show(line),
            AttachReply::Names { names, more } => drop(self.names.send((names, more))),
            AttachReply::Welcome { .. } | AttachReply::Refused { .. } | AttachReply::End => {}
        }
    }
}

/// Carries out lines at the running process.
#[derive(Debug)]
pub(in crate::cli) struct AttachedRunner<'a> {
    attachment: &'a Attachment,
    lines: &'a InputLines,
    /// At a prompt, a first Ctrl-C ends only the command that runs.
    prompt_signals: Option<&'a StopSignals>,
    output: &'a Output,
    last_number: u32,
    all_succeeded: bool,
    ending: Ending,
    is_lost: bool,
    /// The command that is carried out; empty before the first one.
    running: String,
    /// The number of arguments `-c` that were carried out.
    argument_count: usize,
}

impl<'a> AttachedRunner<'a> {
    /// A runner whose questions are answered from `lines`. `prompt_signals` is for a prompt.
    pub(in crate::cli) fn new(
        attachment: &'a Attachment,
        lines: &'a InputLines,
        prompt_signals: Option<&'a StopSignals>,
        output: &'a Output,
    ) -> Self {
        Self {
            attachment,
            lines,
            prompt_signals,
            output,
            last_number: 0,
            all_succeeded: true,
            ending: Ending::Nothing,
            is_lost: false,
            running: String::new(),
            argument_count: 0,
        }
    }

    /// What has ended with the last line.
    pub(in crate::cli) fn ending(&self) -> Ending {
        self.ending
    }

    /// Whether the running process has ended.
    pub(in crate::cli) fn is_lost_now(&self) -> bool {
        matches!(
            self.attachment.events.try_recv(),
            Err(TryRecvError::Disconnected)
        )
    }

    /// Waits until the running process has shown its first lines.
    pub(in crate::cli) fn begin(&mut self) {
        self.wait_until_done();
    }

    fn carry_out(&mut self, request: impl FnOnce(u32) -> AttachRequest) {
        self.last_number += 1;
        let request = request(self.last_number);
        if let Some(signals) = self.prompt_signals {
            let (question, number) = (self.lines.question(), self.last_number);
            let sender = Arc::clone(&self.attachment.sender);
            signals.begin_command(Box::new(move || {
                question.interrupt();
                let _ = sender.send(&AttachRequest::Interrupt { number }.encode());
            }));
        }
        // If sending fails, the channel of events is disconnected.
        let _ = self.attachment.sender.send(&request.encode());
        self.wait_until_done();
        if let Some(signals) = self.prompt_signals {
            signals.end_command();
        }
    }

    fn wait_until_done(&mut self) {
        loop {
            match self.attachment.events.recv() {
                Ok(Event::Ask { question, hidden }) => self.answer(&question, hidden),
                Ok(Event::Done { succeeded, ending }) => {
                    self.all_succeeded = succeeded;
                    self.ending = ending;
                    return;
                }
                Err(_) => return self.on_lost(),
            }
        }
    }

    fn answer(&self, question: &str, hidden: bool) {
        let answer = match hidden {
            true => self.lines.ask_hidden(question),
            false => self.lines.ask(question),
        };
        let answer = match answer {
            NextInput::Line(line) if line.len() > MAX_TEXT => {
                AttachedAnswer::Failed("the line is too long".to_owned())
            }
            NextInput::Line(line) => AttachedAnswer::Line(line),
            NextInput::NotText => AttachedAnswer::NotText,
            NextInput::End => AttachedAnswer::End,
            NextInput::Quit => AttachedAnswer::Quit,
            NextInput::Stopped => AttachedAnswer::Stopped,
            NextInput::Failed(why) => AttachedAnswer::Failed(why),
        };
        if answer == AttachedAnswer::Stopped {
            // The next line must not arrive before the stop, which another thread sends too.
            let _ = self.attachment.sender.send(&AttachRequest::Stop.encode());
        }
        let answer = AttachRequest::Answer(answer).encode();
        let _ = self.attachment.sender.send(&answer);
    }

    fn on_lost(&mut self) {
        self.all_succeeded = false;
        if !std::mem::replace(&mut self.is_lost, true) {
            match std::mem::take(&mut self.running) {
                // No command was sent yet.
                none if none.is_empty() => self
                    .output
                    .error("the running process has ended before the command was done"),
                name => self.report(&name, CommandError::ProcessEnded(name.clone())),
            }
        }
    }

    /// Reports the commands of `-c` that were not carried out because the running process has
    /// ended.
    pub(in crate::cli) fn report_rest(&self, commands: &[String]) {
        if self.is_lost {
            for command in commands.iter().skip(self.argument_count) {
                let name = first_word(command);
                self.report(name, CommandError::not_run_without_process(name));
            }
        }
    }

    /// Reports a failed command as the running process would. A tracker has no JSON.
    fn report(&self, name: &str, error: CommandError) {
        match self.output.is_json() {
            true => drop(
                self.output
                    .result(&json::result_line(name, &Err(error), false)),
            ),
            false => self.output.error(&error.to_string()),
        }
    }

    fn run_line(&mut self, source: LineSource, line: &str) {
        if line.len() > MAX_TEXT {
            self.all_succeeded = false;
            let message = format!("a command has more than {MAX_TEXT} bytes");
            return self.output.error(&message);
        }
        let text = line.to_owned();
        self.running = first_word(line).to_owned();
        self.carry_out(|number| AttachRequest::Line {
            number,
            source,
            text,
        });
    }
}

/// The name of a command.
fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

impl LineRunner for AttachedRunner<'_> {
    fn run(&mut self, line: &str) {
        self.run_line(LineSource::Input, line);
    }

    /// An attached command is tried once.
    fn run_argument(&mut self, line: &str, _keeps_trying: bool) {
        self.argument_count += 1;
        self.run_line(LineSource::Argument, line);
    }

    /// The running process reports it, so that it looks like all other errors.
    fn refuse(&mut self, _: CommandError) {
        self.carry_out(|number| AttachRequest::NotText { number });
    }

    fn all_succeeded(&self) -> bool {
        self.all_succeeded
    }

    fn has_ended(&self) -> bool {
        self.is_lost || self.ending != Ending::Nothing
    }
}

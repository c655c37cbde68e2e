//! One attached client, as the running process sees it: its lines, its answers, its Ctrl-C.

use super::frames::{FrameReceiver, FrameSender};
use super::terminal::ClientScreen;
use crate::cli::answers::{Answers, Interrupts};
use crate::cli::output::Output;
use crate::cli::prompt::NextInput;
use crate::net::Stop;
use crate::system::lock;
use crate::wire::attach::{
    AttachReply, AttachRequest, AttachedAnswer, Caller, Ending, LineSource, MAX_TEXT,
};
use crossbeam::channel::{Receiver, Sender, bounded};
use crossbeam::select;
use rustyline::ExternalPrinter;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

/// The most messages of one kind that may wait. A client sends one line or answer at a time.
const MAX_WAITING: usize = 4;
/// The most bytes of names in one message, and the most names.
const NAMES_BYTES: usize = 32 << 10;
const NAMES_COUNT: usize = 500;

/// Returns the names that complete an argument of this kind, after this group.
type Names = Box<dyn Fn(&str, Option<&str>) -> Vec<String> + Send + Sync>;

/// An attached client.
pub(in crate::cli) struct Session {
    pub(in crate::cli) caller: Caller,
    /// Raised when the client stops or has gone, or when this process stops.
    pub(in crate::cli) stop: Stop,
    sender: Arc<FrameSender>,
    lines: Receiver<SentLine>,
    answers: Receiver<NextInput>,
    ending: Ended,
    running: Mutex<RunningLine>,
    names: OnceLock<Names>,
}

/// The end of this process: the channel is disconnected when the sender is dropped.
struct Ended {
    sender: Mutex<Option<Sender<()>>>,
    receiver: Receiver<()>,
}

/// A line of a client.
#[derive(Debug)]
pub(in crate::cli) enum SentLine {
    /// A line of its input.
    Input(u32, String),
    /// An argument of its process.
    Argument(u32, String),
    /// A line that is not UTF-8.
    NotText(u32),
}

/// The line that is being carried out.
#[derive(Default)]
struct RunningLine {
    number: u32,
    /// The number of the line that the user has interrupted last.
    interrupted: u32,
    /// Ends the command of the line early.
    interrupt: Option<Box<dyn Fn() + Send>>,
}

/// The sides of the channels that the reading thread uses.
pub(super) struct Inbox {
    lines: Sender<SentLine>,
    answers: Sender<NextInput>,
}

impl Session {
    pub(super) fn new(caller: Caller, sender: Arc<FrameSender>) -> (Arc<Self>, Inbox) {
        let (line_sender, lines) = bounded(MAX_WAITING);
        let (answer_sender, answers) = bounded(MAX_WAITING);
        let (end_sender, end) = bounded(0);
        let session = Self {
            caller,
            stop: Stop::new(),
            sender,
            lines,
            answers,
            ending: Ended {
                sender: Mutex::new(Some(end_sender)),
                receiver: end,
            },
            running: Mutex::default(),
            names: OnceLock::new(),
        };
        let inbox = Inbox {
            lines: line_sender,
            answers: answer_sender,
        };
        (Arc::new(session), inbox)
    }

    /// The client's standard output and standard error. With `json`, results are JSON objects.
    pub(in crate::cli) fn output(&self, json: bool) -> Output {
        let screen = ClientScreen::new(Arc::clone(&self.sender), &self.caller);
        Output::on(Arc::new(screen), json)
    }

    /// The client's current folder.
    pub(in crate::cli) fn folder(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.caller.folder))
    }

    /// What `~/` means at the client's prompt.
    pub(in crate::cli) fn home(&self) -> Option<&str> {
        let home = self.caller.home.as_deref();
        home.and_then(|home| std::str::from_utf8(home).ok())
    }

    /// Sets where names for completion come from.
    pub(in crate::cli) fn set_names(&self, names: Names) {
        // Set once, before the first line.
        let _ = self.names.set(names);
    }

    /// Waits for the next line. `None` if the client has gone, or this process stops.
    pub(in crate::cli) fn next_line(&self) -> Option<SentLine> {
        let line = select! {
            recv(self.lines) -> line => line.ok()?,
            recv(self.ending.receiver) -> _ => return None,
        };
        let (SentLine::Input(number, _)
        | SentLine::Argument(number, _)
        | SentLine::NotText(number)) = &line;
        lock(&self.running).number = *number;
        Some(line)
    }

    /// The line is carried out.
    pub(in crate::cli) fn done(&self, succeeded: bool, ending: Ending) {
        self.send(&AttachReply::Done { succeeded, ending });
    }

    /// Shows a line above the client's prompt. Waits while the client does not read, as
    /// [`done`](Self::done) does.
    pub(in crate::cli) fn send_notice(&self, line: &str) {
        let line = start_of(line.trim_end_matches('\n'));
        self.send(&AttachReply::Notice(line));
    }

    /// A failure to send is noticed by the reading thread.
    pub(super) fn send(&self, reply: &AttachReply) {
        let _ = self.sender.send(&reply.encode());
    }

    /// Ends the running line early, and carries out no other one.
    pub(super) fn end(&self) {
        self.stop.stop();
        if let Some(interrupt) = &lock(&self.running).interrupt {
            interrupt();
        }
    }

    /// This process ends: like [`end`](Self::end), and no line is waited for.
    pub(super) fn end_process(&self) {
        self.end();
        *lock(&self.ending.sender) = None;
    }

    /// Whether this process ends.
    pub(super) fn is_process_ending(&self) -> bool {
        lock(&self.ending.sender).is_none()
    }

    /// Closes the connection.
    pub(super) fn close(&self) {
        self.sender.close();
    }

    /// Reads messages until the client has gone. Runs on a thread of its own.
    pub(super) fn read(&self, mut receiver: FrameReceiver, inbox: Inbox) {
        loop {
            let body = match receiver.next() {
                Ok(Some(body)) => body,
                Ok(None) => break,
                Err(error) => {
                    log::warn!("the connection of an attached command broke off: {error}");
                    break;
                }
            };
            let accepted = match AttachRequest::decode(&body) {
                Ok(request) => self.accept(request, &inbox),
                Err(error) => Err(error.to_string()),
            };
            if let Err(why) = accepted {
                log::warn!("an attached command sends what it should not: {why}");
                break;
            }
        }
        self.end();
        self.close();
    }

    fn accept(&self, request: AttachRequest, inbox: &Inbox) -> Result<(), String> {
        let too_many = "it does not wait for the result of a line".to_owned();
        let line = match request {
            AttachRequest::Line {
                number,
                source: LineSource::Input,
                text,
            } => SentLine::Input(number, text),
            AttachRequest::Line {
                number,
                source: LineSource::Argument,
                text,
            } => SentLine::Argument(number, text),
            AttachRequest::NotText { number } => SentLine::NotText(number),
            AttachRequest::Answer(answer) => {
                let sent = inbox.answers.try_send(input_of(answer));
                return sent.map_err(|_| too_many);
            }
            AttachRequest::Interrupt { number } => {
                self.interrupt(number);
                return Ok(());
            }
            AttachRequest::Stop => {
                self.end();
                return Ok(());
            }
            AttachRequest::Names { kind, group } => {
                self.send_names(&kind, group.as_deref());
                return Ok(());
            }
            AttachRequest::Hello(_) => return Err("it attaches twice".to_owned()),
        };
        inbox.lines.try_send(line).map_err(|_| too_many)
    }

    fn interrupt(&self, number: u32) {
        let mut running = lock(&self.running);
        running.interrupted = number;
        if running.number == number
            && let Some(interrupt) = &running.interrupt
        {
            interrupt();
        }
    }

    fn send_names(&self, kind: &str, group: Option<&str>) {
        let names = self.names.get().map(|names| names(kind, group));
        let (mut part, mut bytes) = (Vec::new(), 0);
        for name in names.unwrap_or_default() {
            if name.len() > NAMES_BYTES {
                continue;
            }
            if bytes + name.len() > NAMES_BYTES || part.len() >= NAMES_COUNT {
                let names = std::mem::take(&mut part);
                self.send(&AttachReply::Names { names, more: true });
                bytes = 0;
            }
            bytes += name.len();
            part.push(name);
        }
        self.send(&AttachReply::Names {
            names: part,
            more: false,
        });
    }

    fn request_answer(&self, question: &str, hidden: bool) -> NextInput {
        if self.stop.is_stopped() {
            return NextInput::Stopped;
        }
        let question = start_of(question);
        self.send(&AttachReply::Ask { question, hidden });
        select! {
            recv(self.answers) -> answer => answer.unwrap_or(NextInput::Stopped),
            recv(self.ending.receiver) -> _ => NextInput::Stopped,
        }
    }
}

/// The part of a text that fits into a message.
fn start_of(text: &str) -> String {
    let fits = |(at, character): &(usize, char)| at + character.len_utf8() <= MAX_TEXT;
    let characters = text.char_indices().take_while(fits);
    characters.map(|(_, character)| character).collect()
}

fn input_of(answer: AttachedAnswer) -> NextInput {
    match answer {
        AttachedAnswer::Line(line) => NextInput::Line(line),
        AttachedAnswer::NotText => NextInput::NotText,
        AttachedAnswer::End => NextInput::End,
        AttachedAnswer::Quit => NextInput::Quit,
        AttachedAnswer::Stopped => NextInput::Stopped,
        AttachedAnswer::Failed(why) => NextInput::Failed(why),
    }
}

impl Answers for Session {
    fn can_ask(&self) -> bool {
        self.caller.input_terminal && self.caller.error_terminal
    }

    fn is_terminal(&self) -> bool {
        self.caller.input_terminal
    }

    fn ask(&self, question: &str) -> NextInput {
        self.request_answer(question, false)
    }

    fn ask_hidden(&self, question: &str) -> NextInput {
        self.request_answer(question, true)
    }
}

impl Interrupts for Session {
    fn begin_command(&self, interrupt: Box<dyn Fn() + Send>) {
        let mut running = lock(&self.running);
        // The interruption may have arrived before the command began.
        if running.interrupted == running.number || self.stop.is_stopped() {
            interrupt();
        }
        running.interrupt = Some(interrupt);
    }

    fn end_command(&self) {
        lock(&self.running).interrupt = None;
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// Shows lines above the client's prompt.
pub(in crate::cli) struct NoticePrinter(pub(in crate::cli) Arc<Session>);

impl ExternalPrinter for NoticePrinter {
    fn print(&mut self, line: String) -> rustyline::Result<()> {
        self.0.send_notice(&line);
        Ok(())
    }
}

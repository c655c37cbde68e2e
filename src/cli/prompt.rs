//! Reads lines from standard input: a prompt with history and completion on a terminal, plain lines
//! otherwise.
//!
//! In scope: reading on a thread of its own, so that the stop flag ends the wait for a line. Out of
//! scope: the meaning of the lines.

mod next_input;
mod typed_lines;

pub(super) use next_input::NextInput;

use super::answers::Answers;
use super::completion::PromptHelper;
use super::notices::Notices;
use super::signals::wait_for_stop;
use super::terminal::{self, EchoOff, Question, QuestionEnded, StandardInput};
use crate::net::Stop;
use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use nix::sys::termios::{self, Termios};
use rustyline::ExternalPrinter;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use typed_lines::TypedLines;

/// The longest line that is read, in bytes.
const MAX_LINE: u64 = 64 << 10;
/// The text before a command that is typed.
const PROMPT: &str = "pieceful> ";

/// A request to the reading thread. Only commands go into the history. An answer comes with the
/// question that the thread shows.
#[derive(Debug)]
enum InputRequest {
    /// Read a command.
    Command,
    /// Read an answer that is not a command.
    Answer(String),
    /// Read an answer without echo.
    HiddenAnswer(String),
}

/// Lines of input. A line is read only on request, so that no prompt is shown while a command runs.
#[derive(Debug)]
pub(super) struct InputLines {
    requests: Sender<InputRequest>,
    inputs: Receiver<NextInput>,
    stop: Stop,
    question: Arc<Question>,
    /// The terminal's settings at the start. They are restored at the end, because a prompt that is
    /// interrupted leaves the terminal in raw mode.
    terminal: Option<Termios>,
}

/// What a person at a terminal sees first: a text, and notices if there is a prompt.
#[derive(Debug)]
pub(super) struct Greeting {
    /// Shown once, when the process is in the foreground.
    pub(super) text: &'static str,
    /// Shown above each prompt. `None`: there is no prompt, only the text.
    pub(super) notices: Option<Arc<Notices>>,
}

impl InputLines {
    /// A prompt on the terminal with the history in the file `history`, if it has one, and a
    /// printer that writes lines above the prompt.
    ///
    /// # Errors
    /// The terminal cannot be set up, or no thread can be started.
    pub(super) fn prompt(
        history: Option<PathBuf>,
        helper: PromptHelper,
        notices: Arc<Notices>,
        greeting: &'static str,
        stop: &Stop,
    ) -> io::Result<(Self, impl ExternalPrinter + Send + 'static)> {
        let (mut typed, printer) = TypedLines::new(history, helper, stop)?;
        let mut greeting = Some(greeting);
        let (question, stopping) = (Arc::new(Question::default()), stop.clone());
        let lines = Self::start(stop, question, move |request, question| match request {
            InputRequest::Command => {
                if !terminal::wait_until_in_foreground(&stopping) {
                    return NextInput::Stopped;
                }
                show_lines(greeting.take().map(str::to_owned));
                show_lines(notices.open_prompt());
                let input = typed.read_command(PROMPT);
                notices.close_prompt();
                input
            }
            InputRequest::Answer(text) => typed.read_answer(&text),
            InputRequest::HiddenAnswer(text) => {
                let _echo_off = EchoOff::begin(question, &stopping);
                typed.read_hidden(&text)
            }
        })?;
        Ok((lines, printer))
    }

    /// Plain lines of standard input. `greeting` is shown before the first command is read. The
    /// caller passes it only for a terminal.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn standard_input(greeting: Option<Greeting>, stop: &Stop) -> io::Result<Self> {
        let question = Arc::new(Question::default());
        let input = StandardInput::new(Arc::clone(&question), stop);
        Self::plain(BufReader::new(input), question, greeting, stop)
    }

    pub(super) fn plain(
        mut input: impl BufRead + Send + 'static,
        question: Arc<Question>,
        greeting: Option<Greeting>,
        stop: &Stop,
    ) -> io::Result<Self> {
        let stopping = stop.clone();
        let (mut text, notices) = match greeting {
            Some(Greeting { text, notices }) => (Some(text), notices),
            None => (None, None),
        };
        Self::start(stop, question, move |request, question| match request {
            InputRequest::Command => {
                if text.is_some() || notices.is_some() {
                    if !terminal::wait_until_in_foreground(&stopping) {
                        return NextInput::Stopped;
                    }
                    show_lines(text.take().map(str::to_owned));
                }
                if let Some(notices) = &notices {
                    // Closed at once: while the prompt is open, a new notice would be shown in the
                    // middle of the line that is being typed.
                    show_lines(notices.open_prompt());
                    notices.close_prompt();
                    question.show(PROMPT);
                }
                let line = read_line(&mut input);
                if notices.is_some() && matches!(line, NextInput::End) {
                    // The terminal starts no new line at Ctrl-D, so the next output would be on the
                    // line of the prompt.
                    terminal::show("\n");
                }
                line
            }
            InputRequest::Answer(text) => {
                if terminal::wait_until_in_foreground(&stopping) {
                    question.show(&text);
                }
                read_line(&mut input)
            }
            InputRequest::HiddenAnswer(text) => {
                let echo_off = EchoOff::begin(question, &stopping);
                if echo_off.is_some() {
                    question.show(&text);
                }
                let line = read_line(&mut input);
                if echo_off.is_some() {
                    terminal::show("\n");
                }
                line
            }
        })
    }

    /// Waits for the next line and returns it.
    pub(super) fn next(&self) -> NextInput {
        self.request(InputRequest::Command)
    }

    /// The question or prompt that waits for an answer. [`Question::interrupt`] ends the wait.
    /// After that, no other question is asked until the next command is read.
    pub(super) fn question(&self) -> Arc<Question> {
        Arc::clone(&self.question)
    }

    fn request(&self, request: InputRequest) -> NextInput {
        match request {
            InputRequest::Command => self.question.reset(),
            _ if self.question.is_interrupted() => return NextInput::Quit,
            _ => {}
        }
        if self.stop.is_stopped() || self.requests.send(request).is_err() {
            return NextInput::Stopped;
        }
        let input = self.inputs.recv().unwrap_or(NextInput::End);
        if matches!(input, NextInput::Stopped) && self.terminal.is_some() {
            // So the next message is on a new line, below the text that was typed.
            let _ = io::stdout().write_all(b"\r\n");
        }
        input
    }

    fn start(
        stop: &Stop,
        question: Arc<Question>,
        mut read: impl FnMut(InputRequest, &Question) -> NextInput + Send + 'static,
    ) -> io::Result<Self> {
        let (requests, requested) = bounded(1);
        let (sender, inputs) = unbounded();
        let (stopping, stop_sender) = (stop.clone(), sender.clone());
        let shared_question = Arc::clone(&question);
        // The threads are not joined: the thread `input` may be blocked in a read. Only more input
        // or the end of the process ends that read.
        thread::Builder::new().name("input".into()).spawn(move || {
            while let Ok(request) = requested.recv() {
                if sender.send(read(request, &shared_question)).is_err() {
                    break;
                }
            }
        })?;
        thread::Builder::new()
            .name("input-stop".into())
            .spawn(move || {
                wait_for_stop(&stopping);
                let _ = stop_sender.send(NextInput::Stopped);
            })?;
        Ok(Self {
            requests,
            inputs,
            stop: stop.clone(),
            question,
            terminal: termios::tcgetattr(io::stdin()).ok(),
        })
    }
}

impl Answers for InputLines {
    fn can_ask(&self) -> bool {
        self.terminal.is_some() && io::stderr().is_terminal()
    }

    fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    fn ask(&self, question: &str) -> NextInput {
        self.request(InputRequest::Answer(question.to_owned()))
    }

    fn ask_hidden(&self, question: &str) -> NextInput {
        self.request(InputRequest::HiddenAnswer(question.to_owned()))
    }
}

impl Drop for InputLines {
    fn drop(&mut self) {
        if let Some(terminal) = &self.terminal {
            terminal::restore(terminal);
        }
    }
}

/// Writes lines that are not the result of a command.
fn show_lines(lines: impl IntoIterator<Item = String>) {
    for line in lines {
        terminal::show(&(line + "\n"));
    }
}

fn read_line(input: &mut impl BufRead) -> NextInput {
    let mut line = Vec::new();
    match input
        .by_ref()
        .take(MAX_LINE + 1)
        .read_until(b'\n', &mut line)
    {
        Ok(0) => return NextInput::End,
        Ok(_) => {}
        Err(error) if QuestionEnded::is(&error) => return NextInput::Quit,
        Err(error) => return NextInput::Failed(error.to_string()),
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 > MAX_LINE {
        return NextInput::Failed(format!("a line has more than {MAX_LINE} bytes"));
    }
    String::from_utf8(line).map_or(NextInput::NotText, NextInput::Line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn lines(input: impl BufRead + Send + 'static, stop: &Stop) -> InputLines {
        InputLines::plain(input, Arc::default(), None, stop).unwrap()
    }

    fn plain(bytes: &[u8], stop: &Stop) -> InputLines {
        lines(Cursor::new(bytes.to_vec()), stop)
    }

    #[test]
    fn lines_are_read_one_by_one_to_the_end() {
        let lines = plain(b"one\ntwo\r\n\n\xff\nlast", &Stop::new());
        assert!(matches!(lines.next(), NextInput::Line(line) if line == "one"));
        assert!(matches!(lines.next(), NextInput::Line(line) if line == "two\r"));
        assert!(matches!(lines.next(), NextInput::Line(line) if line.is_empty()));
        assert!(matches!(lines.next(), NextInput::NotText));
        assert!(matches!(lines.next(), NextInput::Line(line) if line == "last"));
        assert!(matches!(lines.next(), NextInput::End));
    }

    #[test]
    fn a_line_that_is_too_long_is_refused() {
        let long = vec![b'x'; MAX_LINE as usize + 1];
        assert!(matches!(
            plain(&long, &Stop::new()).next(),
            NextInput::Failed(_)
        ));
        let mut fits = long;
        fits[MAX_LINE as usize] = b'\n';
        assert!(matches!(
            plain(&fits, &Stop::new()).next(),
            NextInput::Line(_)
        ));
    }

    #[test]
    fn the_stop_flag_ends_the_wait_for_a_line() {
        let (reader, writer) = io::pipe().unwrap();
        let stop = Stop::new();
        let lines = lines(BufReader::new(reader), &stop);
        let stopper = stop.clone();
        let (started_sender, started) = bounded(0);
        let waiting = thread::spawn(move || {
            started_sender.send(()).unwrap();
            (lines.next(), lines.next())
        });
        started.recv().unwrap();
        stopper.stop();
        assert!(matches!(
            waiting.join().unwrap(),
            (NextInput::Stopped, NextInput::Stopped)
        ));
        drop(writer);
    }
}

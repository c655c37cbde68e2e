//! Reads lines from standard input: a prompt with history and completion on a terminal, plain lines
//! otherwise.
//!
//! In scope: reading on a thread of its own, so that the stop flag interrupts a read. Out of scope:
//! the meaning of the lines.

use super::commands::without_passwords;
use super::completion::PromptHelper;
use super::signals::wait_for_stop;
use crate::net::Stop;
use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{ColorMode, CompletionType, Config, Editor, ExternalPrinter};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;

/// The longest line that is read, in bytes.
const MAX_LINE: u64 = 64 << 10;
/// The number of lines of history that are kept.
const MAX_HISTORY: usize = 1_000;

/// The result of one read from standard input.
#[derive(Debug)]
pub(super) enum NextInput {
    /// A line, without its newline.
    Line(String),
    /// A line that is not UTF-8.
    NotText,
    /// The end of input.
    End,
    /// Ctrl-C at an empty prompt: end gracefully.
    Quit,
    /// The stop flag was raised.
    Stopped,
    /// Reading failed, with a message for the user.
    Failed(String),
}

/// A request to the reading thread, with the question that it shows.
#[derive(Debug)]
enum InputRequest {
    /// Read a command.
    Command,
    /// Read an answer that is not a command.
    Answer(String),
    /// Read an answer without echo; it does not go into the history.
    HiddenAnswer(String),
}

/// Lines of input. A line is read only on request, so that no prompt is shown while a command runs.
#[derive(Debug)]
pub(super) struct InputLines {
    requests: Sender<InputRequest>,
    inputs: Receiver<NextInput>,
    stop: Stop,
    /// The terminal's settings at the start. A prompt that is interrupted leaves it in raw mode.
    terminal: Option<Termios>,
}

impl InputLines {
    /// A prompt on the terminal with the history in the file `history`, and a printer that writes
    /// lines above the prompt.
    ///
    /// # Errors
    /// The terminal cannot be set up, or no thread can be started.
    pub(super) fn prompt(
        history: PathBuf,
        helper: PromptHelper,
        stop: &Stop,
    ) -> io::Result<(Self, impl ExternalPrinter + Send + 'static)> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .bracketed_paste(false)
            // Passwords are hidden by the highlighter, which needs this.
            .color_mode(ColorMode::Forced)
            .auto_add_history(false)
            .max_history_size(MAX_HISTORY)
            .map_err(io::Error::other)?
            .build();
        let mut editor =
            Editor::<PromptHelper, FileHistory>::with_config(config).map_err(io::Error::other)?;
        editor.set_helper(Some(helper));
        editor.set_history_ignore_space(true);
        // The file does not exist at the first start.
        let _ = editor.load_history(&history);
        let printer = editor.create_external_printer().map_err(io::Error::other)?;
        let lines = Self::start(stop, move |request| match request {
            InputRequest::Command => {
                let input = edit_line(&mut editor, "pieceful> ", true);
                if let NextInput::Line(line) = &input {
                    add_to_history(&mut editor, line, &history);
                }
                input
            }
            InputRequest::Answer(question) => edit_line(&mut editor, &question, false),
            InputRequest::HiddenAnswer(question) => {
                let _echo_off = EchoOff::begin();
                set_hidden(&mut editor, true);
                let input = edit_line(&mut editor, &question, false);
                set_hidden(&mut editor, false);
                input
            }
        })?;
        Ok((lines, printer))
    }

    /// Plain lines, without a prompt.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn plain(mut input: impl BufRead + Send + 'static, stop: &Stop) -> io::Result<Self> {
        Self::start(stop, move |request| match request {
            InputRequest::Command => read_line(&mut input),
            InputRequest::Answer(question) => {
                show_question(&question);
                read_line(&mut input)
            }
            InputRequest::HiddenAnswer(question) => {
                let echo_off = EchoOff::begin();
                if echo_off.is_some() {
                    show_question(&question);
                }
                let line = read_line(&mut input);
                if echo_off.is_some() {
                    show_question("\n");
                }
                line
            }
        })
    }

    /// Waits for the next line and returns it.
    pub(super) fn next(&self) -> NextInput {
        self.request(InputRequest::Command)
    }

    /// Whether a person at a terminal can answer a question.
    pub(super) fn can_ask(&self) -> bool {
        self.terminal.is_some() && io::stderr().is_terminal()
    }

    /// Shows a question and returns the answer.
    pub(super) fn ask(&self, question: &str) -> NextInput {
        self.request(InputRequest::Answer(question.to_owned()))
    }

    /// Shows a question on a terminal and returns the answer, which is not echoed. Without a
    /// terminal: returns the next line.
    pub(super) fn ask_hidden(&self, question: &str) -> NextInput {
        self.request(InputRequest::HiddenAnswer(question.to_owned()))
    }

    /// Reads and drops the passwords of a command that has failed before it asked for them.
    /// Otherwise they would be read as commands, shown and logged. On a terminal, which shows a
    /// question first, they have not been typed yet.
    pub(super) fn drop_passwords(&self, count: usize) {
        if self.terminal.is_none() {
            (0..count).for_each(|_| drop(self.ask_hidden("")));
        }
    }

    fn request(&self, request: InputRequest) -> NextInput {
        if self.stop.is_stopped() || self.requests.send(request).is_err() {
            return NextInput::Stopped;
        }
        let input = self.inputs.recv().unwrap_or(NextInput::End);
        if matches!(input, NextInput::Stopped) && self.terminal.is_some() {
            // The next message goes on a new line, below the text that was typed.
            let _ = io::stdout().write_all(b"\r\n");
        }
        input
    }

    fn start(
        stop: &Stop,
        mut read: impl FnMut(InputRequest) -> NextInput + Send + 'static,
    ) -> io::Result<Self> {
        let (requests, requested) = bounded(1);
        let (input, inputs) = unbounded();
        let (stopping, stopped) = (stop.clone(), input.clone());
        // The threads are not joined: the first one may be in a read that only a key or the end of
        // the process ends.
        thread::Builder::new().name("input".into()).spawn(move || {
            while let Ok(request) = requested.recv() {
                if input.send(read(request)).is_err() {
                    break;
                }
            }
        })?;
        thread::Builder::new()
            .name("input-stop".into())
            .spawn(move || {
                wait_for_stop(&stopping);
                let _ = stopped.send(NextInput::Stopped);
            })?;
        Ok(Self {
            requests,
            inputs,
            stop: stop.clone(),
            terminal: termios::tcgetattr(io::stdin()).ok(),
        })
    }
}

impl Drop for InputLines {
    fn drop(&mut self) {
        if let Some(terminal) = &self.terminal {
            // Fails if the terminal was closed; then there is nothing to restore.
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, terminal);
        }
    }
}

/// Turns the terminal's echo off until it is dropped.
struct EchoOff(Termios);

impl EchoOff {
    /// `None` if standard input is not a terminal.
    fn begin() -> Option<Self> {
        let before = termios::tcgetattr(io::stdin()).ok()?;
        let mut without_echo = before.clone();
        without_echo.local_flags.remove(LocalFlags::ECHO);
        termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &without_echo).ok()?;
        Some(Self(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.0);
    }
}

/// Writes a question to standard error: standard output has results only.
fn show_question(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

/// Adds a line without its passwords to the history.
fn add_to_history(editor: &mut Editor<PromptHelper, FileHistory>, line: &str, history: &Path) {
    if let Some(kept) = without_passwords(line) {
        let added = editor.add_history_entry(kept);
        if let Err(error) = added.and_then(|_| editor.append_history(history)) {
            log::warn!("cannot write the history {}: {error}", history.display());
        }
    }
}

fn set_hidden(editor: &mut Editor<PromptHelper, FileHistory>, hidden: bool) {
    if let Some(helper) = editor.helper() {
        helper.set_hidden(hidden);
    }
}

/// Reads a line with the editor. With `ctrl_c_clears`, Ctrl-C drops the text that was typed and
/// shows the prompt again, as in a shell. If no text was typed, or without `ctrl_c_clears`, Ctrl-C
/// means quit.
fn edit_line(
    editor: &mut Editor<PromptHelper, FileHistory>,
    prompt: &str,
    ctrl_c_clears: bool,
) -> NextInput {
    loop {
        if let Some(helper) = editor.helper() {
            helper.begin_line();
        }
        match editor.readline(prompt) {
            Ok(line) => return NextInput::Line(line),
            Err(ReadlineError::Eof) => return NextInput::End,
            Err(ReadlineError::Interrupted)
                if ctrl_c_clears && editor.helper().is_some_and(PromptHelper::has_text) => {}
            Err(ReadlineError::Interrupted) => return NextInput::Quit,
            Err(error) => return NextInput::Failed(error.to_string()),
        }
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
    use std::io::{BufReader, Cursor};

    fn plain(bytes: &[u8], stop: &Stop) -> InputLines {
        InputLines::plain(Cursor::new(bytes.to_vec()), stop).unwrap()
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
    fn the_stop_flag_interrupts_a_read() {
        let (reader, writer) = io::pipe().unwrap();
        let stop = Stop::new();
        let lines = InputLines::plain(BufReader::new(reader), &stop).unwrap();
        let stopper = stop.clone();
        let (asked, asking) = bounded(0);
        let waiting = thread::spawn(move || {
            asked.send(()).unwrap();
            (lines.next(), lines.next())
        });
        asking.recv().unwrap();
        stopper.stop();
        assert!(matches!(
            waiting.join().unwrap(),
            (NextInput::Stopped, NextInput::Stopped)
        ));
        drop(writer);
    }
}

//! Commands from standard input: a prompt with history and completion on a terminal, plain lines otherwise.
//!
//! In scope: reading on a thread of its own, so that a wish to stop is heard while nobody types. Out of scope: what the
//! lines mean.

use super::commands::without_passwords;
use super::completion::Typing;
use super::signals::Stopped;
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
/// How many lines of history are kept.
const HISTORY: usize = 1_000;
/// What standard input brings next.
#[derive(Debug)]
pub(super) enum Input {
    /// A line without its end.
    Line(String),
    /// A line that is not UTF-8.
    NotText,
    /// The end of input.
    End,
    /// Ctrl-C at an empty prompt: a wish to end gracefully.
    Quit,
    /// The stop flag was raised.
    Stopped,
    /// Reading failed.
    Failed(String),
}

/// What is read next, and how.
#[derive(Debug)]
enum Wanted {
    /// A command.
    Command,
    /// The answer to a question, which is no command.
    Answer(String),
    /// An answer that nobody shall see: it is neither echoed nor kept.
    Hidden(String),
}

/// Lines, one at a time and each only when it is asked for: no prompt stands while a command runs.
#[derive(Debug)]
pub(super) struct Lines {
    wanted: Sender<Wanted>,
    answers: Receiver<Input>,
    stop: Stop,
    /// How the terminal was, as a prompt that is left standing keeps it in raw mode.
    terminal: Option<Termios>,
}

impl Lines {
    /// A prompt on the terminal, its history kept in the file `history`; and what prints above a standing prompt.
    ///
    /// # Errors
    /// When the terminal cannot be set up or the system gives no thread.
    pub(super) fn prompt(
        history: PathBuf,
        typing: Typing,
        stop: &Stop,
    ) -> io::Result<(Self, impl ExternalPrinter + Send + 'static)> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .bracketed_paste(false)
            // What is hidden is hidden by its highlighting.
            .color_mode(ColorMode::Forced)
            .auto_add_history(false)
            .max_history_size(HISTORY)
            .map_err(io::Error::other)?
            .build();
        let mut editor =
            Editor::<Typing, FileHistory>::with_config(config).map_err(io::Error::other)?;
        editor.set_helper(Some(typing));
        editor.set_history_ignore_space(true);
        // There is none at the first start.
        let _ = editor.load_history(&history);
        let printer = editor.create_external_printer().map_err(io::Error::other)?;
        let lines = Self::start(stop, move |wanted| match wanted {
            Wanted::Command => {
                let input = ask(&mut editor, "pieceful> ", true);
                if let Input::Line(line) = &input {
                    keep(&mut editor, line, &history);
                }
                input
            }
            Wanted::Answer(question) => ask(&mut editor, &question, false),
            Wanted::Hidden(question) => {
                let _quiet = Quiet::begin();
                hide(&mut editor, true);
                let input = ask(&mut editor, &question, false);
                hide(&mut editor, false);
                input
            }
        })?;
        Ok((lines, printer))
    }

    /// Plain lines, without a prompt.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn plain(mut input: impl BufRead + Send + 'static, stop: &Stop) -> io::Result<Self> {
        Self::start(stop, move |wanted| match wanted {
            Wanted::Command => read_line(&mut input),
            Wanted::Answer(question) => {
                show(&question);
                read_line(&mut input)
            }
            Wanted::Hidden(question) => {
                let quiet = Quiet::begin();
                if quiet.is_some() {
                    show(&question);
                }
                let line = read_line(&mut input);
                if quiet.is_some() {
                    show("\n");
                }
                line
            }
        })
    }

    /// The next line, waiting for it.
    pub(super) fn next(&self) -> Input {
        self.want(Wanted::Command)
    }

    /// Whether a person at a terminal can be asked something.
    pub(super) fn can_ask(&self) -> bool {
        self.terminal.is_some() && io::stderr().is_terminal()
    }

    /// The answer of a person at the terminal.
    pub(super) fn ask(&self, question: &str) -> Input {
        self.want(Wanted::Answer(question.to_owned()))
    }

    /// An answer that is not echoed on a terminal; off one, the next line.
    pub(super) fn hidden(&self, question: &str) -> Input {
        self.want(Wanted::Hidden(question.to_owned()))
    }

    /// Takes lines that hold passwords which nobody asks for any more: read as commands, they would be shown and logged. At
    /// a terminal nobody has typed any.
    pub(super) fn drop_passwords(&self, count: usize) {
        if self.terminal.is_none() {
            (0..count).for_each(|_| drop(self.hidden("")));
        }
    }

    fn want(&self, wanted: Wanted) -> Input {
        if self.stop.is_stopped() || self.wanted.send(wanted).is_err() {
            return Input::Stopped;
        }
        let input = self.answers.recv().unwrap_or(Input::End);
        if matches!(input, Input::Stopped) && self.terminal.is_some() {
            // What is told next shall not stand behind what was typed.
            let _ = io::stdout().write_all(b"\r\n");
        }
        input
    }

    fn start(
        stop: &Stop,
        mut read: impl FnMut(Wanted) -> Input + Send + 'static,
    ) -> io::Result<Self> {
        let (wanted, asked) = bounded(1);
        let (answer, answers) = unbounded();
        let (stopping, stopped) = (stop.clone(), answer.clone());
        // Neither thread is joined: one may be in a read that only a key or the end of the process ends.
        thread::Builder::new().name("input".into()).spawn(move || {
            while let Ok(wanted) = asked.recv() {
                if answer.send(read(wanted)).is_err() {
                    break;
                }
            }
        })?;
        thread::Builder::new()
            .name("input-stop".into())
            .spawn(move || {
                Stopped::wait(&stopping);
                let _ = stopped.send(Input::Stopped);
            })?;
        Ok(Self {
            wanted,
            answers,
            stop: stop.clone(),
            terminal: termios::tcgetattr(io::stdin()).ok(),
        })
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if let Some(terminal) = &self.terminal {
            // A terminal that is gone needs nothing.
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, terminal);
        }
    }
}

/// A terminal without echo, until it is dropped.
struct Quiet(Termios);

impl Quiet {
    /// None if standard input is no terminal.
    fn begin() -> Option<Self> {
        let before = termios::tcgetattr(io::stdin()).ok()?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &quiet).ok()?;
        Some(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.0);
    }
}

/// Text of a question, which belongs to no result.
fn show(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

/// Keeps a line in the history, without its passwords.
fn keep(editor: &mut Editor<Typing, FileHistory>, line: &str, history: &Path) {
    if let Some(kept) = without_passwords(line) {
        let added = editor.add_history_entry(kept);
        if let Err(error) = added.and_then(|_| editor.append_history(history)) {
            log::warn!("cannot write {}: {error}", history.display());
        }
    }
}

fn hide(editor: &mut Editor<Typing, FileHistory>, hidden: bool) {
    if let Some(typing) = editor.helper() {
        typing.hide(hidden);
    }
}

/// With `again`, Ctrl-C throws away what was typed, as in a shell; a question is ended by it, whatever was typed.
fn ask(editor: &mut Editor<Typing, FileHistory>, prompt: &str, again: bool) -> Input {
    loop {
        if let Some(typing) = editor.helper() {
            typing.begin_line();
        }
        match editor.readline(prompt) {
            Ok(line) => return Input::Line(line),
            Err(ReadlineError::Eof) => return Input::End,
            Err(ReadlineError::Interrupted)
                if again && editor.helper().is_some_and(Typing::has_typed) => {}
            Err(ReadlineError::Interrupted) => return Input::Quit,
            Err(error) => return Input::Failed(error.to_string()),
        }
    }
}

fn read_line(input: &mut impl BufRead) -> Input {
    let mut line = Vec::new();
    match input
        .by_ref()
        .take(MAX_LINE + 1)
        .read_until(b'\n', &mut line)
    {
        Ok(0) => return Input::End,
        Ok(_) => {}
        Err(error) => return Input::Failed(error.to_string()),
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 > MAX_LINE {
        return Input::Failed(format!("a line is longer than {MAX_LINE} bytes"));
    }
    String::from_utf8(line).map_or(Input::NotText, Input::Line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Cursor};

    fn plain(bytes: &[u8], stop: &Stop) -> Lines {
        Lines::plain(Cursor::new(bytes.to_vec()), stop).unwrap()
    }

    #[test]
    fn lines_come_one_by_one_to_the_end() {
        let lines = plain(b"one\ntwo\r\n\n\xff\nlast", &Stop::new());
        assert!(matches!(lines.next(), Input::Line(line) if line == "one"));
        assert!(matches!(lines.next(), Input::Line(line) if line == "two\r"));
        assert!(matches!(lines.next(), Input::Line(line) if line.is_empty()));
        assert!(matches!(lines.next(), Input::NotText));
        assert!(matches!(lines.next(), Input::Line(line) if line == "last"));
        assert!(matches!(lines.next(), Input::End));
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let long = vec![b'x'; MAX_LINE as usize + 1];
        assert!(matches!(
            plain(&long, &Stop::new()).next(),
            Input::Failed(_)
        ));
        let mut fits = long;
        fits[MAX_LINE as usize] = b'\n';
        assert!(matches!(plain(&fits, &Stop::new()).next(), Input::Line(_)));
    }

    #[test]
    fn a_wish_to_stop_is_heard_while_a_read_waits() {
        let (reader, writer) = io::pipe().unwrap();
        let stop = Stop::new();
        let lines = Lines::plain(BufReader::new(reader), &stop).unwrap();
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
            (Input::Stopped, Input::Stopped)
        ));
        drop(writer);
    }
}

//! The terminal at which the process was started: whether the process may use it now, what it can
//! show, and reading from it.
//!
//! A job in the background does not read from its terminal, does not change its settings and shows
//! no prompt. It waits until it comes to the foreground.

use crate::net::Stop;
use crate::system::lock;
use console::Term;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};
use nix::unistd::{getpgrp, read, tcgetpgrp};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The longest time between two checks. They find out whether the process has come to the
/// foreground, or the question was interrupted.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// The maximum width of lines, also used if the width of the terminal is not known.
const USUAL_COLUMNS: usize = 80;

/// Names of terminals that cannot move the cursor. An empty name says nothing about the terminal.
const PLAIN: [&str; 5] = ["", "cons25", "dumb", "emacs", "unknown"];

/// Whether the terminal shows plain lines only: no line editor and no bars.
pub(super) fn is_plain() -> bool {
    is_plain_name(&std::env::var("TERM").unwrap_or_default())
}

fn is_plain_name(name: &str) -> bool {
    PLAIN
        .iter()
        .any(|plain| plain.eq_ignore_ascii_case(name.trim()))
}

/// The columns of standard output: those of the terminal, at most [`USUAL_COLUMNS`].
pub(super) fn columns() -> usize {
    let columns = Term::stdout().size_checked().map(|(_, columns)| columns);
    match columns {
        Some(columns @ 1..) => usize::from(columns).min(USUAL_COLUMNS),
        Some(0) | None => USUAL_COLUMNS,
    }
}

/// The columns of standard error, on which bars are drawn; 80 if they are not known.
pub(super) fn bar_columns() -> u16 {
    let columns = Term::stderr().size_checked().map(|(_, columns)| columns);
    columns.filter(|columns| *columns > 0).unwrap_or(80)
}

/// Whether the process may read from its terminal now. Without a terminal, it always may.
pub(super) fn is_in_foreground() -> bool {
    // This fails if standard input is not the controlling terminal of the process.
    tcgetpgrp(io::stdin()).map_or(true, |foreground| foreground == getpgrp())
}

/// Waits until the process is in the foreground. Returns `false` if `stop` is raised first.
pub(super) fn wait_until_in_foreground(stop: &Stop) -> bool {
    loop {
        if stop.is_stopped() {
            return false;
        }
        if is_in_foreground() {
            return true;
        }
        stop.wait(CHECK_INTERVAL);
    }
}

/// A question or a prompt that waits for its answer on standard input.
#[derive(Debug, Default)]
pub(super) struct Question {
    text: Mutex<String>,
    /// Whether the answer is not echoed.
    hides_answer: AtomicBool,
    is_interrupted: AtomicBool,
}

impl Question {
    /// Ends the read of the answer with [`QuestionEnded`].
    pub(super) fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::SeqCst)
    }

    /// Shows the text. [`StandardInput`] shows it again when the process comes back to the
    /// foreground.
    pub(super) fn show(&self, text: &str) {
        text.clone_into(&mut lock(&self.text));
        show(text);
    }

    /// Forgets the text and an earlier interruption. Called when a prompt for a command opens.
    pub(super) fn reset(&self) {
        self.is_interrupted.store(false, Ordering::SeqCst);
        lock(&self.text).clear();
    }
}

/// The error of a read that a stop or [`Question::interrupt`] has ended.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(super) struct QuestionEnded;

impl QuestionEnded {
    /// Whether a read ended with this error.
    pub(super) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// Standard input. Reads from a terminal wait for the foreground.
#[derive(Debug)]
pub(super) struct StandardInput {
    question: Arc<Question>,
    stop: Stop,
    is_terminal: bool,
}

impl StandardInput {
    /// A read that waits for a terminal ends when `stop` is raised or `question` is interrupted.
    pub(super) fn new(question: Arc<Question>, stop: &Stop) -> Self {
        Self {
            question,
            stop: stop.clone(),
            is_terminal: io::stdin().is_terminal(),
        }
    }

    /// Waits until there is something to read from the terminal.
    fn wait(&self) -> io::Result<()> {
        loop {
            let was_in_background = !is_in_foreground();
            if self.question.is_interrupted() || !wait_until_in_foreground(&self.stop) {
                return Err(io::Error::other(QuestionEnded));
            }
            // A shell that ran in between may have turned the echo on again.
            let had_echo = self.question.hides_answer.load(Ordering::SeqCst)
                && turn_echo_off().is_some_and(|before| has_echo(&before));
            if was_in_background || had_echo {
                show(&lock(&self.question.text));
            }
            let stdin = io::stdin();
            let mut waiting = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
            let limit = PollTimeout::try_from(CHECK_INTERVAL).unwrap_or(PollTimeout::MAX);
            match poll(&mut waiting, limit) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Read for StandardInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.is_terminal {
                self.wait()?;
            }
            match read(io::stdin(), buffer) {
                Err(Errno::EINTR) => {}
                // The process has just gone to the background.
                Err(Errno::EIO) if !is_in_foreground() => {}
                // Standard input is closed or not open for reading, for example after `nohup`.
                Err(Errno::EBADF) => return Ok(0),
                result => return Ok(result?),
            }
        }
    }
}

/// The terminal's echo is off as long as this exists.
#[derive(Debug)]
pub(super) struct EchoOff<'a> {
    question: &'a Question,
    before: Termios,
}

impl<'a> EchoOff<'a> {
    /// Waits for the foreground, then turns the echo off. Returns `None` if standard input is not a
    /// terminal, if the echo cannot be turned off, or if `stop` is raised.
    pub(super) fn begin(question: &'a Question, stop: &Stop) -> Option<Self> {
        if !io::stdin().is_terminal() || !wait_until_in_foreground(stop) {
            return None;
        }
        let before = turn_echo_off()?;
        question.hides_answer.store(true, Ordering::SeqCst);
        Some(Self { question, before })
    }
}

impl Drop for EchoOff<'_> {
    fn drop(&mut self) {
        self.question.hides_answer.store(false, Ordering::SeqCst);
        restore(&self.before);
    }
}

/// Restores settings of the terminal. Does nothing in the background: there the settings belong to
/// the shell.
pub(super) fn restore(settings: &Termios) {
    if is_in_foreground() {
        // This fails if the terminal was closed; then there is nothing to restore.
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, settings);
    }
}

fn has_echo(settings: &Termios) -> bool {
    settings.local_flags.contains(LocalFlags::ECHO)
}

/// Writes text for a person to standard error: standard output has results only.
pub(super) fn show(text: &str) {
    let mut stderr = io::stderr().lock();
    // A failure of standard error cannot be reported anywhere.
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

/// Returns the former settings.
fn turn_echo_off() -> Option<Termios> {
    let before = termios::tcgetattr(io::stdin()).ok()?;
    if has_echo(&before) {
        let mut without_echo = before.clone();
        without_echo.local_flags.remove(LocalFlags::ECHO);
        termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &without_echo).ok()?;
    }
    Some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_a_name_or_a_movable_cursor_shows_plain_lines() {
        for name in ["dumb", "DUMB", "cons25", "emacs", "unknown", ""] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["xterm-256color", "linux", "screen", "vt100"] {
            assert!(!is_plain_name(name), "{name}");
        }
    }
}

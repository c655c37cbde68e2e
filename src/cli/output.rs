//! Writes results to standard output, and errors and notes to standard error.
//!
//! In scope: one line at a time, flushed; errors and notes that are safe for a terminal; a standard
//! output that is closed or on a full disk. Out of scope: the text of the lines.

use super::terminal;
use crate::base::escape;
use crate::system::{cause, lock};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::Mutex;

/// Standard output and standard error of this process.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
    /// The first error of writing to standard output.
    first_error: Mutex<Option<io::Error>>,
}

impl Output {
    /// With `json`, results are JSON objects, else text.
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            first_error: Mutex::new(None),
        }
    }

    /// Whether results are JSON objects.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether progress is shown as bars: standard error is a terminal that can move the cursor,
    /// and results are text.
    pub(super) fn shows_bars(&self) -> bool {
        self.is_watched() && !terminal::is_plain()
    }

    /// Whether a person sees notes while a command runs: standard error is a terminal, and results
    /// are text.
    pub(super) fn is_watched(&self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// Whether standard input and standard output are terminals.
    pub(super) fn is_interactive(&self) -> bool {
        io::stdin().is_terminal() && io::stdout().is_terminal()
    }

    /// Writes and flushes one line of results, unchanged: the caller makes it safe for a terminal.
    /// Returns whether standard output still works.
    pub(super) fn result(&self, line: &str) -> bool {
        let mut stdout = io::stdout().lock();
        let mut text = String::with_capacity(line.len() + 1);
        text.push_str(line);
        text.push('\n');
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        let mut first_error = lock(&self.first_error);
        if let Err(error) = written {
            first_error.get_or_insert(error);
        }
        first_error.is_none()
    }

    /// Writes one line `error: ...` to standard error.
    pub(super) fn error(&self, message: &str) {
        stderr_line(&format!("error: {}", escape(message)));
    }

    /// Writes one line that is not an error to standard error.
    pub(super) fn note(&self, message: &str) {
        stderr_line(&escape(message));
    }

    /// Returns whether all results were written. A closed pipe (`| head`) counts as success; any
    /// other error, such as a full disk, is reported on standard error.
    pub(super) fn finish(&self) -> bool {
        let first_error = lock(&self.first_error).take();
        match first_error {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                let cause = cause(&error);
                self.error(&format!("cannot write results to standard output: {cause}"));
                false
            }
            _ => true,
        }
    }
}

/// Ignores errors: a failure of standard error cannot be reported anywhere.
fn stderr_line(line: &str) {
    let _ = io::stderr()
        .lock()
        .write_all(format!("{line}\n").as_bytes());
}

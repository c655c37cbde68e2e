//! Writes results to standard output, and errors and notes to standard error: of this process, or
//! of an attached client.
//!
//! In scope: one line at a time, flushed; errors and notes that are safe for a terminal; a standard
//! output that is closed or on a full disk. Out of scope: the text of the lines.

use super::screen::{Screen, StandardScreen};
use crate::base::escape;
use crate::system::{cause, lock};
use indicatif::ProgressDrawTarget;
use std::io::{self, ErrorKind, IsTerminal};
use std::sync::{Arc, Mutex};

/// Standard output and standard error.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
    screen: Arc<dyn Screen>,
    /// The first error of writing to standard output.
    first_error: Mutex<Option<io::Error>>,
}

impl Output {
    /// The output of this process. With `json`, results are JSON objects, else text.
    pub(super) fn new(json: bool) -> Self {
        Self::on(Arc::new(StandardScreen), json)
    }

    /// The output on a screen.
    pub(super) fn on(screen: Arc<dyn Screen>, json: bool) -> Self {
        Self {
            json,
            screen,
            first_error: Mutex::new(None),
        }
    }

    /// Another output on the same screen, for notes.
    pub(super) fn for_notes(&self) -> Self {
        Self::on(Arc::clone(&self.screen), false)
    }

    /// The columns of help.
    pub(super) fn columns(&self) -> usize {
        self.screen.columns()
    }

    /// Where bars are drawn.
    pub(super) fn bars(&self) -> ProgressDrawTarget {
        self.screen.bars()
    }

    /// Whether results are JSON objects.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether progress is shown as bars: standard error is a terminal that can move the cursor,
    /// and results are text.
    pub(super) fn shows_bars(&self) -> bool {
        self.is_watched() && !self.screen.is_plain()
    }

    /// Whether a person sees notes while a command runs: standard error is a terminal, and results
    /// are text.
    pub(super) fn is_watched(&self) -> bool {
        !self.json && self.screen.is_terminal()
    }

    /// Whether standard input and standard output of this process are terminals.
    pub(super) fn is_interactive(&self) -> bool {
        io::stdin().is_terminal() && io::stdout().is_terminal()
    }

    /// Writes and flushes one line of results, unchanged: the caller makes it safe for a terminal.
    /// Returns whether standard output still works.
    pub(super) fn result(&self, line: &str) -> bool {
        let mut text = String::with_capacity(line.len() + 1);
        text.push_str(line);
        text.push('\n');
        self.raw_result(text.as_bytes())
    }

    /// Writes and flushes a part of the results that a running process has sent. Returns whether
    /// standard output still works.
    pub(super) fn raw_result(&self, bytes: &[u8]) -> bool {
        let written = self.screen.write_result(bytes);
        let mut first_error = lock(&self.first_error);
        if let Err(error) = written {
            first_error.get_or_insert(error);
        }
        first_error.is_none()
    }

    /// Writes one line `error: ...` to standard error.
    pub(super) fn error(&self, message: &str) {
        self.screen
            .write_error(format!("error: {}\n", escape(message)).as_bytes());
    }

    /// Writes one line that is not an error to standard error.
    pub(super) fn note(&self, message: &str) {
        self.screen
            .write_error(format!("{}\n", escape(message)).as_bytes());
    }

    /// Writes what a running process has sent for standard error.
    pub(super) fn raw_error(&self, bytes: &[u8]) {
        self.screen.write_error(bytes);
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

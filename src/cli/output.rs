//! Where results, errors and progress go.
//!
//! In scope: one line at a time, flushed, fit for a terminal, and what to do when nobody reads. Out of scope: what the
//! lines say.

use super::escape::escape;
use crate::system::lock;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::Mutex;

/// Standard output and standard error of one run.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
    broken: Mutex<Option<io::Error>>,
}

impl Output {
    /// For results as JSON, or as text.
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            broken: Mutex::new(None),
        }
    }

    /// Whether results go out as JSON.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether progress is shown as bars: standard error is a terminal and no script reads along.
    pub(super) fn shows_bars(&self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// Whether a person at a terminal types and reads.
    pub(super) fn is_interactive(&self) -> bool {
        io::stdin().is_terminal() && io::stdout().is_terminal()
    }

    /// One line of results, as it is, flushed. Says whether somebody may still read.
    pub(super) fn result(&self, line: &str) -> bool {
        let mut stdout = io::stdout().lock();
        let mut text = String::with_capacity(line.len() + 1);
        text.push_str(line);
        text.push('\n');
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        let mut broken = lock(&self.broken);
        if let Err(error) = written {
            broken.get_or_insert(error);
        }
        broken.is_none()
    }

    /// One line `error: ...` on standard error.
    pub(super) fn error(&self, message: &str) {
        stderr_line(&format!("error: {}", escape(message)));
    }

    /// One line on standard error that is no error.
    pub(super) fn note(&self, message: &str) {
        stderr_line(&escape(message));
    }

    /// Whether all results were written. A reader that went away (`| head`) wanted no more of them; anything else,
    /// such as a full disk, is told here.
    pub(super) fn finish(&self) -> bool {
        let broken = lock(&self.broken).take();
        match broken {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                self.error(&format!("cannot write results to standard output: {error}"));
                false
            }
            _ => true,
        }
    }
}

/// Nobody can be told that standard error is gone.
fn stderr_line(line: &str) {
    let _ = io::stderr()
        .lock()
        .write_all(format!("{line}\n").as_bytes());
}

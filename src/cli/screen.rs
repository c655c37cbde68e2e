//! Where a process shows its output: its own standard output and standard error, or those of an
//! attached client.

use super::terminal;
use indicatif::ProgressDrawTarget;
use std::fmt::Debug;
use std::io::{self, IsTerminal, Write};

/// A place for output.
pub(super) trait Screen: Debug + Send + Sync {
    /// Writes and flushes text of results.
    ///
    /// # Errors
    /// Standard output is closed, or on a full disk.
    fn write_result(&self, text: &[u8]) -> io::Result<()>;

    /// Writes text that is not a result. A failure of standard error cannot be reported anywhere.
    fn write_error(&self, text: &[u8]);

    /// Whether standard error is a terminal.
    fn is_terminal(&self) -> bool;

    /// Whether the terminal shows plain lines only: it cannot move the cursor.
    fn is_plain(&self) -> bool;

    /// The columns of the terminal.
    fn columns(&self) -> usize;

    /// Where bars are drawn.
    fn bars(&self) -> ProgressDrawTarget;
}

/// Standard output and standard error of this process.
#[derive(Debug)]
pub(super) struct StandardScreen;

impl Screen for StandardScreen {
    fn write_result(&self, text: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text).and_then(|()| stdout.flush())
    }

    fn write_error(&self, text: &[u8]) {
        let _ = io::stderr().lock().write_all(text);
    }

    fn is_terminal(&self) -> bool {
        io::stderr().is_terminal()
    }

    fn is_plain(&self) -> bool {
        terminal::is_plain()
    }

    fn columns(&self) -> usize {
        terminal::columns()
    }

    fn bars(&self) -> ProgressDrawTarget {
        ProgressDrawTarget::stderr()
    }
}

//! Questions to the user, and the answers: at the terminal or input of this process, or of an
//! attached client.

use super::prompt::NextInput;
use std::fmt::Debug;

/// The user, who answers questions.
pub(super) trait Answers: Debug {
    /// Whether a person at a terminal can answer a question.
    fn can_ask(&self) -> bool;

    /// Whether the input is a terminal.
    fn is_terminal(&self) -> bool;

    /// Shows a question and returns the answer.
    fn ask(&self, question: &str) -> NextInput;

    /// Shows a question on a terminal and returns the answer, which is not echoed. Without a
    /// terminal: returns the next line.
    fn ask_hidden(&self, question: &str) -> NextInput;

    /// Reads and drops the passwords of a command that has failed before it asked for them.
    /// Otherwise they would be read as commands, shown and logged. Does nothing on a terminal:
    /// there a password is typed only after its question was shown.
    fn drop_passwords(&self, count: usize) {
        if !self.is_terminal() {
            (0..count).for_each(|_| drop(self.ask_hidden("")));
        }
    }
}

/// Where the user can end a running command early, such as by Ctrl-C.
pub(super) trait Interrupts: Debug {
    /// A command begins. `interrupt` ends it early.
    fn begin_command(&self, interrupt: Box<dyn Fn() + Send>);

    /// The command has ended.
    fn end_command(&self);
}

/// A command that can be interrupted runs as long as this exists.
#[derive(Debug)]
pub(super) struct Interruptible<'a>(&'a dyn Interrupts);

impl<'a> Interruptible<'a> {
    /// Begins the command that `interrupt` ends early.
    pub(super) fn begin(interrupts: &'a dyn Interrupts, interrupt: Box<dyn Fn() + Send>) -> Self {
        interrupts.begin_command(interrupt);
        Self(interrupts)
    }
}

impl Drop for Interruptible<'_> {
    fn drop(&mut self) {
        self.0.end_command();
    }
}

//! Carries out commands one after the other: the arguments `-c`, or the lines of standard input.

use super::command_error::CommandError;
use super::prompt::{InputLines, NextInput};

/// Carries out lines: at this process, or at a running process to which it is attached.
pub(super) trait LineRunner {
    /// Carries out a line. A line without words does nothing.
    fn run(&mut self, line: &str);

    /// Carries out the value of an option `-c`. With `keeps_trying`, the command is tried again as
    /// long as it can succeed later.
    fn run_argument(&mut self, line: &str, keeps_trying: bool);

    /// Reports a line that is not text.
    fn refuse(&mut self, error: CommandError);

    /// Whether every command so far succeeded.
    fn all_succeeded(&self) -> bool;

    /// Whether the last command has ended the run, such as `quit`.
    fn has_ended(&self) -> bool;
}

/// Why no more input is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InputEnd {
    /// It has ended, or a command has ended the run.
    Ended,
    /// The user has stopped this process, or has pressed Ctrl-C.
    Stopped,
    /// Reading failed, with a message for the user.
    Failed(String),
}

/// Whether no further command is carried out.
pub(super) fn is_over(runner: &dyn LineRunner, fails_fast: bool) -> bool {
    runner.has_ended() || (fails_fast && !runner.all_succeeded())
}

/// Carries out the lines of standard input.
pub(super) fn run_input(
    runner: &mut dyn LineRunner,
    lines: &InputLines,
    fails_fast: bool,
) -> InputEnd {
    while !is_over(runner, fails_fast) {
        match lines.next() {
            NextInput::Line(line) => runner.run(&line),
            NextInput::NotText => runner.refuse(CommandError::NotText),
            NextInput::End => break,
            NextInput::Quit | NextInput::Stopped => return InputEnd::Stopped,
            NextInput::Failed(why) => return InputEnd::Failed(why),
        }
    }
    InputEnd::Ended
}

/// Carries out the commands of `-c`.
pub(super) fn run_arguments(
    runner: &mut dyn LineRunner,
    commands: &[String],
    fails_fast: bool,
    keeps_trying: bool,
) {
    for command in commands {
        if !is_over(runner, fails_fast) {
            runner.run_argument(command, keeps_trying);
        }
    }
}

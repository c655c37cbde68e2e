//! What a read from standard input returns.

/// The result of one read from standard input.
#[derive(Debug)]
pub(in crate::cli) enum NextInput {
    /// A line, without its newline.
    Line(String),
    /// A line that is not UTF-8.
    NotText,
    /// The end of input.
    End,
    /// Ctrl-C. At an empty prompt it ends the program gracefully. At a question it ends the command
    /// that asks.
    Quit,
    /// The stop flag was raised.
    Stopped,
    /// Reading failed, with a message for the user.
    Failed(String),
}

//! Asks for passwords, for the commands of a peer and for the console of a tracker.

use super::answers::Answers;
use super::command_error::CommandError;
use super::prompt::NextInput;
use crate::wire::password::Password;

/// Asks for a password. Without a terminal, the next line of the input is the password.
///
/// # Errors
/// The password is missing, cannot be read or is not allowed. Or the question was interrupted; then
/// the error says that `command` was stopped.
pub(super) fn ask(
    lines: &dyn Answers,
    command: &str,
    question: &str,
) -> Result<Password, CommandError> {
    match lines.ask_hidden(question) {
        NextInput::Line(line) => Ok(Password::new(line.trim_end_matches('\r'))?),
        NextInput::Quit | NextInput::Stopped => Err(CommandError::cut_short(command)),
        // A person typed Ctrl-D.
        NextInput::End if lines.can_ask() => Err(CommandError::cut_short(command)),
        NextInput::End => Err(CommandError::NoPassword),
        NextInput::NotText => Err(CommandError::UnreadablePassword(
            "it is not UTF-8 text".into(),
        )),
        NextInput::Failed(why) => Err(CommandError::UnreadablePassword(why)),
    }
}

/// Asks for a new password. At a terminal, the user must type it twice.
///
/// # Errors
/// See [`ask`]. Or the password is too short for a new one, or the user typed a different one the
/// second time.
pub(super) fn ask_new(
    lines: &dyn Answers,
    command: &str,
    question: &str,
) -> Result<Password, CommandError> {
    let password = ask(lines, command, question)?;
    password.check_new()?;
    if !lines.can_ask() || ask(lines, command, "the same password again: ")? == password {
        Ok(password)
    } else {
        Err(CommandError::PasswordsDiffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::prompt::InputLines;
    use crate::net::Stop;
    use std::io::Cursor;
    use std::sync::Arc;

    #[test]
    fn a_line_that_cannot_be_a_password_is_refused_with_the_reason() {
        let too_long = vec![b'x'; 100_000];
        for (line, message) in [
            (&b"\xff\n"[..], "cannot be read: it is not UTF-8 text"),
            (&too_long, "cannot be read: a line has more than"),
            (b"\n", "cannot be empty"),
        ] {
            let input = Cursor::new(line.to_vec());
            let lines = InputLines::plain(input, Arc::default(), None, &Stop::new()).unwrap();
            let error = ask(&lines, "login", "").unwrap_err();
            assert_eq!(error.kind(), "bad-password");
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}

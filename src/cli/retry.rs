//! Tries a command again until it succeeds or fails for good.

use super::command_error::{CommandError, Prospect};
use super::output::Output;
use crate::net::Stop;
use std::time::Duration;

/// The pause before the second attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause. The pause doubles with each failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Calls `attempt`, and calls it again as long as a later attempt can succeed. Shows why an attempt
/// failed, unless the one before failed for the same reason.
///
/// # Errors
/// An attempt failed and another one is not worth a try, or `stop` was raised.
pub(super) fn retry<T>(
    name: &str,
    stop: &Stop,
    output: &Output,
    mut attempt: impl FnMut() -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let mut pause = FIRST_PAUSE;
    let mut noted = String::new();
    loop {
        let reason = match attempt() {
            Err(error) if error.prospect() == Prospect::TryAgain => error.to_string(),
            result => return result,
        };
        if reason != noted {
            output.note(&format!(
                "{name}: {reason}; it is tried again until it succeeds"
            ));
            log::warn!("command {name} is tried again: {reason}");
            noted = reason;
        }
        if stop.wait(pause) {
            return Err(CommandError::cut_short(name));
        }
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

//! The log: one line an event in a file of the state folder; nothing of it goes to standard output or standard error.
//!
//! In scope: the form of a line (time in UTC, level, where in the program, what and who) and where it goes. Out of scope:
//! what is worth telling.

use super::escape::escape;
use log::{Level, LevelFilter};
use std::path::Path;
use std::time::SystemTime;

/// Starts the log in the file `name` of `folder`, behind what it holds already. To be called once in a process.
///
/// # Errors
/// Why there can be no log, as text for a person.
pub(super) fn start(folder: &Path, name: &str, level: LevelFilter) -> Result<(), String> {
    let path = folder.join(name);
    let file = fern::log_file(&path)
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    fern::Dispatch::new()
        .format(|out, message, record| {
            let message = message.to_string();
            out.finish(format_args!(
                "{}",
                line(SystemTime::now(), record.level(), record.target(), &message)
            ));
        })
        // What libraries tell of themselves is no event of ours.
        .level(level.min(LevelFilter::Warn))
        .level_for("pieceful", level)
        .chain(file)
        .apply()
        .map_err(|error| format!("cannot start the log: {error}"))
}

fn line(time: SystemTime, level: Level, target: &str, message: &str) -> String {
    let time = humantime::format_rfc3339_millis(time);
    let target = target.strip_prefix("pieceful::").unwrap_or(target);
    format!("{time} {level:5} {target}: {}", escape(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_event_is_one_line_whatever_it_quotes() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let text = line(
            time,
            Level::Warn,
            "pieceful::peer::link",
            "127.0.0.1:5 is called \"a\nb\x1b[2J\"",
        );
        assert_eq!(
            text,
            "2023-11-14T22:13:20.123Z WARN  peer::link: 127.0.0.1:5 is called \"a\\nb\\u{1b}[2J\""
        );
    }
}

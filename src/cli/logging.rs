//! The log file in the state folder: one line per event. Events do not go to standard output or
//! standard error.
//!
//! In scope: the format of a line (time in UTC, level, module, message) and the file. Out of scope:
//! which events are logged.

use crate::base::escape;
use crate::system::{cause, lock};
use log::{Level, LevelFilter};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// The log file of this process.
#[derive(Clone, Debug)]
pub(super) struct LogFile(Arc<Mutex<ResilientLog<File>>>);

impl LogFile {
    /// Opens the file again under its name, after a program that rotates logs has renamed the
    /// former file.
    pub(super) fn reopen(&self) {
        lock(&self.0).reopen();
        log::info!("reopened the log");
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        lock(&self.0).flush()
    }
}

/// Starts the log: appends to the file `name` of `folder`. To be called once in a process.
///
/// # Errors
/// A message for the user: the file cannot be opened, or the process has a log already.
pub(super) fn start(folder: &Path, name: &str, level: LevelFilter) -> Result<LogFile, String> {
    let path = folder.join(name);
    let file = open(&path);
    let file =
        file.map_err(|error| format!("cannot write {}: {}", path.display(), cause(&error)))?;
    let log = LogFile(Arc::new(Mutex::new(ResilientLog {
        to: file,
        path,
        has_failed: false,
    })));
    fern::Dispatch::new()
        .format(|out, message, record| {
            let message = message.to_string();
            out.finish(format_args!(
                "{}",
                line(SystemTime::now(), record.level(), record.target(), &message)
            ));
        })
        // Libraries log only their warnings and errors.
        .level(level.min(LevelFilter::Warn))
        .level_for("pieceful", level)
        .chain(Box::new(BufWriter::new(log.clone())) as Box<dyn Write + Send>)
        .apply()
        .map_err(|error| format!("cannot start the log: {error}"))?;
    Ok(log)
}

/// Opens the log file, or makes one that only its owner can read, even if others can read the
/// folder: the log shows who shares what with whom.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).append(true).mode(0o600).open(path)
}

/// A log that drops lines which cannot be written (full disk) and reports the first such error on
/// standard error.
#[derive(Debug)]
struct ResilientLog<W> {
    to: W,
    path: PathBuf,
    /// Whether an error was reported since the file was last opened.
    has_failed: bool,
}

impl<W> ResilientLog<W> {
    fn report_first_error(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && !self.has_failed
        {
            self.has_failed = true;
            let path = self.path.to_string_lossy();
            let message = format!(
                "error: cannot write the log {}: {error}; events are lost until it can be written",
                escape(&path)
            );
            // A failure of standard error cannot be reported anywhere.
            let _ = writeln!(io::stderr(), "{message}");
        }
    }
}

impl ResilientLog<File> {
    /// Opens the file again. If that fails, the log continues in the former file.
    fn reopen(&mut self) {
        match open(&self.path) {
            Ok(file) => (self.to, self.has_failed) = (file, false),
            Err(error) => self.report_first_error(Err(error)),
        }
    }
}

impl<W: Write> Write for ResilientLog<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.to.write_all(bytes);
        self.report_first_error(result);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.to.flush();
        self.report_first_error(result);
        Ok(())
    }
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
    fn an_event_is_one_line_even_if_it_quotes_control_characters() {
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

    #[test]
    fn a_reopened_log_goes_on_under_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (path, rotated) = (folder.path().join("x.log"), folder.path().join("x.log.1"));
        let mut log = ResilientLog {
            to: open(&path).unwrap(),
            path: path.clone(),
            has_failed: true,
        };
        log.write_all(b"before\n").unwrap();
        std::fs::rename(&path, &rotated).unwrap();
        log.reopen();
        log.write_all(b"after\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"after\n");
        assert_eq!(std::fs::read(&rotated).unwrap(), b"before\n");
        assert!(!log.has_failed);
    }

    #[test]
    fn a_log_that_cannot_be_written_returns_no_error_to_its_callers() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                self.write(&[]).map(drop)
            }
        }
        let mut log = ResilientLog {
            to: Full,
            path: "peer.log".into(),
            has_failed: false,
        };
        assert_eq!(log.write(b"event").unwrap(), 5);
        assert!(log.has_failed);
        log.flush().unwrap();
    }
}

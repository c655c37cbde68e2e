//! The log: one line an event in a file of the state folder; nothing of it goes to standard output or standard error.
//!
//! In scope: the form of a line (time in UTC, level, where in the program, what and who) and where it goes. Out of scope:
//! what is worth telling.

use super::escape::escape;
use log::{Level, LevelFilter};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Starts the log in the file `name` of `folder`, behind what it holds already. To be called once in a process.
///
/// # Errors
/// Why there can be no log, as text for a person.
pub(super) fn start(folder: &Path, name: &str, level: LevelFilter) -> Result<(), String> {
    let path = folder.join(name);
    let file = open(&path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    let log = Lasting {
        to: BufWriter::new(file),
        path,
        has_failed: false,
    };
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
        .chain(Box::new(log) as Box<dyn Write + Send>)
        .apply()
        .map_err(|error| format!("cannot start the log: {error}"))
}

/// Who shares what with whom is for the owner of the folder to read, also where the folder itself is open to others.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).append(true).mode(0o600).open(path)
}

/// A log that goes on without what cannot be written, such as on a full disk, and says so once on standard error.
struct Lasting<W> {
    to: W,
    path: PathBuf,
    has_failed: bool,
}

impl<W> Lasting<W> {
    fn tell(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && !self.has_failed
        {
            self.has_failed = true;
            let path = self.path.to_string_lossy();
            let told = format!(
                "error: cannot write {}: {error}: events are not logged",
                escape(&path)
            );
            // Without standard error there is nobody to tell.
            let _ = writeln!(io::stderr(), "{told}");
        }
    }
}

impl<W: Write> Write for Lasting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write_all(bytes);
        self.tell(written);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.to.flush();
        self.tell(written);
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

    #[test]
    fn a_full_disk_costs_the_log_and_nothing_else() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                self.write(&[]).map(drop)
            }
        }
        let mut log = Lasting {
            to: Full,
            path: "peer.log".into(),
            has_failed: false,
        };
        assert_eq!(log.write(b"event").unwrap(), 5);
        assert!(log.has_failed);
        log.flush().unwrap();
    }
}

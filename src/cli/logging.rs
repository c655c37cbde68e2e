//! The log in the state folder: one line per event.
//!
//! In scope: the format of a line (time in UTC, level, module, message), the files and their size,
//! and how many events of one kind are written. Out of scope: which events are logged. An event
//! that a stranger can cause has the stranger's address in the key [`SOURCE`]. An event that an
//! operator must see immediately has the key [`OPERATOR`].

mod file;
mod limit;

use super::output::Output;
use crate::base::escape;
use crate::system::{cause, lock};
use file::RotatedFile;
use limit::{Event, Kind, RateLimit};
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::Builder;
use std::time::{Instant, SystemTime};

/// The key of an event's source, in the macros of the crate `log`.
const SOURCE: &str = "source";
/// The key of an event that an operator must see immediately: it also goes to standard error.
const OPERATOR: &str = "operator";
/// Size of one file of the log in bytes, unless an option sets another one.
pub(super) const DEFAULT_FILE_SIZE: u64 = 20 << 20;

/// How a process logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogOptions {
    /// Less serious events are not written.
    pub(super) level: LevelFilter,
    /// Maximum length of one file in bytes. Five files are kept.
    pub(super) file_size: u64,
}

/// The log of this process. The crate `log` also holds it, until the process ends.
#[derive(Clone, Debug)]
pub(super) struct ProcessLog(Arc<SharedLog>);

#[derive(Debug)]
struct SharedLog {
    /// The least serious level that is written, as a number of [`LevelFilter`].
    level: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: RotatedFile,
    limit: RateLimit,
    /// Whether the thread `log` runs.
    has_thread: bool,
}

/// Starts the log: appends to the file `name` of `folder`. To be called once in a process.
///
/// # Errors
/// A message for the user: the file cannot be opened, or the process has a log already.
pub(super) fn start(folder: &Path, name: &str, options: LogOptions) -> Result<ProcessLog, String> {
    let path = folder.join(name);
    let unwritable = |error| format!("cannot write {}: {}", path.display(), cause(&error));
    let file = RotatedFile::open(path.clone(), options.file_size).map_err(unwritable)?;
    let log = ProcessLog(Arc::new(SharedLog {
        level: AtomicUsize::new(options.level as usize),
        state: Mutex::new(State {
            file,
            limit: RateLimit::default(),
            has_thread: false,
        }),
    }));
    log::set_boxed_logger(Box::new(log.clone()))
        .map_err(|error| format!("cannot start the log: {error}"))?;
    log::set_max_level(options.level);
    Ok(log)
}

impl ProcessLog {
    /// Opens the file again under its name, after a program that rotates logs has renamed the
    /// former file.
    pub(super) fn reopen(&self) {
        lock(&self.0.state).file.reopen();
        log::info!("reopened the log");
    }

    /// Sets other options. The size is that of the files from now on.
    pub(super) fn set(&self, options: LogOptions) {
        self.0
            .level
            .store(options.level as usize, Ordering::Relaxed);
        log::set_max_level(options.level);
        lock(&self.0.state).file.set_max_length(options.file_size);
    }

    fn level(&self) -> LevelFilter {
        let level = self.0.level.load(Ordering::Relaxed);
        let mut all = LevelFilter::iter();
        all.find(|known| *known as usize == level)
            .unwrap_or(LevelFilter::Info)
    }
}

impl Log for ProcessLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries log only their warnings and errors.
        let level = match metadata.target().starts_with("pieceful") {
            true => self.level(),
            false => self.level().min(LevelFilter::Warn),
        };
        metadata.level() <= level
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.log_event(record);
        }
    }

    /// Writes how many events were left out since the last line that says so. There is nothing else
    /// to flush: lines are never buffered.
    fn flush(&self) {
        let mut state = lock(&self.0.state);
        let summaries = state.limit.summaries();
        state.write(&summaries);
    }
}

impl ProcessLog {
    fn log_event(&self, record: &Record<'_>) {
        let event = Event {
            level: record.level(),
            target: record.target().to_owned(),
            message: record.args().to_string(),
        };
        let source = record.key_values().get(SOURCE.into());
        let source = source.map(|source| source.to_string());
        if record.key_values().get(OPERATOR.into()).is_some() {
            show_to_operator(&event);
        }
        let kind = kind(record);
        let now = Instant::now();
        let mut state = lock(&self.0.state);
        let summaries = state.limit.end_period(now);
        state.write(&summaries);
        // A person who asks for details wants all of them.
        let is_detail = event.level >= Level::Debug;
        if is_detail || state.limit.admit(now, kind, source.as_deref(), &event) {
            state.write(&[event]);
        } else if !state.has_thread {
            let log = self.clone();
            let thread = Builder::new().name("log".to_owned());
            // Without the thread, the numbers are written with a later event or by `flush`.
            state.has_thread = thread.spawn(move || log.write_summaries()).is_ok();
        }
    }

    /// At the end of each period, writes how many events were left out in it. Runs on the thread
    /// `log`. The thread ends when the log counts all events that were left out.
    fn write_summaries(&self) {
        loop {
            let now = Instant::now();
            let due = {
                let mut state = lock(&self.0.state);
                let summaries = state.limit.end_period(now);
                state.write(&summaries);
                let due = state.limit.due();
                state.has_thread = due.is_some();
                due
            };
            match due {
                Some(due) => std::thread::sleep(due.saturating_duration_since(now)),
                None => return,
            }
        }
    }
}

impl State {
    fn write(&mut self, events: &[Event]) {
        for event in events {
            self.file.write_line(&line(SystemTime::now(), event));
        }
    }
}

fn show_to_operator(event: &Event) {
    let output = Output::new(false);
    match event.level {
        Level::Error => output.error(&event.message),
        _ => output.note(&event.message),
    }
}

/// The kind of a record. Every record that a macro of the crate `log` makes has a file and a line.
fn kind(record: &Record<'_>) -> Kind {
    let file = record.file_static().unwrap_or_default();
    (file, record.line().unwrap_or_default())
}

fn line(time: SystemTime, event: &Event) -> String {
    let time = humantime::format_rfc3339_millis(time);
    let target = event.target.strip_prefix("pieceful::");
    let target = target.unwrap_or(&event.target);
    format!(
        "{time} {:5} {target}: {}\n",
        event.level,
        escape(&event.message)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_event_is_one_line_even_if_it_quotes_control_characters() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let event = Event {
            level: Level::Warn,
            target: "pieceful::peer::link".to_owned(),
            message: "127.0.0.1:5 is called \"a\nb\x1b[2J\"".to_owned(),
        };
        assert_eq!(
            line(time, &event),
            "2023-11-14T22:13:20.123Z WARN  peer::link: 127.0.0.1:5 is called \"a\\nb\\u{1b}[2J\"\n"
        );
    }
}

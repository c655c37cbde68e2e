//! The commands that people run at this peer: how each is ended early, and how the person is
//! notified if it waits for long.

use crate::system::lock;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// The longest time between two checks of whether a command is to end.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// How long a command waits before its [`WaitNotice`] is called.
const NOTICE_AFTER: Duration = Duration::from_secs(2);

/// A function that is called once if a command waits for long. The argument is what it waits for.
pub struct WaitNotice(Box<dyn FnOnce(&str) + Send>);

impl WaitNotice {
    /// Wraps the function.
    pub fn new(notify: impl FnOnce(&str) + Send + 'static) -> Self {
        Self(Box::new(notify))
    }
}

impl fmt::Debug for WaitNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WaitNotice")
    }
}

/// All commands that run now. A thread runs one command at a time, so the thread determines the
/// command.
#[derive(Debug, Default)]
pub(super) struct RunningCommands {
    /// Set when the peer stops: a later command is interrupted as soon as it begins.
    is_closed: AtomicBool,
    by_thread: Mutex<HashMap<ThreadId, Arc<RunningCommand>>>,
    /// Stands for the work of threads that run no command. Only the stop of the peer interrupts it.
    no_command: Arc<RunningCommand>,
}

/// A running command: whether it is to end early, and what it has found out.
#[derive(Debug, Default)]
pub(super) struct RunningCommand {
    is_interrupted: AtomicBool,
    /// Whether a write of the command was saved by one tracker only.
    saved_by_one_tracker: AtomicBool,
    /// Taken when it is called.
    notice: Mutex<Option<WaitNotice>>,
}

/// Ends one running command early.
#[derive(Clone, Debug)]
pub struct CommandInterrupter(Arc<RunningCommand>);

/// A running command of the thread that made this guard. The command ends when the guard is
/// dropped.
#[derive(Debug)]
#[must_use]
pub struct CommandGuard<'a> {
    all: &'a RunningCommands,
    command: Arc<RunningCommand>,
    thread: ThreadId,
}

impl RunningCommands {
    /// Begins a command on the calling thread.
    pub(super) fn begin(&self, notice: Option<WaitNotice>) -> CommandGuard<'_> {
        let command = Arc::new(RunningCommand {
            notice: Mutex::new(notice),
            ..RunningCommand::default()
        });
        let thread = thread::current().id();
        lock(&self.by_thread).insert(thread, Arc::clone(&command));
        // Checked after the command is in the map: in the other order, a `close` between the two
        // steps would miss it.
        if self.is_closed.load(Ordering::SeqCst) {
            command.interrupt();
        }
        CommandGuard {
            all: self,
            command,
            thread,
        }
    }

    /// Ends all running commands early, and all later ones.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.no_command.interrupt();
        for command in lock(&self.by_thread).values() {
            command.interrupt();
        }
    }

    /// The command of the calling thread. If the thread runs none: a value that stands for the work
    /// outside of commands.
    pub(super) fn current(&self) -> Arc<RunningCommand> {
        let own = self.of_this_thread();
        own.unwrap_or_else(|| Arc::clone(&self.no_command))
    }

    /// Whether the command of the calling thread was interrupted.
    pub(super) fn is_interrupted(&self) -> bool {
        self.current().is_interrupted()
    }

    /// Runs `work`, which may block for long. If the calling thread runs a command, `work` runs on
    /// a thread of its own, and an interruption ends the wait for it with `None`. `work` then ends
    /// by itself, and its result is dropped. `waits_for` returns what a long wait is for; `None` if
    /// there is nothing to say about it.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn wait_for<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        waits_for: impl Fn() -> Option<String>,
    ) -> io::Result<Option<T>> {
        let Some(command) = self.of_this_thread() else {
            return Ok(Some(work()));
        };
        let (sender, result) = channel();
        let thread = thread::Builder::new().name("request".to_owned());
        // The receiver is gone if the command was interrupted.
        thread.spawn(move || drop(sender.send(work())))?;
        let begun = Instant::now();
        loop {
            match result.recv_timeout(CHECK_INTERVAL) {
                Ok(result) => return Ok(Some(result)),
                Err(RecvTimeoutError::Timeout) if !command.is_interrupted() => {}
                Err(_) => return Ok(None),
            }
            if begun.elapsed() >= NOTICE_AFTER
                && let Some(what) = waits_for()
            {
                command.call_notice(&what);
            }
        }
    }

    /// A write was saved by one tracker only. Noted only if a command has made the write.
    pub(super) fn on_saved_by_one_tracker(&self) {
        if let Some(command) = self.of_this_thread() {
            command.saved_by_one_tracker.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a write of the command of the calling thread was saved by one tracker only, since
    /// the last call.
    pub(super) fn take_saved_by_one_tracker(&self) -> bool {
        let command = self.of_this_thread();
        command.is_some_and(|command| command.saved_by_one_tracker.swap(false, Ordering::Relaxed))
    }

    fn of_this_thread(&self) -> Option<Arc<RunningCommand>> {
        lock(&self.by_thread).get(&thread::current().id()).cloned()
    }
}

impl RunningCommand {
    /// The flag that is set when the command is interrupted. The command's hashing checks it.
    pub(super) fn flag(&self) -> &AtomicBool {
        &self.is_interrupted
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::SeqCst)
    }

    fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::SeqCst);
    }

    /// Calls the notice of the command, unless it was called before.
    fn call_notice(&self, what: &str) {
        let notice = lock(&self.notice).take();
        if let Some(WaitNotice(notify)) = notice {
            notify(what);
        }
    }
}

impl CommandInterrupter {
    /// Ends the command early: its hashing, and its wait for a tracker or for downloads. Does
    /// nothing if the command has ended.
    pub fn interrupt(&self) {
        self.0.interrupt();
    }
}

impl CommandGuard<'_> {
    /// A handle with which another thread can end the command early.
    pub fn interrupter(&self) -> CommandInterrupter {
        CommandInterrupter(Arc::clone(&self.command))
    }
}

impl Drop for CommandGuard<'_> {
    fn drop(&mut self) {
        lock(&self.all.by_thread).remove(&self.thread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_ends_the_wait_of_its_command_only() {
        let commands = RunningCommands::default();
        let (release, blocked) = channel::<()>();
        let guard = commands.begin(None);
        guard.interrupter().interrupt();
        let ended = commands.wait_for(move || blocked.recv().is_ok(), || None);
        assert_eq!(ended.unwrap(), None);
        thread::scope(|scope| {
            // The command of another thread goes on.
            scope.spawn(|| {
                let _other = commands.begin(None);
                assert!(!commands.is_interrupted());
                assert_eq!(commands.wait_for(|| 1, || None).unwrap(), Some(1));
            });
        });
        drop(guard);
        // Neither work outside a command nor the next command is interrupted.
        assert_eq!(commands.wait_for(|| 1, || None).unwrap(), Some(1));
        let guard = commands.begin(None);
        assert_eq!(commands.wait_for(|| 2, || None).unwrap(), Some(2));
        drop(guard);
        assert!(!commands.is_interrupted());
        commands.close();
        assert!(commands.is_interrupted());
        let _guard = commands.begin(None);
        assert!(commands.is_interrupted());
        drop(release);
    }

    #[test]
    fn the_notice_of_a_long_wait_is_called_once() {
        let commands = RunningCommands::default();
        let (sender, noticed) = channel();
        let (release, blocked) = channel::<()>();
        let notice = WaitNotice::new(move |what| {
            sender.send(what.to_owned()).unwrap();
            release.send(()).unwrap();
        });
        let guard = commands.begin(Some(notice));
        let released = commands.wait_for(move || blocked.recv().is_ok(), || Some("x".to_owned()));
        assert_eq!(released.unwrap(), Some(true));
        guard.command.call_notice("y");
        assert_eq!(noticed.try_iter().collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn a_command_knows_only_of_its_own_writes() {
        let commands = RunningCommands::default();
        commands.on_saved_by_one_tracker();
        let _guard = commands.begin(None);
        assert!(!commands.take_saved_by_one_tracker());
        commands.on_saved_by_one_tracker();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _other = commands.begin(None);
                assert!(!commands.take_saved_by_one_tracker());
            });
        });
        assert!(commands.take_saved_by_one_tracker());
        assert!(!commands.take_saved_by_one_tracker());
    }
}

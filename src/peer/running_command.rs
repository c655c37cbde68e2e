//! The command that a person runs at this peer: how it is ended early, and how the person is
//! notified if it waits for long.

use crate::system::lock;
use std::fmt;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
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

/// The command that runs now, if any: its thread, and whether it is to end early. A peer runs one
/// command at a time, and uses this one value for all of them.
#[derive(Debug, Default)]
pub(super) struct RunningCommand {
    is_interrupted: AtomicBool,
    /// Set when the peer stops: a later command is interrupted as soon as it begins.
    is_closed: AtomicBool,
    thread: Mutex<Option<ThreadId>>,
    /// Taken when it is called.
    notice: Mutex<Option<WaitNotice>>,
}

/// A running command of the thread that made this guard. The command ends when the guard is
/// dropped.
#[derive(Debug)]
#[must_use]
pub struct CommandGuard<'a>(&'a RunningCommand);

impl RunningCommand {
    /// Begins a command on the calling thread.
    pub(super) fn begin(&self, notice: Option<WaitNotice>) -> CommandGuard<'_> {
        *lock(&self.notice) = notice;
        *lock(&self.thread) = Some(thread::current().id());
        self.is_interrupted.store(false, Ordering::SeqCst);
        // Checked after `is_interrupted` is cleared: in the other order, a `close` between the two
        // steps would be lost.
        if self.is_closed.load(Ordering::SeqCst) {
            self.interrupt();
        }
        CommandGuard(self)
    }

    /// Ends the running command early.
    pub(super) fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::SeqCst);
    }

    /// Ends the running command early, and all later ones.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.interrupt();
    }

    /// The flag that is set when the command is interrupted. The command's hashing checks it.
    pub(super) fn flag(&self) -> &AtomicBool {
        &self.is_interrupted
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::SeqCst)
    }

    /// Runs `work`, which may block for long. If the calling thread runs the command, `work` runs
    /// on a thread of its own, and an interruption ends the wait for it with `None`. `work` then
    /// ends by itself, and its result is dropped. `waits_for` returns what a long wait is for;
    /// `None` if there is nothing to say about it.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn wait_for<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        waits_for: impl Fn() -> Option<String>,
    ) -> io::Result<Option<T>> {
        if *lock(&self.thread) != Some(thread::current().id()) {
            return Ok(Some(work()));
        }
        let (sender, result) = channel();
        let thread = thread::Builder::new().name("request".to_owned());
        // The receiver is gone if the command was interrupted.
        thread.spawn(move || drop(sender.send(work())))?;
        let begun = Instant::now();
        loop {
            match result.recv_timeout(CHECK_INTERVAL) {
                Ok(result) => return Ok(Some(result)),
                Err(RecvTimeoutError::Timeout) if !self.is_interrupted() => {}
                Err(_) => return Ok(None),
            }
            if begun.elapsed() >= NOTICE_AFTER
                && let Some(what) = waits_for()
            {
                self.call_notice(&what);
            }
        }
    }

    /// Calls the notice of the command, unless it was called before.
    fn call_notice(&self, what: &str) {
        let notice = lock(&self.notice).take();
        if let Some(WaitNotice(notify)) = notice {
            notify(what);
        }
    }
}

impl Drop for CommandGuard<'_> {
    fn drop(&mut self) {
        *lock(&self.0.thread) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_ends_the_wait_of_its_command_only() {
        let command = RunningCommand::default();
        let (release, blocked) = channel::<()>();
        let guard = command.begin(None);
        command.interrupt();
        let ended = command.wait_for(move || blocked.recv().is_ok(), || None);
        assert_eq!(ended.unwrap(), None);
        drop(guard);
        // Neither work outside a command nor the next command is interrupted.
        assert_eq!(command.wait_for(|| 1, || None).unwrap(), Some(1));
        let guard = command.begin(None);
        assert_eq!(command.wait_for(|| 2, || None).unwrap(), Some(2));
        drop(guard);
        command.close();
        let _guard = command.begin(None);
        assert!(command.is_interrupted());
        drop(release);
    }

    #[test]
    fn the_notice_of_a_long_wait_is_called_once() {
        let command = RunningCommand::default();
        let (sender, noticed) = channel();
        let (release, blocked) = channel::<()>();
        let notice = WaitNotice::new(move |what| {
            sender.send(what.to_owned()).unwrap();
            release.send(()).unwrap();
        });
        let _guard = command.begin(Some(notice));
        let released = command.wait_for(move || blocked.recv().is_ok(), || Some("x".to_owned()));
        assert_eq!(released.unwrap(), Some(true));
        command.call_notice("y");
        assert_eq!(noticed.try_iter().collect::<Vec<_>>(), ["x"]);
    }
}

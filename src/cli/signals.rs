//! Signals: SIGINT, SIGTERM and SIGHUP end the process gracefully; a later SIGINT or SIGTERM ends
//! it at once. At a prompt a first SIGINT (Ctrl-C) ends the command that runs. SIGUSR1 opens the
//! log anew, and reads the configuration again.
//!
//! One request to end can arrive as several signals. `timeout` sends SIGTERM to the process, and
//! then to its process group. systemd (`SendSIGHUP=yes`) sends SIGTERM and then SIGHUP; the system
//! delivers SIGHUP first if both are pending. So a signal counts as a later one only if it arrives
//! at least [`ONE_REQUEST`] after the first.
//!
//! A SIGHUP never ends the process at once: when a terminal closes, the system sends one, and the
//! shell sends another.
//!
//! A signal that is ignored when the process starts stays ignored. `nohup` starts a process that
//! ignores SIGHUP. A shell without job control starts background processes that ignore SIGINT. A
//! process that ignores SIGINT also ignores a SIGHUP that the system sends because of the terminal,
//! but not a SIGHUP that another process sends.

use super::exit::Exit;
use crate::net::Stop;
use crate::system::lock;
use crossbeam::channel::bounded;
use nix::errno::Errno;
use nix::libc::SI_KERNEL;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use std::fmt;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// All signals that arrive within this time of the first are one request to end.
const ONE_REQUEST: Duration = Duration::from_millis(200);

/// Timeout of one wait for the stop flag. The flag wakes the thread earlier; the value does not
/// matter.
const LONG: Duration = Duration::from_secs(3600);

/// The signals other than SIGINT that end the process.
const ENDING: [Signal; 2] = [Signal::SIGTERM, Signal::SIGHUP];

/// Signals whose usual effect is never wanted. While they are blocked, a write beyond the file size
/// limit fails (SIGXFSZ). In the background, a read from the terminal fails (SIGTTIN), and a write
/// to it succeeds (SIGTTOU).
const BLOCKED: [Signal; 3] = [Signal::SIGXFSZ, Signal::SIGTTIN, Signal::SIGTTOU];

/// What signals act on. Clones share it. A first signal raises the two flags. While a command of
/// the prompt runs, a first SIGINT ends that command instead. A later signal ends the process at
/// once.
#[derive(Clone, Debug, Default)]
pub(super) struct StopSignals {
    /// For threads that wait.
    pub(super) stop: Stop,
    /// For threads that check it while they compute.
    pub(super) flag: Arc<AtomicBool>,
    /// When the first signal that raised the flags came.
    first: Arc<Mutex<Option<Instant>>>,
    /// A folder that is removed before a later signal ends the process.
    temporary_folder: Arc<Mutex<Option<PathBuf>>>,
    command: Arc<Mutex<PromptCommand>>,
}

/// What a person at a prompt is waiting for.
#[derive(Default)]
enum PromptCommand {
    /// Nothing, or there is no prompt.
    #[default]
    None,
    /// A command. The function ends it early.
    Running(Box<dyn Fn() + Send>),
    /// The end of a command that was interrupted at this time.
    Interrupted(Instant),
}

impl StopSignals {
    /// Makes a later signal remove this folder before it ends the process.
    pub(super) fn remove_when_killed(&self, folder: &Path) {
        *lock(&self.temporary_folder) = Some(folder.to_owned());
    }

    /// Whether a signal has raised the flags.
    pub(super) fn is_stopped_by_signal(&self) -> bool {
        lock(&self.first).is_some()
    }

    /// A command begins. The next SIGINT does not end the process: `interrupt` is called instead.
    pub(super) fn begin_command(&self, interrupt: Box<dyn Fn() + Send>) {
        *lock(&self.command) = PromptCommand::Running(interrupt);
    }

    /// The command has ended.
    pub(super) fn end_command(&self) {
        *lock(&self.command) = PromptCommand::None;
    }

    fn on_interrupt(&self, now: Instant) {
        let mut command = lock(&self.command);
        match mem::take(&mut *command) {
            PromptCommand::None => {
                drop(command);
                self.stop_or_kill(now);
            }
            PromptCommand::Running(interrupt) => {
                *command = PromptCommand::Interrupted(now);
                drop(command);
                interrupt();
            }
            PromptCommand::Interrupted(first) if is_later(now, first) => self.kill(),
            PromptCommand::Interrupted(first) => *command = PromptCommand::Interrupted(first),
        }
    }

    /// Raises the flags. If an earlier request has raised them, ends the process at once.
    fn stop_or_kill(&self, now: Instant) {
        if is_later(now, self.begin_stop(now)) {
            self.kill();
        }
    }

    /// Raises the flags. Returns the time at which the first signal came.
    fn begin_stop(&self, now: Instant) -> Instant {
        let first = *lock(&self.first).get_or_insert(now);
        self.flag.store(true, Ordering::SeqCst);
        self.stop.stop();
        first
    }

    fn kill(&self) {
        let folder = lock(&self.temporary_folder).take();
        // Files that cannot be removed stay: the process ends now.
        let _ = folder.map(std::fs::remove_dir_all);
        std::process::exit(Exit::Killed.code().into());
    }
}

impl fmt::Debug for PromptCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Running(_) => "Running",
            Self::Interrupted(_) => "Interrupted",
        })
    }
}

/// Whether a signal belongs to a later request to end than the first signal.
fn is_later(now: Instant, first: Instant) -> bool {
    now.saturating_duration_since(first) >= ONE_REQUEST
}

/// Waits until a signal or another thread raises the flag.
pub(super) fn wait_for_stop(stop: &Stop) {
    while !stop.wait(LONG) {}
}

/// Begins to handle signals; `reload` is called at SIGUSR1, on a thread of its own. Call this once
/// in a process, before other threads start: they inherit the blocked signals.
///
/// # Errors
/// A message for the user, if the system refuses to block or handle signals, or to start a thread.
pub(super) fn watch(reload: impl Fn() + Send + 'static) -> Result<StopSignals, String> {
    let ignored =
        ignored_signals(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
    let is_handled = |signal: &Signal| !ignored.contains(*signal);
    let handled: SigSet = ENDING
        .into_iter()
        .chain([Signal::SIGUSR1])
        .filter(is_handled)
        .collect();
    let mut blocked: SigSet = BLOCKED.into_iter().collect();
    blocked.extend(handled.iter());
    blocked.extend(ignored.iter());
    blocked
        .thread_block()
        .map_err(|errno| format!("cannot block signals: {errno}"))?;
    let signals = StopSignals::default();
    if is_handled(&Signal::SIGINT) {
        let interrupted = signals.clone();
        ctrlc::set_handler(move || interrupted.on_interrupt(Instant::now()))
            .map_err(|error| format!("cannot handle signals: {error}"))?;
    }
    let signal_fd = SignalFd::with_flags(&handled, SfdFlags::SFD_CLOEXEC);
    let signal_fd = signal_fd.map_err(|errno| format!("cannot wait for signals: {errno}"))?;
    let reload =
        on_own_thread(reload).map_err(|error| format!("cannot start a thread: {error}"))?;
    let (ending, ignores_sigint) = (signals.clone(), ignored.contains(Signal::SIGINT));
    let thread = thread::Builder::new().name("signals".to_owned());
    // The thread ends with the process.
    let started = thread.spawn(move || {
        loop {
            let signal = match signal_fd.read_signal() {
                Ok(Some(signal)) => signal,
                Err(Errno::EINTR) => continue,
                Ok(None) | Err(_) => return,
            };
            if is(&signal, Signal::SIGUSR1) {
                reload();
            } else if !is(&signal, Signal::SIGHUP) {
                ending.stop_or_kill(Instant::now());
            } else if !(ignores_sigint && is_of_terminal(&signal)) {
                ending.begin_stop(Instant::now());
            }
        }
    });
    started.map_err(|error| format!("cannot start a thread: {error}"))?;
    Ok(signals)
}

/// Starts a thread that calls `reload` once for each call of the returned function, which does not
/// wait: `reload` may wait for a file or for a terminal, and signals must still end the process.
/// Calls that come while one waits already are one call.
fn on_own_thread(reload: impl Fn() + Send + 'static) -> io::Result<impl Fn()> {
    let (sender, calls) = bounded::<()>(1);
    let thread = thread::Builder::new().name("reload".to_owned());
    // The thread ends with the process.
    thread.spawn(move || calls.iter().for_each(|()| reload()))?;
    Ok(move || {
        // A call that waits already covers this one.
        let _ = sender.try_send(());
    })
}

fn is(signal: &siginfo, number: Signal) -> bool {
    i32::try_from(signal.ssi_signo) == Ok(number as i32)
}

/// Whether the system has sent SIGHUP because the terminal has closed or its session has ended.
fn is_of_terminal(signal: &siginfo) -> bool {
    is(signal, Signal::SIGHUP) && signal.ssi_code == SI_KERNEL
}

/// Those of SIGINT, SIGTERM, SIGHUP and SIGUSR1 that were ignored when the process started.
/// `status` is the text of `/proc/self/status`. If it has no usable mask, the result is empty.
fn ignored_signals(status: &str) -> SigSet {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let is_ignored = |signal: &Signal| {
        let bit = u32::try_from(*signal as i32 - 1).unwrap_or(u32::MAX);
        mask.unwrap_or(0).checked_shr(bit).unwrap_or(0) & 1 == 1
    };
    let all = ENDING.into_iter().chain([Signal::SIGINT, Signal::SIGUSR1]);
    all.filter(is_ignored).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let signals = |status: &str| ignored_signals(status).iter().collect::<Vec<_>>();
        let none: [Signal; 0] = [];
        assert_eq!(signals("SigIgn:\t0000000000001000\n"), none);
        assert_eq!(
            signals("Name:\tx\nSigIgn:\t0000000000001001\n"),
            [Signal::SIGHUP]
        );
        assert_eq!(
            signals("SigIgn:\t0000000000000202\n"),
            [Signal::SIGINT, Signal::SIGUSR1]
        );
        for unusable in ["", "SigIgn:\tx\n"] {
            assert_eq!(signals(unusable), none);
        }
    }

    #[test]
    fn an_interrupt_ends_the_running_command_or_else_raises_the_stop_flag() {
        let signals = StopSignals::default();
        let interrupted = Arc::new(AtomicBool::new(false));
        let raised = Arc::clone(&interrupted);
        signals.begin_command(Box::new(move || raised.store(true, Ordering::SeqCst)));
        let now = Instant::now();
        // The second interrupt belongs to the same request.
        for interrupt in [now, now + ONE_REQUEST / 2] {
            signals.on_interrupt(interrupt);
            assert!(interrupted.load(Ordering::SeqCst) && !signals.stop.is_stopped());
        }
        signals.end_command();
        signals.on_interrupt(now + ONE_REQUEST / 2);
        assert!(signals.stop.is_stopped());
    }

    #[test]
    fn only_a_later_signal_ends_the_process_at_once() {
        let signals = StopSignals::default();
        let now = Instant::now();
        // Two threads handle signals, so a time can be before the first one. A kill would end the
        // test.
        for time in [now, now + ONE_REQUEST / 2, now - ONE_REQUEST] {
            signals.stop_or_kill(time);
        }
        assert_eq!(signals.begin_stop(now + ONE_REQUEST), now);
        assert!(is_later(now + ONE_REQUEST, now));
    }
}

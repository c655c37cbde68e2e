//! SIGINT, SIGTERM and SIGHUP: the first one ends the process gracefully, the second one at once.
//! SIGXFSZ is blocked.

use super::exit::Exit;
use crate::net::Stop;
use crate::system::lock;
use nix::sys::signal::{SigSet, Signal};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Timeout of one wait for the stop flag. The flag wakes the thread earlier; the value does not
/// matter.
const LONG: Duration = Duration::from_secs(3600);

/// Flags that the first signal raises.
#[derive(Clone, Debug, Default)]
pub(super) struct StopSignals {
    /// For threads that wait.
    pub(super) stop: Stop,
    /// For threads that check it while they compute.
    pub(super) flag: Arc<AtomicBool>,
    temporary_folder: Arc<Mutex<Option<PathBuf>>>,
}

impl StopSignals {
    /// Makes a second signal remove this folder before it ends the process.
    pub(super) fn remove_when_killed(&self, folder: &Path) {
        *lock(&self.temporary_folder) = Some(folder.to_owned());
    }
}

/// Waits until a signal or another thread raises the flag.
pub(super) fn wait_for_stop(stop: &Stop) {
    while !stop.wait(LONG) {}
}

/// Installs the signal handlers. Call it once in a process, before other threads start.
///
/// # Errors
/// A message for the user: the system did not allow it.
pub(super) fn watch() -> Result<StopSignals, String> {
    // A write beyond the file size limit then fails like any other write; unblocked, SIGXFSZ would
    // end the process. Threads started later inherit the block.
    let blocked = SigSet::from(Signal::SIGXFSZ).thread_block();
    blocked.map_err(|errno| format!("cannot block SIGXFSZ: {errno}"))?;
    let signals = StopSignals::default();
    let raised = signals.clone();
    let handler = move || {
        if raised.flag.swap(true, Ordering::SeqCst) {
            let folder = lock(&raised.temporary_folder).take();
            // Files that cannot be removed stay: the process ends now.
            let _ = folder.map(std::fs::remove_dir_all);
            std::process::exit(Exit::Killed.code().into());
        }
        raised.stop.stop();
    };
    ctrlc::set_handler(handler).map_err(|error| format!("cannot handle signals: {error}"))?;
    Ok(signals)
}

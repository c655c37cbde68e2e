//! SIGINT, SIGTERM and SIGHUP: the first asks for a graceful end, the second ends at once. SIGXFSZ does nothing.

use super::exit::Exit;
use crate::net::Stop;
use crate::system::lock;
use nix::sys::signal::{SigSet, Signal};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a thread sleeps between two looks at nothing: the flag wakes it.
const LONG: Duration = Duration::from_secs(3600);

/// What the first signal raises.
#[derive(Clone, Debug, Default)]
pub(super) struct Stopped {
    /// For threads that wait.
    pub(super) stop: Stop,
    /// For threads that check it while they compute.
    pub(super) flag: Arc<AtomicBool>,
    folder: Arc<Mutex<Option<PathBuf>>>,
}

impl Stopped {
    /// Waits until a signal or another thread raises the flag.
    pub(super) fn wait(stop: &Stop) {
        while !stop.wait(LONG) {}
    }

    /// A second signal removes this folder before it ends the process.
    pub(super) fn remove_when_killed(&self, folder: &Path) {
        *lock(&self.folder) = Some(folder.to_owned());
    }
}

/// Takes the signals over. To be called once in a process, before it has other threads.
///
/// # Errors
/// Why the system did not allow it, as text for a person.
pub(super) fn watch() -> Result<Stopped, String> {
    // A file that may not grow is a failed write like any other; the signal beside it would end the process. All threads
    // that are started from here on have it blocked too.
    let blocked = SigSet::from(Signal::SIGXFSZ).thread_block();
    blocked.map_err(|errno| format!("cannot block SIGXFSZ: {errno}"))?;
    let stopped = Stopped::default();
    let raised = stopped.clone();
    let handler = move || {
        if raised.flag.swap(true, Ordering::SeqCst) {
            let folder = lock(&raised.folder).take();
            // Whatever cannot be removed stays: the process ends now.
            let _ = folder.map(std::fs::remove_dir_all);
            std::process::exit(Exit::Killed.code().into());
        }
        raised.stop.stop();
    };
    ctrlc::set_handler(handler).map_err(|error| format!("cannot take over signals: {error}"))?;
    Ok(stopped)
}

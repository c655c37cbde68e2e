//! SIGINT, SIGTERM and SIGHUP: the first asks for a graceful end, the second ends at once.

use super::Exit;
use crate::net::Stop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the first signal raises.
#[derive(Clone, Debug, Default)]
pub(super) struct Stopped {
    /// For whoever waits.
    pub(super) stop: Stop,
    /// For whoever looks now and then while it computes.
    pub(super) flag: Arc<AtomicBool>,
}

/// Takes the signals over. To be called once in a process.
///
/// # Errors
/// Why the system did not allow it, as text for a person.
pub(super) fn watch() -> Result<Stopped, String> {
    let stopped = Stopped::default();
    let raised = stopped.clone();
    let handler = move || {
        if raised.flag.swap(true, Ordering::SeqCst) {
            std::process::exit(Exit::Killed.code().into());
        }
        raised.stop.stop();
    };
    ctrlc::set_handler(handler).map_err(|error| format!("cannot take over signals: {error}"))?;
    Ok(stopped)
}

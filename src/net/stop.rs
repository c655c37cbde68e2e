//! A stop flag that wakes all threads that wait for it.

use crate::system::{lock, recover};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// A flag that is raised once and wakes all waiting threads. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// A flag that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag and wakes all waiting threads.
    pub fn stop(&self) {
        *self.raised() = true;
        self.0.changed.notify_all();
    }

    /// Whether the flag is raised.
    pub fn is_stopped(&self) -> bool {
        *self.raised()
    }

    /// Waits at most `limit` until the flag is raised. Returns whether the flag is raised.
    pub fn wait(&self, limit: Duration) -> bool {
        let waited = self
            .0
            .changed
            .wait_timeout_while(self.raised(), limit, |raised| !*raised);
        *recover(waited).0
    }

    fn raised(&self) -> MutexGuard<'_, bool> {
        lock(&self.0.raised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_thread_is_woken() {
        let stop = Stop::new();
        assert!(!stop.wait(Duration::ZERO));
        let waiting = stop.clone();
        let waiter = std::thread::spawn(move || waiting.wait(Duration::from_secs(60)));
        stop.stop();
        assert!(waiter.join().unwrap() && stop.is_stopped());
    }
}

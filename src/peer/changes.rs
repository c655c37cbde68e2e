//! Notifications: commands wait for a transfer to change its state, and the thread `tick` waits for
//! its next tick.

use crate::system::{lock, recover};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Counts the changes of all transfers.
#[derive(Debug, Default)]
pub(super) struct Changes {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Changes {
    /// Reports that a transfer has changed its state.
    pub(super) fn notify(&self) {
        *lock(&self.count) += 1;
        self.changed.notify_all();
    }

    /// The number of changes so far.
    pub(super) fn count(&self) -> u64 {
        *lock(&self.count)
    }

    /// Waits until there were more than `change_count` changes, or for `limit`.
    pub(super) fn wait(&self, change_count: u64, limit: Duration) {
        let count = lock(&self.count);
        drop(
            self.changed
                .wait_timeout_while(count, limit, |count| *count <= change_count),
        );
    }
}

/// The next tick of the thread `tick`. Other threads may bring it forward.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    early: Mutex<bool>,
    due: Condvar,
}

impl Ticks {
    /// Makes the next tick happen now.
    pub(super) fn trigger(&self) {
        *lock(&self.early) = true;
        self.due.notify_all();
    }

    /// Waits for the next tick, at most `pause`.
    pub(super) fn wait(&self, pause: Duration) {
        let early = lock(&self.early);
        let waited = self.due.wait_timeout_while(early, pause, |early| !*early);
        *recover(waited).0 = false;
    }
}

//! Notifications: commands wait for a transfer to change its state, and the thread `tick` waits for
//! its next tick.

use crate::system::{lock, recover};
use crate::torrent::InfoHash;
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

    /// Waits until the count is above `change_count`, for at most `limit`.
    pub(super) fn wait(&self, change_count: u64, limit: Duration) {
        let count = lock(&self.count);
        drop(
            self.changed
                .wait_timeout_while(count, limit, |count| *count <= change_count),
        );
    }
}

/// The next tick of the thread `tick`, and the swarms that have something to do in it. Other
/// threads can make the tick happen earlier.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    next: Mutex<NextTick>,
    due: Condvar,
}

#[derive(Debug, Default)]
struct NextTick {
    /// Whether the tick happens now, before the pause is over.
    is_early: bool,
    swarms: Vec<InfoHash>,
}

impl Ticks {
    /// Makes the next tick happen now.
    pub(super) fn trigger(&self) {
        lock(&self.next).is_early = true;
        self.due.notify_all();
    }

    /// Includes a swarm in the next tick. Does not make the tick happen earlier.
    pub(super) fn include(&self, info_hash: InfoHash) {
        lock(&self.next).swarms.push(info_hash);
    }

    /// Waits for the next tick, at most `pause`. Returns the swarms that it includes.
    pub(super) fn wait(&self, pause: Duration) -> Vec<InfoHash> {
        let next = lock(&self.next);
        let waited = self
            .due
            .wait_timeout_while(next, pause, |next| !next.is_early);
        std::mem::take(&mut *recover(waited).0).swarms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_comes_at_once_when_it_is_triggered_and_names_its_swarms() {
        let ticks = Ticks::default();
        ticks.include(InfoHash([1; 20]));
        ticks.trigger();
        let hour = Duration::from_secs(3_600);
        assert_eq!(ticks.wait(hour), [InfoHash([1; 20])]);
        assert_eq!(ticks.wait(Duration::ZERO), []);
    }
}

//! What has changed in the registry, for the thread that sends hints to peers.

use crate::system::{lock, recover};
use crate::tracker::registry::Changed;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Collects changes until they are taken. It holds at most one entry for each group and account.
#[derive(Debug, Default)]
pub(super) struct ChangeQueue {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    changed: Changed,
    has_ended: bool,
}

impl ChangeQueue {
    pub(super) fn push(&self, changed: Changed) {
        if !changed.is_empty() {
            lock(&self.state).changed.extend(changed);
            self.arrived.notify_one();
        }
    }

    /// Waits at most `limit` for a change. Returns what has changed, which may be nothing. Returns
    /// `None` only after [`ChangeQueue::end`].
    pub(super) fn take(&self, limit: Duration) -> Option<Changed> {
        let is_waiting = |state: &mut State| !state.has_ended && state.changed.is_empty();
        let waited = self
            .arrived
            .wait_timeout_while(lock(&self.state), limit, is_waiting);
        let mut state = recover(waited).0;
        (!state.has_ended).then(|| std::mem::take(&mut state.changed))
    }

    pub(super) fn end(&self) {
        lock(&self.state).has_ended = true;
        self.arrived.notify_all();
    }
}

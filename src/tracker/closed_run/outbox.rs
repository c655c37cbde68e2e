//! What is still to be written to one line.
//!
//! The queue is bounded by what its reader lets in: no request is read while [`ROOM`] notices wait, and what comes
//! unasked is one release and one end a line.

use crate::wire::control::Notice;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many notices may wait before the next request is read.
const ROOM: usize = 8;

/// A queue between whoever has something to say and the line's writer.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    notices: VecDeque<Notice>,
    closed: bool,
    reader_ended: bool,
}

impl Outbox {
    /// Puts a notice behind the others, unless the line is closed.
    pub(super) fn push(&self, notice: Notice) {
        self.change(|queue| {
            if !queue.closed {
                queue.notices.push_back(notice);
            }
        });
    }

    /// Takes nothing more; what is in it is still written.
    pub(super) fn close(&self) {
        self.change(|queue| queue.closed = true);
    }

    /// Closes it and drops what is in it: the line takes nothing.
    pub(super) fn give_up(&self) {
        self.change(|queue| {
            queue.closed = true;
            queue.notices.clear();
        });
    }

    /// Nothing more is read: closes it.
    pub(super) fn reader_ended(&self) {
        self.change(|queue| {
            queue.closed = true;
            queue.reader_ended = true;
        });
    }

    /// Waits for the next notice; `None` once it is closed and empty.
    pub(super) fn next(&self) -> Option<Notice> {
        let waiting = |queue: &mut Queue| queue.notices.is_empty() && !queue.closed;
        let queue = self.changed.wait_while(self.queue(), waiting);
        let notice = queue
            .unwrap_or_else(PoisonError::into_inner)
            .notices
            .pop_front();
        self.changed.notify_all();
        notice
    }

    /// Waits until fewer than [`ROOM`] notices wait, which the writer's deadline bounds.
    pub(super) fn wait_for_room(&self) {
        let full = |queue: &mut Queue| queue.notices.len() >= ROOM;
        drop(self.changed.wait_while(self.queue(), full));
    }

    /// Waits until nothing more is read, `limit` at most.
    pub(super) fn wait_for_reader(&self, limit: Duration) {
        let reading = |queue: &mut Queue| !queue.reader_ended;
        let _ = self
            .changed
            .wait_timeout_while(self.queue(), limit, reading);
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        change(&mut self.queue());
        self.changed.notify_all();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Queue of what is still to be written to one connection.
//!
//! In scope: the queue between the threads that send and the connection's writer. The senders limit
//! its length: `replication` limits what it sends to one connection, and a closed run reads no
//! request while [`MAX_QUEUED`] notices are queued.

use crate::net::FrameIoError;
use crate::system::{lock, recover};
use crate::wire::control::ControlError;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// While this number of notices is queued, a closed run reads no request.
const MAX_QUEUED: usize = 8;

/// The queue of one connection.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    state: Mutex<Queue<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Queue<T> {
    entries: VecDeque<T>,
    closed: bool,
    reader_ended: bool,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        let queue = Queue {
            entries: VecDeque::new(),
            closed: false,
            reader_ended: false,
        };
        Self {
            state: Mutex::new(queue),
            changed: Condvar::new(),
        }
    }
}

impl<T> Outbox<T> {
    /// Appends an entry, unless the queue is closed.
    pub(super) fn push(&self, entry: T) {
        self.change(|queue| {
            if !queue.closed {
                queue.entries.push_back(entry);
            }
        });
    }

    /// Closes the queue. Its entries are still written.
    pub(super) fn close(&self) {
        self.change(|queue| queue.closed = true);
    }

    /// Closes the queue and drops its contents: the connection accepts nothing more.
    pub(super) fn close_and_clear(&self) {
        self.change(|queue| {
            queue.closed = true;
            queue.entries.clear();
        });
    }

    /// The connection's reader has ended. Closes the queue.
    pub(super) fn on_reader_end(&self) {
        self.change(|queue| {
            queue.closed = true;
            queue.reader_ended = true;
        });
    }

    /// Waits for the next entry. `None` once the queue is closed and empty.
    pub(super) fn next(&self) -> Option<T> {
        let waiting = |queue: &mut Queue<T>| queue.entries.is_empty() && !queue.closed;
        let queue = self.changed.wait_while(self.queue(), waiting);
        let next = recover(queue).entries.pop_front();
        self.changed.notify_all();
        next
    }

    /// Waits until fewer than [`MAX_QUEUED`] entries are queued. The writer's deadline bounds the
    /// wait.
    pub(super) fn wait_for_room(&self) {
        let full = |queue: &mut Queue<T>| queue.entries.len() >= MAX_QUEUED;
        drop(self.changed.wait_while(self.queue(), full));
    }

    /// Waits until the connection's reader has ended, at most `limit`.
    pub(super) fn wait_for_reader_end(&self, limit: Duration) {
        let reading = |queue: &mut Queue<T>| !queue.reader_ended;
        let _ = self
            .changed
            .wait_timeout_while(self.queue(), limit, reading);
    }

    fn change(&self, change: impl FnOnce(&mut Queue<T>)) {
        change(&mut self.queue());
        self.changed.notify_all();
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        lock(&self.state)
    }
}

/// Why reading a connection failed before the other end closed it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionReadError {
    /// A frame could not be read.
    #[error(transparent)]
    Frame(#[from] FrameIoError),
    /// A frame contains no valid message.
    #[error(transparent)]
    Message(#[from] ControlError),
}

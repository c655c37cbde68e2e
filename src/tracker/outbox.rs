//! What is still to be written to one line.
//!
//! In scope: a queue between those who have something to say and the line's writer. How much waits is bounded by those who
//! put it there: by what `replication` sends to a line, and in a closed run by what its reader lets in, as no request is
//! read while [`ROOM`] notices wait.

use crate::net::FrameIoError;
use crate::system::{lock, recover};
use crate::wire::control::ControlError;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// How many may wait before the next request is read.
const ROOM: usize = 8;

/// A queue of one line.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    state: Mutex<Queue<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<T>,
    closed: bool,
    reader_ended: bool,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        let queue = Queue {
            waiting: VecDeque::new(),
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
    /// Puts something behind the others, unless the line is closed.
    pub(super) fn push(&self, it: T) {
        self.change(|queue| {
            if !queue.closed {
                queue.waiting.push_back(it);
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
            queue.waiting.clear();
        });
    }

    /// Nothing more is read: closes it.
    pub(super) fn reader_ended(&self) {
        self.change(|queue| {
            queue.closed = true;
            queue.reader_ended = true;
        });
    }

    /// Waits for what is next; `None` once it is closed and empty.
    pub(super) fn next(&self) -> Option<T> {
        let waiting = |queue: &mut Queue<T>| queue.waiting.is_empty() && !queue.closed;
        let queue = self.changed.wait_while(self.queue(), waiting);
        let next = recover(queue).waiting.pop_front();
        self.changed.notify_all();
        next
    }

    /// Waits until fewer than [`ROOM`] wait, which the writer's deadline bounds.
    pub(super) fn wait_for_room(&self) {
        let full = |queue: &mut Queue<T>| queue.waiting.len() >= ROOM;
        drop(self.changed.wait_while(self.queue(), full));
    }

    /// Waits until nothing more is read, `limit` at most.
    pub(super) fn wait_for_reader(&self, limit: Duration) {
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

/// Why a line that is read ends before its other end closes it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionReadError {
    /// A frame does not arrive whole.
    #[error(transparent)]
    Frame(#[from] FrameIoError),
    /// A frame holds no message.
    #[error(transparent)]
    Message(#[from] ControlError),
}

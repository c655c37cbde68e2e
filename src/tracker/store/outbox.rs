//! What is still to be written to one line between trackers.
//!
//! How much waits is bounded by the replica: see the table in `replication`.

use crate::torrent::InfoHash;
use crate::wire::twin::Message;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Something to be written.
#[derive(Debug)]
pub(in crate::tracker) enum Outgoing {
    /// This message.
    Message(Message),
    /// The part of a blob from this byte on, read when its turn comes.
    Blob(InfoHash, u32),
}

/// A queue between the replica and a line's writer.
#[derive(Debug, Default)]
pub(in crate::tracker) struct Outbox {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Outgoing>,
    closed: bool,
}

impl Outbox {
    /// Puts something behind the others, unless it is closed.
    pub(in crate::tracker) fn push(&self, outgoing: Outgoing) {
        let mut queue = self.queue();
        if !queue.closed {
            queue.waiting.push_back(outgoing);
        }
        drop(queue);
        self.changed.notify_all();
    }

    /// Ends the line; what waits is dropped.
    pub(in crate::tracker) fn close(&self) {
        let mut queue = self.queue();
        queue.closed = true;
        queue.waiting.clear();
        drop(queue);
        self.changed.notify_all();
    }

    /// Waits for what is next; `None` once it is closed.
    pub(in crate::tracker) fn next(&self) -> Option<Outgoing> {
        let waiting = |queue: &mut Queue| queue.waiting.is_empty() && !queue.closed;
        let queue = self.changed.wait_while(self.queue(), waiting);
        queue
            .unwrap_or_else(PoisonError::into_inner)
            .waiting
            .pop_front()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What a link's writing thread has to send: control messages, `have`s and blocks that were asked for.

use super::MAX_REQUEST_QUEUE;
use crate::torrent::BlockRange;
use crate::wire::peer::Message;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Nothing sent for this long makes a keep-alive due (BEP 3: links end after two minutes of silence).
const KEEP_ALIVE: Duration = Duration::from_secs(90);
/// Control bytes that may wait; a side that lets more pile up reads nothing.
const MAX_WAITING: usize = 256 << 10;

/// Filled by whoever has something to say, emptied by the writing thread.
#[derive(Debug, Default)]
pub(in crate::peer) struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    blocks: VecDeque<BlockRange>,
    haves: bool,
    closed: bool,
    /// Since when the writing thread has been busy with one thing.
    busy: Option<Instant>,
}

/// What is to be sent next; nothing at all is a keep-alive.
#[derive(Debug)]
pub(super) struct Next {
    /// Messages, encoded.
    pub(super) bytes: Vec<u8>,
    /// Whether the journal holds new pieces to tell of.
    pub(super) haves: bool,
    /// A block that was asked for.
    pub(super) block: Option<BlockRange>,
}

impl Outbox {
    /// Queues messages.
    pub(in crate::peer) fn send<'a>(&self, messages: impl IntoIterator<Item = Message<'a>>) {
        let mut waiting = self.waiting();
        if waiting.bytes.len() <= MAX_WAITING {
            messages
                .into_iter()
                .for_each(|message| message.encode_into(&mut waiting.bytes));
        } else {
            waiting.closed = true;
        }
        drop(waiting);
        self.changed.notify_all();
    }

    /// Pieces were verified that the other side is to be told of.
    pub(in crate::peer) fn notify_haves(&self) {
        self.waiting().haves = true;
        self.changed.notify_all();
    }

    /// Queues a block; `false` when too many wait.
    pub(super) fn push_block(&self, range: BlockRange) -> bool {
        let mut waiting = self.waiting();
        let room = waiting.blocks.len() < MAX_REQUEST_QUEUE;
        if room {
            waiting.blocks.push_back(range);
        }
        drop(waiting);
        self.changed.notify_all();
        room
    }

    /// Takes a queued block back; `false` if it is not there any more.
    pub(super) fn cancel_block(&self, range: BlockRange) -> bool {
        let mut waiting = self.waiting();
        let at = waiting.blocks.iter().position(|queued| *queued == range);
        at.and_then(|at| waiting.blocks.remove(at)).is_some()
    }

    /// Ends the writing thread.
    pub(in crate::peer) fn close(&self) {
        self.waiting().closed = true;
        self.changed.notify_all();
    }

    /// Waits for the next thing to send; `None` at the end. `spare` is an empty buffer to swap in.
    pub(super) fn next(&self, spare: Vec<u8>) -> Option<Next> {
        let mut waiting = self.waiting();
        waiting.busy = None;
        let idle = |waiting: &mut Waiting| {
            !waiting.closed
                && waiting.bytes.is_empty()
                && waiting.blocks.is_empty()
                && !waiting.haves
        };
        let waited = self.changed.wait_timeout_while(waiting, KEEP_ALIVE, idle);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            return None;
        }
        waiting.busy = Some(Instant::now());
        let bytes = std::mem::replace(&mut waiting.bytes, spare);
        Some(Next {
            bytes,
            haves: std::mem::take(&mut waiting.haves),
            block: waiting.blocks.pop_front(),
        })
    }

    /// How long the writing thread has been busy with one thing: long means that the other side does not read.
    pub(in crate::peer) fn busy_for(&self) -> Duration {
        self.waiting()
            .busy
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

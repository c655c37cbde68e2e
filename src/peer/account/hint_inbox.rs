//! Hints that have arrived from trackers, for the thread that handles them.
//!
//! Locks: `hints`, for a look-up or a change.

use crate::net::Waker;
use crate::system::lock;
use crate::wire::access::Hint;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;

/// Hints that have arrived, and the waker of the thread that handles them.
#[derive(Debug)]
pub(super) struct HintInbox {
    hints: Mutex<Vec<Hint>>,
    waker: Waker,
}

impl HintInbox {
    /// An empty inbox.
    ///
    /// # Errors
    /// The system has no free descriptor.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hints: Mutex::default(),
            waker: Waker::new()?,
        })
    }

    /// Adds hints that were read from a connection, and wakes the thread.
    pub(super) fn add(&self, hints: Vec<Hint>) {
        lock(&self.hints).extend(hints);
        self.waker.wake();
    }

    /// Wakes the thread without adding a hint.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// Removes and returns all hints.
    pub(super) fn take(&self) -> Vec<Hint> {
        std::mem::take(&mut *lock(&self.hints))
    }

    /// Forgets that the thread was woken. Later calls of `add` and `wake` wake it again.
    pub(super) fn reset(&self) {
        self.waker.reset();
    }
}

impl AsFd for HintInbox {
    /// Readable from the time when the thread is woken until [`HintInbox::reset`].
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

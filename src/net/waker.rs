//! Wakes a thread that waits for sockets.

use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A counter of the system (`eventfd`) that a thread can wait for together with its sockets. It is
/// made at the start, so waking needs no free descriptor. A server could also be woken by a
/// connection to its own address, but that address may no longer exist.
#[derive(Debug)]
pub struct Waker(EventFd);

impl Waker {
    /// A waker that has not been used yet.
    ///
    /// # Errors
    /// The system has no free descriptor.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(EventFd::from_flags(flags)?))
    }

    /// Makes the descriptor readable. Never blocks.
    pub fn wake(&self) {
        // The write fails only if the counter is full, and then the descriptor is readable.
        let _ = self.0.write(1);
    }

    /// Makes the descriptor unreadable again.
    pub fn reset(&self) {
        let _ = self.0.read();
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

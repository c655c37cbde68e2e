//! The threads of one part of a tracker. They are joined when the part stops.

use crate::system::lock;
use std::io;
use std::sync::Mutex;
use std::thread::{Builder, JoinHandle};

/// Started threads that have not been joined yet.
#[derive(Debug, Default)]
pub(super) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    /// Starts a thread.
    pub(super) fn start(
        &self,
        thread: Builder,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let thread = thread.spawn(run)?;
        lock(&self.0).push(thread);
        Ok(())
    }

    /// Joins all threads.
    pub(super) fn wait(&self) {
        let threads = std::mem::take(&mut *lock(&self.0));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

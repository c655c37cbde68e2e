//! Threads that somebody has to wait for.

use crate::system::lock;
use std::io;
use std::sync::Mutex;
use std::thread::{Builder, JoinHandle};

/// Threads that were started and not yet waited for.
#[derive(Debug, Default)]
pub(super) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    /// Starts one more.
    pub(super) fn start(
        &self,
        thread: Builder,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let thread = thread.spawn(run)?;
        lock(&self.0).push(thread);
        Ok(())
    }

    /// Waits until all have ended.
    pub(super) fn wait(&self) {
        let threads = std::mem::take(&mut *lock(&self.0));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

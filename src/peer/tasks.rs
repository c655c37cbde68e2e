//! The threads of a peer that compute and write: the fixed pool for pieces, and one thread for each
//! long task (checking, restoring, finishing, a web seed).

use crate::net::WorkerPool;
use crate::system::lock;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};

/// The pool, and the threads of long tasks. [`Tasks::join`] ends them.
#[derive(Debug)]
pub(super) struct Tasks {
    pool: WorkerPool,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Set to end hashing early.
    pub(super) interrupt: AtomicBool,
}

impl Tasks {
    pub(super) fn new(pool: WorkerPool) -> Self {
        Self {
            pool,
            threads: Mutex::default(),
            interrupt: AtomicBool::new(false),
        }
    }

    /// Queues a short job for the pool.
    pub(super) fn submit(&self, job: impl FnOnce() + Send + 'static) {
        self.pool.submit(job);
    }

    /// Runs a long task on its own thread.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub(super) fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run)?;
        let mut threads = lock(&self.threads);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    /// Waits for the long tasks, which the caller has already asked to stop. Then ends the pool.
    pub(super) fn join(&self) {
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            let _ = thread.join();
        }
        self.pool.stop();
    }
}

//! The threads of a peer that compute and write: the fixed pool for pieces, and one thread for each
//! long task (checking, restoring, finishing, a web seed).

use crate::net::WorkerPool;
use crate::system::lock;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};

/// The pool, and the threads of long tasks. [`Tasks::join`] ends them.
#[derive(Debug)]
pub(super) struct Tasks {
    pool: WorkerPool,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Set to end hashing early.
    pub(super) interrupt: AtomicBool,
    /// The flags of the transfers, which end the hashing and copying of each.
    flags: Mutex<Vec<Weak<AtomicBool>>>,
}

impl Tasks {
    pub(super) fn new(pool: WorkerPool) -> Self {
        Self {
            pool,
            threads: Mutex::default(),
            interrupt: AtomicBool::new(false),
            flags: Mutex::default(),
        }
    }

    /// A flag that is set when [`Tasks::interrupt_all`] is called. The owner may set it before, to
    /// end only its own hashing and copying.
    pub(super) fn new_interrupt(&self) -> Arc<AtomicBool> {
        let mut flags = lock(&self.flags);
        flags.retain(|flag| flag.strong_count() > 0);
        let is_set = self.interrupt.load(Ordering::SeqCst);
        let flag = Arc::new(AtomicBool::new(is_set));
        flags.push(Arc::downgrade(&flag));
        flag
    }

    /// Ends all hashing and copying early.
    pub(super) fn interrupt_all(&self) {
        let flags = lock(&self.flags);
        self.interrupt.store(true, Ordering::SeqCst);
        for flag in flags.iter().filter_map(Weak::upgrade) {
            flag.store(true, Ordering::SeqCst);
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

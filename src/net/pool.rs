//! The fixed pool: as many workers as asked for, from start to end, whatever the load.
//!
//! A job holds a worker only while it computes or writes; nothing that waits for a peer belongs here.

use crate::system::{lock, processors};
use crossbeam::channel::{Receiver, Sender, unbounded};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads that run jobs in the order they came.
///
/// The queue has no cap of its own: what is put in it is bounded by the block buffers its jobs hold.
#[derive(Debug)]
pub struct Pool {
    queue: Mutex<Option<Sender<Job>>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    size: usize,
}

impl Pool {
    /// How many workers a machine gets by default: two a core, four at least.
    pub fn default_size() -> usize {
        processors().saturating_mul(2).max(4)
    }

    /// Starts `size` workers (one at least), named `NAME-1` and so on.
    ///
    /// # Errors
    /// When the system gives no further thread.
    pub fn start(name: &str, size: usize) -> io::Result<Self> {
        let (queue, jobs) = unbounded::<Job>();
        let size = size.max(1);
        let workers = (1..=size).map(|number| {
            let jobs = jobs.clone();
            thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || work(&jobs))
        });
        let workers = workers.collect::<io::Result<_>>()?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            workers: Mutex::new(workers),
            size,
        })
    }

    /// The number of workers.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Queues a job; after [`Pool::stop`] it is dropped.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) {
        let queue = lock(&self.queue);
        if let Some(queue) = queue.as_ref() {
            let _ = queue.send(Box::new(job));
        }
    }

    /// Takes no further job, lets queued ones finish and ends the workers.
    pub fn stop(&self) {
        drop(lock(&self.queue).take());
        let workers = std::mem::take(&mut *lock(&self.workers));
        for worker in workers {
            let _ = worker.join();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

fn work(jobs: &Receiver<Job>) {
    for job in jobs {
        // One job's fault must not take a worker from all others.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            log::error!("a job of the pool failed; the pool goes on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_job_queued_before_the_stop_runs_even_after_a_panic() {
        let pool = Pool::start("test", 3).unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        for number in 0..100 {
            let done = done.clone();
            pool.submit(move || {
                assert!(number % 10 != 0, "on purpose");
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        pool.stop();
        assert_eq!((done.load(Ordering::Relaxed), pool.size()), (90, 3));
    }
}

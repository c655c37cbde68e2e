//! The fixed thread pool. The number of workers does not change with the load.
//!
//! A job occupies a worker only while it computes or writes. A job must not wait for a remote peer.

use crate::system::{lock, processors};
use crossbeam::channel::{Receiver, Sender, unbounded};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads that run jobs in the order of submission.
///
/// The queue has no cap. Its length is bounded because each job that a peer submits holds block
/// buffers, and the number of buffers is bounded.
#[derive(Debug)]
pub struct WorkerPool {
    queue: Mutex<Option<Sender<Job>>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    size: usize,
}

impl WorkerPool {
    /// The default number of workers: two per processor, at least four.
    pub fn default_size() -> usize {
        processors().saturating_mul(2).max(4)
    }

    /// Starts `size` workers (at least one), named `NAME-1`, `NAME-2` and so on.
    ///
    /// # Errors
    /// The system cannot start another thread.
    pub fn start(name: &str, size: usize) -> io::Result<Self> {
        let (queue, jobs) = unbounded::<Job>();
        let size = size.max(1);
        let workers = (1..=size).map(|number| {
            let jobs = jobs.clone();
            thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || run_jobs(&jobs))
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

    /// Queues a job. After [`WorkerPool::stop`] the job is dropped.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) {
        let queue = lock(&self.queue);
        if let Some(queue) = queue.as_ref() {
            let _ = queue.send(Box::new(job));
        }
    }

    /// Accepts no further jobs, waits for the queued ones to finish, and ends the workers.
    pub fn stop(&self) {
        drop(lock(&self.queue).take());
        let workers = std::mem::take(&mut *lock(&self.workers));
        for worker in workers {
            let _ = worker.join();
        }
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run_jobs(jobs: &Receiver<Job>) {
    for job in jobs {
        // A panic in one job must not end the worker.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            log::error!("a job of the thread pool failed; the pool continues");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_job_queued_before_the_stop_runs_even_if_another_job_panics() {
        let pool = WorkerPool::start("test", 3).unwrap();
        let finished_jobs = Arc::new(AtomicUsize::new(0));
        for number in 0..100 {
            let finished_jobs = finished_jobs.clone();
            pool.submit(move || {
                assert!(number % 10 != 0, "on purpose");
                finished_jobs.fetch_add(1, Ordering::Relaxed);
            });
        }
        pool.stop();
        assert_eq!(finished_jobs.load(Ordering::Relaxed), 90);
        assert_eq!(pool.size(), 3);
    }
}

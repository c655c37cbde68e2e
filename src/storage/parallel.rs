//! Runs jobs on all cores. Each thread takes the next job and has one fixed buffer.

use super::StoreError;
use crate::system::{lock, recover};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Size of each thread's buffer in bytes.
pub(super) const BUFFER_LENGTH: usize = 256 << 10;

/// Runs `work` for each job on up to `threads` threads, including the calling one, until all jobs
/// are done, one fails, or `stop` is set.
///
/// # Errors
/// The first error of a job. [`StoreError::Stopped`] if `stop` is set.
pub(super) fn run_jobs<J: Send>(
    jobs: impl Iterator<Item = J> + Send,
    threads: usize,
    stop: &AtomicBool,
    work: impl Fn(J, &mut [u8]) -> Result<(), StoreError> + Sync,
) -> Result<(), StoreError> {
    let jobs = Mutex::new(jobs);
    let first_error = Mutex::new(None);
    let run = || {
        let mut buffer = vec![0; BUFFER_LENGTH];
        loop {
            if stop.load(Ordering::Relaxed) {
                set_first_error(&first_error, StoreError::Stopped);
            }
            if lock(&first_error).is_some() {
                return;
            }
            let Some(job) = lock(&jobs).next() else {
                return;
            };
            if let Err(error) = work(job, &mut buffer) {
                set_first_error(&first_error, error);
            }
        }
    };
    thread::scope(|scope| {
        for number in 1..threads {
            let thread = thread::Builder::new().name(format!("hash-{number}"));
            if thread.spawn_scoped(scope, run).is_err() {
                // The threads that were started can do all jobs.
                break;
            }
        }
        run();
    });
    let first_error = first_error.into_inner();
    recover(first_error).map_or(Ok(()), Err)
}

fn set_first_error(first_error: &Mutex<Option<StoreError>>, error: StoreError) {
    lock(first_error).get_or_insert(error);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn every_job_runs_once_and_the_first_error_stops_the_rest() {
        let runs: Vec<AtomicUsize> = (0..1_000).map(|_| AtomicUsize::new(0)).collect();
        let stop = AtomicBool::new(false);
        run_jobs(0..1_000, 4, &stop, |job, buffer| {
            assert_eq!(buffer.len(), BUFFER_LENGTH);
            runs[job].fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        assert!(runs.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        let tried = AtomicUsize::new(0);
        let result = run_jobs(0..1_000_000, 2, &stop, |job, _| {
            tried.fetch_add(1, Ordering::Relaxed);
            if job == 10 {
                return Err(StoreError::Missing("x".into()));
            }
            Ok(())
        });
        assert!(matches!(result, Err(StoreError::Missing(_))));
        assert!(tried.into_inner() < 1_000_000);
        stop.store(true, Ordering::Relaxed);
        let result = run_jobs(0..10, 2, &stop, |_, _| unreachable!());
        assert!(matches!(result, Err(StoreError::Stopped)));
    }
}

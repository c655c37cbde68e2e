//! Work over what lies on disk, on all cores: jobs taken in order, a fixed buffer a thread.

use super::StoreError;
use crate::system::{lock, recover};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Bytes read at once, by each thread.
pub(super) const BUFFER: usize = 256 << 10;

/// Does `work` for each job on up to `threads` threads, this one among them, until all are done, one fails or `stop` is
/// set.
///
/// # Errors
/// The first error of a job; [`StoreError::Stopped`].
pub(super) fn for_each<J: Send>(
    jobs: impl Iterator<Item = J> + Send,
    threads: usize,
    stop: &AtomicBool,
    work: impl Fn(J, &mut [u8]) -> Result<(), StoreError> + Sync,
) -> Result<(), StoreError> {
    let jobs = Mutex::new(jobs);
    let failed = Mutex::new(None);
    let run = || {
        let mut buffer = vec![0; BUFFER];
        loop {
            if stop.load(Ordering::Relaxed) {
                fail(&failed, StoreError::Stopped);
            }
            if lock(&failed).is_some() {
                return;
            }
            let Some(job) = lock(&jobs).next() else {
                return;
            };
            if let Err(error) = work(job, &mut buffer) {
                fail(&failed, error);
            }
        }
    };
    thread::scope(|scope| {
        for number in 1..threads {
            let thread = thread::Builder::new().name(format!("hash-{number}"));
            if thread.spawn_scoped(scope, run).is_err() {
                // The threads there are do the work as well.
                break;
            }
        }
        run();
    });
    let failed = failed.into_inner();
    recover(failed).map_or(Ok(()), Err)
}

fn fail(failed: &Mutex<Option<StoreError>>, error: StoreError) {
    lock(failed).get_or_insert(error);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn every_job_is_done_once_and_the_first_error_ends_the_rest() {
        let done: Vec<AtomicUsize> = (0..1_000).map(|_| AtomicUsize::new(0)).collect();
        let stop = AtomicBool::new(false);
        for_each(0..1_000, 4, &stop, |job, buffer| {
            assert_eq!(buffer.len(), BUFFER);
            done[job].fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        let tried = AtomicUsize::new(0);
        let result = for_each(0..1_000_000, 2, &stop, |job, _| {
            tried.fetch_add(1, Ordering::Relaxed);
            if job == 10 {
                return Err(StoreError::Missing("x".into()));
            }
            Ok(())
        });
        assert!(matches!(result, Err(StoreError::Missing(_))));
        assert!(tried.into_inner() < 1_000_000);
        stop.store(true, Ordering::Relaxed);
        let result = for_each(0..10, 2, &stop, |_, _| unreachable!());
        assert!(matches!(result, Err(StoreError::Stopped)));
    }
}

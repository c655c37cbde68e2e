//! Locks, the wall clock and the number of processors, each in the one way this program uses them.
//!
//! Not for the pure floors: those get the time as an argument and hold no lock.

use std::sync::{LockResult, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

/// Locks `mutex`, even after a thread has panicked while it held the lock.
///
/// No data here is left half changed by a panic, so that the other threads can go on.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    recover(mutex.lock())
}

/// What a lock or a wait for a condition returned, poisoned or not: see [`lock`].
pub fn recover<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

/// The time by the wall clock since 1970; zero if the clock is set before that.
pub fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// How many threads can compute at one time, at least one.
pub fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

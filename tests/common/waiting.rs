//! Waiting for something to happen, with a bound.

use std::thread;
use std::time::{Duration, Instant};

/// The longest wait for anything that a test expects. A test that waits longer fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two checks of a condition.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Checks until the condition called `what` holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    poll(
        PATIENCE,
        POLL_INTERVAL,
        || holds().then_some(()),
        || format!("this never came true: {what}"),
    );
}

/// Calls `answer` until it returns a value. The interval is short, so that states that pass quickly
/// are seen too.
pub(crate) fn wait_for<T>(answer: impl FnMut() -> Option<T>, complaint: impl Fn() -> String) -> T {
    poll(PATIENCE, Duration::from_millis(2), answer, complaint)
}

/// Calls `answer` every `interval` until it returns a value. Panics with `complaint` after `bound`.
pub(crate) fn poll<T>(
    bound: Duration,
    interval: Duration,
    mut answer: impl FnMut() -> Option<T>,
    complaint: impl Fn() -> String,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(start.elapsed() < bound, "{}", complaint());
        thread::sleep(interval);
    }
}

//! Waiting for something, with a bound.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that is expected to happen; a test that runs into it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until there is an answer.
pub(crate) fn wait_for<T>(
    mut answer: impl FnMut() -> Option<T>,
    complaint: impl Fn() -> String,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "{}", complaint());
        thread::sleep(Duration::from_millis(2));
    }
}

//! The wall clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since 1970. A clock that is set before 1970 counts as standing there.
pub(crate) fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

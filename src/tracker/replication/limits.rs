//! All time limits, intervals and sizes of replication.

use std::time::Duration;

/// How long a write waits at most until another tracker has it.
pub const PUSH_WAIT: Duration = Duration::from_secs(2);
/// How long a starting tracker waits to be in sync with another one.
pub const START_WAIT: Duration = Duration::from_secs(2);
/// Interval between two reports of the version vector to another tracker.
pub const PING_INTERVAL: Duration = Duration::from_secs(1);
/// A connection that has been silent this long is closed.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// A tracker that was paused for this long starts again (rule 6 of [`super`]). Its last message
/// reached the other trackers at most [`PING_INTERVAL`] before the pause, so they keep the
/// connection to it during any shorter pause. A wall clock that is set forward by this much looks
/// like such a pause, which costs one short restart.
pub const STALL_LIMIT: Duration = IDLE_TIMEOUT.saturating_sub(PING_INTERVAL);
/// How long the answer to a pull, or the next part of a blob, may take.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause before a tracker that did not answer is asked again.
pub const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Approximate size of one batch of changes in bytes.
pub const BATCH_BYTES: usize = 64 << 10;
/// Minimum time between the expiry of a row and its deletion. It is long, so that clocks that are
/// wrong by hours delete nothing too early.
pub const EXPIRED_ROW_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// Interval between garbage collections. The first one comes [`IDLE_TIMEOUT`] after the start, when
/// connections have had time to open.
pub const GC_INTERVAL: Duration = Duration::from_secs(60);

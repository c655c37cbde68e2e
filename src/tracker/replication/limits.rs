//! Every time and size of replication.

use std::time::Duration;

/// How long a write waits for another tracker to have it.
pub const PUSH_WAIT: Duration = Duration::from_secs(2);
/// How long after the start a tracker waits to be in step with another one.
pub const START_WAIT: Duration = Duration::from_secs(2);
/// How long without a tick a tracker counts as having stood still. The monotonic clock does not count a machine's sleep, the
/// wall clock does; one that is set forward by as much looks the same, and costs a moment.
pub const STANDSTILL: Duration = Duration::from_secs(2);
/// How often another tracker is sent what is known here.
pub const PING: Duration = Duration::from_secs(1);
/// How long a line may be silent before it is closed.
pub const SILENCE: Duration = Duration::from_secs(5);
/// How long the answer to a pull, or the next part of a blob, may take.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// How long another tracker that failed to answer is not asked again.
pub const PAUSE: Duration = Duration::from_secs(1);
/// About how many bytes one batch of changes has.
pub const BATCH: usize = 64 << 10;
/// How long past its time a row is kept at least: clocks that are wrong by hours drop nothing too early.
pub const KEEP: Duration = Duration::from_secs(24 * 60 * 60);
/// Interval between garbage collections. The first one waits until connections have had time to come up.
pub const FORGET: Duration = Duration::from_secs(60);

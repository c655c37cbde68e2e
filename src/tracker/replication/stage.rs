//! Whether this tracker serves: not before it knows enough, and not at all with data that others know to be old.
//!
//! | from | by | to |
//! |---|---|---|
//! | starting | enough is known ([`Stage::is_ready`]) | serving |
//! | starting, serving | the tracker has stood still | starting |
//! | starting, serving | others have newer or the same data | halted, for good |

use super::{Halt, Moment, Others, START_WAIT, Serving, Start};
use crate::tracker::registry::VersionVector;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    Starting { start: Start, since: Duration },
    Serving,
    Halted(Halt),
}

impl Stage {
    pub(super) fn new(start: Start, now: Moment) -> Self {
        let since = now.elapsed;
        Self::Starting { start, since }
    }

    /// The stage of a tracker that has stood still: it starts again.
    #[must_use]
    pub(super) fn again(self, now: Moment) -> Self {
        match self {
            Self::Starting { start, .. } => Self::new(start, now),
            Self::Serving | Self::Halted(_) => Self::new(Start::Resumed, now),
        }
    }

    /// Whether this tracker serves.
    pub(super) fn serving(self) -> Serving {
        match self {
            Self::Serving => Serving::Yes,
            Self::Halted(halt) => Serving::Halted(halt),
            Self::Starting {
                start: Start::Restored,
                ..
            } => Serving::Restoring,
            Self::Starting { .. } => Serving::Waiting,
        }
    }

    pub(super) fn serves(self) -> bool {
        matches!(self, Self::Serving)
    }

    pub(super) fn is_halted(self) -> bool {
        matches!(self, Self::Halted(_))
    }

    /// Whether a tracker that starts, and knows what `ours` says, may serve from now on.
    pub(super) fn is_ready(self, others: &Others, ours: &VersionVector, now: Moment) -> bool {
        let Self::Starting { start, since } = self else {
            return false;
        };
        let waited = now.elapsed >= since + START_WAIT;
        let ready = match start {
            Start::Alone => true,
            Start::Resumed => (others.all_heard_of() && others.in_step(ours, false)) || waited,
            Start::Empty => others.in_step(ours, false) || (!others.any_up() && waited),
            Start::Restored => others.in_step(ours, true),
        };
        // A single tracker that is restored has nobody to wait for.
        ready || others.all.is_empty()
    }
}

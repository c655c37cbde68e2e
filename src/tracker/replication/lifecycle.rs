//! Whether this tracker serves. After a start it may have to wait for other trackers. It never
//! serves with data that other trackers know to be old.
//!
//! | from | by | to |
//! |---|---|---|
//! | starting | [`Lifecycle::may_serve`] returns true | serving |
//! | starting, serving | the tracker stalled ([`Lifecycle::restarted`]) | starting |
//! | starting, serving | another tracker uses our origin, or knows later writes of it | halted |
//!
//! A halted tracker stays halted.

use super::{HaltReason, Moment, OtherReplicas, START_WAIT, Serving, StartData};
use crate::tracker::registry::VersionVector;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(super) enum Lifecycle {
    /// Does not serve yet. `since` is the [`Moment::elapsed`] at which the state began.
    Starting {
        start: StartData,
        since: Duration,
    },
    Serving,
    Halted(HaltReason),
}

impl Lifecycle {
    pub(super) fn new(start: StartData, now: Moment) -> Self {
        let since = now.elapsed;
        Self::Starting { start, since }
    }

    /// The state after a stall: the tracker starts again. Not called for a halted tracker.
    #[must_use]
    pub(super) fn restarted(self, now: Moment) -> Self {
        match self {
            Self::Starting { start, .. } => Self::new(start, now),
            Self::Serving | Self::Halted(_) => Self::new(StartData::Resumed, now),
        }
    }

    /// Whether this tracker serves.
    pub(super) fn serving(self) -> Serving {
        match self {
            Self::Serving => Serving::Yes,
            Self::Halted(halt) => Serving::Halted(halt),
            Self::Starting {
                start: StartData::Restored,
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

    /// Whether a starting tracker whose version vector is `ours` may serve from now on.
    pub(super) fn may_serve(
        self,
        others: &OtherReplicas,
        ours: &VersionVector,
        now: Moment,
    ) -> bool {
        let Self::Starting { start, since } = self else {
            return false;
        };
        let has_waited = now.elapsed >= since + START_WAIT;
        let caught_up = others.caught_up_with_any(ours, false);
        let caught_up_with_serving = others.caught_up_with_any(ours, true);
        let ready = match start {
            StartData::Alone => true,
            StartData::Resumed => (others.all_have_reported() && caught_up) || has_waited,
            StartData::Empty => caught_up || (!others.any_connected() && has_waited),
            StartData::Restored => caught_up_with_serving,
        };
        // A single tracker, even a restored one, has no other tracker to wait for.
        ready || others.listed.is_empty()
    }
}

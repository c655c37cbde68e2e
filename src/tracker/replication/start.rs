//! Whether this tracker serves: not before it knows enough, and not at all with data that others know to be old.

use super::{Effect, Moment, Replica, Report, STANDSTILL, START_WAIT};
use crate::tracker::registry::MergeError;
use crate::tracker::registry::{Origin, Sequence, VersionVector};
use crate::wire::twin::TrackerNumber;
use std::time::Duration;

/// What kind of data a tracker starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Those it had when it ended.
    Resumed,
    /// None: a new folder.
    Empty,
    /// A backup's, under a new origin.
    Restored,
    /// Whatever they are, it serves at once: the operator says that no other tracker has newer data.
    Alone,
}

/// Whether a tracker serves clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Serving {
    /// It does.
    #[error("serving")]
    Yes,
    /// It waits for a twin: to be in step with one.
    #[error("this tracker has just started or stood still and waits for another one; try again")]
    Waiting,
    /// A restored one waits for a twin that serves, as long as that takes.
    #[error(
        "this tracker was restored and waits for another one to catch up with; start it with --alone if there is none"
    )]
    Restoring,
    /// It will not serve with these data.
    #[error(transparent)]
    Halted(Halt),
    /// A commit failed, as whoever drives the replica says: memory is ahead of the disk.
    #[error("this tracker cannot write its database; its log says why")]
    Failed,
}

/// Why a tracker may not serve with its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// Others know writes of it that it does not know itself.
    #[error(
        "another tracker knows write {heard} of this one, which knows only {known}: these data are an older copy; start them by a restore, which gives them a new origin"
    )]
    Rewound {
        /// The last own write known here.
        known: u64,
        /// The own write another one knows.
        heard: u64,
    },
    /// Another tracker runs with a copy of its data.
    #[error(
        "tracker {twin} runs with a copy of this one's data folder; give one of them an empty folder, which fills itself, or start it by a restore"
    )]
    Copied {
        /// Which.
        twin: TrackerNumber,
    },
}

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
}

impl Replica {
    /// Whether this tracker serves.
    pub fn serving(&self) -> Serving {
        match self.stage {
            Stage::Serving => Serving::Yes,
            Stage::Halted(halt) => Serving::Halted(halt),
            Stage::Starting {
                start: Start::Restored,
                ..
            } => Serving::Restoring,
            Stage::Starting { .. } => Serving::Waiting,
        }
    }

    pub(super) fn serves(&self) -> bool {
        matches!(self.stage, Stage::Serving)
    }

    pub(super) fn is_halted(&self) -> bool {
        matches!(self.stage, Stage::Halted(_))
    }

    pub(super) fn consider_serving(&mut self, now: Moment) {
        let Stage::Starting { start, since } = self.stage else {
            return;
        };
        let ours = self.registry.version_vector();
        let up = || self.twins.values().filter(|twin| twin.session.is_some());
        let includes = |told: &Option<VersionVector>| {
            let told = told.as_ref();
            told.is_some_and(|told| ours.includes(told))
        };
        let waited = now.elapsed >= since + START_WAIT;
        let all = self.twins.values().all(|twin| twin.told.is_some());
        let ready = match start {
            Start::Alone => true,
            Start::Resumed => (all && up().any(|twin| includes(&twin.told))) || waited,
            Start::Empty => {
                up().any(|twin| includes(&twin.told)) || (up().next().is_none() && waited)
            }
            Start::Restored => up().any(|twin| twin.serving && includes(&twin.told)),
        };
        // A single tracker that is restored has nobody to wait for.
        if ready || self.twins.is_empty() {
            // Data that have been served once in this run are no older copy.
            if let Some(spare) = self.spare.take().filter(|_| !all) {
                self.take_origin(spare);
            }
            self.stage = Stage::Serving;
            self.report(Report::Serves);
        }
    }

    /// Somebody who has not been heard of may know own writes that are not known here: writes from now on bear an origin
    /// that has none.
    fn take_origin(&mut self, origin: Origin) {
        self.registry.renew(origin);
        self.origin_is_new = true;
        self.issue(Vec::new(), Vec::new(), Vec::new(), Vec::new());
        // They were told another one.
        self.close_all();
    }

    /// For how long this tracker has stood still at `now`, if it has.
    pub fn stood_still(&self, now: Moment) -> Option<Duration> {
        let elapsed = now.elapsed.saturating_sub(self.ticked.elapsed);
        let passed = elapsed.max(now.wall.saturating_sub(self.ticked.wall));
        let halted = self.is_halted() || self.is_single();
        (passed >= STANDSTILL && !halted).then_some(passed)
    }

    /// Starts again if this tracker has stood still: what lies in its lines is of a time before others went on.
    pub(super) fn notice_standstill(&mut self, now: Moment) {
        let Some(passed) = self.stood_still(now) else {
            return;
        };
        self.ticked = now;
        self.report(Report::StoodStill { passed });
        self.close_all();
        for twin in self.twins.values_mut() {
            twin.told = None;
        }
        let since = now.elapsed;
        let start = match self.stage {
            Stage::Starting { start, .. } => start,
            _ => Start::Resumed,
        };
        self.stage = Stage::Starting { start, since };
    }

    fn close_all(&mut self) {
        let lines: Vec<_> = self.lines.keys().copied().collect();
        for line in lines {
            self.close(line);
        }
    }

    /// Halts if a twin knows own writes that are not known here; gives whether it did.
    pub(super) fn is_rewound(&mut self, theirs: &VersionVector) -> bool {
        let origin = self.registry.origin();
        let (known, heard) = (self.registry.version_vector().of(origin), theirs.of(origin));
        if heard > known {
            self.rewound(known, heard);
        }
        heard > known
    }

    fn rewound(&mut self, known: Sequence, heard: Sequence) {
        self.halt(Halt::Rewound {
            known: known.number(),
            heard: heard.number(),
        });
    }

    pub(super) fn halt_of(&mut self, error: &MergeError) -> bool {
        let MergeError::Rewound { known, heard } = *error else {
            return false;
        };
        self.halt(Halt::Rewound { known, heard });
        true
    }

    /// Ends all that goes on, for good.
    pub(super) fn halt(&mut self, halt: Halt) {
        if self.is_halted() {
            return;
        }
        self.stage = Stage::Halted(halt);
        self.commits.clear();
        self.catch_up = None;
        self.fetch = None;
        for twin in self.twins.values_mut() {
            twin.session = None;
        }
        let lines = std::mem::take(&mut self.lines).into_keys();
        self.effects.extend(lines.map(Effect::Close));
        let writes = std::mem::take(&mut self.writes).into_keys();
        self.effects
            .extend(writes.map(|write| Effect::Abandon { write }));
        self.report(Report::Halted(halt));
    }
}

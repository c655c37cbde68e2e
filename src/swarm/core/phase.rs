//! The phases of a share, and all transitions between them.
//!
//! | from | transition | to |
//! |---|---|---|
//! | `Checking` | `Begin`, the files are in their final place | `Complete` |
//! | `Checking` | `Begin`, otherwise | `Fetching` |
//! | `Checking`, `Fetching`, `Finishing` | `Wait` | `Waiting` |
//! | `Waiting` | `EndWait` | `Checking` |
//! | `Fetching` | `AllOwned` | `Finishing` |
//! | `Fetching` | `Trouble` | `Fetching`, with the trouble |
//! | `Finishing` | `Finished` | `Complete` |
//! | `Complete` | `Withdraw` | `Withdrawn` |
//! | `Withdrawn` | `Restore` | `Complete` |
//! | `Checking`, `Complete`, `Withdrawn` | `Lose` | `Lost` |
//! | `Lost` | `StillLost` | `Lost`, with the new reason |
//! | `Lost` | `Regain` | `Checking` |
//! | `Fetching`, `Complete` | `SetAside` | `Checking` |
//! | any but `Failed` and `Retired` | `Fail` | `Failed` |
//! | any but `Failed` | `Retire` | `Retired` |
//! | `Retired` | `PutBack` | `Checking` |
//!
//! Everything else is refused and changes nothing. So `Failed` is final, and a retired share stays
//! retired until it is put back.

use std::time::Duration;

/// What a download waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Its files. The download has begun, but its files are missing, for example because their disk
    /// is not mounted.
    Files,
    /// Room for this many bytes on the disk of its files.
    Room(u64),
    /// Room for its record on the disk of the state folder.
    RoomForRecord,
}

/// The phase of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The files on disk are being checked. Nothing is served or fetched yet.
    Checking,
    /// A download waits for something. Until that is there, nothing is served, fetched or written.
    Waiting {
        /// What the download waits for.
        awaited: Awaited,
        /// Why it waits, and what the user can do.
        reason: String,
    },
    /// Missing pieces are fetched, owned pieces are served.
    Fetching {
        /// Why owned pieces cannot be served, if there was trouble.
        trouble: Option<String>,
    },
    /// Every needed piece is owned. Whole files are checked and get their final names.
    Finishing,
    /// Everything that is wanted is owned and served.
    Complete,
    /// The share is complete but not served: its user has left the group, the share is not in the
    /// catalogue, or its user stops sharing it.
    Withdrawn {
        /// Why.
        reason: String,
    },
    /// The share was complete, but its files are no longer what was verified. Nothing is served.
    Lost {
        /// Why.
        reason: String,
    },
    /// The share has stopped for good.
    Failed {
        /// Why.
        reason: String,
    },
    /// The share has left the map of transfers: another replaces it, or it is no longer wanted.
    Retired,
}

impl Phase {
    /// Whether owned pieces are served.
    pub fn serves(&self) -> bool {
        matches!(
            self,
            Self::Fetching { .. } | Self::Finishing | Self::Complete
        )
    }

    /// Whether missing pieces are fetched.
    pub fn fetches(&self) -> bool {
        matches!(self, Self::Fetching { .. })
    }

    /// Whether the share is complete, with final file names, or was complete until it was withdrawn
    /// or lost.
    pub fn was_complete(&self) -> bool {
        matches!(
            self,
            Self::Complete | Self::Withdrawn { .. } | Self::Lost { .. }
        )
    }

    /// Whether the share is served and nothing more is fetched (BEP 21, `upload_only`).
    pub fn only_uploads(&self) -> bool {
        matches!(self, Self::Finishing | Self::Complete)
    }
}

/// The cause of a phase change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    /// The files were checked.
    Begin {
        /// Whether the files are in their final place.
        in_place: bool,
    },
    /// The download has to wait for something, for this reason.
    Wait(Awaited, String),
    /// What the download waited for is there.
    EndWait,
    /// Every needed piece is owned.
    AllOwned,
    /// Owned pieces cannot be served, for this reason. Fetching goes on.
    Trouble(String),
    /// The files have their final names.
    Finished,
    /// The share may no longer be served.
    Withdraw(String),
    /// The share may be served again.
    Restore,
    /// The files are no longer what was verified.
    Lose(String),
    /// A further check found that a lost share is still lost, for this reason.
    StillLost(String),
    /// A further check found that the files are again what was verified. The caller then makes
    /// [`Transition::Begin`].
    Regain,
    /// The share is no longer served or fetched, so that a download of more files can replace it.
    /// If that download does not start, the share is checked and begins again.
    SetAside,
    /// The share stops for good.
    Fail(String),
    /// The share leaves the map of transfers.
    Retire,
    /// The share returns to the map of transfers.
    PutBack,
}

/// The phase, and the time of the download.
#[derive(Debug)]
pub(super) struct Lifecycle {
    phase: Phase,
    /// When the last [`Transition::Begin`] was made. Before the first one, when checking began.
    started: Duration,
    /// When the share became complete or failed.
    ended: Option<Duration>,
}

impl Lifecycle {
    /// A share that is being checked since `now`.
    pub(super) fn new(now: Duration) -> Self {
        Self {
            phase: Phase::Checking,
            started: now,
            ended: None,
        }
    }

    pub(super) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// From the beginning of the download to its end, or to `now`.
    pub(super) fn elapsed(&self, now: Duration) -> Duration {
        self.ended.unwrap_or(now).saturating_sub(self.started)
    }

    /// Makes this transition if the table above has it for the present phase. Otherwise changes
    /// nothing and returns `false`.
    pub(super) fn change(&mut self, transition: Transition, now: Duration) -> bool {
        use Phase::{
            Checking, Complete, Failed, Fetching, Finishing, Lost, Retired, Waiting, Withdrawn,
        };
        let next = match (&self.phase, transition) {
            (Checking, Transition::Begin { in_place: true }) => Complete,
            (Checking, Transition::Begin { in_place: false }) => Fetching { trouble: None },
            (Checking | Fetching { .. } | Finishing, Transition::Wait(awaited, reason)) => {
                Waiting { awaited, reason }
            }
            (Fetching { .. }, Transition::AllOwned) => Finishing,
            (Fetching { .. }, Transition::Trouble(trouble)) => Fetching {
                trouble: Some(trouble),
            },
            (Finishing, Transition::Finished) => Complete,
            (Complete, Transition::Withdraw(reason)) => Withdrawn { reason },
            (Withdrawn { .. }, Transition::Restore) => Complete,
            (Checking | Complete | Withdrawn { .. }, Transition::Lose(reason))
            | (Lost { .. }, Transition::StillLost(reason)) => Lost { reason },
            (Lost { .. }, Transition::Regain)
            | (Waiting { .. }, Transition::EndWait)
            | (Fetching { .. } | Complete, Transition::SetAside)
            | (Retired, Transition::PutBack) => Checking,
            (Failed { .. }, _) => return false,
            (_, Transition::Retire) => Retired,
            (Retired, _) => return false,
            (_, Transition::Fail(reason)) => Failed { reason },
            _ => return false,
        };
        match (&self.phase, &next) {
            (Checking, Fetching { .. }) => (self.started, self.ended) = (now, None),
            (Checking, Complete) => (self.started, self.ended) = (now, Some(now)),
            (Finishing, Complete) | (_, Failed { .. }) => self.ended = Some(now),
            _ => {}
        }
        self.phase = next;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        "x".to_owned()
    }

    /// One phase of each kind, with its name in the table.
    fn phases() -> [(&'static str, Phase); 9] {
        let reason = text();
        [
            ("Checking", Phase::Checking),
            (
                "Waiting",
                Phase::Waiting {
                    awaited: Awaited::Files,
                    reason: reason.clone(),
                },
            ),
            ("Fetching", Phase::Fetching { trouble: None }),
            ("Finishing", Phase::Finishing),
            ("Complete", Phase::Complete),
            (
                "Withdrawn",
                Phase::Withdrawn {
                    reason: reason.clone(),
                },
            ),
            (
                "Lost",
                Phase::Lost {
                    reason: reason.clone(),
                },
            ),
            ("Failed", Phase::Failed { reason }),
            ("Retired", Phase::Retired),
        ]
    }

    fn name(phase: &Phase) -> &'static str {
        let kind = std::mem::discriminant(phase);
        let mut all = phases().into_iter();
        let found = all.find(|(_, other)| std::mem::discriminant(other) == kind);
        found.unwrap().0
    }

    #[test]
    fn the_code_makes_the_transitions_of_the_table_and_refuses_all_others() {
        let alive = [
            "Checking",
            "Waiting",
            "Fetching",
            "Finishing",
            "Complete",
            "Withdrawn",
            "Lost",
        ];
        let all_but_failed: Vec<&str> = alive.into_iter().chain(["Retired"]).collect();
        let table: [(Transition, &[&str], &str); 16] = [
            (
                Transition::Begin { in_place: true },
                &["Checking"],
                "Complete",
            ),
            (
                Transition::Begin { in_place: false },
                &["Checking"],
                "Fetching",
            ),
            (
                Transition::Wait(Awaited::Room(1), text()),
                &["Checking", "Fetching", "Finishing"],
                "Waiting",
            ),
            (Transition::EndWait, &["Waiting"], "Checking"),
            (Transition::AllOwned, &["Fetching"], "Finishing"),
            (Transition::Trouble(text()), &["Fetching"], "Fetching"),
            (Transition::Finished, &["Finishing"], "Complete"),
            (Transition::Withdraw(text()), &["Complete"], "Withdrawn"),
            (Transition::Restore, &["Withdrawn"], "Complete"),
            (
                Transition::Lose(text()),
                &["Checking", "Complete", "Withdrawn"],
                "Lost",
            ),
            (Transition::StillLost(text()), &["Lost"], "Lost"),
            (Transition::Regain, &["Lost"], "Checking"),
            (Transition::SetAside, &["Fetching", "Complete"], "Checking"),
            (Transition::Fail(text()), &alive, "Failed"),
            (Transition::Retire, &all_but_failed, "Retired"),
            (Transition::PutBack, &["Retired"], "Checking"),
        ];
        let now = Duration::from_secs(1);
        for (transition, from, to) in table {
            for (at, phase) in phases() {
                let mut lifecycle = Lifecycle::new(now);
                lifecycle.phase = phase.clone();
                let changed = lifecycle.change(transition.clone(), now);
                assert_eq!(changed, from.contains(&at), "{at}: {transition:?}");
                let expected = if changed { to } else { at };
                assert_eq!(name(lifecycle.phase()), expected, "{at}: {transition:?}");
            }
        }
    }

    #[test]
    fn the_elapsed_time_goes_from_the_beginning_of_a_download_to_its_end() {
        let at = Duration::from_secs;
        let mut lifecycle = Lifecycle::new(at(1));
        lifecycle.change(Transition::Begin { in_place: false }, at(3));
        assert_eq!(lifecycle.elapsed(at(7)), at(4));
        lifecycle.change(Transition::AllOwned, at(8));
        lifecycle.change(Transition::Finished, at(9));
        assert_eq!(lifecycle.elapsed(at(20)), at(6));
        lifecycle.change(Transition::Withdraw(text()), at(21));
        lifecycle.change(Transition::Restore, at(22));
        assert_eq!(lifecycle.elapsed(at(23)), at(6));
        let mut whole = Lifecycle::new(at(1));
        whole.change(Transition::Begin { in_place: true }, at(3));
        assert_eq!(whole.elapsed(at(9)), at(0));
        whole.change(Transition::Fail(text()), at(9));
        assert_eq!(whole.elapsed(at(10)), at(6));
    }
}

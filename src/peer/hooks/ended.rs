//! Which end of a share or download is to be reported to a hook. Pure.
//!
//! | reported before | state now | event | reported after |
//! |---|---|---|---|
//! | nothing or `Failed` | complete download | `complete` | `Complete` |
//! | `Complete` of other files | complete download | `complete` | `Complete` |
//! | `Lost` | complete download | none | `Complete` |
//! | anything | complete share of its own | none | nothing |
//! | anything but `Failed` | failed | `error` | `Failed` |
//! | anything but `Lost` | lost | `error` | `Lost` |
//! | `Failed` | under way again | none | nothing |
//! | anything else | | none | as before |
//!
//! A user who ends a download needs no report: the transfer then counts as unsettled.

use super::HookKind;
use crate::storage::ReportedEnd;

/// The state of a share or download, as far as hooks are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EndState {
    /// Its files are checked, it waits, or its user has ended it.
    Unsettled,
    /// Pieces or metadata are fetched.
    UnderWay,
    /// It is complete.
    Complete {
        /// Whether it is a download.
        is_download: bool,
        /// The length of its wanted files.
        bytes: u64,
    },
    /// It has failed for this reason.
    Failed(String),
    /// It was complete, but its files have changed or are gone.
    Lost(String),
}

/// What follows from a state.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// The event, and the reason of an error. `None`: no hook is run.
    pub(super) event: Option<(HookKind, Option<String>)>,
    /// What is reported after that.
    pub(super) reported: Option<ReportedEnd>,
}

/// What follows from the state of a share or download. `before`: what was reported of it.
pub(super) fn report(before: Option<ReportedEnd>, state: EndState) -> Report {
    use ReportedEnd::{Complete, Failed, Lost};
    let silent = |reported| Report {
        event: None,
        reported,
    };
    let error = |reason, reported| Report {
        event: Some((HookKind::Error, Some(reason))),
        reported: Some(reported),
    };
    match (before, state) {
        (_, EndState::Complete { is_download, .. }) if !is_download => silent(None),
        (Some(Failed), EndState::UnderWay) => silent(None),
        (Some(Lost), EndState::Complete { bytes, .. }) => silent(Some(Complete { bytes })),
        (Some(Complete { bytes: before }), EndState::Complete { bytes, .. }) if bytes == before => {
            silent(Some(Complete { bytes }))
        }
        (_, EndState::Complete { bytes, .. }) => Report {
            event: Some((HookKind::Complete, None)),
            reported: Some(Complete { bytes }),
        },
        (Some(Failed), EndState::Failed(_)) | (Some(Lost), EndState::Lost(_)) => silent(before),
        (_, EndState::Failed(reason)) => error(reason, Failed),
        (_, EndState::Lost(reason)) => error(reason, Lost),
        (before, EndState::Unsettled | EndState::UnderWay) => silent(before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a transfer that is in these states, one after the other.
    fn events(states: &[EndState]) -> Vec<&'static str> {
        let (mut reported, mut events) = (None, Vec::new());
        for state in states {
            let report = report(reported, state.clone());
            reported = report.reported;
            events.extend(report.event.map(|(kind, _)| kind.event()));
        }
        events
    }

    fn failed() -> EndState {
        EndState::Failed("x".to_owned())
    }

    fn lost() -> EndState {
        EndState::Lost("x".to_owned())
    }

    const COMPLETE: EndState = EndState::Complete {
        is_download: true,
        bytes: 5,
    };
    const OWN: EndState = EndState::Complete {
        is_download: false,
        bytes: 5,
    };

    #[test]
    fn a_download_of_more_files_is_complete_again() {
        let more = EndState::Complete {
            is_download: true,
            bytes: 9,
        };
        // The states between may pass too quickly to be seen.
        let states = [COMPLETE, COMPLETE, more.clone(), more];
        assert_eq!(events(&states), ["complete", "complete"]);
    }

    #[test]
    fn a_download_is_complete_once() {
        use EndState::{UnderWay, Unsettled};
        // The second check is that of a restart.
        let states = [Unsettled, UnderWay, COMPLETE, COMPLETE, Unsettled, COMPLETE];
        assert_eq!(events(&states), ["complete"]);
    }

    #[test]
    fn each_loss_and_each_failure_is_an_error() {
        use EndState::{UnderWay, Unsettled};
        let states = [COMPLETE, lost(), lost(), Unsettled, COMPLETE, lost()];
        assert_eq!(events(&states), ["complete", "error", "error"]);
        let states = [OWN, lost(), OWN, lost()];
        assert_eq!(events(&states), ["error", "error"]);
        let states = [failed(), failed(), UnderWay, failed(), UnderWay, COMPLETE];
        assert_eq!(events(&states), ["error", "error", "complete"]);
    }

    #[test]
    fn an_own_share_that_is_complete_is_no_event() {
        assert!(events(&[EndState::Unsettled, OWN, OWN]).is_empty());
    }
}

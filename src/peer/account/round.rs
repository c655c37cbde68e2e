//! What one time round all trackers gave, and what is made of it.

use super::AccountError;
use crate::peer::TrustError;
use crate::wire::access::{Ask, ErrorKind, Reply};

/// What came of a request.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) reply: Reply,
    /// Whether every tracker that is listed was heard, where the reply says that a session is over.
    pub(super) unanimous: bool,
}

/// What one time round all trackers gave.
#[derive(Default)]
pub(super) struct Round {
    /// A refusal by which another tracker may not go.
    pub(super) refused: Option<Reply>,
    /// Somebody is about to serve.
    pub(super) is_starting: bool,
    /// How many were to be asked, and how many say that the session is over.
    pub(super) asked: usize,
    pub(super) ended: usize,
    /// Somebody may only have been slow.
    pub(super) late: bool,
    pub(super) untrusted: Option<TrustError>,
    pub(super) troubles: Vec<String>,
}

/// Whether a refusal says only that its tracker cannot tell now: another one may.
pub(super) fn is_no_answer(kind: ErrorKind) -> bool {
    kind.is_unserved() || kind == ErrorKind::NotSaved || kind == ErrorKind::Busy
}

/// Whether a refusal says that the login is over.
pub(super) fn ends_session(kind: ErrorKind) -> bool {
    kind == ErrorKind::SessionEnded || kind == ErrorKind::AccountGone
}

impl Round {
    /// Whether a tracker may have done what it says it has not.
    pub(super) fn asked_again(&self, reply: &Reply, ask: &Ask) -> bool {
        let unsaved = matches!(&reply.result, Err(refused) if refused.kind == ErrorKind::NotSaved);
        unsaved && ask.is_write()
    }

    /// A tracker is not of our cluster.
    pub(super) fn on_untrusted(&mut self, error: TrustError) {
        self.untrusted = Some(error);
    }

    /// A tracker did not answer, for this reason; it may only have been `late`.
    pub(super) fn on_silence(&mut self, what: String, late: bool) {
        self.late |= late;
        self.troubles.push(what);
    }

    /// Gives a reply back if it is the last word.
    pub(super) fn weigh(&mut self, reply: Reply) -> Option<Reply> {
        let Err(refused) = &reply.result else {
            return Some(reply);
        };
        let kind = refused.kind;
        self.is_starting |= kind == ErrorKind::Starting;
        self.ended += usize::from(ends_session(kind));
        if !ends_session(kind) && !is_no_answer(kind) {
            return Some(reply);
        }
        let weaker =
            |before: &Reply| matches!(&before.result, Err(refused) if refused.kind.is_unserved());
        if self.refused.as_ref().is_none_or(weaker) {
            self.refused = Some(reply);
        }
        None
    }

    /// No reply was the last word. `sent` is whether a tracker was asked that gave no answer.
    pub(super) fn end(mut self, sent: bool) -> Result<Told, AccountError> {
        if let Some(reply) = self.refused {
            // A tracker that does not answer may know more of a session than one that does.
            let unanimous = self.ended == self.asked;
            match &reply.result {
                Err(refused) if ends_session(refused.kind) && !unanimous => {
                    self.troubles
                        .push(format!("the one that answers says: {refused}"));
                }
                _ => return Ok(Told { reply, unanimous }),
            }
        }
        match self.untrusted {
            Some(error) => Err(AccountError::Untrusted(error)),
            None => Err(AccountError::NoTracker {
                troubles: self.troubles.join("; "),
                sent,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::access::{Answer, Refused};
    use crate::wire::control::Line;

    fn reply(result: Result<Answer, &str>) -> Reply {
        let refused = |kind| Refused {
            kind: ErrorKind::parse(kind).unwrap(),
            message: Line::new("why"),
        };
        Reply {
            id: 1,
            renewed: None,
            only_here: false,
            result: result.map_err(refused),
        }
    }

    #[test]
    fn what_another_tracker_may_know_better_is_not_the_last_word() {
        for (kind, is_last) in [
            ("name-taken", true),
            ("login-refused", true),
            ("slow-down", true),
            ("not-serving", false),
            ("starting", false),
            ("not-saved", false),
            ("busy", false),
            ("session-ended", false),
            ("account-gone", false),
        ] {
            let mut round = Round::default();
            assert_eq!(round.weigh(reply(Err(kind))).is_some(), is_last, "{kind}");
            assert_eq!(round.is_starting, kind == "starting");
        }
        let mut round = Round::default();
        assert!(round.weigh(reply(Ok(Answer::Done))).is_some());
        // Of several refusals that of a tracker that serves counts.
        for kind in [
            "starting",
            "not-serving",
            "session-ended",
            "not-serving",
            "busy",
        ] {
            round.weigh(reply(Err(kind)));
        }
        let refused = round.refused.unwrap().result.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::SessionEnded);
    }

    #[test]
    fn a_session_is_over_if_no_silent_tracker_may_know_better() {
        let round = |troubles: &[&str]| {
            let mut round = Round {
                asked: 1 + troubles.len(),
                ..Round::default()
            };
            round.weigh(reply(Err("session-ended")));
            round.troubles = troubles.iter().map(ToString::to_string).collect();
            round
        };
        let told = round(&[]).end(false).unwrap();
        assert!(told.unanimous);
        let error = round(&["x: gone"]).end(false).unwrap_err();
        assert_eq!(error.kind(), "unreachable");
        assert!(
            error
                .to_string()
                .contains("x: gone; the one that answers says: why")
        );
        // One that ended it as it was asked to, and said nothing, left a receipt by which the other says that it is done.
        let error = round(&["x: gone"]).end(true).unwrap_err();
        assert_eq!(error.kind(), "unreachable");
        // One that answers and cannot tell may know better, too, and so may one that is not trusted.
        for kind in ["busy", "not-saved", "not-serving", "starting"] {
            for kinds in [[kind, "session-ended"], ["session-ended", kind]] {
                let mut round = Round {
                    asked: 2,
                    ..Round::default()
                };
                for kind in kinds {
                    round.weigh(reply(Err(kind)));
                }
                let told = round.end(false).map(|told| told.unanimous);
                assert!(!told.unwrap_or_default(), "{kinds:?}");
            }
        }
        let mut round = Round {
            asked: 2,
            ..Round::default()
        };
        round.weigh(reply(Err("session-ended")));
        assert_eq!(round.end(false).unwrap_err().kind(), "unreachable");
        assert_eq!(
            Round::default().end(false).unwrap_err().kind(),
            "unreachable"
        );
    }
}

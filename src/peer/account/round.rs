//! One round of requests to the trackers: what each answered, and which answer counts.

use super::AccountError;
use crate::peer::TrustError;
use crate::wire::access::{AccessErrorKind, AccessReplyMessage, AccessRequest};

/// The reply that counts.
#[derive(Debug)]
pub(super) struct RoundReply {
    pub(super) reply: AccessReplyMessage,
    /// Whether all listed trackers agree, if the reply says that the login is over.
    pub(super) unanimous: bool,
}

/// The answers of one round.
#[derive(Default)]
pub(super) struct Round {
    /// A refusal that another tracker may not repeat.
    pub(super) refused: Option<AccessReplyMessage>,
    /// Whether a tracker has just started and is about to serve.
    pub(super) is_starting: bool,
    /// The number of trackers in the round.
    pub(super) tracker_count: usize,
    /// The number of them that say that the login is over.
    pub(super) ended: usize,
    /// Whether a tracker might have answered within longer time limits.
    pub(super) late: bool,
    pub(super) untrusted: Option<TrustError>,
    pub(super) troubles: Vec<String>,
}

/// Whether a refusal only means that this tracker cannot answer now. Another tracker may.
pub(super) fn cannot_answer_now(kind: AccessErrorKind) -> bool {
    kind.is_unserved() || kind == AccessErrorKind::NotSaved || kind == AccessErrorKind::Busy
}

/// Whether a refusal means that the login is over.
pub(super) fn ends_login(kind: AccessErrorKind) -> bool {
    kind == AccessErrorKind::SessionEnded || kind == AccessErrorKind::AccountGone
}

impl Round {
    /// Whether the tracker may have carried out a write although it reports that it did not.
    pub(super) fn may_be_done(&self, reply: &AccessReplyMessage, ask: &AccessRequest) -> bool {
        let unsaved =
            matches!(&reply.result, Err(refused) if refused.kind == AccessErrorKind::NotSaved);
        unsaved && ask.is_write()
    }

    /// Handles a tracker that could not prove that it belongs to our cluster.
    pub(super) fn on_untrusted(&mut self, error: TrustError) {
        self.untrusted = Some(error);
    }

    /// Handles a tracker that did not answer. `late`: it might have answered later.
    pub(super) fn on_silence(&mut self, trouble: String, late: bool) {
        self.late |= late;
        self.troubles.push(trouble);
    }

    /// Handles a reply. Returns it if no other tracker has to be asked.
    pub(super) fn on_reply(&mut self, reply: AccessReplyMessage) -> Option<AccessReplyMessage> {
        let Err(refused) = &reply.result else {
            return Some(reply);
        };
        let kind = refused.kind;
        self.is_starting |= kind == AccessErrorKind::Starting;
        self.ended += usize::from(ends_login(kind));
        if !ends_login(kind) && !cannot_answer_now(kind) {
            return Some(reply);
        }
        let weaker = |before: &AccessReplyMessage| matches!(&before.result, Err(refused) if refused.kind.is_unserved());
        if self.refused.as_ref().is_none_or(weaker) {
            self.refused = Some(reply);
        }
        None
    }

    /// Ends a round without a final reply. `sent`: a tracker received the request and did not
    /// answer.
    pub(super) fn end(mut self, sent: bool) -> Result<RoundReply, AccountError> {
        if let Some(reply) = self.refused {
            // A tracker that did not answer may still accept the login.
            let unanimous = self.ended == self.tracker_count;
            match &reply.result {
                Err(refused) if ends_login(refused.kind) && !unanimous => {
                    self.troubles
                        .push(format!("the one that answers says: {refused}"));
                }
                _ => return Ok(RoundReply { reply, unanimous }),
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
    use crate::wire::access::{AccessAnswer, AccessRefusal};
    use crate::wire::control::TextLine;

    fn reply(result: Result<AccessAnswer, &str>) -> AccessReplyMessage {
        let refused = |kind| AccessRefusal {
            kind: AccessErrorKind::parse(kind).unwrap(),
            message: TextLine::new("why"),
        };
        AccessReplyMessage {
            id: 1,
            renewed: None,
            only_here: false,
            result: result.map_err(refused),
        }
    }

    #[test]
    fn a_refusal_that_another_tracker_may_not_repeat_does_not_end_the_round() {
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
            assert_eq!(
                round.on_reply(reply(Err(kind))).is_some(),
                is_last,
                "{kind}"
            );
            assert_eq!(round.is_starting, kind == "starting");
        }
        let mut round = Round::default();
        assert!(round.on_reply(reply(Ok(AccessAnswer::Done))).is_some());
        // Of several refusals, the one of a tracker that serves counts.
        for kind in [
            "starting",
            "not-serving",
            "session-ended",
            "not-serving",
            "busy",
        ] {
            round.on_reply(reply(Err(kind)));
        }
        let refused = round.refused.unwrap().result.unwrap_err();
        assert_eq!(refused.kind, AccessErrorKind::SessionEnded);
    }

    #[test]
    fn a_login_is_over_only_if_all_trackers_agree() {
        let round = |troubles: &[&str]| {
            let mut round = Round {
                tracker_count: 1 + troubles.len(),
                ..Round::default()
            };
            round.on_reply(reply(Err("session-ended")));
            round.troubles = troubles.iter().map(ToString::to_string).collect();
            round
        };
        let counted = round(&[]).end(false).unwrap();
        assert!(counted.unanimous);
        let error = round(&["x: gone"]).end(false).unwrap_err();
        assert_eq!(error.kind(), "unreachable");
        assert!(
            error
                .to_string()
                .contains("x: gone; the one that answers says: why")
        );
        // The silent tracker may have ended the login as it was asked to.
        let error = round(&["x: gone"]).end(true).unwrap_err();
        assert_eq!(error.kind(), "unreachable");
        // A tracker that cannot answer now, or is not trusted, may still accept the login too.
        for kind in ["busy", "not-saved", "not-serving", "starting"] {
            for kinds in [[kind, "session-ended"], ["session-ended", kind]] {
                let mut round = Round {
                    tracker_count: 2,
                    ..Round::default()
                };
                for kind in kinds {
                    round.on_reply(reply(Err(kind)));
                }
                let unanimous = round.end(false).map(|reply| reply.unanimous);
                assert!(!unanimous.unwrap_or_default(), "{kinds:?}");
            }
        }
        let mut round = Round {
            tracker_count: 2,
            ..Round::default()
        };
        round.on_reply(reply(Err("session-ended")));
        assert_eq!(round.end(false).unwrap_err().kind(), "unreachable");
        assert_eq!(
            Round::default().end(false).unwrap_err().kind(),
            "unreachable"
        );
    }
}

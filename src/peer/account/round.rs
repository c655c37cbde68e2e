//! One round of requests to the trackers: what each answered, and which answer counts.

use super::AccountError;
use super::open_attempts::OpenAttempts;
use crate::peer::TrustError;
use crate::wire::access::{AccessErrorKind, AccessReplyMessage};

/// The reply that counts.
#[derive(Debug)]
pub(super) struct RoundReply {
    pub(super) reply: AccessReplyMessage,
    /// Whether all listed trackers say that the login is over. Of a machine: whether one says it,
    /// and none accepts the login.
    pub(super) unanimous: bool,
    /// The attempts that may have carried out the write, whatever the reply says.
    pub(super) open: OpenAttempts,
}

impl RoundReply {
    /// A reply of one tracker.
    pub(super) fn of(reply: AccessReplyMessage) -> Self {
        Self {
            reply,
            unanimous: false,
            open: OpenAttempts::default(),
        }
    }
}

/// The answers of one round.
#[derive(Default)]
pub(super) struct Round {
    /// The refusal that counts so far. Another tracker may answer otherwise.
    pub(super) refused: Option<AccessReplyMessage>,
    /// Whether a tracker has just started and is about to serve.
    pub(super) has_starting_tracker: bool,
    /// The number of trackers in the round.
    pub(super) tracker_count: usize,
    /// The number of them that say that the login is over.
    pub(super) login_ended_count: usize,
    /// Whether a tracker might have answered within longer time limits.
    pub(super) may_answer_later: bool,
    pub(super) untrusted: Option<TrustError>,
    pub(super) troubles: Vec<String>,
}

/// Whether a refusal only means that this tracker cannot answer now. Another tracker may.
pub(super) fn cannot_answer_now(kind: AccessErrorKind) -> bool {
    kind.refuses_all_requests()
        || matches!(
            kind,
            AccessErrorKind::NotSaved | AccessErrorKind::Busy | AccessErrorKind::DiskFull
        )
}

/// Whether a refusal means that the login is over.
pub(super) fn ends_login(kind: AccessErrorKind) -> bool {
    kind == AccessErrorKind::SessionEnded || kind == AccessErrorKind::AccountGone
}

/// Whether a refusal only means that this tracker does not know a new token or machine. Another
/// tracker may.
pub(super) fn may_be_behind(kind: AccessErrorKind) -> bool {
    kind == AccessErrorKind::UnknownToken || kind == AccessErrorKind::UnknownMachine
}

impl Round {
    pub(super) fn new(tracker_count: usize) -> Self {
        Self {
            tracker_count,
            ..Self::default()
        }
    }

    /// Handles a tracker that could not prove that it belongs to our cluster.
    pub(super) fn on_untrusted(&mut self, error: TrustError) {
        self.untrusted = Some(error);
    }

    /// Handles a tracker that did not answer. `may_answer_later`: it might have answered within
    /// longer time limits.
    pub(super) fn on_silence(&mut self, trouble: String, may_answer_later: bool) {
        self.may_answer_later |= may_answer_later;
        self.troubles.push(trouble);
    }

    /// Handles a refusal that is not the outcome of the request. The first refusal counts, except
    /// that any refusal replaces an earlier one of a tracker that refuses all requests.
    pub(super) fn on_refusal(&mut self, reply: AccessReplyMessage) {
        let Err(refused) = &reply.result else { return };
        self.has_starting_tracker |= refused.kind == AccessErrorKind::Starting;
        self.login_ended_count += usize::from(ends_login(refused.kind));
        let is_replaceable = |before: &AccessReplyMessage| {
            let refused = before.result.as_ref().err();
            refused.is_some_and(|refused| refused.kind.refuses_all_requests())
        };
        if self.refused.as_ref().is_none_or(is_replaceable) {
            self.refused = Some(reply);
        }
    }

    /// Ends a round that has not brought the outcome of the request. Returns the refusal that
    /// counts, or an error.
    ///
    /// A tracker that did not answer may still accept the login of a person. So the login is over
    /// only if all trackers agree. A machine (`logs_in_again`) does not wait for them: it logs in
    /// again by itself.
    pub(super) fn end(self, logs_in_again: bool) -> Result<RoundReply, AccountError> {
        let all_agree = self.login_ended_count == self.tracker_count;
        let unanimous = all_agree || logs_in_again && self.login_ended_count > 0;
        match self.refused {
            Some(reply) if unanimous || !is_about_login(&reply) => {
                return Ok(RoundReply {
                    unanimous,
                    ..RoundReply::of(reply)
                });
            }
            _ => {}
        }
        let troubles = self.summary();
        match self.untrusted {
            Some(error) => Err(AccountError::Untrusted(error)),
            None => Err(AccountError::NoFinalAnswer(troubles)),
        }
    }

    /// The troubles with the trackers, and the refusal that counts.
    pub(super) fn summary(&self) -> String {
        let untrusted = self.untrusted.as_ref().map(ToString::to_string);
        let refused = self.refused.as_ref();
        let refused = refused.and_then(|reply| reply.result.as_ref().err());
        let refused = refused.map(|refused| format!("one tracker says: {refused}"));
        let troubles = self.troubles.iter().cloned();
        let all: Vec<String> = troubles.chain(untrusted).chain(refused).collect();
        all.join("; ")
    }
}

fn is_about_login(reply: &AccessReplyMessage) -> bool {
    matches!(&reply.result, Err(refused) if ends_login(refused.kind))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::wire::access::AccessRefusal;
    use crate::wire::control::TextLine;

    /// A reply that refuses.
    pub(in crate::peer::account) fn refusal(kind: &str) -> AccessReplyMessage {
        AccessReplyMessage {
            id: 1,
            renewed: None,
            only_here: false,
            result: Err(AccessRefusal {
                kind: AccessErrorKind::parse(kind).unwrap(),
                message: TextLine::new("why"),
                retry_seconds: None,
            }),
        }
    }

    /// A round in which trackers refused with these kinds.
    fn round(tracker_count: usize, kinds: &[&str]) -> Round {
        let mut round = Round::new(tracker_count);
        for kind in kinds {
            round.on_refusal(refusal(kind));
        }
        round
    }

    #[test]
    fn what_counts_is_the_first_refusal_by_a_serving_tracker() {
        let kinds = [
            "full",
            "starting",
            "not-serving",
            "session-ended",
            "not-serving",
            "busy",
        ];
        let round = round(6, &kinds);
        assert!(round.has_starting_tracker);
        let refused = round.refused.unwrap().result.unwrap_err();
        assert_eq!(refused.kind, AccessErrorKind::SessionEnded);
    }

    #[test]
    fn a_machine_logs_in_again_as_soon_as_one_tracker_says_that_its_login_is_over() {
        let mut silent = round(2, &["session-ended"]);
        silent.on_silence("x: gone".to_owned(), false);
        assert!(silent.end(true).unwrap().unanimous);
        let error = Round::new(2).end(true).unwrap_err();
        assert_eq!(error.kind(), "unreachable");
    }

    #[test]
    fn a_login_is_over_only_if_all_trackers_agree() {
        let counted = round(1, &["session-ended"]).end(false).unwrap();
        assert!(counted.unanimous);
        let mut silent = round(2, &["session-ended"]);
        silent.on_silence("x: gone".to_owned(), false);
        let error = silent.end(false).unwrap_err();
        assert_eq!(error.kind(), "unreachable");
        assert!(error.to_string().contains("x: gone; one tracker says: why"));
        // A tracker that cannot answer now may still accept the login.
        for kind in ["busy", "not-saved", "not-serving", "starting"] {
            for kinds in [[kind, "session-ended"], ["session-ended", kind]] {
                let unanimous = round(2, &kinds).end(false).map(|reply| reply.unanimous);
                assert!(!unanimous.unwrap_or_default(), "{kinds:?}");
            }
        }
        for round in [round(2, &["session-ended"]), Round::default()] {
            assert_eq!(round.end(false).unwrap_err().kind(), "unreachable");
        }
    }
}

//! The attempts of one request: whether a write may have been carried out, and when the peer stops
//! asking.
//!
//! A tracker that received a write and did not answer may have carried it out. Until that tracker
//! answers, a refusal by another tracker does not show that the write was not made. So the peer
//! goes on asking under the same [`WriteId`](crate::wire::access::WriteId). A tracker that has
//! carried out the write answers "done".

use super::{AccountError, Round, RoundReply, cannot_answer_now, ends_login};
use crate::wire::HostPort;
use crate::wire::access::{AccessErrorKind, AccessReplyMessage, AccessRequest};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How long a request waits for trackers that have just started.
const START_WAIT: Duration = Duration::from_secs(5);
/// How long the peer goes on asking about a write that may have been carried out, after each
/// tracker was asked with long limits.
const OUTCOME_WAIT: Duration = Duration::from_secs(20);
/// The shortest and the longest pause between two rounds. While a tracker starts, the pause is the
/// shortest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What is known about the outcome of a request.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    ask: &'a AccessRequest,
    begun: Instant,
    /// The trackers that received the write, and have not said since whether they carried it out.
    unanswered: HashSet<HostPort>,
    /// The refusal of a tracker that cannot write its database: the write may be saved or not.
    unsaved: Option<AccessReplyMessage>,
    has_long_limits: bool,
    /// Whether all trackers were asked with the longer limits.
    had_long_limits: bool,
    outcome_due: Option<Instant>,
    pause: Duration,
}

/// What follows from a round without a final reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextRound {
    /// The peer asks all trackers again after this pause.
    After(Duration),
    /// There is no further round: the request ends.
    Never,
}

impl<'a> Attempts<'a> {
    pub(super) fn begin(ask: &'a AccessRequest, now: Instant) -> Self {
        Self {
            ask,
            begun: now,
            unanswered: HashSet::new(),
            unsaved: None,
            has_long_limits: false,
            had_long_limits: false,
            outcome_due: None,
            pause: PAUSES.0,
        }
    }

    /// Whether trackers are asked with the longer limits now.
    pub(super) fn has_long_limits(&self) -> bool {
        self.has_long_limits
    }

    /// A tracker received the request and did not answer.
    pub(super) fn on_unanswered(&mut self, tracker: &HostPort) {
        if self.ask.is_write() {
            self.unanswered.insert(tracker.clone());
        }
    }

    /// Handles a reply. Returns whether it is the outcome: the write was made, or no tracker can
    /// have made it.
    pub(super) fn on_reply(&mut self, tracker: &HostPort, reply: &AccessReplyMessage) -> bool {
        let Err(refused) = &reply.result else {
            return true;
        };
        let kind = refused.kind;
        if kind == AccessErrorKind::NotSaved && self.ask.is_write() {
            self.unanswered.remove(tracker);
            self.unsaved.get_or_insert_with(|| reply.clone());
        } else if !is_about_now(kind) {
            // A tracker looks for the receipt of a write first. So this tracker has not made the
            // write.
            self.unanswered.remove(tracker);
        }
        // The tracker lacks the earlier parts of an upload. The caller sends them again.
        let lacks_parts = kind == AccessErrorKind::BadRequest && self.ask.is_later_part();
        let another_may_answer = cannot_answer_now(kind) || ends_login(kind);
        lacks_parts || !self.may_be_done() && !another_may_answer
    }

    /// What follows from a round without a final reply.
    pub(super) fn next_round(&mut self, round: &Round, now: Instant) -> NextRound {
        if round.is_starting && now < self.begun + START_WAIT {
            return NextRound::After(PAUSES.0);
        }
        let is_only = round.tracker_count == 1;
        if round.late && round.refused.is_none() && !self.had_long_limits && !is_only {
            (self.has_long_limits, self.had_long_limits) = (true, true);
            return NextRound::After(Duration::ZERO);
        }
        self.has_long_limits = false;
        self.next_about_outcome(now)
    }

    /// Whether to go on asking about a write that may have been carried out.
    pub(super) fn next_about_outcome(&mut self, now: Instant) -> NextRound {
        let due = *self.outcome_due.get_or_insert(now + OUTCOME_WAIT);
        if self.unanswered.is_empty() || now >= due {
            return NextRound::Never;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSES.1);
        NextRound::After(pause)
    }

    /// The outcome of the request after the last round.
    ///
    /// # Errors
    /// [`AccountError::UnknownOutcome`] if the write may have been carried out; otherwise see
    /// [`Round::end`].
    pub(super) fn end(self, round: Round) -> Result<RoundReply, AccountError> {
        if !self.unanswered.is_empty() {
            return Err(self.unknown(round.summary()));
        }
        match self.unsaved {
            Some(reply) => Ok(RoundReply {
                reply,
                unanimous: false,
            }),
            None => round.end(),
        }
    }

    /// The error if the write may have been carried out, otherwise `error`.
    pub(super) fn fail(self, error: AccountError) -> AccountError {
        match self.may_be_done() {
            true => self.unknown(error.to_string()),
            false => error,
        }
    }

    fn unknown(self, troubles: String) -> AccountError {
        AccountError::UnknownOutcome {
            troubles,
            advice: advice(self.ask),
        }
    }

    fn may_be_done(&self) -> bool {
        !self.unanswered.is_empty() || self.unsaved.is_some()
    }
}

/// Whether a refusal only describes the present state of the tracker. Then it does not show whether
/// an earlier attempt of the same write succeeded.
fn is_about_now(kind: AccessErrorKind) -> bool {
    cannot_answer_now(kind) || kind == AccessErrorKind::SlowDown
}

/// How a person finds out whether the write was made.
pub(super) fn advice(ask: &AccessRequest) -> &'static str {
    match ask {
        AccessRequest::CreateUser { .. } => "if login succeeds, the account was created",
        AccessRequest::ChangePassword { .. } => {
            "if login succeeds with the new password, it was changed"
        }
        AccessRequest::Publish { .. } => {
            "list_files shows whether it was published; upload_file again serves it here"
        }
        AccessRequest::Withdraw { .. } => "list_files shows whether it was done",
        AccessRequest::AcceptRequest { .. }
        | AccessRequest::RejectRequest { .. }
        | AccessRequest::RemoveMember { .. } => {
            "list_members and list_requests show whether it was done"
        }
        _ => "list_groups shows whether it was done",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::access::{AccessAnswer, AccessRefusal, WriteId};
    use crate::wire::control::TextLine;

    const WRITE: AccessRequest = AccessRequest::Logout {
        write: WriteId([1; 16]),
    };

    fn trackers() -> [HostPort; 2] {
        ["a:1", "b:2"].map(|tracker| tracker.parse().unwrap())
    }

    fn refusal(kind: &str) -> AccessReplyMessage {
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

    /// A round in which the trackers answered with these refusals.
    fn round(attempts: &mut Attempts<'_>, answers: &[(&HostPort, &str)]) -> Round {
        let mut round = Round::new(2);
        for (tracker, kind) in answers {
            assert!(!attempts.on_reply(tracker, &refusal(kind)), "{kind}");
            round.on_refusal(refusal(kind));
        }
        round
    }

    #[test]
    fn a_refusal_is_the_outcome_only_if_no_tracker_owes_an_answer() {
        let [one, two] = trackers();
        let now = Instant::now();
        let mut attempts = Attempts::begin(&WRITE, now);
        assert!(attempts.on_reply(&two, &refusal("unknown-group")));
        attempts.on_unanswered(&one);
        for kind in ["starting", "busy", "slow-down", "unknown-group"] {
            round(&mut attempts, &[(&two, kind)]);
        }
        // The first tracker says that it has not made the write.
        assert!(attempts.on_reply(&one, &refusal("unknown-group")));
        attempts.on_unanswered(&one);
        let done = AccessReplyMessage {
            result: Ok(AccessAnswer::Done),
            ..refusal("busy")
        };
        assert!(attempts.on_reply(&two, &done));
        for kind in [
            "not-serving",
            "starting",
            "not-saved",
            "busy",
            "session-ended",
        ] {
            let mut attempts = Attempts::begin(&WRITE, now);
            assert!(!attempts.on_reply(&two, &refusal(kind)), "{kind}");
        }
        for kind in ["name-taken", "login-refused", "slow-down"] {
            let mut attempts = Attempts::begin(&WRITE, now);
            assert!(attempts.on_reply(&two, &refusal(kind)), "{kind}");
        }
        // A read changes nothing, so no tracker owes an answer to it.
        let mut attempts = Attempts::begin(&AccessRequest::Cluster, now);
        attempts.on_unanswered(&one);
        assert!(attempts.on_reply(&two, &refusal("unknown-group")));
    }

    #[test]
    fn an_unanswered_write_is_asked_about_for_a_while_and_then_its_outcome_is_unknown() {
        let [one, two] = trackers();
        let begun = Instant::now();
        let mut attempts = Attempts::begin(&WRITE, begun);
        attempts.on_unanswered(&one);
        let late = begun + START_WAIT;
        for kind in ["starting", "unknown-group"] {
            let round = round(&mut attempts, &[(&two, kind)]);
            let next = attempts.next_round(&round, late);
            assert!(matches!(next, NextRound::After(_)), "{kind}: {next:?}");
        }
        let last = round(&mut attempts, &[(&two, "starting")]);
        let next = attempts.next_round(&last, late + OUTCOME_WAIT);
        assert_eq!(next, NextRound::Never);
        let error = attempts.end(last).unwrap_err();
        assert_eq!(error.kind(), "unknown-outcome");
        assert!(error.to_string().contains("list_groups"), "{error}");
        // If every attempt was answered, the refusal of a starting tracker is the outcome.
        let mut attempts = Attempts::begin(&WRITE, begun);
        let last = round(&mut attempts, &[(&two, "starting")]);
        assert_eq!(attempts.next_round(&last, late), NextRound::Never);
        assert!(attempts.end(last).is_ok());
    }

    #[test]
    fn a_write_that_may_be_saved_is_never_reported_as_refused() {
        let [one, two] = trackers();
        let mut attempts = Attempts::begin(&WRITE, Instant::now());
        let last = round(
            &mut attempts,
            &[(&one, "not-saved"), (&two, "unknown-group")],
        );
        let reply = attempts.end(last).unwrap().reply;
        let refused = reply.result.unwrap_err();
        assert_eq!(refused.kind, AccessErrorKind::NotSaved);
    }
}

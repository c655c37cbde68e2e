//! The attempts of one request: whether a write may have been carried out, and when the peer stops
//! asking.
//!
//! A tracker that received a write and did not answer may have carried it out. Until that tracker
//! answers, a refusal by another tracker does not show that the write was not made. So the peer
//! goes on asking under the same [`WriteId`](crate::wire::access::WriteId). A tracker that has
//! carried out the write answers "done".

use super::connection::TimeLimits;
use super::open_attempts::{OpenAttempts, unknown_outcome};
use super::round::may_be_behind;
use super::{AccountError, Round, RoundReply, cannot_answer_now, ends_login};
use crate::wire::HostPort;
use crate::wire::access::{AccessErrorKind, AccessReplyMessage, AccessRequest};
use std::time::{Duration, Instant};

/// How long a request waits for trackers that have just started.
const START_WAIT: Duration = Duration::from_secs(5);
/// How long the peer goes on asking about a write that may have been carried out. Two things come
/// first, if they are needed: the wait for starting trackers ([`START_WAIT`]), and the round with
/// longer time limits. The time begins at the end of the first round after which neither is needed.
/// When the time is over, a request that waits for an answer ends too.
const OUTCOME_WAIT: Duration = Duration::from_secs(20);
/// The shortest and the longest pause between two rounds. While a tracker starts, the pause is the
/// shortest. There is no pause before the round with longer time limits.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What is known about the outcome of a request.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    ask: &'a AccessRequest,
    begun: Instant,
    open: OpenAttempts,
    /// Whether the present round has the longer time limits.
    is_long_round: bool,
    /// Whether a round with the longer time limits has begun. There is at most one.
    had_long_round: bool,
    /// When the [`OUTCOME_WAIT`] is over. `None` if it has not begun.
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
    /// Begins a request. `open` are the open attempts of earlier requests of the same write.
    pub(super) fn begin(ask: &'a AccessRequest, open: OpenAttempts, now: Instant) -> Self {
        Self {
            ask,
            begun: now,
            open,
            is_long_round: false,
            had_long_round: false,
            outcome_due: None,
            pause: PAUSES.0,
        }
    }

    /// The time limits for asking the next tracker of a round. `is_only` is true if TRACKER_INFO
    /// lists no other tracker. Returns `None` if the time for the request is over.
    pub(super) fn limits(&self, is_only: bool, now: Instant) -> Option<TimeLimits> {
        let limits = match self.is_long_round {
            true => TimeLimits::LONG,
            false => TimeLimits::of(self.ask, is_only),
        };
        match self.outcome_due {
            Some(due) if now >= due => None,
            Some(due) => Some(limits.until(due)),
            None => Some(limits),
        }
    }

    /// A tracker received the request and did not answer.
    pub(super) fn on_unanswered(&mut self, tracker: &HostPort) {
        if self.ask.is_write() {
            self.open.on_unanswered(tracker);
        }
    }

    /// Handles a reply. Returns whether it is final. A refusal is final if no tracker can have made
    /// the write and other trackers would refuse too, or if an upload must begin again.
    pub(super) fn on_reply(&mut self, tracker: &HostPort, reply: &AccessReplyMessage) -> bool {
        let Err(refused) = &reply.result else {
            return true;
        };
        let kind = refused.kind;
        if kind == AccessErrorKind::NotSaved && self.ask.is_write() {
            self.open.on_unsaved(tracker, reply);
        } else if !is_temporary(kind) {
            // A tracker looks for the receipt of a write before it refuses. So this tracker has not
            // made the write.
            self.open.on_refused(tracker);
        }
        // The tracker lacks the earlier parts of an upload. The caller sends them again.
        let lacks_parts = kind == AccessErrorKind::BadRequest && self.ask.is_later_part();
        let another_may_answer = cannot_answer_now(kind) || ends_login(kind) || may_be_behind(kind);
        lacks_parts || !self.open.may_be_done() && !another_may_answer
    }

    /// What follows from a round without a final reply.
    pub(super) fn next_round(&mut self, round: &Round, now: Instant) -> NextRound {
        if round.has_starting_tracker && now < self.begun + START_WAIT {
            return NextRound::After(PAUSES.0);
        }
        let is_only = round.tracker_count == 1;
        let is_time_over = self.outcome_due.is_some_and(|due| now >= due);
        let may_be_long = !self.had_long_round && !is_only && !is_time_over;
        if round.may_answer_later && round.refused.is_none() && may_be_long {
            (self.is_long_round, self.had_long_round) = (true, true);
            return NextRound::After(Duration::ZERO);
        }
        self.is_long_round = false;
        self.next_outcome_round(now)
    }

    /// The next round for a write that a tracker has received and not answered. If no such tracker
    /// is left, there is no further round. The first call begins the [`OUTCOME_WAIT`].
    pub(super) fn next_outcome_round(&mut self, now: Instant) -> NextRound {
        let due = *self.outcome_due.get_or_insert(now + OUTCOME_WAIT);
        let pause = self.pause;
        if !self.open.is_answer_missing() || now + pause >= due {
            return NextRound::Never;
        }
        self.pause = (pause * 2).min(PAUSES.1);
        NextRound::After(pause)
    }

    /// The outcome of the request after the last round. `logs_in_again`: see [`Round::end`].
    ///
    /// # Errors
    /// [`AccountError::UnknownOutcome`] if a tracker owes an answer to a write; otherwise see
    /// [`Round::end`].
    pub(super) fn end(self, round: Round, logs_in_again: bool) -> Result<RoundReply, AccountError> {
        if self.open.is_answer_missing() {
            return Err(unknown_outcome(self.ask, round.summary()));
        }
        match self.open.into_unsaved() {
            Some(reply) => Ok(RoundReply::of(reply)),
            None => round.end(logs_in_again),
        }
    }

    /// [`AccountError::UnknownOutcome`] if the write may have been carried out, otherwise `error`.
    pub(super) fn error_for(self, error: AccountError) -> AccountError {
        self.open.error_for(self.ask, error)
    }

    /// The attempts that are still open after the final reply.
    pub(super) fn into_open(self) -> OpenAttempts {
        self.open
    }
}

/// Whether a refusal only describes the present state of the tracker. Then it does not show whether
/// an earlier attempt of the same write succeeded.
fn is_temporary(kind: AccessErrorKind) -> bool {
    cannot_answer_now(kind) || kind == AccessErrorKind::SlowDown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::account::round::tests::refusal;
    use crate::wire::access::{AccessAnswer, WriteId};
    use crate::wire::control::InfoPart;

    const WRITE: AccessRequest = AccessRequest::Logout {
        write: WriteId([1; 16]),
    };

    fn begin(ask: &AccessRequest, now: Instant) -> Attempts<'_> {
        Attempts::begin(ask, OpenAttempts::default(), now)
    }

    fn trackers() -> [HostPort; 2] {
        ["a:1", "b:2"].map(|tracker| tracker.parse().unwrap())
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
        let mut attempts = begin(&WRITE, now);
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
            "full",
            "not-serving",
            "starting",
            "not-saved",
            "busy",
            "session-ended",
        ] {
            let mut attempts = begin(&WRITE, now);
            assert!(!attempts.on_reply(&two, &refusal(kind)), "{kind}");
        }
        for kind in ["name-taken", "login-refused", "slow-down"] {
            let mut attempts = begin(&WRITE, now);
            assert!(attempts.on_reply(&two, &refusal(kind)), "{kind}");
        }
        // A read changes nothing, so no tracker owes an answer to it.
        let mut attempts = begin(&AccessRequest::Cluster, now);
        attempts.on_unanswered(&one);
        assert!(attempts.on_reply(&two, &refusal("unknown-group")));
    }

    #[test]
    fn an_unanswered_write_is_asked_about_for_a_while_and_then_its_outcome_is_unknown() {
        let [one, two] = trackers();
        let begun = Instant::now();
        let mut attempts = begin(&WRITE, begun);
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
        let error = attempts.end(last, false).unwrap_err();
        assert_eq!(error.kind(), "unknown-outcome");
        assert!(error.to_string().contains("list_groups"), "{error}");
        // If every attempt was answered, the refusal of a starting tracker is the outcome.
        let mut attempts = begin(&WRITE, begun);
        let last = round(&mut attempts, &[(&two, "starting")]);
        assert_eq!(attempts.next_round(&last, late), NextRound::Never);
        assert!(attempts.end(last, false).is_ok());
    }

    #[test]
    fn requests_about_an_unknown_outcome_end_when_their_time_is_over() {
        let [one, _] = trackers();
        let begun = Instant::now();
        let mut attempts = begin(&WRITE, begun);
        assert_eq!(attempts.limits(true, begun), Some(TimeLimits::LONG));
        // The only tracker received the write and did not answer within the time limit.
        attempts.on_unanswered(&one);
        let mut round = Round::new(1);
        round.on_silence("it is silent".to_owned(), true);
        let late = begun + Duration::from_secs(45);
        let next = attempts.next_round(&round, late);
        assert!(matches!(next, NextRound::After(_)), "{next:?}");
        let due = late + OUTCOME_WAIT;
        let expected = TimeLimits::LONG.until(due);
        assert_eq!(attempts.limits(true, late), Some(expected));
        assert_eq!(attempts.limits(true, due), None);
        // With two trackers, no round with longer time limits begins when the time is over.
        let mut attempts = begin(&WRITE, begun);
        attempts.on_unanswered(&one);
        let next = attempts.next_round(&Round::new(2), late);
        assert!(matches!(next, NextRound::After(_)), "{next:?}");
        let mut round = Round::new(2);
        round.on_silence("it is silent".to_owned(), true);
        assert_eq!(attempts.next_round(&round, due), NextRound::Never);
    }

    #[test]
    fn not_saved_is_the_outcome_even_if_another_tracker_refuses_the_write() {
        let [one, two] = trackers();
        let mut attempts = begin(&WRITE, Instant::now());
        let last = round(
            &mut attempts,
            &[(&one, "not-saved"), (&two, "unknown-group")],
        );
        let reply = attempts.end(last, false).unwrap().reply;
        let refused = reply.result.unwrap_err();
        assert_eq!(refused.kind, AccessErrorKind::NotSaved);
    }

    #[test]
    fn an_upload_that_begins_again_remembers_which_tracker_may_have_carried_it_out() {
        let [one, two] = trackers();
        let now = Instant::now();
        let part = |offset| AccessRequest::Publish {
            write: WriteId([1; 16]),
            group: "lab".parse().unwrap(),
            part: InfoPart::new(offset, 2, vec![0]).unwrap(),
            update: false,
            note: None,
        };
        let (first, last) = (part(0), part(1));
        // The first tracker got the last part and is silent. The second one lacks the first part.
        let mut attempts = begin(&last, now);
        attempts.on_unanswered(&one);
        assert!(attempts.on_reply(&two, &refusal("bad-request")));
        // So the upload begins again, at the second tracker.
        let mut attempts = Attempts::begin(&first, attempts.into_open(), now);
        let accepted = AccessReplyMessage {
            result: Ok(AccessAnswer::Done),
            ..refusal("busy")
        };
        assert!(attempts.on_reply(&two, &accepted));
        let mut attempts = Attempts::begin(&last, attempts.into_open(), now);
        for kind in ["share-exists", "not-a-member"] {
            round(&mut attempts, &[(&two, kind)]);
        }
        // The next attempt fails because nobody is logged in. The first tracker still owes an
        // answer, so the outcome stays unknown.
        let open = attempts.into_open();
        let error = open.error_for(&last, AccountError::NotLoggedIn);
        assert_eq!(error.kind(), "unknown-outcome");
        // The first tracker says that it has not made the write.
        let mut attempts = Attempts::begin(&last, open, now);
        assert!(attempts.on_reply(&one, &refusal("not-a-member")));
        let error = attempts
            .into_open()
            .error_for(&last, AccountError::NotLoggedIn);
        assert_eq!(error.kind(), "not-logged-in");
    }
}

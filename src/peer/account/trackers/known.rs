//! What this peer remembers of one tracker: its idle connection, its failures, and whether it sends
//! hints.

use super::super::ConnectionError;
use super::super::connection::ControlConnection;
use crate::wire::access::{AccessReplyMessage, Hint};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long other trackers are preferred to one that failed: the time after its first failure, and
/// the longest time. The time doubles with each failure.
const AVOIDED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A tracker that has no place for another connection names a time in seconds, after which the peer
/// may come back. If it names more than this limit, the peer uses the limit. To either time, the
/// peer adds up to half of it at random (see [`pause_of_full`]).
const MAX_FULL_SECONDS: u32 = 300;

/// The pause before the thread for hints first asks a tracker for hints. If another thread makes a
/// request meanwhile, that request asks for hints too. Each pause is made longer at random, up to
/// twice as long, so that not all peers of a restarted tracker come at the same moment.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The pause after a request for hints that the tracker did not answer. The pause doubles with each
/// request in a row that had no success.
const RETRY: Duration = Duration::from_secs(1);
/// The pause after a tracker answered such a request but did not begin to send hints: it does not
/// serve, or the login has ended. This pause doubles like [`RETRY`].
const REFUSED: Duration = Duration::from_secs(8);
/// The longest pause, before it is made longer at random.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What this peer remembers of a tracker.
#[derive(Debug, Default)]
pub(super) struct KnownTracker {
    /// The number that the tracker has in its own TRACKER_INFO. `None` until it has reported that.
    number: Option<u32>,
    /// A connection that no request uses at the moment.
    idle: Option<ControlConnection>,
    /// Whether the tracker sends hints, on the idle connection or on one that a request uses.
    is_watched: bool,
    /// The number of requests in a row that only asked for hints, without success.
    hint_failures: u32,
    /// When the next such request is due. `None` until the thread for hints finds that the tracker
    /// sends no hints.
    next_hint_request: Option<Instant>,
    /// The number of failures since the tracker last answered as one that serves.
    failures: u32,
    /// Until this time, other trackers are asked first.
    avoided_until: Option<Instant>,
    /// The tracker has no place for another connection. Until this time it is not asked, and this
    /// reply counts as its answer.
    full: Option<(Instant, AccessReplyMessage)>,
}

impl KnownTracker {
    pub(super) fn number(&self) -> Option<u32> {
        self.number
    }

    pub(super) fn set_number(&mut self, number: u32) {
        self.number = Some(number);
    }

    /// Whether other trackers are asked first.
    pub(super) fn is_avoided(&self) -> bool {
        let until = self.avoided_until;
        until.is_some_and(|until| Instant::now() < until)
    }

    /// The refusal of a tracker that has no place for a connection, until it may be asked again.
    pub(super) fn reply_while_full(&self) -> Option<AccessReplyMessage> {
        let (until, reply) = self.full.as_ref()?;
        (Instant::now() < *until).then(|| reply.clone())
    }

    /// Takes the idle connection, to use it.
    pub(super) fn take_idle(&mut self) -> Option<ControlConnection> {
        self.idle.take()
    }

    /// The tracker has answered as one that serves. Returns whether it had failed before.
    pub(super) fn on_served(&mut self) -> bool {
        (self.full, self.avoided_until) = (None, None);
        std::mem::take(&mut self.failures) > 0
    }

    /// The tracker has answered that it does not serve.
    pub(super) fn on_unserved(&mut self) {
        self.full = None;
        self.avoided_until = Some(Instant::now() + AVOIDED.0);
    }

    /// The tracker has no place, and closes the connection.
    pub(super) fn on_full(&mut self, reply: &AccessReplyMessage, retry_seconds: Option<u32>) {
        let until = Instant::now() + pause_of_full(retry_seconds);
        self.avoided_until = Some(until);
        self.full = Some((until, reply.clone()));
        // No hints arrive on the closed connection. They can still arrive on an idle one.
        self.is_watched &= self.idle.is_some();
    }

    /// The tracker has not answered. Returns the idle connection, which is of no use, and whether
    /// the tracker sent hints.
    pub(super) fn on_failed(&mut self) -> (Option<ControlConnection>, bool) {
        let pause = AVOIDED.0 * (1 << self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        self.avoided_until = Some(Instant::now() + pause.min(AVOIDED.1));
        (self.idle.take(), std::mem::take(&mut self.is_watched))
    }

    /// Keeps a connection for the next request. If there are two, it keeps one on which the tracker
    /// sends hints, and returns the other one.
    pub(super) fn keep(&mut self, connection: ControlConnection) -> Option<ControlConnection> {
        let idle = self.idle.as_ref();
        if idle.is_some_and(ControlConnection::is_watching) {
            return Some(connection);
        }
        self.is_watched = connection.is_watching();
        if self.is_watched {
            (self.hint_failures, self.next_hint_request) = (0, None);
        }
        self.idle.replace(connection)
    }

    /// Whether the tracker sends hints.
    pub(super) fn is_watched(&self) -> bool {
        self.is_watched
    }

    pub(super) fn has_idle(&self) -> bool {
        self.idle.is_some()
    }

    /// When the thread for hints should ask this tracker for hints. Sets the time if none is set.
    pub(super) fn next_hint_request(&mut self) -> Instant {
        let first = || Instant::now() + longer_at_random(FIRST_PAUSE);
        *self.next_hint_request.get_or_insert_with(first)
    }

    /// A request that asked for hints was made without success. Returns when the next one is due.
    pub(super) fn on_hint_failure(&mut self, has_answered: bool) -> Instant {
        let pause = match has_answered {
            true => REFUSED,
            false => RETRY,
        };
        let pause = pause.saturating_mul(1 << self.hint_failures.min(8));
        self.hint_failures = self.hint_failures.saturating_add(1);
        let next = Instant::now() + longer_at_random(pause.min(LONGEST_PAUSE));
        self.next_hint_request = Some(next);
        next
    }

    /// The socket of the idle connection, if hints may arrive on it.
    pub(super) fn watched_socket(&self) -> Option<Arc<TcpStream>> {
        let watched = self.idle.as_ref().filter(|idle| idle.is_watching())?;
        Some(Arc::clone(watched.socket()))
    }

    /// Reads the hints that have arrived on the idle connection. Never waits.
    ///
    /// # Errors
    /// The connection has broken: it is of no use.
    pub(super) fn read_hints(&mut self, hints: &mut Vec<Hint>) -> Result<(), ConnectionError> {
        let Some(idle) = self.idle.as_mut().filter(|idle| idle.is_watching()) else {
            return Ok(());
        };
        let read = idle.read_hints();
        hints.extend(idle.take_hints());
        self.is_watched = read.is_ok();
        read
    }
}

/// How long a tracker that has no place for another connection is not asked: the time that it
/// names, plus up to half of that time at random, so that not all peers come back together.
fn pause_of_full(retry_seconds: Option<u32>) -> Duration {
    let seconds = retry_seconds.unwrap_or_default().clamp(1, MAX_FULL_SECONDS);
    let pause = Duration::from_secs(seconds.into());
    pause.mul_f64(1.0 + fastrand::f64() / 2.0)
}

/// A pause, made longer at random, up to twice as long.
fn longer_at_random(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::account::round::tests::refusal;

    #[test]
    fn a_full_tracker_is_not_asked_until_the_time_that_it_names_is_over() {
        let (mut known, full) = (KnownTracker::default(), refusal("full"));
        assert_eq!(known.reply_while_full(), None);
        known.on_full(&full, Some(60));
        assert_eq!(known.reply_while_full(), Some(full.clone()));
        assert!(known.is_avoided(), "other trackers come first");
        known.on_served();
        assert_eq!(known.reply_while_full(), None);
        assert!(!known.is_avoided());
    }

    #[test]
    fn peers_of_a_full_tracker_do_not_come_back_together() {
        for (named, shortest, longest) in [
            (None, 1.0, 1.5),
            (Some(0), 1.0, 1.5),
            (Some(10), 10.0, 15.0),
            (Some(u32::MAX), 300.0, 450.0),
        ] {
            let pauses = (0..1_000).map(|_| pause_of_full(named).as_secs_f64());
            let (first, last) = pauses.fold((f64::MAX, 0.0), |(first, last), pause| {
                (f64::min(first, pause), f64::max(last, pause))
            });
            assert!(first >= shortest && last <= longest, "{first} {last}");
            let spread = (longest - shortest) * 0.9;
            assert!(last - first > spread, "{first} {last}");
        }
    }
}

//! Watching: trackers send hints to this peer, and a thread receives them.
//!
//! There is one connection to each tracker, over which requests and announces go anyway. The first
//! request with a login also asks for hints. While no request uses a connection, the thread waits
//! for its socket. A request reads the hints that arrive before its reply, and leaves them in the
//! inbox. Only if no request is made for a moment, the thread makes one.

use super::{ClusterTrackers, ConnectionError, Known, TimeLimits};
use crate::net::Stop;
use crate::system::lock;
use crate::wire::HostPort;
use crate::wire::access::{AccessRequest, Hint, Token};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The longest wait for a socket. The thread then looks whether somebody is logged in.
const LONG_WAIT: Duration = Duration::from_secs(60);
/// How long the thread leaves it to other requests to ask for hints. A pause is up to twice as long,
/// so that not all peers of a tracker that was restarted come together.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The pause after the first failure. It doubles with each failure.
const RETRY: Duration = Duration::from_secs(1);
/// The pause after a tracker answered and sent no hint: it does not serve, or the login has ended.
const REFUSED: Duration = Duration::from_secs(8);
/// The longest pause, before it is made longer at random.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The requests to a tracker that only ask for hints.
#[derive(Debug, Default)]
pub(super) struct WatchAttempts {
    failures: u32,
    /// None while the thread has not seen that the tracker sends no hints.
    next: Option<Instant>,
}

impl ClusterTrackers {
    /// Watches the trackers to which this peer has a connection, or the first one that answers,
    /// while `token` returns a token. Passes hints to `on_hint`, until the stop.
    pub(in crate::peer::account) fn watch(
        &self,
        stop: &Stop,
        token: impl Fn() -> Option<Token>,
        mut on_hint: impl FnMut(Hint),
    ) {
        self.wants_hints.store(true, Ordering::Relaxed);
        while !stop.is_stopped() {
            self.inbox.reset();
            self.inbox.take().into_iter().for_each(&mut on_hint);
            let next_attempt = token().and_then(|token| self.ask_for_hints(&token));
            let limit = next_attempt.map_or(LONG_WAIT, |next| {
                next.saturating_duration_since(Instant::now())
            });
            self.wait_for_hints(limit.min(LONG_WAIT));
        }
    }

    /// Makes [`ClusterTrackers::watch`] look at the stop, the token and all connections again.
    pub(in crate::peer::account) fn wake_watching(&self) {
        self.inbox.wake();
    }

    /// Whether a tracker sends hints.
    pub(in crate::peer::account) fn is_watching(&self) -> bool {
        lock(&self.known).values().any(|known| known.is_watched)
    }

    pub(super) fn wants_hints(&self) -> bool {
        self.wants_hints.load(Ordering::Relaxed)
    }

    /// Makes the requests that are due. Returns when the next one is.
    fn ask_for_hints(&self, token: &Token) -> Option<Instant> {
        let info = self.info().ok()?;
        let trust = self.trust(&info);
        let mut next: Option<Instant> = None;
        for tracker in self.in_order(&info) {
            let Some(mut at) = self.next_attempt(tracker) else {
                continue;
            };
            if at <= Instant::now() {
                let (ask, limits) = (AccessRequest::Cluster, TimeLimits::PATIENT);
                let asked = self.ask_at(tracker, &trust, &ask, Some(token), limits);
                let Some(again) = self.after_attempt(tracker, asked.is_ok()) else {
                    continue;
                };
                at = again;
            }
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        next
    }

    /// When this tracker is asked for hints. None if it sends them, or if another tracker does and
    /// there is no connection to this one.
    fn next_attempt(&self, tracker: &HostPort) -> Option<Instant> {
        let mut all = lock(&self.known);
        let any_is_watched = all.values().any(|known| known.is_watched);
        let known = all.entry(tracker.clone()).or_default();
        if known.is_watched || known.idle.is_none() && any_is_watched {
            return None;
        }
        let first = || Instant::now() + longer(FIRST_PAUSE);
        Some(*known.watch_attempts.next.get_or_insert_with(first))
    }

    /// An attempt was made. Returns when the next one is due, if the tracker sends no hints.
    fn after_attempt(&self, tracker: &HostPort, has_answered: bool) -> Option<Instant> {
        let mut all = lock(&self.known);
        let known = all.entry(tracker.clone()).or_default();
        if known.is_watched {
            return None;
        }
        let attempts = &mut known.watch_attempts;
        let pause = match has_answered {
            true => REFUSED,
            false => RETRY,
        };
        let pause = pause.saturating_mul(1 << attempts.failures.min(8));
        attempts.failures = attempts.failures.saturating_add(1);
        let next = Instant::now() + longer(pause.min(LONGEST_PAUSE));
        attempts.next = Some(next);
        Some(next)
    }

    /// Waits until a hint arrives, the inbox is woken, or `limit` is over. Reads the hints.
    fn wait_for_hints(&self, limit: Duration) {
        let sockets = self.watched_sockets();
        let mut events = vec![PollFd::new(self.inbox.as_fd(), PollFlags::POLLIN)];
        let sockets = sockets.iter();
        events.extend(sockets.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
        // Rounded up, so that the last millisecond is not a busy loop.
        let timeout = PollTimeout::try_from(limit + Duration::from_millis(1));
        let _ = poll(&mut events, timeout.unwrap_or(PollTimeout::MAX));
        self.read_hints();
    }

    /// The sockets of the idle connections on which hints may arrive.
    fn watched_sockets(&self) -> Vec<Arc<TcpStream>> {
        let known = lock(&self.known);
        let idle = known.values().filter_map(|known| known.idle.as_ref());
        let watched = idle.filter(|connection| connection.is_watching());
        watched
            .map(|connection| Arc::clone(connection.socket()))
            .collect()
    }

    /// Reads the hints that have arrived on idle connections.
    fn read_hints(&self) {
        let mut hints = Vec::new();
        let mut broken = Vec::new();
        // Reading never waits, so the lock is held meanwhile: no request opens a second connection.
        for (tracker, known) in lock(&self.known).iter_mut() {
            if let Err(error) = known.read_hints(&mut hints) {
                log::debug!("the tracker at {tracker} sends no more hints: {error}");
                known.is_watched = false;
                broken.extend(known.idle.take());
            }
        }
        drop(broken);
        if !hints.is_empty() {
            self.inbox.add(hints);
        }
    }
}

impl Known {
    /// Reads the hints that have arrived on the idle connection.
    fn read_hints(&mut self, hints: &mut Vec<Hint>) -> Result<(), ConnectionError> {
        let Some(idle) = self.idle.as_mut().filter(|idle| idle.is_watching()) else {
            return Ok(());
        };
        let read = idle.read_hints();
        hints.extend(idle.take_hints());
        read
    }
}

/// A pause, made longer at random, up to twice as long.
fn longer(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + fastrand::f64())
}

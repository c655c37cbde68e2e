//! Watching: trackers send hints to this peer, and a thread receives them.
//!
//! There is one connection to each tracker. Requests, announces and hints share it. The first
//! request with a login on a connection also asks for hints. While no request uses a connection,
//! the thread waits for hints on the connection's socket. A request reads the hints that arrive
//! before its reply, and leaves them in the inbox. If no other thread makes a request for a moment,
//! this thread makes one, to ask for hints.

use super::known::KnownTracker;
use super::{ClusterTrackers, TimeLimits};
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

impl ClusterTrackers {
    /// Passes hints to `on_hint`, until the stop. While `token` returns a token, watches the
    /// trackers to which this peer has a connection. If there is no connection, watches the first
    /// tracker that answers.
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
        lock(&self.known).values().any(KnownTracker::is_watched)
    }

    pub(super) fn wants_hints(&self) -> bool {
        self.wants_hints.load(Ordering::Relaxed)
    }

    /// Makes the requests for hints that are due. Returns the time at which the next one is due.
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

    /// When to ask this tracker for hints. `None` if it already sends hints. Also `None` if another
    /// tracker sends hints and this peer has no idle connection to this tracker.
    fn next_attempt(&self, tracker: &HostPort) -> Option<Instant> {
        let mut all = lock(&self.known);
        let any_is_watched = all.values().any(KnownTracker::is_watched);
        let known = all.entry(tracker.clone()).or_default();
        let is_needed = !known.is_watched() && (known.has_idle() || !any_is_watched);
        is_needed.then(|| known.next_hint_request())
    }

    /// Handles the end of a request for hints. Returns the time at which the next request is due,
    /// if the tracker sends no hints.
    fn after_attempt(&self, tracker: &HostPort, has_answered: bool) -> Option<Instant> {
        let mut all = lock(&self.known);
        let known = all.entry(tracker.clone()).or_default();
        (!known.is_watched()).then(|| known.on_hint_failure(has_answered))
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
        known
            .values()
            .filter_map(KnownTracker::watched_socket)
            .collect()
    }

    /// Reads the hints that have arrived on idle connections.
    fn read_hints(&self) {
        let mut hints = Vec::new();
        let mut broken = Vec::new();
        // The lock is held while hints are read, so that no request misses an idle connection and
        // opens a second one. Reading never waits.
        for (tracker, known) in lock(&self.known).iter_mut() {
            if let Err(error) = known.read_hints(&mut hints) {
                log::debug!("the tracker at {tracker} sends no more hints: {error}");
                broken.extend(known.take_idle());
            }
        }
        drop(broken);
        if !hints.is_empty() {
            self.inbox.add(hints);
        }
    }
}

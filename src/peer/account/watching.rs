//! Watching: trackers send hints to this peer, and a thread receives them.
//!
//! The connections that watch are those that are open anyway, because requests and announces go
//! over them: one to each tracker. While no request uses a connection, the thread waits for its
//! socket. A request reads the hints that arrive before its reply, and leaves them in the inbox.

use super::ClusterTrackers;
use super::connection::TimeLimits;
use super::trackers::WatchState;
use crate::net::Stop;
use crate::wire::access::{AccessRequest, Hint, Token};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The longest wait for a socket. The thread then looks whether somebody is logged in.
const LONG_WAIT: Duration = Duration::from_secs(60);

impl ClusterTrackers {
    /// Watches the trackers to which this peer has a connection, or the first one that answers,
    /// while `token` returns a token. Passes hints to `on_hint`, until the stop.
    pub(super) fn watch(
        &self,
        stop: &Stop,
        token: impl Fn() -> Option<Token>,
        mut on_hint: impl FnMut(Hint),
    ) {
        while !stop.is_stopped() {
            self.inbox.reset();
            self.inbox.take().into_iter().for_each(&mut on_hint);
            let next_attempt = token().and_then(|token| self.watch_more(&token));
            let limit = next_attempt.map_or(LONG_WAIT, |next| {
                next.saturating_duration_since(Instant::now())
            });
            self.wait_for_hints(limit.min(LONG_WAIT));
        }
    }

    /// Asks trackers for hints that do not send any. Returns when the next attempt is due.
    fn watch_more(&self, token: &Token) -> Option<Instant> {
        let info = self.info().ok()?;
        let trust = self.trust(&info);
        let mut next: Option<Instant> = None;
        for tracker in self.in_order(&info) {
            match self.watching_of(tracker) {
                WatchState::NotNeeded => continue,
                WatchState::DueAt(at) if at > Instant::now() => {
                    next = Some(next.map_or(at, |next| next.min(at)));
                    continue;
                }
                WatchState::DueAt(_) => {}
            }
            let ask = AccessRequest::Watch;
            let asked = self.ask_at(
                tracker,
                &trust,
                &ask,
                Some(token),
                TimeLimits::of(&ask, false),
            );
            let is_refused = asked.is_ok_and(|reply| reply.result.is_err());
            if !self.is_watched(tracker) {
                let at = self.on_not_watched(tracker, is_refused);
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        next
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
}

//! Watching: the tracker that sends hints to this peer, and the thread that receives them.
//!
//! One connection watches: the one that is open anyway, because requests and announces go over it.
//! While no request uses the connection, the thread waits for its socket. A request reads the hints
//! that arrive before its reply, and leaves them in the inbox.
//!
//! Locks: `inbox`, for a look-up or a change.

use super::ClusterTrackers;
use crate::net::{Stop, Waker};
use crate::system::lock;
use crate::wire::access::{AccessRequest, Hint, Token};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The longest wait for a socket. The thread then looks whether somebody is logged in.
const LONG_WAIT: Duration = Duration::from_secs(60);
/// The first and the longest pause after no tracker could be watched. The pause doubles.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Hints that have arrived, and the waker of the thread that handles them.
#[derive(Debug)]
pub(super) struct HintInbox {
    hints: Mutex<Vec<Hint>>,
    waker: Waker,
}

impl HintInbox {
    /// An empty inbox.
    ///
    /// # Errors
    /// The system has no free descriptor.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hints: Mutex::default(),
            waker: Waker::new()?,
        })
    }

    /// Adds hints that a request has read, and makes the thread look at all connections again.
    pub(super) fn add(&self, hints: Vec<Hint>) {
        lock(&self.hints).extend(hints);
        self.waker.wake();
    }

    /// Makes the thread look at everything again.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    fn take(&self) -> Vec<Hint> {
        std::mem::take(&mut *lock(&self.hints))
    }
}

impl ClusterTrackers {
    /// Watches a tracker while `token` returns a token, and passes hints to `on_hint`, until the
    /// stop. If the tracker fails, watches the next one.
    pub(super) fn watch(
        &self,
        stop: &Stop,
        token: impl Fn() -> Option<Token>,
        mut on_hint: impl FnMut(Hint),
    ) {
        let mut failures: u32 = 0;
        let mut next_attempt = Instant::now();
        while !stop.is_stopped() {
            self.inbox.waker.reset();
            self.inbox.take().into_iter().for_each(&mut on_hint);
            let now = Instant::now();
            let mut limit = LONG_WAIT;
            if let Some(token) = token().filter(|_| !self.is_watching()) {
                if next_attempt <= now {
                    let asked = self.ask(&AccessRequest::Watch, Some(&token));
                    let is_refused = match &asked {
                        Ok(answered) => answered.reply.result.is_err(),
                        Err(_) => true,
                    };
                    if !is_refused {
                        failures = 0;
                        continue;
                    }
                    let pause = RETRY.0.saturating_mul(1 << failures.min(8)).min(RETRY.1);
                    failures = failures.saturating_add(1);
                    next_attempt = Instant::now() + pause.mul_f64(1.0 - fastrand::f64() / 4.0);
                }
                limit = next_attempt.saturating_duration_since(Instant::now());
            }
            self.wait_for_hints(limit);
        }
    }

    /// Waits until a hint arrives, the inbox is woken, or `limit` is over. Reads the hints.
    fn wait_for_hints(&self, limit: Duration) {
        let sockets = self.watched_sockets();
        let mut events = vec![PollFd::new(self.inbox.waker.as_fd(), PollFlags::POLLIN)];
        let flags = PollFlags::POLLIN;
        events.extend(sockets.iter().map(|it| PollFd::new(it.as_fd(), flags)));
        // Rounded up, so that the last millisecond is not a busy loop.
        let timeout = PollTimeout::try_from(limit + Duration::from_millis(1));
        let _ = poll(&mut events, timeout.unwrap_or(PollTimeout::MAX));
        self.read_hints();
    }
}

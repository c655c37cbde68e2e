//! Whom a swarm calls: the addresses that may be called, the calls under way, how the last ones went.

use crate::swarm::{Candidates, MAX_CANDIDATES};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

/// How many calls of one swarm may be under way at once.
pub(super) const MAX_CALLING: usize = 16;
/// After this long an address that turned out to be linked already, or a fellow seed, may be called
/// again.
const CALL_AGAIN: Duration = Duration::from_secs(60);

/// The contacts of one swarm.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    pub(super) candidates: Candidates,
    /// Addresses being called or linked by a call.
    pub(super) calls: HashSet<SocketAddr>,
    /// Why the last call failed; none if it was answered.
    pub(super) unreached: Option<String>,
    /// Addresses that hung up at our handshake.
    hung_up: HashSet<SocketAddr>,
}

impl Contacts {
    /// A call came to nothing, for this reason. Returns whether the address hung up at our handshake
    /// for the first time. No more of those are kept than can be called.
    pub(super) fn unreached(&mut self, address: SocketAddr, why: String, hung_up: bool) -> bool {
        self.unreached = Some(why);
        hung_up && self.hung_up.len() < MAX_CANDIDATES && self.hung_up.insert(address)
    }

    /// The address is called again later.
    pub(super) fn call_failed(&mut self, address: SocketAddr, now: Duration) {
        self.candidates
            .on_failed(address, now, &mut fastrand::Rng::new());
    }

    /// There is no link with the address any more, or another: it may be called again after a while.
    pub(super) fn released(&mut self, address: SocketAddr, now: Duration) {
        self.candidates.release(address, now + CALL_AGAIN);
    }

    /// The thread that called the address has ended. Unless a link with it is `linked` all the same,
    /// it may be called again.
    pub(super) fn call_ended(&mut self, address: SocketAddr, linked: bool, now: Duration) {
        self.calls.remove(&address);
        if !linked {
            self.released(address, now);
        }
    }

    /// Addresses to call now, so that no more than `places` are taken. `taken` are, and `linked`
    /// calls have become links.
    pub(super) fn next_calls(
        &mut self,
        (taken, linked): (usize, usize),
        places: usize,
        now: Duration,
    ) -> Vec<SocketAddr> {
        let calling = self.calls.len().saturating_sub(linked);
        let free = places.saturating_sub(taken + calling);
        let mut calls = Vec::new();
        for _ in 0..free.min(MAX_CALLING.saturating_sub(calling)) {
            let Some(address) = self.candidates.next(now, &mut fastrand::Rng::new()) else {
                break;
            };
            self.calls.insert(address);
            calls.push(address);
        }
        calls
    }
}

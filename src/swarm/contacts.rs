//! Whom a swarm calls: the addresses that may be called, the calls under way, how the last ones
//! went.

use super::{Candidates, MAX_CANDIDATES};
use fastrand::Rng;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

/// How many calls of one swarm may be under way at once.
pub const MAX_CALLING: usize = 16;
/// After this long an address that turned out to be linked already, or a fellow seed, may be called
/// again.
const CALL_AGAIN: Duration = Duration::from_secs(60);

/// The contacts of one swarm.
#[derive(Debug)]
pub struct Contacts {
    candidates: Candidates,
    /// Addresses being called or linked by a call.
    calls: HashSet<SocketAddr>,
    /// Why the last call failed; none if it was answered.
    unreached: Option<String>,
    /// Addresses that hung up at our handshake.
    hung_up: HashSet<SocketAddr>,
    rng: Rng,
}

impl Contacts {
    /// Nobody is known yet. Equal seeds give equal choices.
    pub fn new(seed: u64) -> Self {
        Self {
            candidates: Candidates::default(),
            calls: HashSet::new(),
            unreached: None,
            hung_up: HashSet::new(),
            rng: Rng::with_seed(seed),
        }
    }

    /// A tracker or a person names an address.
    pub fn add(&mut self, address: SocketAddr) {
        self.candidates.add(address);
    }

    /// Another peer names an address.
    pub fn add_hearsay(&mut self, address: SocketAddr) {
        self.candidates.add_hearsay(address);
    }

    /// The addresses, for whoever goes on in this one's place: see [`Candidates::handed_on`].
    pub fn handed_on(&self) -> Candidates {
        self.candidates.handed_on()
    }

    /// The addresses that are not to be called.
    pub fn barred_alone(&self) -> Candidates {
        self.candidates.barred_alone()
    }

    /// Goes on with the addresses that another swarm handed on.
    pub fn take_over(&mut self, candidates: Candidates) {
        self.candidates = candidates;
    }

    /// Forgets all addresses but those that are not to be called.
    pub fn give_up(&mut self) {
        self.candidates = self.candidates.barred_alone();
    }

    /// The address answered the handshake.
    pub fn on_answer(&mut self) {
        self.unreached = None;
    }

    /// A call came to nothing, for this reason: the address is called again later. Returns whether
    /// it hung up at our handshake for the first time. No more of those are kept than can be
    /// called.
    pub fn on_unreached(&mut self, address: SocketAddr, now: Duration, why: Unreached) -> bool {
        self.on_failed(address, now);
        self.unreached = Some(why.reason);
        why.hung_up && self.hung_up.len() < MAX_CANDIDATES && self.hung_up.insert(address)
    }

    /// Why the last call failed, if it did.
    pub fn unreached(&self) -> Option<&str> {
        self.unreached.as_deref()
    }

    /// The call failed or the link ended: the address is called again later.
    pub fn on_failed(&mut self, address: SocketAddr, now: Duration) {
        self.candidates.on_failed(address, now, &mut self.rng);
    }

    /// A link with the address is open, whoever called.
    pub fn on_linked(&mut self, address: SocketAddr) {
        self.candidates.on_linked(address);
    }

    /// The link with the address was of use.
    pub fn on_proved(&mut self, address: SocketAddr) {
        self.candidates.on_proved(address);
    }

    /// There is no link with the address any more, or another: it may be called again after a
    /// while.
    pub fn release(&mut self, address: SocketAddr, now: Duration) {
        self.candidates.release(address, now + CALL_AGAIN);
    }

    /// The same, where the caller says when.
    pub fn release_until(&mut self, address: SocketAddr, until: Duration) {
        self.candidates.release(address, until);
    }

    /// The address is not called before then.
    pub fn bar(&mut self, address: SocketAddr, until: Duration) {
        self.candidates.bar(address, until);
    }

    /// Whether the address is barred.
    pub fn is_barred(&self, address: SocketAddr, now: Duration) -> bool {
        self.candidates.is_barred(address, now)
    }

    /// Whether somebody is barred for a while.
    pub fn has_barred(&self, now: Duration) -> bool {
        self.candidates.has_barred(now)
    }

    /// Whether the address may be called, now or later.
    pub fn has(&self, address: SocketAddr) -> bool {
        self.candidates.has(address)
    }

    /// How many addresses may be called, now or later.
    pub fn known(&self) -> usize {
        self.candidates.known().count()
    }

    /// Whether the address is being called, or linked by a call.
    pub fn is_called(&self, address: SocketAddr) -> bool {
        self.calls.contains(&address)
    }

    /// The thread that called the address has ended. Unless a link with it is `linked` all the
    /// same, it may be called again.
    pub fn on_call_ended(&mut self, address: SocketAddr, linked: bool, now: Duration) {
        self.calls.remove(&address);
        if !linked {
            self.release(address, now);
        }
    }

    /// Addresses to call now, so that no more than `places` are taken. `taken` are, and `linked`
    /// calls have become links.
    pub fn next_calls(
        &mut self,
        (taken, linked): (usize, usize),
        places: usize,
        now: Duration,
    ) -> Vec<SocketAddr> {
        let calling = self.calls.len().saturating_sub(linked);
        let free = places.saturating_sub(taken + calling);
        let mut calls = Vec::new();
        for _ in 0..free.min(MAX_CALLING.saturating_sub(calling)) {
            let Some(address) = self.candidates.next(now, &mut self.rng) else {
                break;
            };
            self.calls.insert(address);
            calls.push(address);
        }
        calls
    }
}

/// Why a call came to nothing.
#[derive(Clone, Debug)]
pub struct Unreached {
    /// As a person sees it.
    pub reason: String,
    /// The other side hung up at our handshake.
    pub hung_up: bool,
}

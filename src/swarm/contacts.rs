//! The addresses that a swarm may call, the calls under way, and how the last calls went.

use super::hosts::Hosts;
use super::{Candidates, MAX_CANDIDATES, MemberId, Source, Sources};
use fastrand::Rng;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

/// The largest number of calls of one swarm that may be under way.
pub const MAX_CALLS: usize = 16;
/// Pause before a released address is called again. For example, an address is released when its
/// peer turns out to be linked already, or to be a seed, as we are.
const CALL_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// The same pause for a private address that a tracker has named. Its peer usually has a link by
/// another address.
const CALL_PRIVATE_AGAIN_AFTER: Duration = Duration::from_secs(600);
/// The largest number of members that are remembered as barred. A further member replaces the one
/// whose bar ends first.
const MAX_BARRED_MEMBERS: usize = 1_000;

/// The contacts of one swarm.
#[derive(Debug)]
pub struct Contacts {
    candidates: Candidates,
    hosts: Hosts,
    /// The members that sent bad data, each with the time at which its bar ends.
    barred_members: HashMap<MemberId, Duration>,
    /// Addresses that are being called or were linked by a call.
    calls: HashSet<SocketAddr>,
    /// Why the last call failed. `None` if that call was answered, or if there was no call yet.
    last_failure: Option<String>,
    /// Addresses that hung up after our handshake.
    hung_up: HashSet<SocketAddr>,
    rng: Rng,
}

impl Contacts {
    /// No address is known yet. The same `seed` gives the same random choices.
    pub fn new(seed: u64) -> Self {
        Self {
            candidates: Candidates::default(),
            hosts: Hosts::default(),
            barred_members: HashMap::new(),
            calls: HashSet::new(),
            last_failure: None,
            hung_up: HashSet::new(),
            rng: Rng::with_seed(seed),
        }
    }

    /// A tracker or a user names an address.
    pub fn add(&mut self, address: SocketAddr) {
        self.candidates.add(address);
    }

    /// A tracker or a user names several addresses.
    pub fn add_all(&mut self, addresses: impl IntoIterator<Item = SocketAddr>) {
        addresses.into_iter().for_each(|address| self.add(address));
    }

    /// A tracker names peers that have just joined the swarm. They are not called before `from`.
    pub fn add_newcomers(&mut self, addresses: impl Iterator<Item = SocketAddr>, from: Duration) {
        addresses.for_each(|address| self.candidates.add_waiting(address, from));
    }

    /// A tracker names private addresses of peers that are behind the same NAT as this peer.
    pub fn add_private(&mut self, addresses: impl Iterator<Item = SocketAddr>) {
        addresses.for_each(|address| self.candidates.add_private(address));
    }

    /// Whether the address was first named as a private one: see [`Contacts::add_private`].
    pub fn is_private(&self, address: SocketAddr) -> bool {
        self.candidates.is_private(address)
    }

    /// Another peer names an address.
    pub fn add_from_peer(&mut self, address: SocketAddr) {
        self.candidates.add_from_peer(address);
    }

    /// The addresses, for the transfer or magnet search that replaces this one: see
    /// [`Candidates::for_successor`].
    pub fn for_successor(&self) -> Candidates {
        self.candidates.for_successor()
    }

    /// The barred addresses only.
    pub fn only_barred(&self) -> Candidates {
        self.candidates.only_barred()
    }

    /// Continues with the addresses of the transfer or magnet search that this one replaces.
    pub fn take_over(&mut self, candidates: Candidates) {
        self.candidates = candidates;
    }

    /// Forgets all addresses except the barred ones.
    pub fn forget_unbarred(&mut self) {
        self.candidates = self.candidates.only_barred();
    }

    /// A called address answered the handshake.
    pub fn on_answer(&mut self) {
        self.last_failure = None;
    }

    /// A call failed. The address is called again later. Returns whether this is the first time
    /// that the address hung up after our handshake. At most [`MAX_CANDIDATES`] such addresses are
    /// remembered. For every further address, the result is `false`.
    pub fn on_call_failed(&mut self, address: SocketAddr, now: Duration, why: CallFailure) -> bool {
        self.on_failed(address, now);
        self.last_failure = Some(why.reason);
        why.hung_up && self.hung_up.len() < MAX_CANDIDATES && self.hung_up.insert(address)
    }

    /// Why the last call failed, if it did.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// The call failed or the link ended. The address is called again later.
    pub fn on_failed(&mut self, address: SocketAddr, now: Duration) {
        self.candidates.on_failed(address, now, &mut self.rng);
    }

    /// A link with the address is open, whichever side called.
    pub fn on_linked(&mut self, address: SocketAddr) {
        self.candidates.on_linked(address);
    }

    /// The link with the address was useful.
    pub fn on_useful(&mut self, address: SocketAddr) {
        self.candidates.on_useful(address);
    }

    /// We ended the call or link for reasons of our own, or the peer has another link. The address
    /// may be called again after a minute, or after ten if it is [private](Contacts::is_private).
    pub fn release(&mut self, address: SocketAddr, now: Duration) {
        let pause = match self.is_private(address) {
            true => CALL_PRIVATE_AGAIN_AFTER,
            false => CALL_AGAIN_AFTER,
        };
        self.candidates.release(address, now + pause);
    }

    /// Like [`Contacts::release`], but the address is not called before `until`.
    pub fn release_with_pause_until(&mut self, address: SocketAddr, until: Duration) {
        self.candidates.release(address, until);
    }

    /// Bars the address, because it is our own or its peer sent bad data. It is not called before
    /// `until`.
    pub fn bar(&mut self, address: SocketAddr, until: Duration) {
        self.candidates.bar(address, until);
    }

    /// This peer is proven to have sent bad data. Bars its address until `until`, and in a group
    /// also the member. Returns whether the whole host is barred now: see `hosts`.
    pub(super) fn on_proven_liar(
        &mut self,
        address: SocketAddr,
        member: Option<MemberId>,
        until: Duration,
    ) -> bool {
        self.bar(address, until);
        if let Some(member) = member {
            let barred = &mut self.barred_members;
            if barred.len() >= MAX_BARRED_MEMBERS && !barred.contains_key(&member) {
                let first_to_end = barred.iter().min_by_key(|(_, until)| **until);
                let first_to_end = first_to_end.map(|(member, _)| *member);
                first_to_end.and_then(|member| barred.remove(&member));
            }
            barred.insert(member, until);
        }
        self.hosts.on_proven_liar(address, until)
    }

    /// A piece from these sources was verified.
    pub(super) fn on_verified(&mut self, sources: &Sources) {
        for source in sources.keys() {
            if let Source::Peer(address, _) = source {
                self.hosts.on_verified(*address);
            }
        }
    }

    /// Whether the address or its host is barred at `now`.
    pub fn is_barred(&self, address: SocketAddr, now: Duration) -> bool {
        self.candidates.is_barred(address, now) || self.hosts.barred_until(address, now).is_some()
    }

    /// Whether the member is barred at `now`.
    pub fn is_member_barred(&self, member: MemberId, now: Duration) -> bool {
        let until = self.barred_members.get(&member);
        until.is_some_and(|until| *until > now)
    }

    /// Whether the address of some peer is barred at `now`. Our own address does not count: it is
    /// barred for ever.
    pub fn has_barred(&self, now: Duration) -> bool {
        self.candidates.has_barred(now) || self.hosts.any_barred(now)
    }

    /// Whether the address is known and not barred. When its bar has ended, it still counts as
    /// barred here until it is called.
    pub fn is_known_and_unbarred(&self, address: SocketAddr) -> bool {
        self.candidates.is_known_and_unbarred(address)
    }

    /// The number of addresses that are not barred.
    pub fn unbarred_count(&self) -> usize {
        self.candidates.unbarred().count()
    }

    /// Whether the address is being called, or was linked by a call.
    pub fn has_call(&self, address: SocketAddr) -> bool {
        self.calls.contains(&address)
    }

    /// The thread that called the address has ended. The address may be called again, unless a link
    /// with it is open (`linked`).
    pub fn on_call_ended(&mut self, address: SocketAddr, linked: bool, now: Duration) {
        self.calls.remove(&address);
        if !linked {
            self.release(address, now);
        }
    }

    /// When the next address is to be called. `None` if no address is to be called.
    pub fn next_due(&self) -> Option<Duration> {
        self.candidates.next_due()
    }

    /// Addresses to call now, so that links and calls together take at most `places`. An address is
    /// not called while an earlier call of it goes on. `links` is the number of links, and
    /// `linked_calls` the number of calls that have become links.
    pub fn next_calls(
        &mut self,
        (links, linked_calls): (usize, usize),
        places: usize,
        now: Duration,
    ) -> Vec<SocketAddr> {
        let calling = self.calls.len().saturating_sub(linked_calls);
        let free = places.saturating_sub(links + calling);
        let mut calls = Vec::new();
        for _ in 0..free.min(MAX_CALLS.saturating_sub(calling)) {
            let Some(address) = self.candidates.next(now, &mut self.rng) else {
                break;
            };
            if let Some(until) = self.hosts.barred_until(address, now) {
                self.candidates.bar(address, until);
                continue;
            }
            // If an earlier call has not ended yet, the address waits for `on_call_ended`.
            if self.calls.insert(address) {
                calls.push(address);
            }
        }
        calls
    }
}

/// Why a call failed.
#[derive(Clone, Debug)]
pub struct CallFailure {
    /// A text for the user.
    pub reason: String,
    /// The other side hung up after our handshake.
    pub hung_up: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_address_stays_private_and_a_released_one_waits_ten_minutes() {
        let mut contacts = Contacts::new(1);
        let [private, seen] = ["10.0.0.1:6881", "10.0.0.2:6881"].map(|it| it.parse().unwrap());
        contacts.add(seen);
        contacts.add_private([private, seen].into_iter());
        contacts.add(private);
        let mut successor = Contacts::new(1);
        successor.take_over(contacts.for_successor());
        for contacts in [&mut contacts, &mut successor] {
            assert!(contacts.is_private(private) && !contacts.is_private(seen));
            assert_eq!(contacts.next_calls((0, 0), 9, Duration::ZERO).len(), 2);
            contacts.on_call_ended(private, false, Duration::ZERO);
            assert_eq!(contacts.next_due(), Some(CALL_PRIVATE_AGAIN_AFTER));
            contacts.on_call_ended(seen, false, Duration::ZERO);
            assert_eq!(contacts.next_due(), Some(CALL_AGAIN_AFTER));
        }
    }

    #[test]
    fn the_number_of_barred_members_is_bounded_and_those_barred_longest_stay() {
        let mut contacts = Contacts::new(1);
        let member = |number: u64| MemberId([number.to_be_bytes(); 2].concat().try_into().unwrap());
        for number in 1..=2 * MAX_BARRED_MEMBERS as u64 {
            let address = "192.0.2.1:6881".parse().unwrap();
            let until = Duration::from_secs(number);
            contacts.on_proven_liar(address, Some(member(number)), until);
        }
        assert_eq!(contacts.barred_members.len(), MAX_BARRED_MEMBERS);
        let last = 2 * MAX_BARRED_MEMBERS as u64;
        assert!(contacts.is_member_barred(member(last), Duration::ZERO));
        assert!(!contacts.is_member_barred(member(1), Duration::ZERO));
    }
}

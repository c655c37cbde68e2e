//! Addresses that may be called: which one to call next, and when to call again after a failure.

use crate::base::Zone;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// The largest number of addresses kept for one swarm. A further address replaces the waiting
/// address with the most failures. If no waiting address has failed, the further one is ignored.
pub const MAX_CANDIDATES: usize = 1_000;
/// The pause after the first failure. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two calls to one address.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// An address with more failures in a row than this is forgotten, until it is named again.
const MAX_FAILURES: u32 = 12;

/// The addresses of one swarm.
#[derive(Debug, Default)]
pub struct Candidates {
    addresses: BTreeMap<SocketAddr, Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    state: State,
    failures: u32,
    /// Whether a tracker named it as a private address of a peer behind the same NAT, and nobody
    /// had named it before.
    is_private: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// May be called from this time on.
    Waiting(Duration),
    /// A call is under way or a link is open.
    Busy,
    /// Not to be called before this time, because the peer there sent a bad piece. After this time,
    /// the address stays in this state until it is called. Our own address is barred for ever
    /// (`Duration::MAX`).
    Barred(Duration),
}

impl Candidates {
    /// A tracker or a user names an address. If it is known already, nothing changes: after
    /// failures it keeps waiting.
    pub fn add(&mut self, address: SocketAddr) {
        self.add_waiting(address, Duration::ZERO);
    }

    /// Like [`Candidates::add`], but a new address is not called before `until`.
    pub fn add_waiting(&mut self, address: SocketAddr, until: Duration) {
        self.add_new(address, until, false);
    }

    /// A tracker names a private address of a peer that is behind the same NAT as this peer.
    pub fn add_private(&mut self, address: SocketAddr) {
        self.add_new(address, Duration::ZERO, true);
    }

    fn add_new(&mut self, address: SocketAddr, until: Duration, is_private: bool) {
        let is_nowhere = address.ip().is_unspecified() || address.ip().is_multicast();
        if address.port() == 0 || is_nowhere || Zone::of(address.ip()) == Zone::CloudMetadata {
            return;
        }
        if self.addresses.contains_key(&address) || !self.make_room() {
            return;
        }
        let fresh = Candidate {
            state: State::Waiting(until),
            failures: 0,
            is_private,
        };
        self.addresses.insert(address, fresh);
    }

    /// Another peer names an address. It is ignored if half of [`MAX_CANDIDATES`] addresses are
    /// kept already. So at least half of the room is left for addresses from trackers and users.
    pub fn add_from_peer(&mut self, address: SocketAddr) {
        if self.addresses.len() < MAX_CANDIDATES / 2 {
            self.add(address);
        }
    }

    /// Makes room for one more address: if [`MAX_CANDIDATES`] are kept, removes the waiting address
    /// with the most failures. Returns whether there is room.
    fn make_room(&mut self) -> bool {
        if self.addresses.len() < MAX_CANDIDATES {
            return true;
        }
        let idle = self.addresses.iter().filter(|(_, candidate)| {
            candidate.failures > 0 && matches!(candidate.state, State::Waiting(_))
        });
        let worst = idle.max_by_key(|(_, candidate)| candidate.failures);
        let worst = worst.map(|(address, _)| *address);
        worst.is_some_and(|address| self.addresses.remove(&address).is_some())
    }

    /// An address to call now: of those that are due, a random one among those with the fewest
    /// failures. It becomes busy.
    pub fn next(&mut self, now: Duration, rng: &mut Rng) -> Option<SocketAddr> {
        let due = self
            .addresses
            .iter()
            .filter(|(_, candidate)| candidate.is_due(now));
        let chosen = due.min_by_key(|(_, candidate)| (candidate.failures, rng.u32(..)));
        let address = chosen.map(|(address, _)| *address)?;
        self.addresses.get_mut(&address)?.state = State::Busy;
        Some(address)
    }

    /// The earliest time at which an address is due. `None` if every address is busy or barred for
    /// ever.
    pub fn next_due(&self) -> Option<Duration> {
        let candidates = self.addresses.values();
        let due = candidates.filter_map(|candidate| match candidate.state {
            State::Waiting(until) | State::Barred(until) => Some(until),
            State::Busy => None,
        });
        due.min().filter(|due| *due < Duration::MAX)
    }

    /// A link with the address is open, whichever side called.
    pub fn on_linked(&mut self, address: SocketAddr) {
        if let Some(candidate) = self.addresses.get_mut(&address)
            && !matches!(candidate.state, State::Barred(_))
        {
            candidate.state = State::Busy;
        }
    }

    /// The link with the address was useful: earlier failures are forgotten. A handshake alone does
    /// not count. Otherwise an address that answers and then hangs up would be called every second,
    /// for ever.
    pub fn on_useful(&mut self, address: SocketAddr) {
        if let Some(candidate) = self.addresses.get_mut(&address) {
            candidate.failures = 0;
        }
    }

    /// The call failed or the link ended. The pause grows with each failure in a row.
    pub fn on_failed(&mut self, address: SocketAddr, now: Duration, rng: &mut Rng) {
        let Some(candidate) = self.addresses.get_mut(&address) else {
            return;
        };
        match candidate.state {
            State::Barred(_) => return,
            // We closed this link ourselves: `release` has already set the pause.
            State::Waiting(until) if until > now => return,
            State::Waiting(_) | State::Busy => {}
        }
        candidate.failures += 1;
        if candidate.failures > MAX_FAILURES {
            self.addresses.remove(&address);
            return;
        }
        let doubled = FIRST_PAUSE.saturating_mul(1 << (candidate.failures - 1).min(16));
        // Half of the pause is random, so that the peers of a swarm do not all call a returning
        // peer at the same moment.
        let pause = doubled.min(LONGEST_PAUSE).mul_f64(0.5 + 0.5 * rng.f64());
        candidate.state = State::Waiting(now + pause);
    }

    /// We ended the call or link for reasons of our own: the address may be called again from
    /// `until` on, and no failure is counted.
    pub fn release(&mut self, address: SocketAddr, until: Duration) {
        if let Some(candidate) = self.addresses.get_mut(&address)
            && candidate.state == State::Busy
        {
            candidate.state = State::Waiting(until);
        }
    }

    /// Bars the address until `until`: it is our own, or the peer there sent a bad piece.
    pub fn bar(&mut self, address: SocketAddr, until: Duration) {
        if self.addresses.contains_key(&address) || self.make_room() {
            let barred = Candidate {
                state: State::Barred(until),
                failures: 0,
                is_private: self.is_private(address),
            };
            self.addresses.insert(address, barred);
        }
    }

    /// The addresses, for the transfer or magnet search that replaces the present one. Each may be
    /// called at once, except those that are barred.
    pub fn for_successor(&self) -> Self {
        let fresh = |candidate: &Candidate| Candidate {
            state: match candidate.state {
                State::Barred(until) => State::Barred(until),
                State::Waiting(_) | State::Busy => State::Waiting(Duration::ZERO),
            },
            failures: 0,
            is_private: candidate.is_private,
        };
        let addresses = self.addresses.iter();
        Self {
            addresses: addresses
                .map(|(address, candidate)| (*address, fresh(candidate)))
                .collect(),
        }
    }

    /// Only the addresses in the state `Barred`.
    pub fn only_barred(&self) -> Self {
        let barred = self
            .addresses
            .iter()
            .filter(|(_, candidate)| matches!(candidate.state, State::Barred(_)));
        Self {
            addresses: barred
                .map(|(address, candidate)| (*address, *candidate))
                .collect(),
        }
    }

    /// Whether the address was first named by [`Candidates::add_private`].
    pub fn is_private(&self, address: SocketAddr) -> bool {
        let candidate = self.addresses.get(&address);
        candidate.is_some_and(|candidate| candidate.is_private)
    }

    /// Whether the address is barred at `now`.
    pub fn is_barred(&self, address: SocketAddr, now: Duration) -> bool {
        let candidate = self.addresses.get(&address);
        candidate
            .is_some_and(|candidate| matches!(candidate.state, State::Barred(until) if until > now))
    }

    /// Whether the address of some peer is barred at `now`. Our own address does not count: it is
    /// barred for ever.
    pub fn has_barred(&self, now: Duration) -> bool {
        let mut states = self.addresses.values().map(|candidate| candidate.state);
        states.any(
            |state| matches!(state, State::Barred(until) if until > now && until < Duration::MAX),
        )
    }

    /// Whether the address is known and not in the state `Barred`.
    pub fn is_known_and_unbarred(&self, address: SocketAddr) -> bool {
        let candidate = self.addresses.get(&address);
        candidate.is_some_and(|candidate| !matches!(candidate.state, State::Barred(_)))
    }

    /// All addresses that are not in the state `Barred`.
    pub fn unbarred(&self) -> impl Iterator<Item = SocketAddr> {
        let not_barred = self
            .addresses
            .iter()
            .filter(|(_, candidate)| !matches!(candidate.state, State::Barred(_)));
        not_barred.map(|(address, _)| *address)
    }
}

impl Candidate {
    fn is_due(&self, now: Duration) -> bool {
        matches!(self.state, State::Waiting(until) | State::Barred(until) if until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn addresses_from_peers_leave_half_of_the_places_free() {
        let mut candidates = Candidates::default();
        for port in 1..=2_000 {
            candidates.add_from_peer(([10, 0, 0, 1], port).into());
        }
        assert_eq!(candidates.unbarred().count(), MAX_CANDIDATES / 2);
        for port in 1..=2_000 {
            candidates.add(([10, 0, 0, 2], port).into());
        }
        assert_eq!(candidates.unbarred().count(), MAX_CANDIDATES);
    }

    #[test]
    fn a_successor_calls_all_but_the_barred_addresses() {
        let mut candidates = Candidates::default();
        let mut rng = Rng::with_seed(1);
        let address = |port| SocketAddr::from(([10, 0, 0, 1], port));
        (1..=3).for_each(|port| candidates.add(address(port)));
        candidates.bar(address(1), Duration::from_secs(600));
        candidates.on_linked(address(2));
        candidates.on_failed(address(3), Duration::ZERO, &mut rng);
        assert_eq!(candidates.next(Duration::ZERO, &mut rng), None);
        let mut successor = candidates.for_successor();
        let called = [(); 3].map(|()| successor.next(Duration::ZERO, &mut rng));
        assert_eq!(called.iter().flatten().count(), 2);
        assert!(!called.contains(&Some(address(1))));
        assert!(successor.is_barred(address(1), Duration::ZERO));
        assert!(
            [2, 3]
                .iter()
                .all(|port| candidates.is_known_and_unbarred(address(*port)))
        );
        assert!(
            !candidates.is_known_and_unbarred(address(1))
                && !candidates.is_known_and_unbarred(address(9))
        );
        let mut barred = candidates.only_barred();
        assert_eq!(barred.unbarred().count(), 0);
        assert!(barred.is_barred(address(1), Duration::ZERO));
        assert_eq!(barred.next(Duration::ZERO, &mut rng), None);
    }

    #[test]
    fn failures_double_the_pause_and_a_useful_link_resets_it() {
        let (mut candidates, mut rng) = (Candidates::default(), Rng::with_seed(1));
        candidates.add(address(1));
        let mut now = Duration::ZERO;
        for failure in 0..MAX_FAILURES {
            assert_eq!(candidates.next(now, &mut rng), Some(address(1)));
            assert_eq!(candidates.next(now, &mut rng), None, "busy");
            candidates.on_failed(address(1), now, &mut rng);
            let pause = candidates.next_due().unwrap() - now;
            let full = Duration::from_secs(1 << failure).min(LONGEST_PAUSE);
            assert!(
                pause >= full / 2 && pause <= full,
                "{pause:?} after {failure}"
            );
            now += full;
        }
        candidates.next(now, &mut rng);
        candidates.on_linked(address(1));
        candidates.on_useful(address(1));
        candidates.on_failed(address(1), now, &mut rng);
        assert!(candidates.next_due().unwrap() - now <= FIRST_PAUSE);
    }

    #[test]
    fn an_address_that_never_answers_is_forgotten_and_a_barred_one_is_not_called_too_early() {
        let (mut candidates, mut rng) = (Candidates::default(), Rng::with_seed(1));
        candidates.add(address(1));
        for call in 0..=MAX_FAILURES {
            let now = LONGEST_PAUSE * call;
            assert_eq!(candidates.next(now, &mut rng), Some(address(1)));
            candidates.on_failed(address(1), now, &mut rng);
        }
        assert_eq!(candidates.unbarred().count(), 0);
        candidates.bar(address(2), Duration::from_secs(9));
        candidates.add(address(2));
        candidates.on_failed(address(2), Duration::ZERO, &mut rng);
        assert!(candidates.is_barred(address(2), Duration::ZERO));
        assert_eq!(candidates.next(Duration::from_secs(8), &mut rng), None);
        assert_eq!(
            candidates.next(Duration::from_secs(9), &mut rng),
            Some(address(2))
        );
    }

    #[test]
    fn the_end_of_a_link_that_we_closed_does_not_shorten_the_pause_of_its_address() {
        let (mut candidates, mut rng) = (Candidates::default(), Rng::with_seed(1));
        candidates.add(address(1));
        candidates.next(Duration::ZERO, &mut rng);
        candidates.on_linked(address(1));
        candidates.release(address(1), Duration::from_secs(60));
        candidates.on_failed(address(1), Duration::from_secs(1), &mut rng);
        assert_eq!(candidates.next_due(), Some(Duration::from_secs(60)));
    }

    #[test]
    fn invalid_addresses_are_ignored_and_the_number_is_bounded() {
        let mut candidates = Candidates::default();
        for invalid in [
            "0.0.0.0:1",
            "[::]:1",
            "127.0.0.1:0",
            "224.0.0.1:1",
            "169.254.169.254:1",
            "[fd00:ec2::254]:1",
            "168.63.129.16:1",
        ] {
            candidates.add(invalid.parse().unwrap());
        }
        assert_eq!(candidates.unbarred().count(), 0);
        (1..=2_000).for_each(|port| candidates.add(address(port)));
        assert_eq!(candidates.unbarred().count(), MAX_CANDIDATES);
    }
}

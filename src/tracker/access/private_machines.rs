//! The private addresses of the machines of members, for the machines behind the same NAT.
//!
//! In scope: which machines are seen at the same public address, and how many are kept. Out of
//! scope: who is a member of which group, and who is in which swarm (`shares`).
//!
//! They are kept once for each machine, not for each swarm, and only for a machine that has some
//! and that the tracker sees at a public address. At any other address, the machine is in the
//! network of the tracker, and the address that the tracker sees is the one to call.
//!
//! Locks: `state`, for a look-up or a change.

use crate::base::{AddressPrefix, Zone};
use crate::system::lock;
use crate::tracker::registry::RowId;
use crate::wire::PeerId;
use crate::wire::access::{AnnounceBatch, PrivateAddresses};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Mutex;
use std::time::Duration;

/// The most machines that are kept for one public address.
const MAX_OF_ADDRESS: usize = 100;
/// The most machines in all.
const MAX_MACHINES: usize = 50_000;
/// How long a machine is kept after its last announce: two and a half times the longest interval
/// of announces.
const LIFETIME: Duration = Duration::from_secs(1500);

/// The machines, by the public address at which the tracker sees them.
#[derive(Debug, Default)]
pub(super) struct PrivateMachines {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_address: HashMap<AddressPrefix, Vec<(PrivateMachine, Duration)>>,
    /// The number of machines in `by_address`.
    count: usize,
}

/// A peer of an account, and where it listens in its private network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PrivateMachine {
    account: RowId,
    peer_id: PeerId,
    port: NonZeroU16,
    addresses: PrivateAddresses,
}

impl PrivateMachine {
    /// The machine that sent these announces.
    pub(super) fn new(account: RowId, announces: &AnnounceBatch) -> Self {
        Self {
            account,
            peer_id: announces.peer_id(),
            port: announces.port(),
            addresses: announces.private().clone(),
        }
    }

    pub(super) fn account(&self) -> RowId {
        self.account
    }

    pub(super) fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// The private addresses at which it listens.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let port = self.port.get();
        self.addresses
            .iter()
            .map(move |ip| SocketAddr::new(ip, port))
    }

    fn is_peer_of(&self, other: &Self) -> bool {
        (self.account, self.peer_id) == (other.account, other.peer_id)
    }
}

impl PrivateMachines {
    /// Keeps the machine `own`, which the tracker sees at the address `from`. Returns the other
    /// machines at the same public address, beginning at a random one, so that a long list is not
    /// always cut at the same place.
    pub(super) fn exchange(
        &self,
        from: IpAddr,
        own: PrivateMachine,
        now: Duration,
    ) -> Vec<PrivateMachine> {
        if Zone::of(from) != Zone::Internet {
            return Vec::new();
        }
        let mut state = lock(&self.state);
        let prefix = AddressPrefix::of(from);
        let known = state.by_address.get(&prefix).map(Vec::as_slice);
        let others = known.unwrap_or_default().iter();
        let others = others.filter(|(other, until)| *until > now && !other.is_peer_of(&own));
        let mut others: Vec<_> = others.map(|(other, _)| other.clone()).collect();
        state.keep(prefix, own, now);
        drop(state);
        if !others.is_empty() {
            let first = fastrand::usize(..others.len());
            others.rotate_left(first);
        }
        others
    }

    /// Removes the machines that have been silent for too long.
    pub(super) fn expire(&self, now: Duration) {
        let mut state = lock(&self.state);
        state.by_address.retain(|_, machines| {
            machines.retain(|(_, until)| *until > now);
            !machines.is_empty()
        });
        state.count = state.by_address.values().map(Vec::len).sum();
        if state.by_address.len() < state.by_address.capacity() / 4 {
            state.by_address.shrink_to_fit();
        }
    }
}

impl State {
    /// Replaces what is kept of the machine. A further machine is not kept if there are too many.
    fn keep(&mut self, prefix: AddressPrefix, own: PrivateMachine, now: Duration) {
        if let Some(machines) = self.by_address.get_mut(&prefix) {
            let before = machines.len();
            machines.retain(|(machine, _)| !machine.is_peer_of(&own));
            self.count -= before - machines.len();
            if machines.is_empty() {
                self.by_address.remove(&prefix);
            }
        }
        let is_full = |machines: &Vec<_>| machines.len() >= MAX_OF_ADDRESS;
        let is_full = self.by_address.get(&prefix).is_some_and(is_full);
        if own.addresses.is_empty() || is_full || self.count >= MAX_MACHINES {
            return;
        }
        let machines = self.by_address.entry(prefix).or_default();
        machines.push((own, now + LIFETIME));
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(number: u16, private: &str) -> PrivateMachine {
        let mut id = [0; 20];
        id[..2].copy_from_slice(&number.to_be_bytes());
        PrivateMachine {
            account: RowId([1; 16]),
            peer_id: PeerId(id),
            port: NonZeroU16::new(6881).unwrap(),
            addresses: PrivateAddresses::choose(private.parse().ok()),
        }
    }

    /// The numbers of the machines that machine 9 at `from` gets.
    fn others(machines: &PrivateMachines, from: &str, now: Duration) -> Vec<u8> {
        let others = machines.exchange(from.parse().unwrap(), machine(9, ""), now);
        let mut numbers: Vec<_> = others.iter().map(|it| it.peer_id.0[1]).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn only_machines_seen_at_the_same_public_address_get_private_addresses() {
        let machines = PrivateMachines::default();
        let seen_at = [
            (1, "203.0.113.1"),
            (2, "203.0.113.1"),
            (3, "203.0.113.2"),
            (4, "2001:db8:0:1::4"),
            (5, "2001:db8:0:2::5"),
            (6, "192.168.1.6"),
            (7, "127.0.0.1"),
            (8, "100.64.0.1"),
        ];
        for (number, from) in seen_at {
            let own = machine(number, "10.0.0.1");
            machines.exchange(from.parse().unwrap(), own, Duration::ZERO);
        }
        let expected: [(&str, &[u8]); 8] = [
            ("203.0.113.1", &[1, 2]),
            ("::ffff:203.0.113.2", &[3]),
            ("203.0.113.3", &[]),
            ("2001:db8:0:1::99", &[4]),
            ("2001:db8:0:3::99", &[]),
            ("192.168.1.6", &[]),
            ("127.0.0.1", &[]),
            ("100.64.0.1", &[]),
        ];
        for (from, expected) in expected {
            assert_eq!(others(&machines, from, Duration::ZERO), expected, "{from}");
        }
        // A machine gets all addresses but its own, and a silent one is forgotten.
        let from = "203.0.113.1".parse().unwrap();
        let found = machines.exchange(from, machine(1, "fd00::1"), Duration::from_secs(1));
        assert_eq!(found, [machine(2, "10.0.0.1")]);
        assert_eq!(others(&machines, "203.0.113.1", LIFETIME), [1]);
        machines.expire(LIFETIME);
        assert_eq!(lock(&machines.state).count, 1);
        // A machine that has none any more is not kept.
        machines.exchange(from, machine(1, ""), LIFETIME);
        assert!(lock(&machines.state).by_address.is_empty());
    }

    #[test]
    fn the_number_of_machines_of_an_address_and_in_all_is_bounded() {
        let machines = PrivateMachines::default();
        for number in 0..=u16::MAX {
            let [high, low] = number.to_be_bytes();
            let own = machine(number, "10.0.0.1");
            machines.exchange(IpAddr::from([203, 1, 113, high]), own, Duration::ZERO);
            let own = machine(number, "10.0.0.1");
            machines.exchange(IpAddr::from([203, 2, high, low]), own, Duration::ZERO);
        }
        let state = lock(&machines.state);
        assert_eq!(state.count, MAX_MACHINES);
        let longest = state.by_address.values().map(Vec::len).max();
        assert_eq!(longest, Some(MAX_OF_ADDRESS));
    }
}

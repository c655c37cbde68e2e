//! Bars hosts that sent bad data. All addresses with one [`AddressPrefix`] are one host.
//!
//! It is not enough to bar an address with its port: the peer can call us again from a new port. So
//! the host is barred when three of its ports are proven to have sent bad data. A host from which
//! any block was verified is not barred, because it may have many peers, some of them honest. The
//! host of a loopback address is never barred.

use crate::base::AddressPrefix;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// A host is barred when this many of its ports have sent bad data.
const BAD_PORTS: usize = 3;
/// The largest number of hosts that are remembered. A further host replaces the one with the fewest
/// bad ports.
const MAX_HOSTS: usize = 1_000;

/// The hosts that sent blocks in one swarm.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    hosts: HashMap<AddressPrefix, Host>,
}

#[derive(Debug, Default)]
struct Host {
    /// Ports that sent bad data: at most [`BAD_PORTS`].
    bad_ports: Vec<u16>,
    /// Whether a block from this host was in a piece that was verified.
    has_verified_blocks: bool,
    barred_until: Option<Duration>,
}

impl Hosts {
    /// The peer at this address is proven to have sent bad data. Returns whether its host is barred
    /// from now on, until `until`.
    pub(super) fn on_proven_liar(&mut self, address: SocketAddr, until: Duration) -> bool {
        let Some(host) = self.host(address) else {
            return false;
        };
        if !host.bad_ports.contains(&address.port()) && host.bad_ports.len() < BAD_PORTS {
            host.bad_ports.push(address.port());
        }
        let is_barred = host.bad_ports.len() >= BAD_PORTS && !host.has_verified_blocks;
        if is_barred {
            host.barred_until = Some(until);
        }
        is_barred
    }

    /// A piece with blocks from this address was verified.
    pub(super) fn on_verified(&mut self, address: SocketAddr) {
        if let Some(host) = self.host(address) {
            host.has_verified_blocks = true;
            host.barred_until = None;
        }
    }

    /// Until when the host of the address is barred, if it is barred at `now`.
    pub(super) fn barred_until(&self, address: SocketAddr, now: Duration) -> Option<Duration> {
        let host = self.hosts.get(&AddressPrefix::of(address.ip()));
        host.and_then(|host| host.barred_until)
            .filter(|until| *until > now)
    }

    /// Whether any host is barred at `now`.
    pub(super) fn any_barred(&self, now: Duration) -> bool {
        let mut bars = self.hosts.values().filter_map(|host| host.barred_until);
        bars.any(|until| until > now)
    }

    /// The record of the host of an address. `None` for loopback.
    fn host(&mut self, address: SocketAddr) -> Option<&mut Host> {
        let prefix = AddressPrefix::of(address.ip());
        if prefix.ip().is_loopback() {
            return None;
        }
        if self.hosts.len() >= MAX_HOSTS && !self.hosts.contains_key(&prefix) {
            let hosts = self.hosts.iter();
            let fewest = hosts.min_by_key(|(_, host)| host.bad_ports.len());
            let fewest = fewest.map(|(prefix, _)| *prefix);
            fewest.and_then(|prefix| self.hosts.remove(&prefix));
        }
        Some(self.hosts.entry(prefix).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);
    const UNTIL: Duration = Duration::from_secs(9);

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn three_bad_ports_bar_a_host_for_a_while() {
        let mut hosts = Hosts::default();
        let liars = ["[2001:db8::1]:1", "[2001:db8::2]:2", "[2001:db8::3]:3"].map(address);
        let barred = [liars[0], liars[0], liars[1], liars[1], liars[2]]
            .map(|liar| hosts.on_proven_liar(liar, UNTIL));
        assert_eq!(barred, [false, false, false, false, true]);
        assert_eq!(
            hosts.barred_until(address("[2001:db8::9]:9"), NOW),
            Some(UNTIL)
        );
        assert_eq!(
            hosts.barred_until(address("[2001:db8:0:1::1]:1"), NOW),
            None
        );
        assert_eq!(hosts.barred_until(liars[0], UNTIL), None);
        assert!(hosts.any_barred(NOW) && !hosts.any_barred(UNTIL));
    }

    #[test]
    fn a_host_with_a_verified_piece_and_loopback_are_not_barred() {
        let mut hosts = Hosts::default();
        hosts.on_verified(address("192.0.2.1:9"));
        for port in 1..9 {
            for ip in [[192, 0, 2, 1], [127, 0, 0, 1]] {
                let address = SocketAddr::from((ip, port));
                assert!(!hosts.on_proven_liar(address, UNTIL), "{address}");
            }
        }
        // A piece from a barred host may still be verified. That ends the bar.
        let liars = [1, 2, 3].map(|port| SocketAddr::from(([192, 0, 2, 2], port)));
        assert!(liars.map(|liar| hosts.on_proven_liar(liar, UNTIL))[2]);
        hosts.on_verified(liars[0]);
        assert_eq!(hosts.barred_until(liars[0], NOW), None);
    }

    #[test]
    fn the_number_of_hosts_is_bounded_and_the_hosts_with_most_bad_ports_stay() {
        let mut hosts = Hosts::default();
        let liars = [1, 2, 3].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        for liar in liars {
            hosts.on_proven_liar(liar, UNTIL);
        }
        for number in 0..2 * MAX_HOSTS as u32 {
            let [.., high, low] = number.to_be_bytes();
            hosts.on_verified(SocketAddr::from(([10, 0, high, low], 1)));
        }
        assert_eq!(hosts.hosts.len(), MAX_HOSTS);
        assert!(hosts.barred_until(liars[0], NOW).is_some());
    }
}

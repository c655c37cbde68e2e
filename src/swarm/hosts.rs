//! Hosts that sent bad pieces.
//!
//! A bar of an address and port does not stop a peer that calls: each call may come from a new
//! port. So a host is barred when three of its ports each sent a bad piece and none of them a
//! verified one. Behind one address there may be many peers, and one of them is perhaps honest: a
//! host that has sent a verified piece is not barred. Loopback addresses are never barred. All
//! addresses with one [`AddressPrefix`] are one host.

use crate::base::AddressPrefix;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// A host is barred when this many of its ports have sent a bad piece.
const BAD_PORTS: usize = 3;
/// The largest number of hosts that are remembered. A further one replaces the host with the fewest
/// bad ports.
const MAX_HOSTS: usize = 1_000;

/// The hosts of one swarm that sent pieces.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    hosts: HashMap<AddressPrefix, Host>,
}

#[derive(Debug, Default)]
struct Host {
    /// Ports that each sent a bad piece: at most [`BAD_PORTS`].
    bad_ports: Vec<u16>,
    has_verified: bool,
    barred_until: Option<Duration>,
}

impl Hosts {
    /// A piece, all of which came from this address, is bad. Returns whether its host is barred
    /// from now on, until `until`.
    pub(super) fn on_bad_piece(&mut self, address: SocketAddr, until: Duration) -> bool {
        let Some(host) = self.host(address) else {
            return false;
        };
        if !host.bad_ports.contains(&address.port()) && host.bad_ports.len() < BAD_PORTS {
            host.bad_ports.push(address.port());
        }
        let is_barred = host.bad_ports.len() >= BAD_PORTS && !host.has_verified;
        if is_barred {
            host.barred_until = Some(until);
        }
        is_barred
    }

    /// A piece with blocks from this address was verified.
    pub(super) fn on_verified(&mut self, address: SocketAddr) {
        if let Some(host) = self.host(address) {
            host.has_verified = true;
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
            let least = hosts.min_by_key(|(_, host)| host.bad_ports.len());
            let least = least.map(|(prefix, _)| *prefix);
            least.and_then(|prefix| self.hosts.remove(&prefix));
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
        let ports = ["[2001:db8::1]:1", "[2001:db8::2]:2", "[2001:db8::3]:3"].map(address);
        let bars = [ports[0], ports[0], ports[1], ports[1], ports[2]]
            .map(|port| hosts.on_bad_piece(port, UNTIL));
        assert_eq!(bars, [false, false, false, false, true]);
        assert_eq!(
            hosts.barred_until(address("[2001:db8::9]:9"), NOW),
            Some(UNTIL)
        );
        assert_eq!(
            hosts.barred_until(address("[2001:db8:0:1::1]:1"), NOW),
            None
        );
        assert_eq!(hosts.barred_until(ports[0], UNTIL), None);
        assert!(hosts.any_barred(NOW) && !hosts.any_barred(UNTIL));
    }

    #[test]
    fn a_host_with_a_verified_piece_and_loopback_are_not_barred() {
        let mut hosts = Hosts::default();
        hosts.on_verified(address("192.0.2.1:9"));
        for port in 1..9 {
            for ip in [[192, 0, 2, 1], [127, 0, 0, 1]] {
                let address = SocketAddr::from((ip, port));
                assert!(!hosts.on_bad_piece(address, UNTIL), "{address}");
            }
        }
        // A piece that was under way when its host was barred, and is good, ends the bar.
        let ports = [1, 2, 3].map(|port| SocketAddr::from(([192, 0, 2, 2], port)));
        assert!(ports.map(|port| hosts.on_bad_piece(port, UNTIL))[2]);
        hosts.on_verified(ports[0]);
        assert_eq!(hosts.barred_until(ports[0], NOW), None);
    }

    #[test]
    fn the_number_of_hosts_is_bounded_and_those_with_most_bad_ports_stay() {
        let mut hosts = Hosts::default();
        let bad = [1, 2, 3].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        for port in bad {
            hosts.on_bad_piece(port, UNTIL);
        }
        for number in 0..2 * MAX_HOSTS as u32 {
            let [.., high, low] = number.to_be_bytes();
            hosts.on_verified(SocketAddr::from(([10, 0, high, low], 1)));
        }
        assert_eq!(hosts.hosts.len(), MAX_HOSTS);
        assert!(hosts.barred_until(bad[0], NOW).is_some());
    }
}

//! An announce as a swarm takes it, and whose it is.

use crate::wire::{AnnounceRequest, Event, PeerId};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Whoever counts as one when memory is shared out: an IPv4 address, or the 64 leading bits of an IPv6 address, of
/// which a single host may use all the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin(IpAddr);

impl Origin {
    /// Who `ip` counts as.
    pub(super) fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
            ip => ip,
        })
    }
}

/// An announce as a swarm takes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcing {
    pub(super) id: PeerId,
    /// A keyed hash of the peer's `key`, which need not be kept itself.
    pub(super) key: Option<u64>,
    /// Where it listens: the address it announces from, with the port it names.
    pub(super) address: SocketAddr,
    pub(super) is_seed: bool,
    pub(super) event: Option<Event>,
    /// When it counts as gone unless it announces again.
    pub(super) until: Duration,
}

impl Announcing {
    pub(super) fn new(
        request: &AnnounceRequest,
        from: IpAddr,
        until: Duration,
        keyed: &RandomState,
    ) -> Self {
        Self {
            id: request.peer_id,
            key: request.key.as_ref().map(|key| keyed.hash_one(key)),
            address: SocketAddr::new(from.to_canonical(), request.port.get()),
            is_seed: request.left == 0,
            event: request.event,
            until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_one_ipv6_network_count_as_one() {
        let of = |ip: &str| Origin::of(ip.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.2"), of("10.0.0.1"));
    }
}

//! Connection ids (BEP 15, "UDP connections / spoofing") that need no memory: each is a time and a code over that time
//! and the address it was given to, which nobody makes without the key.

use crate::wire::udp_tracker::ConnectionId;
use ring::hmac;
use std::net::IpAddr;
use std::time::Duration;

/// How long an id is taken: BEP 15 asks for two minutes, of which clients use it for one.
const LIFETIME: u64 = 120;

/// Issues ids and knows them again.
pub(super) struct Connections {
    key: hmac::Key,
}

impl Connections {
    /// With a key that only this process knows.
    pub(super) fn new(key: hmac::Key) -> Self {
        Self { key }
    }

    /// The id of whoever receives what is sent to `ip`.
    pub(super) fn issue(&self, ip: IpAddr, now: Duration) -> ConnectionId {
        self.id(ip, now.as_secs())
    }

    /// Whether this id was given to `ip` within the last two minutes.
    pub(super) fn proves(&self, id: ConnectionId, ip: IpAddr, now: Duration) -> bool {
        let ConnectionId([high, low, ..]) = id;
        // The id holds the seconds' last 16 bits; the rest follows from its being recent.
        let age = u64::from(low_bits(now.as_secs()).wrapping_sub(u16::from_be_bytes([high, low])));
        match now.as_secs().checked_sub(age) {
            Some(issued) if age <= LIFETIME => same(&self.id(ip, issued).0, &id.0),
            _ => false,
        }
    }

    fn id(&self, ip: IpAddr, seconds: u64) -> ConnectionId {
        let mut message = [0; 24];
        let ip = match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let bytes = ip.octets().into_iter().chain(seconds.to_be_bytes());
        message
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = from);
        let code = hmac::sign(&self.key, &message);
        let mut id = [0; 8];
        let start = low_bits(seconds).to_be_bytes();
        let bytes = start.iter().chain(code.as_ref());
        id.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        ConnectionId(id)
    }
}

fn low_bits(seconds: u64) -> u16 {
    let [.., high, low] = seconds.to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// Compares without telling by the time taken where the first difference is.
fn same(a: &[u8; 8], b: &[u8; 8]) -> bool {
    u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(key: &[u8]) -> Connections {
        Connections::new(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const AT: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn an_id_counts_for_two_minutes_and_for_its_address() {
        let connections = connections(b"key");
        // Also where the time's last 16 bits begin anew.
        for issued in [0, 1, 65_500, 65_535, 65_536, 1 << 20] {
            let id = connections.issue(ip("10.0.0.1"), AT(issued));
            for age in [0, 1, 60, 119, 120] {
                assert!(connections.proves(id, ip("10.0.0.1"), AT(issued + age)));
                assert!(!connections.proves(id, ip("10.0.0.2"), AT(issued + age)));
                assert!(!connections.proves(id, ip("::1"), AT(issued + age)));
            }
            for age in [121, 122, 600, 65_536, 65_537, 131_072] {
                assert!(
                    !connections.proves(id, ip("10.0.0.1"), AT(issued + age)),
                    "{age}"
                );
            }
        }
        let early = connections.issue(ip("10.0.0.1"), AT(100));
        assert!(
            !connections.proves(early, ip("10.0.0.1"), AT(99)),
            "of the future"
        );
    }

    #[test]
    fn nobody_makes_one_without_the_key() {
        let ours = connections(b"key");
        let id = ours.issue(ip("10.0.0.1"), AT(1_000));
        for byte in 0..8 {
            for bit in 0..8 {
                let mut forged = id;
                forged.0[byte] ^= 1 << bit;
                assert!(!ours.proves(forged, ip("10.0.0.1"), AT(1_000)));
            }
        }
        let theirs = connections(b"another key").issue(ip("10.0.0.1"), AT(1_000));
        assert!(!ours.proves(theirs, ip("10.0.0.1"), AT(1_000)));
        for fixed in [[0; 8], [0xff; 8]] {
            assert!(!ours.proves(ConnectionId(fixed), ip("10.0.0.1"), AT(0)));
        }
        assert_ne!(ours.issue(ip("::1"), AT(1)), ours.issue(ip("::2"), AT(1)));
    }
}

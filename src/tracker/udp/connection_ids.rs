//! Connection ids (BEP 15, "UDP connections / spoofing") without stored state. Each id contains a
//! time and an HMAC over that time and the client's address. Nobody can make an id without the key.

use crate::wire::udp_tracker::ConnectionId;
use ring::hmac;
use std::net::IpAddr;
use std::time::Duration;

/// How long an id is valid. BEP 15 demands two minutes; a client uses an id for one minute.
const LIFETIME_SECONDS: u64 = 120;

/// Issues and checks connection ids.
pub(super) struct ConnectionIds {
    key: hmac::Key,
}

impl ConnectionIds {
    /// Uses `key`, which only this process knows.
    pub(super) fn new(key: hmac::Key) -> Self {
        Self { key }
    }

    /// The id for a client that receives packets at `ip`.
    pub(super) fn issue(&self, ip: IpAddr, now: Duration) -> ConnectionId {
        self.id(ip, now.as_secs())
    }

    /// Whether this id was issued to `ip` within the last two minutes.
    pub(super) fn is_valid(&self, id: ConnectionId, ip: IpAddr, now: Duration) -> bool {
        let ConnectionId([high, low, ..]) = id;
        // The id contains only the low 16 bits of the time in seconds. They are enough to find the
        // time, because a valid id is recent.
        let age = u64::from(low_bits(now.as_secs()).wrapping_sub(u16::from_be_bytes([high, low])));
        match now.as_secs().checked_sub(age) {
            Some(issued) if age <= LIFETIME_SECONDS => {
                equal_in_constant_time(&self.id(ip, issued).0, &id.0)
            }
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

/// Compares in constant time, so that the time taken does not reveal the first difference.
fn equal_in_constant_time(a: &[u8; 8], b: &[u8; 8]) -> bool {
    u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection_ids(key: &[u8]) -> ConnectionIds {
        ConnectionIds::new(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const AT: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn a_connection_id_is_valid_for_two_minutes_and_only_at_its_address() {
        let connection_ids = connection_ids(b"key");
        // Also where the low 16 bits of the time wrap around.
        for issued in [0, 1, 65_500, 65_535, 65_536, 1 << 20] {
            let id = connection_ids.issue(ip("10.0.0.1"), AT(issued));
            for age in [0, 1, 60, 119, 120] {
                assert!(connection_ids.is_valid(id, ip("10.0.0.1"), AT(issued + age)));
                assert!(!connection_ids.is_valid(id, ip("10.0.0.2"), AT(issued + age)));
                assert!(!connection_ids.is_valid(id, ip("::1"), AT(issued + age)));
            }
            for age in [121, 122, 600, 65_536, 65_537, 131_072] {
                assert!(
                    !connection_ids.is_valid(id, ip("10.0.0.1"), AT(issued + age)),
                    "{age}"
                );
            }
        }
        let future = connection_ids.issue(ip("10.0.0.1"), AT(100));
        assert!(
            !connection_ids.is_valid(future, ip("10.0.0.1"), AT(99)),
            "issued in the future"
        );
    }

    #[test]
    fn a_connection_id_cannot_be_made_without_the_key() {
        let ours = connection_ids(b"key");
        let id = ours.issue(ip("10.0.0.1"), AT(1_000));
        for byte in 0..8 {
            for bit in 0..8 {
                let mut forged = id;
                forged.0[byte] ^= 1 << bit;
                assert!(!ours.is_valid(forged, ip("10.0.0.1"), AT(1_000)));
            }
        }
        let theirs = connection_ids(b"another key").issue(ip("10.0.0.1"), AT(1_000));
        assert!(!ours.is_valid(theirs, ip("10.0.0.1"), AT(1_000)));
        for fixed in [[0; 8], [0xff; 8]] {
            assert!(!ours.is_valid(ConnectionId(fixed), ip("10.0.0.1"), AT(0)));
        }
        assert_ne!(ours.issue(ip("::1"), AT(1)), ours.issue(ip("::2"), AT(1)));
    }
}

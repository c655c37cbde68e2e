//! Connects to the port of a peer that asks whether it can be reached.
//!
//! Only the address that the request comes from is tried, so no peer can make this tracker connect
//! to another machine. At most four checks per address prefix and sixteen in total begin
//! within two seconds.
//!
//! Locks: `recent`, for a look-up and an insertion, never while connecting.

use crate::base::AddressPrefix;
use crate::system::lock;
use crate::wire::access::PortState;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long connecting may take, and how long a check counts towards the maximum numbers below.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// The maximum number of checks within [`TIME_LIMIT`], for all addresses together.
const MAX_RECENT: usize = 16;
/// The maximum number of checks within [`TIME_LIMIT`] for one [`AddressPrefix`].
const MAX_PER_ADDRESS: usize = 4;

/// The checks that began lately.
#[derive(Debug, Default)]
pub(super) struct PortChecks {
    recent: Mutex<Vec<(AddressPrefix, Instant)>>,
}

impl PortChecks {
    /// Tries to connect to `peer`, and closes the connection at once. Waits [`TIME_LIMIT`] at most.
    pub(super) fn check(&self, peer: SocketAddr) -> PortState {
        if !self.admit(AddressPrefix::of(peer.ip()), Instant::now()) {
            return PortState::NotTried;
        }
        match TcpStream::connect_timeout(&peer, TIME_LIMIT) {
            Ok(_) => PortState::Open,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => PortState::Refused,
            Err(_) => PortState::Silent,
        }
    }

    /// Whether a check of an address with this prefix may begin now. If so, the check is counted.
    fn admit(&self, prefix: AddressPrefix, now: Instant) -> bool {
        let mut recent = lock(&self.recent);
        recent.retain(|(_, begun)| now.saturating_duration_since(*begun) < TIME_LIMIT);
        let of_address = recent.iter().filter(|(other, _)| *other == prefix).count();
        let is_free = recent.len() < MAX_RECENT && of_address < MAX_PER_ADDRESS;
        if is_free {
            recent.push((prefix, now));
        }
        is_free
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, TcpListener};

    #[test]
    fn a_port_is_open_or_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(PortChecks::default().check(address), PortState::Open);
        drop(listener);
        assert_eq!(PortChecks::default().check(address), PortState::Refused);
    }

    #[test]
    fn checks_are_limited_per_address_and_in_total() {
        let checks = PortChecks::default();
        let prefix = |last: u8| AddressPrefix::of(IpAddr::from([10, 0, 0, last]));
        let start = Instant::now();
        for last in 1..=4 {
            for _ in 0..MAX_PER_ADDRESS {
                assert!(checks.admit(prefix(last), start));
            }
            assert!(!checks.admit(prefix(last), start));
        }
        assert!(!checks.admit(prefix(5), start));
        assert!(checks.admit(prefix(5), start + TIME_LIMIT));
        assert!(checks.admit(prefix(1), start + TIME_LIMIT));
    }
}

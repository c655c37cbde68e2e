//! When private addresses that trackers name may be called. A device that is no peer, such as a
//! printer, is not called again and again.
//!
//! In scope: one table for all swarms of the peer. Out of scope: clocks and sockets; the caller
//! passes the time. Locks: `addresses`, for a look-up or a change.

use crate::system::lock;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

/// The pause before an address is called again, in any swarm, if its last call failed.
const CALL_AGAIN_AFTER: Duration = Duration::from_secs(600);
/// The pause before another swarm asks again whether it may call an address that is being called.
const UNDER_WAY: Duration = Duration::from_secs(5);
/// The most addresses in the table: within [`CALL_AGAIN_AFTER`], a peer calls no more than these.
const MAX_ADDRESSES: usize = 256;

/// The private addresses that this peer has called.
#[derive(Debug, Default)]
pub(crate) struct PrivateCalls {
    addresses: Mutex<HashMap<SocketAddr, Called>>,
}

#[derive(Clone, Copy, Debug)]
struct Called {
    /// When the last call began.
    at: Duration,
    state: CallState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallState {
    UnderWay,
    Failed,
    /// The other side has proved that it is a member. Every swarm may call the address at once,
    /// until a call fails.
    Proved,
}

impl PrivateCalls {
    /// Begins a call to an address.
    ///
    /// # Errors
    /// It may not be called now. Returns the time at which the caller may try again.
    pub(crate) fn begin(&self, address: SocketAddr, now: Duration) -> Result<(), Duration> {
        let mut addresses = lock(&self.addresses);
        if let Some(called) = addresses.get_mut(&address) {
            let may_call = called.at + CALL_AGAIN_AFTER;
            match called.state {
                CallState::Proved => called.at = now,
                CallState::UnderWay if now < may_call => return Err(now + UNDER_WAY),
                CallState::Failed if now < may_call => return Err(may_call),
                CallState::UnderWay | CallState::Failed => {
                    *called = Called {
                        at: now,
                        state: CallState::UnderWay,
                    };
                }
            }
            return Ok(());
        }
        if addresses.len() >= MAX_ADDRESSES {
            addresses.retain(|_, called| now < called.at + CALL_AGAIN_AFTER);
        }
        if addresses.len() >= MAX_ADDRESSES {
            return Err(now + CALL_AGAIN_AFTER);
        }
        let state = CallState::UnderWay;
        addresses.insert(address, Called { at: now, state });
        Ok(())
    }

    /// A call has ended. `is_proved`: the other side has proved that it is a member.
    pub(crate) fn on_result(&self, address: SocketAddr, is_proved: bool) {
        if let Some(called) = lock(&self.addresses).get_mut(&address) {
            called.state = match is_proved {
                true => CallState::Proved,
                false => CallState::Failed,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_address_is_called_once_per_ten_minutes_until_it_has_proved_membership() {
        let calls = PrivateCalls::default();
        let address = "10.0.0.1:6881".parse().unwrap();
        assert_eq!(calls.begin(address, at(0)), Ok(()));
        // Another swarm waits for the result.
        assert_eq!(calls.begin(address, at(1)), Err(at(1) + UNDER_WAY));
        calls.on_result(address, false);
        for now in [2, 599] {
            assert_eq!(calls.begin(address, at(now)), Err(at(600)));
        }
        assert_eq!(calls.begin("10.0.0.1:6882".parse().unwrap(), at(3)), Ok(()));
        assert_eq!(calls.begin(address, at(600)), Ok(()));
        calls.on_result(address, true);
        for now in [601, 602] {
            assert_eq!(calls.begin(address, at(now)), Ok(()));
        }
        calls.on_result(address, false);
        assert_eq!(calls.begin(address, at(603)), Err(at(602 + 600)));
        // A call whose result never came ends too.
        assert_eq!(calls.begin(address, at(1202)), Ok(()));
        assert_eq!(calls.begin(address, at(1802)), Ok(()));
    }

    #[test]
    fn the_number_of_addresses_that_are_called_within_ten_minutes_is_bounded() {
        let calls = PrivateCalls::default();
        let call = |port: usize, now| {
            let port = u16::try_from(port).unwrap();
            calls.begin(([10, 0, 0, 1], port).into(), now).is_ok()
        };
        assert!((0..MAX_ADDRESSES).all(|port| call(port, at(0))));
        assert!(!call(MAX_ADDRESSES, at(599)));
        assert!(call(MAX_ADDRESSES, at(600)));
        assert_eq!(lock(&calls.addresses).len(), 1);
    }
}

//! The addresses of the trackers in TRACKER_INFO. Connections from these addresses may use the
//! reserved places of the port (see `net/places.rs`).

use crate::system::lock;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Mutex;

/// The addresses that the latest look-up of the host names in TRACKER_INFO has found.
#[derive(Debug, Default)]
pub(in crate::tracker) struct ListedAddresses(Mutex<HashSet<IpAddr>>);

impl ListedAddresses {
    /// Replaces the addresses.
    pub(super) fn set(&self, addresses: impl Iterator<Item = IpAddr>) {
        let addresses = addresses.map(|ip| ip.to_canonical()).collect();
        *lock(&self.0) = addresses;
    }

    /// Whether a listed tracker has this address.
    pub(in crate::tracker) fn contains(&self, ip: IpAddr) -> bool {
        lock(&self.0).contains(&ip.to_canonical())
    }
}

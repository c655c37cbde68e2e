//! What other parts of the tracker know of TRACKER_INFO: the addresses of the trackers in it, which
//! may use the reserved places of the port (see `net/places.rs`), and their names.

use crate::system::lock;
use crate::tracker::OwnNames;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// What is updated whenever TRACKER_INFO changes.
#[derive(Debug)]
pub(in crate::tracker) struct ListedTrackers {
    /// The number of listed trackers at the start.
    pub(in crate::tracker) count: usize,
    pub(in crate::tracker) addresses: Arc<ListedAddresses>,
    pub(in crate::tracker) names: Arc<OwnNames>,
}

impl ListedTrackers {
    /// `count` trackers are listed at the start. `host_names` are the names that the operator has
    /// chosen.
    pub(in crate::tracker) fn new(count: usize, host_names: &[String]) -> Self {
        Self {
            count,
            addresses: Arc::default(),
            names: Arc::new(OwnNames::new(host_names)),
        }
    }
}

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

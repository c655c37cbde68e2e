//! What other parts of the tracker know of the trackers in TRACKER_INFO: their addresses and host
//! names. Connections from these addresses may use the reserved places of the port (see
//! `net/places.rs`). HTTP requests may be for these host names (see `own_names.rs`).

use crate::system::lock;
use crate::tracker::OwnNames;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// The trackers in TRACKER_INFO. The thread `replicas` updates their addresses and names.
#[derive(Debug)]
pub(in crate::tracker) struct ListedTrackers {
    /// The number of listed trackers at the start.
    pub(in crate::tracker) initial_count: usize,
    pub(in crate::tracker) addresses: Arc<ListedAddresses>,
    /// The names that the operator has chosen for this tracker, and the hosts of TRACKER_INFO.
    pub(in crate::tracker) names: Arc<OwnNames>,
}

impl ListedTrackers {
    /// `initial_count` trackers are listed at the start. `host_names` are the names of this tracker
    /// that its operator has chosen.
    pub(in crate::tracker) fn new(initial_count: usize, host_names: &[String]) -> Self {
        Self {
            initial_count,
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

//! How many connections a tracker holds open, and for whom. Each connection takes one place. The
//! limits with their reasons are in `docs/limits.md`.

use super::OwnNames;
use crate::net::{PlaceLimits, descriptor_limit};
use std::net::IpAddr;
use std::sync::Arc;

/// Extra places that only the addresses of the trackers and this machine may use. So replicas and
/// the operator always find a place.
const RESERVED_PLACES: usize = 64;
/// Descriptors for files, the database, calls to other trackers and the reserved places. The
/// remaining descriptors are for the places that are not reserved.
const OTHER_DESCRIPTORS: usize = 256;
/// The most connections by default: each may take 16 KiB of memory.
const MAX_BY_DEFAULT: usize = 65_536;
/// The fewest connections by default, however few descriptors there are.
const MIN_BY_DEFAULT: usize = 16;

/// The maximum number of connections of a tracker, without the reserved places: `wanted` if it is
/// set. By default seven eighths of the descriptors that are left for connections. The last eighth
/// is for connections that are being closed.
pub(super) fn max_connections(wanted: Option<usize>) -> usize {
    let limit = descriptor_limit().unwrap_or(u64::MAX);
    let by_default = by_default(usize::try_from(limit).unwrap_or(usize::MAX));
    let Some(wanted) = wanted else {
        return by_default;
    };
    let possible = limit.saturating_sub(OTHER_DESCRIPTORS as u64);
    if wanted as u64 > possible {
        log::warn!(
            "there may be {wanted} connections, but the system allows {limit} open files: raise the \
             limit (ulimit -n)"
        );
    }
    wanted
}

fn by_default(descriptors: usize) -> usize {
    let available = descriptors.saturating_sub(OTHER_DESCRIPTORS);
    (available - available / 8).clamp(MIN_BY_DEFAULT, MAX_BY_DEFAULT)
}

/// How many connections a tracker accepts, who may use the reserved places, and by which names HTTP
/// clients may call the tracker.
pub struct Admission {
    /// Limits of connections.
    pub limits: PlaceLimits,
    /// Which addresses may use the reserved places.
    pub trusts: TrustsAddress,
    /// The names by which HTTP clients may call the tracker.
    pub names: Arc<OwnNames>,
}

/// Decides whether an address may use the reserved places.
pub type TrustsAddress = Box<dyn Fn(IpAddr) -> bool + Send + Sync>;

impl Admission {
    /// Allows `total` connections. Only this machine may use the reserved places.
    pub fn new(total: usize) -> Self {
        Self {
            limits: PlaceLimits {
                total,
                per_address: (total / 4).max(1),
                for_newcomers: (total / 8).max(1),
                per_account: (total / 2).max(1),
                reserved: RESERVED_PLACES,
                replaces_silent: true,
            },
            trusts: Box::new(|ip| ip.is_loopback()),
            names: Arc::default(),
        }
    }

    /// Lets one address take all places: the clients of a closed run have no accounts, and may all
    /// have the same address.
    #[must_use]
    pub fn without_accounts(mut self) -> Self {
        self.limits.per_address = self.limits.total;
        self
    }

    /// The addresses for which `trusts` returns `true` may use the reserved places too.
    #[must_use]
    pub(super) fn trusting(
        mut self,
        trusts: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.trusts = Box::new(move |ip| ip.is_loopback() || trusts(ip));
        self
    }

    /// HTTP clients may call the tracker by these names.
    #[must_use]
    pub(super) fn with_names(mut self, names: &Arc<OwnNames>) -> Self {
        self.names = Arc::clone(names);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_leaves_descriptors_for_everything_else() {
        for (descriptors, places) in [
            (0, 16),
            (300, 39),
            (4_096, 3_360),
            (20_000, 17_276),
            (1 << 20, 65_536),
        ] {
            assert_eq!(by_default(descriptors), places, "{descriptors}");
        }
        assert_eq!(max_connections(Some(40)), 40);
    }
}

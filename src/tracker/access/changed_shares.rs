//! The shares whose publishers report that the files have changed. From these reports, members
//! learn why no peer serves a share. A new report brings the members of the group a hint.
//!
//! A report is valid for a limited time, and the publisher repeats it. Reports are kept in memory,
//! and a peer sends them to every tracker, like announces.
//!
//! Locks: a thread may lock `reports` while it reads the registry, but not the reverse.

use super::{RequestContext, from_refusal};
use crate::system::lock;
use crate::torrent::InfoHash;
use crate::tracker::registry::{GroupRole, Label, Refusal, Registry};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{AccessAnswer, AccessRefusal};
use crate::wire::control::MAX_PAGE;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a report is valid. Peers repeat it every five seconds.
const LIFETIME: Duration = Duration::from_secs(30);
/// The maximum number of reports. Further reports are ignored until others have expired.
const MAX_REPORTS: usize = 10_000;

/// The reports of publishers.
#[derive(Debug)]
pub(super) struct ChangedShares {
    store: Arc<RegistryStore>,
    /// When a share was last reported.
    reports: Mutex<HashMap<InfoHash, Instant>>,
}

impl ChangedShares {
    pub(super) fn new(store: Arc<RegistryStore>) -> Self {
        let reports = Mutex::default();
        Self { store, reports }
    }

    /// Stores the reports about shares that the user published. Returns up to [`MAX_PAGE`] reported
    /// shares of the group. Only members may ask.
    pub(super) fn exchange(
        &self,
        context: &RequestContext<'_>,
        group: &Label,
        changed: &[InfoHash],
    ) -> Result<AccessAnswer, AccessRefusal> {
        let (account, now) = (context.login.account, Instant::now());
        let exchange = |registry: &Registry| {
            let id = registry.group_id(group)?;
            if registry.role(id, account) < GroupRole::Member {
                return Err(Refusal::NotMember(group.clone()));
            }
            let is_own = |hash: &&InfoHash| registry.is_publisher(account, **hash);
            let own: Vec<InfoHash> = changed.iter().filter(is_own).copied().collect();
            let (mut reported, is_new) = self.add(&own, now);
            reported.retain(|hash| registry.group_for_swarm(account, *hash) == Some(id));
            reported.truncate(MAX_PAGE);
            Ok((reported, is_new.then_some(id)))
        };
        let (reported, changed_group) = self.store.read(exchange).map_err(from_refusal)?;
        if let Some(group) = changed_group {
            self.store.note_change(group);
        }
        Ok(AccessAnswer::ChangedShares(reported))
    }

    /// Adds reports. Returns the shares of all reports that have not expired, and whether one of
    /// `own` is new.
    fn add(&self, own: &[InfoHash], now: Instant) -> (Vec<InfoHash>, bool) {
        let mut reports = lock(&self.reports);
        reports.retain(|_, at| now.saturating_duration_since(*at) < LIFETIME);
        let count = reports.len();
        for hash in own {
            if reports.len() < MAX_REPORTS || reports.contains_key(hash) {
                reports.insert(*hash, now);
            }
        }
        (reports.keys().copied().collect(), reports.len() > count)
    }
}

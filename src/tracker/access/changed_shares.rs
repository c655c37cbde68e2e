//! The shares whose publishers report that the files have changed. From these reports, members
//! learn why no peer serves a share. A new report brings a hint to the members of the groups that
//! list the share.
//!
//! A report is valid for a limited time, and the publisher repeats it. Reports are kept in memory,
//! and a peer sends them to every tracker, like announces.
//!
//! Locks: a thread may lock `reports` while it reads the registry, but not the reverse.

use super::{RequestContext, from_refusal};
use crate::system::lock;
use crate::torrent::InfoHash;
use crate::tracker::registry::{Label, Refusal, Registry, RowId};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{AccessAnswer, AccessRefusal};
use crate::wire::control::MAX_PAGE;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a report is valid. Peers repeat it every five seconds.
const LIFETIME: Duration = Duration::from_secs(30);
/// The maximum number of reports. Further reports are ignored until others have expired.
const MAX_REPORTS: usize = 10_000;
/// The shortest time between two hints of new reports in one group. Without a hint, members ask
/// every five seconds.
const HINT_INTERVAL: Duration = Duration::from_secs(5);

/// The reports of publishers.
#[derive(Debug)]
pub(super) struct ChangedShares {
    store: Arc<RegistryStore>,
    reports: Mutex<Reports>,
}

#[derive(Debug, Default)]
struct Reports {
    /// When a share was last reported.
    shares: HashMap<InfoHash, Instant>,
    /// When the members of a group last got a hint of new reports.
    hints: HashMap<RowId, Instant>,
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
            if registry.role_of(id, account).is_none() {
                return Err(Refusal::NotMember(group.clone()));
            }
            let is_own = |hash: &&InfoHash| registry.is_publisher(account, **hash);
            let own: Vec<InfoHash> = changed.iter().filter(is_own).copied().collect();
            let mut reports = lock(&self.reports);
            let new = reports.add(&own, now);
            // The request may name another group than that of the share.
            let groups = new.iter().flat_map(|hash| registry.groups_of_swarm(hash));
            let hinted: BTreeSet<RowId> = groups
                .filter(|group| reports.may_hint(*group, now))
                .collect();
            let reported = reports.shares.keys().copied();
            let is_of_group = |hash: &InfoHash| registry.groups_of_swarm(hash).any(|it| it == id);
            let reported = reported.filter(is_of_group).take(MAX_PAGE).collect();
            Ok((reported, hinted))
        };
        let (reported, hinted) = self.store.read(exchange).map_err(from_refusal)?;
        self.store.note_reports(hinted);
        Ok(AccessAnswer::ChangedShares(reported))
    }
}

impl Reports {
    /// Adds reports of these shares, and removes those that have expired. Returns the shares for
    /// which there was no report.
    fn add(&mut self, own: &[InfoHash], now: Instant) -> Vec<InfoHash> {
        let is_valid = |at: &Instant| now.saturating_duration_since(*at) < LIFETIME;
        self.shares.retain(|_, at| is_valid(at));
        let mut new = Vec::new();
        for hash in own {
            if self.shares.len() < MAX_REPORTS || self.shares.contains_key(hash) {
                let former = self.shares.insert(*hash, now);
                new.extend(former.is_none().then_some(*hash));
            }
        }
        new
    }

    /// Whether the members of a group may get a hint now. If so, they get no other one for
    /// [`HINT_INTERVAL`].
    fn may_hint(&mut self, group: RowId, now: Instant) -> bool {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < HINT_INTERVAL;
        self.hints.retain(|_, at| is_recent(at));
        let may_hint = !self.hints.contains_key(&group);
        if may_hint {
            self.hints.insert(group, now);
        }
        may_hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_new_again_when_it_has_expired_but_a_group_gets_few_hints() {
        let (mut reports, begun) = (Reports::default(), Instant::now());
        let [share, other] = [1, 2].map(|byte| InfoHash([byte; 20]));
        let group = RowId([1; 16]);
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(reports.add(&[share], begun), [share]);
        assert!(reports.may_hint(group, begun));
        assert_eq!(reports.add(&[share, other], after(4)), [other]);
        assert!(!reports.may_hint(group, after(4)));
        assert!(reports.may_hint(RowId([2; 16]), after(4)), "another group");
        assert!(reports.may_hint(group, after(5)));
        assert_eq!(reports.add(&[share], after(34)), [share]);
        assert_eq!(
            reports.shares.len(),
            1,
            "the report of the other one expired"
        );
    }
}

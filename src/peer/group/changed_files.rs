//! Exchanges lists of shares with the trackers: the shares that are not served because the files of
//! their publisher have changed.

use crate::peer::{Account, Membership, Transfers};
use crate::swarm::Phase;
use crate::system::lock;
use crate::torrent::InfoHash;
use crate::wire::access::MAX_ANNOUNCES;
use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Interval of the exchanges. No exchange is made while no share has changed and nothing is
/// fetched.
const INTERVAL: Duration = Duration::from_secs(5);

/// The swarms whose publishers have reported that their files have changed.
#[derive(Debug, Default)]
pub(crate) struct ChangedFiles {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    reported: HashSet<InfoHash>,
    next: Option<Instant>,
}

impl ChangedFiles {
    /// Whether the publisher of the share has reported that its files have changed.
    pub(super) fn has(&self, info_hash: InfoHash) -> bool {
        lock(&self.state).reported.contains(&info_hash)
    }

    /// If an exchange is due: sends the shares that have changed here, and receives those that have
    /// changed elsewhere.
    pub(crate) fn exchange_if_due(&self, account: &Account, transfers: &Transfers) {
        let now = Instant::now();
        if lock(&self.state).next.is_some_and(|next| now < next) {
            return;
        }
        let mut reported = HashSet::new();
        for (membership, changed) in concerned_groups(account, transfers) {
            match account.changed_shares(&membership.group, changed) {
                Ok(some) => reported.extend(some),
                Err(error) => log::debug!("{}: {error}", membership.group),
            }
        }
        let next = Some(Instant::now() + INTERVAL);
        *lock(&self.state) = State { reported, next };
    }
}

/// The groups of the user in which this peer fetches something or has shares with changed files.
/// Each group comes with its shares that have changed.
fn concerned_groups(
    account: &Account,
    transfers: &Transfers,
) -> BTreeMap<Membership, Vec<InfoHash>> {
    let mut groups: BTreeMap<Membership, Vec<InfoHash>> = BTreeMap::new();
    let user = account.user();
    for transfer in transfers.transfers() {
        let Some(membership) = transfer.plan.group.as_ref() else {
            continue;
        };
        if user.as_ref() != Some(&membership.user) {
            continue;
        }
        let phase = transfer.phase();
        if phase.fetches() {
            groups.entry(membership.clone()).or_default();
        } else if matches!(phase, Phase::Lost { .. }) {
            let changed = groups.entry(membership.clone()).or_default();
            if changed.len() < MAX_ANNOUNCES {
                changed.push(transfer.info_hash());
            }
        }
    }
    groups
}

//! The users who have left a group lately. The tracker's answer to an announce lists them.
//!
//! Locks: `groups`, to read or change the map. It is not held while the registry is read.

use crate::system::{lock, since_1970};
use crate::tracker::registry::{Label, RowId};
use crate::tracker::store::RegistryStore;
use crate::wire::control::MAX_PAGE;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A former member is reported for the lifetime of a certificate, and for this time longer, because
/// clocks differ.
const CLOCK_MARGIN: Duration = Duration::from_secs(3600);
/// Time after which the former members of a group are looked up again, even if the group's number
/// `ended` has not changed.
const LOOK_UP_AFTER: Duration = Duration::from_secs(1);
/// The most groups whose looked-up former members are kept.
const MAX_GROUPS: usize = 1_000;

/// The former members of groups.
#[derive(Debug)]
pub(super) struct FormerMembers {
    store: Arc<RegistryStore>,
    /// How long the certificate of a member is valid.
    certificate_lifetime: Duration,
    groups: Mutex<HashMap<RowId, LookedUp>>,
}

/// The result of a look-up: the former members of one group.
#[derive(Debug)]
struct LookedUp {
    at: Instant,
    /// The group's change number `ended`, read just before the look-up. If the group has another
    /// one now, a member may have left since.
    ended_number: u64,
    users: Vec<Label>,
}

impl FormerMembers {
    pub(super) fn new(store: Arc<RegistryStore>, certificate_lifetime: Duration) -> Self {
        Self {
            store,
            certificate_lifetime,
            groups: Mutex::default(),
        }
    }

    /// The users who have left the group and may still have a valid certificate: those who left
    /// last, at most [`MAX_PAGE`].
    pub(super) fn of(&self, group: RowId) -> Vec<Label> {
        let ended_number = self
            .store
            .read(|registry| registry.change_numbers(group))
            .ended;
        let is_fresh = |looked_up: &LookedUp| looked_up.at.elapsed() < LOOK_UP_AFTER;
        let mut groups = lock(&self.groups);
        if let Some(looked_up) = groups.get(&group)
            && looked_up.ended_number == ended_number
            && is_fresh(looked_up)
        {
            return looked_up.users.clone();
        }
        drop(groups);
        let (at, users) = (Instant::now(), self.look_up(group));
        let looked_up = LookedUp {
            at,
            ended_number,
            users: users.clone(),
        };
        groups = lock(&self.groups);
        if groups.len() >= MAX_GROUPS {
            groups.retain(|_, looked_up| is_fresh(looked_up));
        }
        if groups.len() < MAX_GROUPS {
            groups.insert(group, looked_up);
        }
        users
    }

    fn look_up(&self, group: RowId) -> Vec<Label> {
        let left_since = since_1970().saturating_sub(self.certificate_lifetime + CLOCK_MARGIN);
        self.store
            .read(|registry| registry.former_members_since(group, left_since, MAX_PAGE))
    }
}

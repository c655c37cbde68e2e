//! The users who have left a group lately. The tracker's answer to an announce lists them.
//!
//! Locks: `known`, to read or change the map. It is not held while the registry is read.

use crate::system::{lock, since_1970};
use crate::tracker::registry::{Label, RowId};
use crate::tracker::store::RegistryStore;
use crate::wire::control::MAX_PAGE;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Former members are reported to the others until their last certificate has expired, and for this
/// time longer, because clocks differ.
const CLOCK_MARGIN: Duration = Duration::from_secs(3600);
/// For this time the former members of a group are not looked up again, unless somebody leaves it.
const LOOK_UP_AFTER: Duration = Duration::from_secs(1);
/// The most groups whose former members are kept.
const MAX_KNOWN: usize = 1_000;

/// The former members of groups.
#[derive(Debug)]
pub(super) struct FormerMembers {
    store: Arc<RegistryStore>,
    /// How long the certificate of a member is valid.
    certificate_lifetime: Duration,
    known: Mutex<HashMap<RowId, Known>>,
}

/// The former members of one group.
#[derive(Debug)]
struct Known {
    looked_up: Instant,
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
            known: Mutex::default(),
        }
    }

    /// The users who have left the group and may still have a valid certificate: those who left
    /// last, at most [`MAX_PAGE`].
    pub(super) fn of(&self, group: RowId) -> Vec<Label> {
        let ended_number = self
            .store
            .read(|registry| registry.change_numbers(group))
            .ended;
        let is_fresh = |known: &Known| known.looked_up.elapsed() < LOOK_UP_AFTER;
        let mut all = lock(&self.known);
        if let Some(known) = all.get(&group)
            && known.ended_number == ended_number
            && is_fresh(known)
        {
            return known.users.clone();
        }
        drop(all);
        let (looked_up, users) = (Instant::now(), self.look_up(group));
        let known = Known {
            looked_up,
            ended_number,
            users: users.clone(),
        };
        all = lock(&self.known);
        if all.len() >= MAX_KNOWN {
            all.retain(|_, known| is_fresh(known));
        }
        if all.len() < MAX_KNOWN {
            all.insert(group, known);
        }
        users
    }

    fn look_up(&self, group: RowId) -> Vec<Label> {
        let left_since = since_1970().saturating_sub(self.certificate_lifetime + CLOCK_MARGIN);
        self.store
            .read(|registry| registry.former_members_since(group, left_since, MAX_PAGE))
    }
}

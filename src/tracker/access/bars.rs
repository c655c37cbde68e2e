//! The accounts that have left a group lately, as bars. The tracker's answers to announces and to
//! requests for certificates list them.
//!
//! Locks: `groups`, to read or change the map. It is not held while the registry is read.

use crate::certificate::AccountId;
use crate::system::{lock, since_1970};
use crate::tracker::registry::{FormerMember, RowId};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{Bar, MAX_BARS};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A bar is reported for the lifetime of a certificate, and for this time longer, because
/// clocks differ.
const CLOCK_MARGIN: Duration = Duration::from_secs(3600);
/// Time after which the bars of a group are looked up again, even if the group's number
/// `ended` has not changed.
const LOOK_UP_AFTER: Duration = Duration::from_secs(1);
/// The most groups whose looked-up bars are kept.
const MAX_GROUPS: usize = 1_000;
/// Bits of the counter of a stamp in [`Bar::at`]. The wall time fits into the others.
const COUNTER_BITS: u32 = 15;

/// The bars of groups.
#[derive(Debug)]
pub(super) struct Bars {
    store: Arc<RegistryStore>,
    /// How long the certificate of a member is valid.
    certificate_lifetime: Duration,
    groups: Mutex<HashMap<RowId, LookedUp>>,
}

/// The result of a look-up: the bars of one group.
#[derive(Debug)]
struct LookedUp {
    at: Instant,
    /// The group's change number `ended`, read just before the look-up. If the group has another
    /// one now, a member may have left since.
    ended_number: u64,
    bars: Arc<[Bar]>,
}

impl Bars {
    pub(super) fn new(store: Arc<RegistryStore>, certificate_lifetime: Duration) -> Self {
        Self {
            store,
            certificate_lifetime,
            groups: Mutex::default(),
        }
    }

    /// The bars of the accounts that have left the group and may still have a valid certificate,
    /// and the lifted ones of those that are members again. The latest come first; at most
    /// [`MAX_BARS`].
    pub(super) fn of(&self, group: RowId) -> Arc<[Bar]> {
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
            return Arc::clone(&looked_up.bars);
        }
        drop(groups);
        let (at, bars) = (Instant::now(), self.look_up(group));
        let looked_up = LookedUp {
            at,
            ended_number,
            bars: Arc::clone(&bars),
        };
        groups = lock(&self.groups);
        if groups.len() >= MAX_GROUPS {
            groups.retain(|_, looked_up| is_fresh(looked_up));
        }
        if groups.len() < MAX_GROUPS {
            groups.insert(group, looked_up);
        }
        bars
    }

    fn look_up(&self, group: RowId) -> Arc<[Bar]> {
        let left_since = since_1970().saturating_sub(self.certificate_lifetime + CLOCK_MARGIN);
        let former = self
            .store
            .read(|registry| registry.former_members_since(group, left_since, MAX_BARS));
        former.into_iter().map(bar_of).collect()
    }
}

fn bar_of(former: FormerMember) -> Bar {
    let account = AccountId(former.account.0);
    let label = former.label.map(|label| label.to_string());
    let counter = u64::from(former.at.counter());
    Bar {
        account,
        stand_in: label.map_or(account, |label| AccountId::of_name(&label)),
        at: former.at.wall() << COUNTER_BITS | counter.min((1 << COUNTER_BITS) - 1),
        is_lifted: former.is_back,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::registry::{MAX_WALL, Origin, Stamp};

    #[test]
    fn a_later_departure_has_the_larger_number() {
        let at = |wall, counter| {
            let former = FormerMember {
                account: RowId([1; 16]),
                label: Some("nik".parse().unwrap()),
                at: Stamp::new(wall, counter, Origin([0; 16])).unwrap(),
                is_back: false,
            };
            bar_of(former).at
        };
        let numbers = [
            at(1, 0),
            at(1, 1),
            at(2, 0),
            at(MAX_WALL, 0),
            at(MAX_WALL, u32::MAX),
        ];
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    }
}

//! The accounts that have left a group lately, as bars. The tracker's answers to announces and to
//! requests for certificates list them.
//!
//! Locks: `groups`, to read or change the map. It is not held while the registry is read.

use crate::certificate::AccountId;
use crate::system::{lock, since_1970};
use crate::tracker::registry::{FormerMember, Registry, RowId};
use crate::tracker::store::RegistryStore;
use crate::wire::access::{BAR_LIFE, Bar, BarTime, BarsDigest, MAX_BARS};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Time after which the bars of a group are looked up again, even if the group's number
/// `ended` has not changed.
const LOOK_UP_AFTER: Duration = Duration::from_secs(1);
/// The most groups whose looked-up bars are kept.
const MAX_GROUPS: usize = 1_000;

/// The bars of groups.
#[derive(Debug)]
pub(super) struct Bars {
    store: Arc<RegistryStore>,
    groups: Mutex<HashMap<RowId, LookedUp>>,
}

/// The result of a look-up: the bars of one group.
#[derive(Debug)]
struct LookedUp {
    at: Instant,
    /// The group's change number `ended`, read just before the look-up. If the group has another
    /// one now, a member may have left since.
    ended_number: u64,
    bars: Arc<BarList>,
}

/// The bars of one group, with their digest.
#[derive(Debug)]
pub(super) struct BarList {
    pub(super) bars: Vec<Bar>,
    pub(super) digest: BarsDigest,
}

impl BarList {
    /// The bars, unless they are those that a peer has.
    pub(super) fn unless_seen(&self, seen: Option<BarsDigest>) -> Option<Vec<Bar>> {
        (seen != Some(self.digest)).then(|| self.bars.clone())
    }
}

impl Bars {
    pub(super) fn new(store: Arc<RegistryStore>) -> Self {
        Self {
            store,
            groups: Mutex::default(),
        }
    }

    /// The bars of the accounts that have left the group within [`BAR_LIFE`], and the lifted ones
    /// of those that are members again. The latest come first; at most [`MAX_BARS`]: if more have
    /// left, the certificates of those that left first are the likeliest to have ended.
    pub(super) fn of(&self, group: RowId) -> Arc<BarList> {
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
        // Old ones would only take memory.
        groups.retain(|_, looked_up| is_fresh(looked_up));
        if groups.len() < MAX_GROUPS {
            groups.insert(group, looked_up);
        }
        bars
    }

    fn look_up(&self, group: RowId) -> Arc<BarList> {
        let now = since_1970();
        let bars = self.store.read(|registry| bars_at(registry, group, now));
        let digest = BarsDigest::of(&bars);
        Arc::new(BarList { bars, digest })
    }
}

/// The bars of a group at the time `now`.
fn bars_at(registry: &Registry, group: RowId, now: Duration) -> Vec<Bar> {
    let former = registry.former_members_since(group, now.saturating_sub(BAR_LIFE), MAX_BARS);
    former.into_iter().map(bar_of).collect()
}

fn bar_of(former: FormerMember) -> Bar {
    let account = AccountId(former.account.0);
    let label = former.label.map(|label| label.to_string());
    Bar {
        account,
        stand_in: label.map_or(account, |label| AccountId::of_name(&label)),
        at: BarTime {
            wall: former.at.wall(),
            counter: former.at.counter(),
        },
        is_lifted: former.is_back,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::registry::{
        GroupKey, Label, MAX_WALL, NewAccount, NewGroup, Origin, PasswordHash, Refusal, Stamp,
        Update,
    };

    #[test]
    fn a_later_departure_has_the_larger_time() {
        let at = |wall, counter| {
            let former = FormerMember {
                account: RowId([1; 16]),
                label: Some("nik".parse().unwrap()),
                at: Stamp::new(wall, counter, Origin([0; 16])).unwrap(),
                is_back: false,
            };
            bar_of(former).at
        };
        let times = [
            at(1, 0),
            at(1, 40_000),
            at(1, 40_001),
            at(2, 0),
            at(MAX_WALL, u32::MAX),
        ];
        assert!(times.is_sorted_by(|one, next| one < next), "{times:?}");
    }

    #[test]
    fn a_departure_is_reported_for_seven_days_although_certificates_last_a_day() {
        let mut registry = Registry::new(Origin([1; 16]));
        let left_at = Duration::from_secs(1_800_000_000);
        let (lab, uma): (Label, Label) = ("lab".parse().unwrap(), "uma".parse().unwrap());
        let [nik, uma_id, group] = [1, 2, 3].map(|number| RowId([number; 16]));
        let mut apply = |operation: &dyn Fn(&Registry) -> Result<Update, Refusal>| {
            let update = operation(&registry).unwrap();
            registry.apply(update).unwrap();
        };
        for (id, name) in [(nik, "nik"), (uma_id, "uma")] {
            apply(&|registry| {
                let new = NewAccount {
                    id,
                    name: name.parse().unwrap(),
                    password: PasswordHash::new("hash").unwrap(),
                };
                registry.create_account(new, left_at)
            });
        }
        apply(&|registry| {
            let new = NewGroup {
                id: group,
                membership: RowId([4; 16]),
                name: "lab".parse().unwrap(),
                key: GroupKey::new("key").unwrap(),
            };
            registry.create_group(nik, new, left_at)
        });
        apply(&|it| it.request_membership(uma_id, &lab, RowId([5; 16]), left_at));
        apply(&|it| it.accept(nik, &lab, &uma, left_at));
        apply(&|it| it.remove_member(nik, &lab, &uma, left_at));
        let second = Duration::from_secs(1);
        let last = left_at + BAR_LIFE - second;
        let reported = bars_at(&registry, group, last);
        let [bar] = &reported[..] else {
            panic!("{reported:?}")
        };
        assert_eq!((bar.account.0, bar.is_lifted), (uma_id.0, false));
        // A peer keeps the bar as long as trackers report it.
        assert!(bar.at.end() > last);
        let late = left_at + BAR_LIFE + second;
        assert!(bars_at(&registry, group, late).is_empty());
        assert!(bar.at.end() < late);
    }
}

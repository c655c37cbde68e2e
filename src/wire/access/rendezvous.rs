//! At which trackers a group is announced, if a cluster has more than two.
//!
//! Every peer and every tracker computes the same two trackers, without asking (rendezvous hashing:
//! Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998). If a tracker
//! dies, only its groups move: each to the tracker that the group prefers next.

use crate::wire::name::Label;
use sha1_smol::Sha1;
use std::cmp::Reverse;

/// At how many trackers a group is announced.
pub const TRACKERS_OF_GROUP: usize = 2;

/// The trackers in the order in which a group prefers them. `trackers` are the numbers of the
/// trackers: the positions of their addresses in TRACKER_INFO, counted from 1.
pub fn preferred_trackers(group: &Label, trackers: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut order: Vec<u32> = trackers.into_iter().collect();
    order.sort_by_cached_key(|tracker| Reverse(weight(group, *tracker)));
    order
}

fn weight(group: &Label, tracker: u32) -> [u8; 20] {
    let mut hash = Sha1::new();
    hash.update(&tracker.to_be_bytes());
    hash.update(group.to_string().as_bytes());
    hash.digest().bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn chosen(group: u32, trackers: &[u32]) -> Vec<u32> {
        let group = format!("group{group}").parse().unwrap();
        let mut order = preferred_trackers(&group, trackers.iter().copied());
        order.truncate(TRACKERS_OF_GROUP);
        order
    }

    #[test]
    fn the_groups_are_spread_evenly_and_only_those_of_a_dead_tracker_move() {
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        for group in 0..1_000 {
            let before = chosen(group, &[1, 2, 3, 4, 5]);
            for tracker in &before {
                *counts.entry(*tracker).or_default() += 1;
            }
            assert_eq!(
                chosen(group, &[5, 3, 1, 4, 2]),
                before,
                "order does not matter"
            );
            let after = chosen(group, &[1, 2, 4, 5]);
            for tracker in before.iter().filter(|tracker| **tracker != 3) {
                assert!(after.contains(tracker), "{before:?}, {after:?}");
            }
        }
        assert!(
            counts.values().all(|count| (340..460).contains(count)),
            "{counts:?}"
        );
    }
}

//! Tests of what accounts use, and of the quotas.

use super::*;

/// A tracker, the account nik, and nik's groups `lab` and `den`.
fn tracker_with_groups() -> (TestTracker, RowId) {
    let mut tracker = TestTracker::new(1);
    let nik = tracker.create_user("nik").unwrap();
    for group in ["lab", "den"] {
        tracker.create_group(nik, group).unwrap();
    }
    (tracker, nik)
}

fn publish(tracker: &mut TestTracker, actor: RowId, group: &str, name: &str, hash: u8) {
    let new = NewShare {
        id: tracker.next_id(),
        name: FileName::new(name).unwrap(),
        info_hash: InfoHash([hash; 20]),
        length: 1,
        note: None,
        is_update: false,
    };
    let now = tracker.next_time();
    let update = tracker.registry.publish(actor, &label(group), new, now);
    tracker.apply(update).unwrap();
}

fn usage(shares: u64, groups: u64, metadata_bytes: u64) -> Usage {
    Usage {
        shares,
        groups,
        metadata_bytes,
    }
}

#[test]
fn usage_follows_each_operation_and_a_dictionary_counts_once() {
    let (mut tracker, nik) = tracker_with_groups();
    assert_eq!(tracker.registry.usage_of(nik), usage(0, 2, 0));
    tracker.registry.set_metadata_length(InfoHash([1; 20]), 100);
    publish(&mut tracker, nik, "lab", "a", 1);
    publish(&mut tracker, nik, "den", "a", 1);
    assert_eq!(tracker.registry.usage_of(nik), usage(2, 2, 100));
    // The length of a dictionary may become known after the share is published.
    publish(&mut tracker, nik, "lab", "b", 2);
    assert_eq!(tracker.registry.usage_of(nik), usage(3, 2, 100));
    tracker.registry.set_metadata_length(InfoHash([2; 20]), 7);
    assert_eq!(tracker.registry.usage_of(nik), usage(3, 2, 107));
    // If another user publishes a share with the same dictionary, it counts for that user too.
    let uma = tracker.add_member(nik, "lab", "uma");
    publish(&mut tracker, uma, "lab", "c", 2);
    assert_eq!(tracker.registry.usage_of(uma), usage(1, 0, 7));
    let loaded = Registry::load(
        tracker.registry.origin(),
        tracker.registry.version_vector().clone(),
        tracker.registry.rows().cloned(),
    );
    let mut loaded = loaded.unwrap();
    for (hash, length) in [(1, 100), (2, 7)] {
        loaded.set_metadata_length(InfoHash([hash; 20]), length);
    }
    assert_eq!(loaded.usage_of(nik), usage(3, 2, 107));
    tracker.withdraw(nik, "lab", "a").unwrap();
    assert_eq!(tracker.registry.usage_of(nik), usage(2, 2, 107));
    tracker.withdraw(nik, "den", "a").unwrap();
    tracker.withdraw(nik, "lab", "b").unwrap();
    tracker.leave(nik, "lab").unwrap();
    assert_eq!(tracker.registry.usage_of(nik), usage(0, 1, 0));
    assert_eq!(tracker.registry.usage_of(uma), usage(1, 0, 7));
}

#[test]
fn rows_of_another_tracker_are_merged_beyond_the_quota_and_then_both_trackers_refuse_shares() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    publish(&mut a, olga, "lab", "a", 1);
    publish(&mut b, olga, "lab", "b", 2);
    sync(&mut a, &mut b);
    let quotas = AccountQuotas {
        shares: 1,
        ..AccountQuotas::default()
    };
    for tracker in [&a, &b] {
        assert_eq!(tracker.registry.usage_of(olga).shares, 2);
        let hash = InfoHash([3; 20]);
        let one_more = tracker.registry.check_share_quota(olga, hash, 1, &quotas);
        assert_eq!(one_more, Err(Refusal::ShareQuota(1)));
    }
}

#[test]
fn each_quota_refuses_what_exceeds_it() {
    let (mut tracker, nik) = tracker_with_groups();
    tracker.registry.set_metadata_length(InfoHash([1; 20]), 60);
    publish(&mut tracker, nik, "lab", "a", 1);
    let quotas = |shares, groups, metadata_bytes| AccountQuotas {
        shares,
        groups,
        metadata_bytes,
    };
    let add_share = |hash, length, quotas: AccountQuotas| {
        let hash = InfoHash([hash; 20]);
        kind_of(
            tracker
                .registry
                .check_share_quota(nik, hash, length, &quotas),
        )
    };
    let (room_for_one, registry) = (quotas(2, 3, 100), &tracker.registry);
    let add_group = registry.check_group_quota(nik, &room_for_one);
    assert_eq!(kind_of(add_group), "ok");
    let add_group = registry.check_group_quota(nik, &quotas(2, 2, 100));
    assert_eq!(add_group, Err(Refusal::GroupQuota(2)));
    assert_eq!(add_share(2, 40, room_for_one), "ok");
    assert_eq!(add_share(2, 41, room_for_one), "quota");
    assert_eq!(add_share(1, 60, room_for_one), "ok", "counted already");
    assert_eq!(add_share(2, 1, quotas(1, 3, 100)), "quota");
}

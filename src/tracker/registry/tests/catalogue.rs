//! The rules of the catalogue, on one tracker and on two that were disconnected.

use super::*;

#[test]
fn only_members_publish_and_list_and_only_publisher_or_owner_withdraws() {
    let mut tracker = TestTracker::new(1);
    let olga = tracker.create_user("olga").unwrap();
    tracker.create_group(olga, "lab").unwrap();
    let nik = tracker.add_member(olga, "lab", "nik");
    let uma = tracker.add_member(olga, "lab", "uma");
    let stranger = tracker.create_user("eve").unwrap();
    for name in ["b", "a~1", "c d"] {
        tracker.publish(nik, "lab", name).unwrap();
    }
    assert_eq!(tracker.shares(uma, "lab").unwrap(), ["a~1", "b", "c d"]);
    assert_eq!(kind_of(tracker.publish(uma, "lab", "b")), "share-exists");
    assert_eq!(
        kind_of(tracker.publish(stranger, "lab", "x")),
        "not-a-member"
    );
    assert_eq!(kind_of(tracker.publish(nik, "none", "x")), "unknown-group");
    assert_eq!(kind_of(tracker.shares(stranger, "lab")), "not-a-member");
    let lab = label("lab");
    assert_eq!(
        kind_of(tracker.registry.share(stranger, &lab, "b")),
        "not-a-member"
    );
    assert_eq!(
        kind_of(tracker.registry.group_key(stranger, &lab)),
        "not-a-member"
    );
    assert!(tracker.registry.group_key(uma, &lab).is_ok());
    assert_eq!(
        kind_of(tracker.withdraw(uma, "lab", "b")),
        "not-the-publisher"
    );
    assert_eq!(
        kind_of(tracker.withdraw(stranger, "lab", "b")),
        "not-a-member"
    );
    assert_eq!(
        kind_of(tracker.withdraw(uma, "lab", "none")),
        "other-version"
    );
    tracker.withdraw(nik, "lab", "b").unwrap();
    tracker.withdraw(olga, "lab", "c d").unwrap();
    assert_eq!(tracker.shares(uma, "lab").unwrap(), ["a~1"]);
    // The name is free again.
    tracker.publish(uma, "lab", "b").unwrap();
    assert_eq!(tracker.shares(uma, "lab").unwrap(), ["a~1", "b"]);
}

#[test]
fn only_members_of_a_group_that_has_not_ended_may_enter_its_swarm() {
    let mut tracker = TestTracker::new(1);
    let olga = tracker.create_user("olga").unwrap();
    let lab_id = tracker.create_group(olga, "lab").unwrap();
    let nik = tracker.add_member(olga, "lab", "nik");
    tracker.publish(olga, "lab", "f").unwrap();
    let lab = label("lab");
    let info_hash = tracker.registry.share(nik, &lab, "f").unwrap().info_hash;
    assert_eq!(
        tracker.registry.group_for_swarm(nik, info_hash),
        Some(lab_id)
    );
    let eve = tracker.create_user("eve").unwrap();
    tracker.request(eve, "lab").unwrap();
    assert_eq!(tracker.registry.group_for_swarm(eve, info_hash), None);
    tracker.remove(olga, "lab", "nik").unwrap();
    assert_eq!(tracker.registry.group_for_swarm(nik, info_hash), None);
    assert!(tracker.registry.is_shared(info_hash));
    tracker.leave(olga, "lab").unwrap();
    assert_eq!(tracker.registry.group_for_swarm(olga, info_hash), None);
    assert!(
        !tracker.registry.is_shared(info_hash),
        "the group has ended"
    );
}

#[test]
fn of_two_shares_with_one_name_the_earlier_holds_the_name_and_both_are_kept() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let first = a.publish(olga, "lab", "f").unwrap();
    b.now = a.now + 60_000;
    let second = b.publish(olga, "lab", "f").unwrap();
    sync(&mut a, &mut b);
    let tagged = format!("f~{}", &second.to_string()[..8]);
    assert_eq!(a.shares(olga, "lab").unwrap().len(), 2);
    let lab = label("lab");
    assert_eq!(a.registry.share(olga, &lab, "f").unwrap().id, first);
    assert_eq!(b.registry.share(olga, &lab, &tagged).unwrap().id, second);
    // After the holder is withdrawn, the other share holds the name.
    a.withdraw(olga, "lab", "f").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(b.shares(olga, "lab").unwrap(), ["f"]);
    assert_eq!(b.registry.share(olga, &lab, "f").unwrap().id, second);
}

#[test]
fn a_share_is_not_listed_if_its_group_ended_at_the_other_tracker() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let nik = a.add_member(olga, "lab", "nik");
    sync(&mut a, &mut b);
    a.publish(nik, "lab", "f").unwrap();
    let lab = label("lab");
    let info_hash = a.registry.share(nik, &lab, "f").unwrap().info_hash;
    b.remove(olga, "lab", "nik").unwrap();
    b.leave(olga, "lab").unwrap();
    sync(&mut a, &mut b);
    for tracker in [&a, &b] {
        assert!(!tracker.registry.is_shared(info_hash));
        assert_eq!(kind_of(tracker.shares(nik, "lab")), "unknown-group");
    }
}

#[test]
fn a_share_is_listed_again_if_its_group_ended_at_one_tracker_and_the_other_accepted_a_member() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    a.publish(olga, "lab", "f").unwrap();
    let eve = a.create_user("eve").unwrap();
    a.request(eve, "lab").unwrap();
    sync(&mut a, &mut b);
    a.leave(olga, "lab").unwrap();
    b.accept(olga, "lab", "eve").unwrap();
    assert_eq!(kind_of(a.shares(eve, "lab")), "unknown-group");
    sync(&mut a, &mut b);
    for tracker in [&a, &b] {
        assert_eq!(tracker.shares(eve, "lab").unwrap(), ["f"]);
    }
}

#[test]
fn of_two_withdrawals_of_one_share_the_later_one_is_kept() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let share = a.publish(olga, "lab", "f").unwrap();
    sync(&mut a, &mut b);
    a.withdraw(olga, "lab", "f").unwrap();
    b.now = a.now + 60_000;
    b.withdraw(olga, "lab", "f").unwrap();
    sync(&mut a, &mut b);
    for tracker in [&a, &b] {
        assert!(tracker.shares(olga, "lab").unwrap().is_empty());
        let Some(Row::Share(row)) = tracker.registry.row(share) else {
            panic!("the row is kept")
        };
        let by = row.withdrawn.as_ref().map(|it| it.version.stamp.origin());
        assert_eq!(by, Some(Origin([2; 16])), "the later withdrawal is kept");
    }
}

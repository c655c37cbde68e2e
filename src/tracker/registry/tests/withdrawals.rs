//! Which withdrawals are reported to mirrors.

use super::*;

/// When the version with the content `hash` was withdrawn, according to a member of `lab`.
fn withdrawn(tracker: &TestTracker, member: RowId, hash: InfoHash) -> Option<u64> {
    let versions = [InfoHash([200; 20]), hash];
    let found = tracker
        .registry
        .withdrawals(member, &label("lab"), &versions);
    let (_, found) = found.unwrap();
    assert!(found.iter().all(|(found, _)| *found == hash));
    found.first().map(|(_, at)| *at)
}

fn hash_of(tracker: &TestTracker, actor: RowId, name: &str) -> InfoHash {
    let share = tracker.registry.share(actor, &label("lab"), name).unwrap();
    share.info_hash
}

#[test]
fn only_a_withdrawal_by_a_member_is_reported_and_only_to_members() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.add_member(olga, "lab", "nik");
    let uma = a.create_user("uma").unwrap();
    for (actor, name) in [(nik, "a"), (nik, "b"), (olga, "c")] {
        a.publish(actor, "lab", name).unwrap();
    }
    let hashes = ["a", "b", "c"].map(|name| hash_of(&a, olga, name));
    assert_eq!(hashes.map(|hash| withdrawn(&a, olga, hash)), [None; 3]);
    a.withdraw(olga, "lab", "a").unwrap();
    let at = withdrawn(&a, nik, hashes[0]);
    assert!(at.is_some());
    sync(&mut a, &mut b);
    assert_eq!(withdrawn(&b, nik, hashes[0]), at);
    // The same content is withdrawn in no other group.
    a.create_group(uma, "den").unwrap();
    let other = a.registry.withdrawals(uma, &label("den"), &hashes);
    assert_eq!(other.unwrap().1, []);
    let stranger = a.registry.withdrawals(uma, &label("lab"), &hashes);
    assert_eq!(kind_of(stranger), "not-a-member");
    // An operator removes an account, then the group.
    let now = a.next_time();
    let removal = a.registry.remove_account_as_operator(nik, 1_000, now);
    a.apply(removal).unwrap();
    assert_eq!(withdrawn(&a, olga, hashes[1]), None);
    let now = a.next_time();
    let end = a.registry.end_group_as_operator(lab, 1_000, now);
    a.apply(end).unwrap();
    assert_eq!(withdrawn(&a, olga, hashes[2]), None);
    assert_eq!(withdrawn(&a, olga, hashes[0]), at);
}

#[test]
fn content_that_was_published_again_is_not_withdrawn() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let publish = |tracker: &mut TestTracker| {
        let new = NewShare {
            id: tracker.next_id(),
            name: FileName::new("a").unwrap(),
            info_hash: InfoHash([1; 20]),
            length: 1,
            note: None,
            is_update: false,
        };
        let now = tracker.next_time();
        let update = tracker.registry.publish(olga, &label("lab"), new, now);
        tracker.apply(update).unwrap();
    };
    let hash = InfoHash([1; 20]);
    publish(&mut a);
    a.withdraw(olga, "lab", "a").unwrap();
    let first = withdrawn(&a, olga, hash);
    publish(&mut a);
    assert_eq!(withdrawn(&a, olga, hash), None);
    sync(&mut a, &mut b);
    b.withdraw(olga, "lab", "a").unwrap();
    sync(&mut a, &mut b);
    let again = withdrawn(&a, olga, hash);
    assert!(again > first && first.is_some());
}

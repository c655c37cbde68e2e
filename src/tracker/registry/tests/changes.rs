//! What `take_changed` returns, and the change numbers of groups.

use super::*;
use std::collections::BTreeSet;

#[test]
fn each_operation_changes_the_expected_numbers_and_reports_the_expected_accounts() {
    let (mut a, _, olga, lab) = two_trackers_with_group();
    let nina = a.add_member(olga, "lab", "nina");
    let omar = a.create_user("omar").unwrap();
    a.registry.take_changed();
    let numbers = |a: &TestTracker| a.registry.change_numbers(lab);
    let mut former = numbers(&a);
    let mut check = |a: &mut TestTracker, what: &str, added, ended, accounts: &[RowId]| {
        let now = numbers(a);
        assert_eq!(now.added != former.added, added, "{what}");
        assert_eq!(now.ended != former.ended, ended, "{what}");
        let changed = a.registry.take_changed();
        assert_eq!(changed.groups.contains(&lab), added || ended, "{what}");
        let accounts: BTreeSet<RowId> = accounts.iter().copied().collect();
        assert_eq!(changed.accounts, accounts, "{what}");
        former = now;
    };
    a.publish(nina, "lab", "set").unwrap();
    check(&mut a, "a share is published", true, false, &[]);
    a.withdraw(nina, "lab", "set").unwrap();
    check(&mut a, "a share is withdrawn", false, true, &[]);
    a.request(omar, "lab").unwrap();
    check(&mut a, "a user asks to join", false, false, &[omar, olga]);
    a.reject(olga, "lab", "omar").unwrap();
    check(&mut a, "the user is rejected", false, false, &[omar, olga]);
    a.request(omar, "lab").unwrap();
    a.accept(olga, "lab", "omar").unwrap();
    check(&mut a, "the user is accepted", false, false, &[omar, olga]);
    a.remove(olga, "lab", "omar").unwrap();
    check(&mut a, "the member is removed", false, true, &[omar, olga]);
    a.request(omar, "lab").unwrap();
    let asks = "a former member asks to join";
    check(&mut a, asks, false, false, &[omar, olga]);
    a.accept(olga, "lab", "omar").unwrap();
    let returns = "a former member is accepted";
    check(&mut a, returns, false, true, &[omar, olga]);
    a.remove(olga, "lab", "omar").unwrap();
    check(&mut a, "omar is removed again", false, true, &[omar, olga]);
    a.leave(nina, "lab").unwrap();
    check(&mut a, "a member leaves", false, true, &[nina, olga]);
}

#[test]
fn the_move_of_a_version_into_another_share_changes_the_number() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let first = a.publish(olga, "lab", "f").unwrap();
    let new = a.new_share("f", Some("n"));
    // The tracker `b` does not know that share: there the same command makes a share of its own.
    // It does so later, so the version keeps this creation.
    b.now = a.now + 60_000;
    for tracker in [&mut a, &mut b] {
        let now = tracker.next_time();
        let lab = label("lab");
        let published = tracker.registry.publish(olga, &lab, new.clone(), now);
        tracker.apply(published).unwrap();
    }
    let created = |it: &TestTracker, id| it.registry.share_row(id).unwrap().created;
    let before = b.registry.change_numbers(lab).added;
    let own = created(&b, new.id);
    sync(&mut a, &mut b);
    assert_eq!(created(&b, new.id), own, "the creation stays");
    let with_first =
        before ^ crate::tracker::registry::changes::write_hash(first, created(&b, first));
    assert_ne!(b.registry.change_numbers(lab).added, with_first);
    assert_eq!(
        a.registry.change_numbers(lab),
        b.registry.change_numbers(lab)
    );
}

#[test]
fn registries_with_the_same_rows_have_the_same_numbers() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nina = a.add_member(olga, "lab", "nina");
    sync(&mut a, &mut b);
    a.publish(olga, "lab", "one").unwrap();
    b.publish(nina, "lab", "two").unwrap();
    b.remove(olga, "lab", "nina").unwrap();
    let omar = b.add_member(olga, "lab", "omar");
    b.remove(olga, "lab", "omar").unwrap();
    b.request(omar, "lab").unwrap();
    b.accept(olga, "lab", "omar").unwrap();
    a.registry.take_changed();
    assert_ne!(
        a.registry.change_numbers(lab),
        b.registry.change_numbers(lab)
    );
    sync(&mut a, &mut b);
    assert_eq!(
        a.registry.change_numbers(lab),
        b.registry.change_numbers(lab)
    );
    // What another tracker has written is a change too.
    assert!(a.registry.take_changed().groups.contains(&lab));
    let rows: Vec<Row> = a.registry.rows().cloned().collect();
    let versions = a.registry.version_vector().clone();
    let mut loaded = Registry::load(a.registry.origin(), versions, rows).unwrap();
    assert_eq!(loaded.change_numbers(lab), a.registry.change_numbers(lab));
    assert!(
        loaded.take_changed().is_empty(),
        "loaded rows do not count as changed"
    );
}

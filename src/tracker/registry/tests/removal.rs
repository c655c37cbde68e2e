//! Accounts that the operator removes, also while other trackers go on with them.

use super::*;

const AT_ONCE: usize = 1_000;

fn remove(tracker: &mut TestTracker, account: RowId) {
    let now = tracker.next_time();
    let step = tracker
        .registry
        .remove_account_as_operator(account, AT_ONCE, now);
    tracker.apply(step).unwrap();
}

/// Asserts that nothing is left of an account but its row.
fn assert_is_gone(tracker: &TestTracker, account: RowId) {
    let registry = &tracker.registry;
    assert_eq!(convergence::check_removed_accounts(registry), Ok(()));
    assert!(registry.account(account).is_none());
    let row = registry.row(account);
    assert!(matches!(row, Some(Row::Account(row)) if row.removed.is_some()));
}

#[test]
fn a_removed_account_leaves_its_groups_its_shares_and_its_name() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.add_member(olga, "lab", "nik");
    a.publish(nik, "lab", "a.bin").unwrap();
    a.publish(olga, "lab", "b.bin").unwrap();
    a.create_group(nik, "alone").unwrap();
    sync(&mut a, &mut b);
    let since = a.next_time();
    remove(&mut a, nik);
    sync(&mut a, &mut b);
    for tracker in [&a, &b] {
        assert_is_gone(tracker, nik);
        assert_eq!(tracker.role(lab, nik), GroupRole::Stranger);
        assert_eq!(tracker.shares(olga, "lab").unwrap(), ["b.bin"]);
        let group = kind_of(tracker.registry.group_id(&label("alone")));
        assert_eq!(group, "unknown-group", "the last member is gone");
        let former = tracker.registry.former_members_since(lab, since, 9);
        let former: Vec<_> = former.iter().map(|it| (it.account, it.is_back)).collect();
        assert_eq!(former, [(nik, false)]);
    }
    // The withdrawn share changes these numbers too, so this needs a member without shares.
    let uma = a.add_member(olga, "lab", "uma");
    sync(&mut a, &mut b);
    let numbers = b.registry.change_numbers(lab);
    remove(&mut a, uma);
    sync(&mut a, &mut b);
    assert_ne!(b.registry.change_numbers(lab), numbers, "peers get a hint");
    let names = a.registry.accounts(None, 9).items;
    assert_eq!(names.len(), 1);
    assert_eq!(kind_of(b.create_user("Nik")), "ok");
    assert_eq!(kind_of(a.request(nik, "lab")), "account-gone");
    let now = a.next_time();
    let again = a.registry.remove_account_as_operator(nik, AT_ONCE, now);
    assert_eq!(kind_of(again), "account-gone");
}

#[test]
fn a_removal_wins_over_everything_that_another_tracker_does_meanwhile() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.create_user("nik").unwrap();
    a.request(nik, "lab").unwrap();
    sync(&mut a, &mut b);
    let credential = b.registry.account(nik).unwrap().credential();
    remove(&mut a, nik);
    // The other tracker does not know of the removal yet. All this happens later.
    b.accept(olga, "lab", "nik").unwrap();
    b.publish(nik, "lab", "a.bin").unwrap();
    let club = b.create_group(nik, "club").unwrap();
    b.request(olga, "club").unwrap();
    b.accept(nik, "club", "olga").unwrap();
    let now = b.next_time();
    b.apply(b.registry.change_password(nik, password("new"), now))
        .unwrap();
    sync(&mut a, &mut b);
    for tracker in [&a, &b] {
        assert_is_gone(tracker, nik);
        assert_eq!(tracker.role(lab, nik), GroupRole::Stranger);
        // The certificate that the other tracker may have issued is barred.
        let mut former = tracker
            .registry
            .former_members_since(lab, Duration::ZERO, 9)
            .into_iter();
        assert!(former.any(|it| it.account == nik && !it.is_back));
        assert_eq!(tracker.shares(olga, "lab").unwrap(), [""; 0]);
        // Members whom the account has accepted stay.
        assert_eq!(tracker.role(club, olga), GroupRole::Owner);
        let check = tracker
            .registry
            .check_login(nik, RowId([9; 16]), credential);
        assert_eq!(kind_of(check), "account-gone");
    }
}

#[test]
fn an_account_that_is_made_again_after_a_lost_reply_stays_removed() {
    let (mut a, mut b) = (TestTracker::new(1), TestTracker::new(2));
    let new = a.new_account("nik");
    for tracker in [&mut a, &mut b] {
        let now = tracker.next_time();
        tracker
            .apply(tracker.registry.create_account(new.clone(), now))
            .unwrap();
    }
    remove(&mut a, new.id);
    sync(&mut a, &mut b);
    assert_is_gone(&b, new.id);
}

#[test]
fn an_account_with_many_shares_is_removed_in_steps() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    for number in 0..5 {
        a.publish(olga, "lab", &format!("{number}")).unwrap();
    }
    for is_there in [true, true, false] {
        let now = a.next_time();
        let step = a.registry.remove_account_as_operator(olga, 2, now);
        assert!(step.as_ref().unwrap().rows().len() <= 3);
        let (action, ..) = removal_step(step.as_ref().unwrap(), olga);
        assert_eq!(action == AuditAction::Withdrew, is_there);
        a.apply(step).unwrap();
        assert_eq!(a.registry.account(olga).is_some(), is_there);
    }
    sync(&mut a, &mut b);
    assert_eq!(b.registry.usage_of(olga).shares, 0);
}

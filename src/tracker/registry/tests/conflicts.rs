//! The conflicts in the table of `registry/mod.rs`, in its order: two registries write while they
//! are disconnected, then merge. Conflicts of other kinds are beside this file: of removed accounts
//! in `removal.rs`, of quotas in `usage.rs`, of roles and names of groups in `roles.rs`, of shares
//! in `catalogue.rs`, of the audit log in `audit.rs`, of machines in `machines.rs`, and of repeated
//! writes in `receipts.rs`. The last tests here are about gaps, clocks, changes that are not
//! merged, expired rows and backups.

use super::*;

/// Moves the clock of `tracker` ahead, so that its next writes are later than all writes of
/// `other`.
fn advance_past(tracker: &mut TestTracker, other: &TestTracker) {
    tracker.now = tracker.now.max(other.now + 100_000);
}

#[test]
fn the_earlier_claim_holds_a_user_name_and_the_other_user_can_be_renamed() {
    let (mut a, mut b) = (TestTracker::new(1), TestTracker::new(2));
    // Creating x moves the clock of b, so b claims the name nik later than a.
    let second = b
        .create_user("x")
        .and_then(|_| b.create_user("nik"))
        .unwrap();
    let first = a.create_user("nik").unwrap();
    sync(&mut a, &mut b);
    let name = "nik".parse().unwrap();
    let named: Vec<_> = a
        .registry
        .accounts_named(&name)
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(named, [first, second]);
    assert!(a.registry.has_lost_name(second) && !a.registry.has_lost_name(first));
    let tagged = a.registry.account_label(second).unwrap();
    assert_eq!(a.registry.account_id(&tagged), Ok(second));
    assert_eq!(a.registry.account_id(&label("nik")), Ok(first));
    let now = b.next_time();
    let taken = b.registry.rename_account(second, "x".parse().unwrap(), now);
    assert_eq!(kind_of(taken), "name-taken");
    b.apply(
        b.registry
            .rename_account(second, "neo".parse().unwrap(), now),
    )
    .unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.registry.account_label(second), Some(label("neo")));
    assert_eq!(kind_of(a.create_user("neo")), "name-taken");
}

#[test]
fn the_earlier_claim_holds_a_group_name_and_both_groups_are_kept() {
    let (mut a, mut b, olga, _) = two_trackers_with_group();
    let first = a.create_group(olga, "club").unwrap();
    advance_past(&mut b, &a);
    let second = b.create_group(olga, "club").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(b.registry.group_id(&label("club")), Ok(first));
    let tagged = b.registry.group_label(second).unwrap().to_string();
    assert_ne!(tagged, "club");
    let nik = b.create_user("nik").unwrap();
    b.request(nik, &tagged).unwrap();
    b.accept(olga, &tagged, "nik").unwrap();
    assert_eq!(b.role(second, nik), GroupRole::Member);
    let now = b.next_time();
    let renamed = b
        .registry
        .rename_group(olga, &label(&tagged), "team".parse().unwrap(), now);
    b.apply(renamed).unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.registry.group_id(&label("team")), Ok(second));
    assert_eq!(
        a.registry.groups_of(nik, None, 9).items[0].label,
        label("team")
    );
}

#[test]
fn names_that_differ_only_in_case_are_both_kept_and_a_third_one_is_refused() {
    let (mut a, mut b) = (TestTracker::new(1), TestTracker::new(2));
    let one = a.create_user("bob").unwrap();
    let other = b.create_user("Bob").unwrap();
    let groups = [
        a.create_group(one, "lab").unwrap(),
        b.create_group(other, "LAB").unwrap(),
    ];
    sync(&mut a, &mut b);
    for tracker in [&mut a, &mut b] {
        for (name, id, group, group_id) in [
            ("bob", one, "lab", groups[0]),
            ("Bob", other, "LAB", groups[1]),
        ] {
            assert_eq!(tracker.registry.account_id(&label(name)), Ok(id));
            assert_eq!(tracker.registry.account_label(id), Some(label(name)));
            assert_eq!(tracker.registry.group_id(&label(group)), Ok(group_id));
            assert_eq!(tracker.registry.group_label(group_id), Some(label(group)));
        }
        assert_eq!(kind_of(tracker.create_user("BOB")), "name-taken");
        assert_eq!(kind_of(tracker.create_group(one, "Lab")), "name-taken");
    }
}

#[test]
fn the_later_of_two_name_changes_wins() {
    let (mut a, mut b) = (TestTracker::new(1), TestTracker::new(2));
    a.create_user("nik").unwrap();
    advance_past(&mut b, &a);
    let nik = b.create_user("nik").unwrap();
    sync(&mut a, &mut b);
    let (now, even_later) = (a.next_time(), b.next_time() * 2);
    a.apply(a.registry.rename_account(nik, "one".parse().unwrap(), now))
        .unwrap();
    b.apply(
        b.registry
            .rename_account(nik, "two".parse().unwrap(), even_later),
    )
    .unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.registry.account_label(nik), Some(label("two")));
    assert_eq!(
        kind_of(a.registry.account_id(&label("one"))),
        "unknown-user"
    );
}

#[test]
fn the_later_of_two_passwords_wins_and_logins_with_the_earlier_one_end() {
    let (mut a, mut b) = (TestTracker::new(1), TestTracker::new(2));
    let nik = a.create_user("nik").unwrap();
    sync(&mut a, &mut b);
    let now = a.next_time();
    a.apply(a.registry.change_password(nik, password("one"), now))
        .unwrap();
    advance_past(&mut b, &a);
    let now = b.next_time();
    b.apply(b.registry.change_password(nik, password("two"), now))
        .unwrap();
    let credential = |tracker: &TestTracker| tracker.registry.account(nik).unwrap().credential();
    let (one, two) = (credential(&a), credential(&b));
    sync(&mut a, &mut b);
    assert_eq!(
        a.registry.account(nik).unwrap().password.value.expose(),
        "two"
    );
    let login = a.next_id();
    assert_eq!(
        kind_of(a.registry.check_login(nik, login, one)),
        "session-ended"
    );
    assert_eq!(kind_of(a.registry.check_login(nik, login, two)), "ok");
}

#[test]
fn ending_all_logins_or_changing_the_password_ends_a_login_made_at_another_tracker() {
    let (mut a, mut b) = (TestTracker::new(1), TestTracker::new(2));
    let nik = a.create_user("nik").unwrap();
    sync(&mut a, &mut b);
    let credential = |tracker: &TestTracker| tracker.registry.account(nik).unwrap().credential();
    for is_password in [false, true] {
        let now = a.next_time();
        let ended = match is_password {
            false => a.registry.end_all_logins(nik, now),
            true => a.registry.change_password(nik, password("new"), now),
        };
        a.apply(ended).unwrap();
        // A login or a renewed token at b is bound to the credential that b knows.
        let (login, bound) = (b.next_id(), credential(&b));
        let check =
            |tracker: &TestTracker| kind_of(tracker.registry.check_login(nik, login, bound));
        assert_eq!(check(&b), "ok");
        sync(&mut a, &mut b);
        assert_eq!([check(&a), check(&b)], ["session-ended"; 2]);
    }
}

#[test]
fn a_log_out_at_one_tracker_ends_the_login_at_the_other() {
    let (mut a, mut b) = (TestTracker::new(1), TestTracker::new(2));
    let nik = a.create_user("nik").unwrap();
    sync(&mut a, &mut b);
    let (login, now) = (a.next_id(), a.next_time());
    let credential = a.registry.account(nik).unwrap().credential();
    let expires = now + LOG_OUT_LIFETIME;
    a.apply(a.registry.log_out(nik, login, expires, now))
        .unwrap();
    assert_eq!(
        kind_of(b.registry.check_login(nik, login, credential)),
        "ok"
    );
    sync(&mut a, &mut b);
    let after_sync = b.registry.check_login(nik, login, credential);
    assert_eq!(kind_of(after_sync), "session-ended");
}

#[test]
fn the_earlier_of_two_acceptances_counts_for_seniority() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let (nik, mayank) = (
        a.create_user("nik").unwrap(),
        a.create_user("mayank").unwrap(),
    );
    a.request(nik, "lab").unwrap();
    a.request(mayank, "lab").unwrap();
    sync(&mut a, &mut b);
    a.accept(olga, "lab", "nik").unwrap();
    advance_past(&mut b, &a);
    b.accept(olga, "lab", "mayank").unwrap();
    b.accept(olga, "lab", "nik").unwrap();
    b.leave(olga, "lab").unwrap();
    assert_eq!(b.registry.owner(lab), Some(mayank));
    sync(&mut a, &mut b);
    assert_eq!(b.registry.owner(lab), Some(nik));
}

#[test]
fn a_rejection_overrules_an_acceptance_whichever_is_later() {
    for accepted_later in [false, true] {
        let (mut a, mut b, olga, lab) = two_trackers_with_group();
        let nik = a.create_user("nik").unwrap();
        a.request(nik, "lab").unwrap();
        sync(&mut a, &mut b);
        if accepted_later {
            advance_past(&mut b, &a);
        } else {
            advance_past(&mut a, &b);
        }
        a.reject(olga, "lab", "nik").unwrap();
        b.accept(olga, "lab", "nik").unwrap();
        sync(&mut a, &mut b);
        assert_eq!(a.role(lab, nik), GroupRole::Stranger);
    }
}

#[test]
fn a_member_can_write_until_its_removal_arrives_and_these_writes_are_kept() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.add_member(olga, "lab", "nik");
    let mayank = a.create_user("mayank").unwrap();
    a.request(mayank, "lab").unwrap();
    sync(&mut a, &mut b);
    a.remove(olga, "lab", "nik").unwrap();
    b.leave(olga, "lab").unwrap();
    b.accept(nik, "lab", "mayank").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.role(lab, nik), GroupRole::Stranger);
    assert_eq!(a.role(lab, olga), GroupRole::Stranger);
    assert_eq!(a.role(lab, mayank), GroupRole::Owner);
}

#[test]
fn a_removal_cancels_an_earlier_request_that_was_accepted_later_at_the_other_tracker() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.create_user("nik").unwrap();
    sync(&mut a, &mut b);
    b.request(nik, "lab").unwrap();
    a.request(nik, "lab").unwrap();
    a.accept(olga, "lab", "nik").unwrap();
    advance_past(&mut a, &b);
    a.remove(olga, "lab", "nik").unwrap();
    advance_past(&mut b, &a);
    b.accept(olga, "lab", "nik").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.role(lab, nik), GroupRole::Stranger);
}

#[test]
fn a_request_made_after_a_removal_counts_even_if_the_clock_is_behind() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.add_member(olga, "lab", "nik");
    a.now += 7_200_000;
    a.remove(olga, "lab", "nik").unwrap();
    sync(&mut a, &mut b);
    // The clock is hours behind, but the tracker knows of the removal.
    b.now = 10;
    b.request(nik, "lab").unwrap();
    b.accept(olga, "lab", "nik").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.role(lab, nik), GroupRole::Member);
}

#[test]
fn two_requests_make_one_membership_and_one_removal_ends_it() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.create_user("nik").unwrap();
    sync(&mut a, &mut b);
    a.request(nik, "lab").unwrap();
    b.request(nik, "lab").unwrap();
    sync(&mut a, &mut b);
    let requests = |tracker: &TestTracker| {
        tracker
            .registry
            .requests(olga, &label("lab"), None, 9)
            .unwrap()
    };
    assert_eq!(requests(&a).items.len(), 1);
    a.accept(olga, "lab", "nik").unwrap();
    assert_eq!(requests(&a).items.len(), 0);
    a.remove(olga, "lab", "nik").unwrap();
    assert_eq!(requests(&a).items.len(), 0);
    sync(&mut a, &mut b);
    assert_eq!(b.role(lab, nik), GroupRole::Stranger);
}

#[test]
fn a_member_who_leaves_and_is_removed_is_out_and_the_later_reason_is_reported() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.add_member(olga, "lab", "nik");
    sync(&mut a, &mut b);
    a.leave(nik, "lab").unwrap();
    advance_past(&mut b, &a);
    b.remove(olga, "lab", "nik").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.role(lab, nik), GroupRole::Stranger);
    let decisions = a
        .registry
        .decisions(nik, &VersionVector::new(), None, 9)
        .items;
    assert_eq!(decisions[0].outcome, DecisionOutcome::Removed);
}

#[test]
fn the_third_member_owns_the_group_after_the_owner_and_the_second_member_left() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let second = a.add_member(olga, "lab", "second");
    let third = a.add_member(olga, "lab", "third");
    sync(&mut a, &mut b);
    a.leave(olga, "lab").unwrap();
    b.leave(second, "lab").unwrap();
    assert_eq!(
        (a.registry.owner(lab), b.registry.owner(lab)),
        (Some(second), Some(olga))
    );
    sync(&mut a, &mut b);
    assert_eq!(a.registry.owner(lab), Some(third));
}

#[test]
fn decisions_of_the_old_owner_after_a_change_of_owner_are_kept() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let second = a.add_member(olga, "lab", "second");
    let third = a.add_member(olga, "lab", "third");
    let nik = a.create_user("nik").unwrap();
    a.request(nik, "lab").unwrap();
    sync(&mut a, &mut b);
    a.leave(olga, "lab").unwrap();
    b.accept(olga, "lab", "nik").unwrap();
    b.remove(olga, "lab", "third").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.registry.owner(lab), Some(second));
    assert_eq!(a.role(lab, nik), GroupRole::Member);
    assert_eq!(a.role(lab, third), GroupRole::Stranger);
}

#[test]
fn a_group_that_ended_at_one_tracker_goes_on_if_the_other_accepted_a_member() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.create_user("nik").unwrap();
    a.request(nik, "lab").unwrap();
    sync(&mut a, &mut b);
    a.leave(olga, "lab").unwrap();
    let new_lab = a.create_group(olga, "lab").unwrap();
    b.accept(olga, "lab", "nik").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.role(lab, nik), GroupRole::Owner);
    assert_eq!(a.role(new_lab, olga), GroupRole::Owner);
    assert_eq!(a.registry.group_id(&label("lab")), Ok(lab));
    assert_ne!(a.registry.group_label(new_lab), Some(label("lab")));
}

#[test]
fn an_invite_redeemed_twice_keeps_both_accounts_and_records_the_earlier() {
    let (mut a, mut b) = (TestTracker::new(1), TestTracker::new(2));
    let (id, code, now) = (a.next_id(), CodeHash([3; 32]), a.next_time());
    a.apply(a.registry.create_invite(id, code, now * 100, now))
        .unwrap();
    sync(&mut a, &mut b);
    let (one, two) = (a.new_account("one"), b.new_account("two"));
    a.apply(a.registry.redeem_invite(code, one.clone(), now))
        .unwrap();
    b.apply(b.registry.redeem_invite(code, two.clone(), now * 2))
        .unwrap();
    sync(&mut a, &mut b);
    assert!(a.registry.account(two.id).is_some());
    let Some(Row::Invite(invite)) = a.registry.row(id) else {
        panic!("no invite")
    };
    assert_eq!(invite.used.as_ref().map(|used| used.value), Some(one.id));
}

#[test]
fn a_gap_is_reported_and_filled_and_a_wrong_clock_is_reported() {
    let (mut a, mut b) = (TestTracker::new(1), TestTracker::new(2));
    let now = a.next_time();
    let (one, two) = (a.new_account("one"), a.new_account("two"));
    let first = a.registry.create_account(one, now).unwrap();
    a.registry.apply(first).unwrap();
    let far = now + Duration::from_secs(3_600);
    let second = a.registry.create_account(two, far).unwrap();
    a.registry.apply(second.clone()).unwrap();
    let update = b.registry.merge(second.change().unwrap(), now).unwrap();
    assert_eq!(update.gaps(), [a.registry.origin()]);
    let ahead = update
        .drift()
        .map(|drift| (drift.origin, drift.ahead.as_secs()));
    assert_eq!(ahead, Some((a.registry.origin(), 3_600)));
    b.registry.apply(update).unwrap();
    assert_eq!(
        b.registry.version_vector().of(a.registry.origin()),
        Sequence::ZERO
    );
    sync(&mut a, &mut b);
    assert_eq!(b.registry.accounts(None, 9).items.len(), 2);
}

#[test]
fn a_registry_from_an_old_copy_does_not_merge_later_writes_of_its_own_origin() {
    let (mut a, mut b) = (TestTracker::new(1), TestTracker::new(2));
    a.create_user("nik").unwrap();
    sync(&mut a, &mut b);
    let old = Registry::new(a.registry.origin());
    let change = b.registry.since(old.version_vector(), 9999).unwrap();
    let error = old.merge(&change, Duration::ZERO).unwrap_err();
    assert_eq!(
        error,
        MergeError::Rewound {
            known: 0,
            known_elsewhere: 1
        }
    );
}

#[test]
fn a_different_row_with_an_id_in_use_is_not_merged() {
    let (mut a, mut c) = (TestTracker::new(1), TestTracker::new(3));
    a.create_user("nik").unwrap();
    let used_id = a.registry.accounts(None, 9).items[0].0;
    let now = c.next_time();
    c.apply(
        c.registry
            .create_invite(used_id, CodeHash([7; 32]), now * 2, now),
    )
    .unwrap();
    let change = c.registry.since(&VersionVector::new(), 9999).unwrap();
    let error = a.registry.merge(&change, now).unwrap_err();
    assert!(matches!(error, MergeError::Contradiction(_)), "{error}");
}

#[test]
fn an_expired_row_that_all_trackers_have_is_dropped_and_does_not_return() {
    let (mut a, mut b) = (TestTracker::new(1), TestTracker::new(2));
    let nik = a.create_user("nik").unwrap();
    sync(&mut a, &mut b);
    let (login, now) = (a.next_id(), a.next_time());
    let expires = now + LOG_OUT_LIFETIME;
    a.apply(a.registry.log_out(nik, login, expires, now))
        .unwrap();
    let droppable = |a: &TestTracker, b: &TestTracker, at| {
        let others = [b.registry.version_vector().clone()];
        a.registry.droppable(at, &others)
    };
    assert_eq!(droppable(&a, &b, expires), []);
    b.pull(&a);
    assert_eq!(droppable(&a, &b, now), []);
    assert_eq!(droppable(&a, &b, expires), [login]);
    // An account does not expire, so it is kept.
    a.registry.drop_rows(&[login, nik]);
    assert!(a.registry.row(login).is_none() && a.registry.row(nik).is_some());
    a.pull(&b);
    assert!(a.registry.row(login).is_none());
}

#[test]
fn a_log_out_is_kept_by_the_clock_of_each_tracker_that_learns_of_it() {
    let (mut a, mut b) = (TestTracker::new(1), TestTracker::new(2));
    let nik = a.create_user("nik").unwrap();
    sync(&mut a, &mut b);
    let (login, now) = (a.next_id(), a.next_time());
    let credential = a.registry.account(nik).unwrap().credential();
    let expires = now + LONGEST_TOKEN_LIFE + MAX_DRIFT;
    a.apply(a.registry.log_out(nik, login, expires, now))
        .unwrap();
    // Four days later b has renewed the login a moment before it learns of the log-out.
    b.now += 100 * 3_600_000;
    let renewed = Login::begin(
        nik,
        login,
        credential,
        Duration::from_millis(b.now),
        MAX_LOGIN_LIFE,
    );
    b.pull(&a);
    let expiry = |tracker: &TestTracker| tracker.registry.row(login).and_then(Row::expires);
    let kept = Duration::from_millis(expiry(&b).unwrap());
    assert!(kept >= renewed.expires + MAX_DRIFT, "{kept:?}");
    // The row of a has expired, and b has it. But a lacks the write of b.
    let others = [b.registry.version_vector().clone()];
    assert_eq!(a.registry.droppable(expires, &others), []);
    a.pull(&b);
    assert_eq!(expiry(&a), expiry(&b));
    assert_eq!(a.registry.droppable(renewed.expires, &others), []);
    assert_eq!(a.registry.droppable(kept, &others), [login]);
    // A tracker that learns of it in time makes no write.
    let mut c = TestTracker::new(3);
    c.now = b.now;
    c.pull(&a);
    assert_eq!(c.registry.version_vector(), a.registry.version_vector());
    sync(&mut a, &mut b);
}

#[test]
fn an_account_with_too_many_log_outs_is_logged_out_everywhere_instead() {
    let mut a = TestTracker::new(1);
    let nik = a.create_user("nik").unwrap();
    let log_out = |a: &mut TestTracker| {
        let (login, now) = (a.next_id(), a.next_time());
        let update = a.registry.log_out(nik, login, now + LOG_OUT_LIFETIME, now);
        a.apply(update).unwrap();
    };
    let credential = |a: &TestTracker| a.registry.account(nik).unwrap().credential();
    let before = credential(&a);
    for _ in 0..MAX_LOG_OUTS {
        log_out(&mut a);
    }
    let rows = a.registry.rows().count();
    assert_eq!(credential(&a), before);
    let has_too_many = |a: &TestTracker, passed| {
        let now = Duration::from_millis(a.now) + passed;
        a.registry.has_too_many_log_outs(nik, now)
    };
    assert!(has_too_many(&a, Duration::ZERO));
    assert!(!has_too_many(&a, LOG_OUT_LIFETIME), "they have expired");
    log_out(&mut a);
    assert!(credential(&a) > before);
    assert_eq!(a.registry.rows().count(), rows);
    // The log-outs of before do not count any longer.
    log_out(&mut a);
    assert_eq!(a.registry.rows().count(), rows + 1);
}

#[test]
fn restoring_an_old_backup_does_not_bring_back_a_removed_member() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.add_member(olga, "lab", "nik");
    sync(&mut a, &mut b);
    let backup: Vec<Row> = a.registry.rows().cloned().collect();
    let versions = a.registry.version_vector().clone();
    b.remove(olga, "lab", "nik").unwrap();
    sync(&mut a, &mut b);
    // A tracker starts from the backup under a new origin. Later an empty tracker joins.
    let mut restored = TestTracker::new(3);
    restored.registry = Registry::load(Origin([3; 16]), versions, backup).unwrap();
    assert_eq!(restored.role(lab, nik), GroupRole::Member);
    sync(&mut restored, &mut b);
    assert_eq!(restored.role(lab, nik), GroupRole::Stranger);
    let mut empty = TestTracker::new(4);
    sync(&mut empty, &mut restored);
    assert_eq!(empty.role(lab, nik), GroupRole::Stranger);
    // Later writes of the restored tracker are new to all others.
    restored.create_user("mayank").unwrap();
    sync(&mut b, &mut restored);
    assert!(b.registry.account_id(&label("mayank")).is_ok());
}

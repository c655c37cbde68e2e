//! The roles of members: what each may do, who owns a group, and the conflicts of roles and of
//! names of groups in the table of `registry/mod.rs`.

use super::*;

impl TestTracker {
    fn set_role(
        &mut self,
        actor: RowId,
        group: &str,
        user: &str,
        role: Role,
    ) -> Result<(), Refusal> {
        let now = self.next_time();
        let update = self
            .registry
            .set_role(actor, &label(group), &label(user).into(), role, now);
        self.apply(update)
    }

    fn rename_group(&mut self, actor: RowId, group: &str, name: &str) -> Result<(), Refusal> {
        let now = self.next_time();
        let name = name.parse().unwrap();
        let update = self.registry.rename_group(actor, &label(group), name, now);
        self.apply(update)
    }

    fn role_of(&self, group: RowId, account: RowId) -> Option<Role> {
        self.registry.role_of(group, account)
    }

    fn outcomes(&self, account: RowId) -> Vec<(DecisionOutcome, Option<Role>)> {
        let news = self
            .registry
            .decisions_and_requests(account, &VersionVector::new(), None, 99);
        let news = news.items.into_iter();
        news.map(|news| (news.outcome, news.role)).collect()
    }
}

/// A group `lab` of an earlier version, which stored no roles: `olga` created it, `nik` and then
/// `ada` joined it.
fn group_without_roles() -> (TestTracker, RowId, [RowId; 3]) {
    let mut tracker = TestTracker::new(1);
    let olga = tracker.create_user("olga").unwrap();
    let lab = tracker.create_group(olga, "lab").unwrap();
    let nik = tracker.add_member(olga, "lab", "nik");
    let ada = tracker.add_member(olga, "lab", "ada");
    let versions = tracker.registry.version_vector().clone();
    let rows = tracker.registry.rows().cloned().map(|row| match row {
        Row::Membership(row) => Row::Membership(Membership { role: None, ..row }),
        row => row,
    });
    let origin = tracker.registry.origin();
    tracker.registry = Registry::load(origin, versions, rows.collect::<Vec<_>>()).unwrap();
    (tracker, lab, [olga, nik, ada])
}

#[test]
fn each_role_may_do_what_the_table_says() {
    let table: [(&str, [&str; 3]); 8] = [
        ("publish", ["not-a-publisher", "ok", "ok"]),
        ("withdraw own", ["not-a-publisher", "ok", "ok"]),
        ("withdraw", ["not-a-publisher", "not-the-publisher", "ok"]),
        ("accept", ["not-the-owner", "not-the-owner", "ok"]),
        ("remove", ["not-the-owner", "not-the-owner", "ok"]),
        ("set role", ["not-the-owner", "not-the-owner", "ok"]),
        ("rename", ["not-the-owner", "not-the-owner", "ok"]),
        ("list", ["ok", "ok", "ok"]),
    ];
    for (operation, expected) in table {
        for (role, expected) in Role::ALL.iter().zip(expected) {
            let mut tracker = TestTracker::new(1);
            let olga = tracker.create_user("olga").unwrap();
            tracker.create_group(olga, "lab").unwrap();
            let nik = tracker.add_member(olga, "lab", "nik");
            tracker.add_member(olga, "lab", "ada");
            let vera = tracker.create_user("vera").unwrap();
            tracker.request(vera, "lab").unwrap();
            tracker.publish(nik, "lab", "niks").unwrap();
            tracker.publish(olga, "lab", "olgas").unwrap();
            tracker.set_role(olga, "lab", "nik", *role).unwrap();
            let before = tracker.registry.dump();
            let result = match operation {
                "publish" => kind_of(tracker.publish(nik, "lab", "new")),
                "withdraw own" => kind_of(tracker.withdraw(nik, "lab", "niks")),
                "withdraw" => kind_of(tracker.withdraw(nik, "lab", "olgas")),
                "accept" => kind_of(tracker.accept(nik, "lab", "vera")),
                "remove" => kind_of(tracker.remove(nik, "lab", "ada")),
                "set role" => kind_of(tracker.set_role(nik, "lab", "ada", Role::Reader)),
                "rename" => kind_of(tracker.rename_group(nik, "lab", "hall")),
                _ => kind_of(tracker.shares(nik, "lab")),
            };
            assert_eq!(result, expected, "{operation} by a {}", role.as_str());
            if result != "ok" {
                assert_eq!(tracker.registry.dump(), before);
            }
        }
    }
}

#[test]
fn a_group_of_an_earlier_version_keeps_its_owner_and_everybody_may_publish() {
    let (mut tracker, lab, [olga, nik, ada]) = group_without_roles();
    assert_eq!(tracker.role_of(lab, olga), Some(Role::Owner));
    assert_eq!(tracker.role_of(lab, nik), Some(Role::Publisher));
    // The first owner stays owner when another one is made.
    tracker.set_role(olga, "lab", "nik", Role::Owner).unwrap();
    for owner in [olga, nik] {
        assert_eq!(tracker.role_of(lab, owner), Some(Role::Owner));
    }
    tracker.set_role(nik, "lab", "olga", Role::Reader).unwrap();
    assert_eq!(tracker.role_of(lab, olga), Some(Role::Reader));
    assert_eq!(tracker.registry.owner(lab), Some(nik));
    assert_eq!(tracker.role_of(lab, ada), Some(Role::Publisher));
}

#[test]
fn a_group_always_has_an_owner() {
    let (mut tracker, _, olga, lab) = two_trackers_with_group();
    let nik = tracker.add_member(olga, "lab", "nik");
    let ada = tracker.add_member(olga, "lab", "ada");
    for role in [Role::Reader, Role::Publisher] {
        assert_eq!(
            kind_of(tracker.set_role(olga, "lab", "olga", role)),
            "last-owner"
        );
    }
    tracker.set_role(olga, "lab", "ada", Role::Owner).unwrap();
    tracker
        .set_role(olga, "lab", "olga", Role::Publisher)
        .unwrap();
    assert_eq!(tracker.registry.owner(lab), Some(ada));
    // When the only owner leaves, the most senior member that is no reader owns the group.
    tracker.set_role(ada, "lab", "olga", Role::Reader).unwrap();
    tracker.leave(ada, "lab").unwrap();
    assert_eq!(tracker.role_of(lab, olga), Some(Role::Reader));
    assert_eq!(tracker.role_of(lab, nik), Some(Role::Owner));
    assert_eq!(tracker.registry.owner(lab), Some(nik));
    // That owner stays owner when it gives roles.
    tracker
        .set_role(nik, "lab", "olga", Role::Publisher)
        .unwrap();
    assert_eq!(tracker.role_of(lab, nik), Some(Role::Owner));
}

#[test]
fn a_reader_owns_a_group_only_if_all_members_are_readers() {
    let (mut tracker, _, olga, lab) = two_trackers_with_group();
    let nik = tracker.add_member(olga, "lab", "nik");
    let ada = tracker.add_member(olga, "lab", "ada");
    let vera = tracker.add_member(olga, "lab", "vera");
    for reader in ["nik", "vera"] {
        tracker.set_role(olga, "lab", reader, Role::Reader).unwrap();
    }
    tracker.leave(olga, "lab").unwrap();
    assert_eq!(tracker.registry.owner(lab), Some(ada));
    assert_eq!(tracker.role_of(lab, nik), Some(Role::Reader));
    assert_eq!(kind_of(tracker.remove(nik, "lab", "ada")), "not-the-owner");
    tracker.leave(ada, "lab").unwrap();
    assert_eq!(tracker.role_of(lab, nik), Some(Role::Owner));
    assert_eq!(tracker.role_of(lab, vera), Some(Role::Reader));
}

#[test]
fn a_role_ends_with_its_membership() {
    let (mut tracker, _, olga, lab) = two_trackers_with_group();
    let nik = tracker.add_member(olga, "lab", "nik");
    tracker.set_role(olga, "lab", "nik", Role::Owner).unwrap();
    tracker.remove(olga, "lab", "nik").unwrap();
    assert_eq!(tracker.role_of(lab, nik), None);
    assert_eq!(
        kind_of(tracker.set_role(olga, "lab", "nik", Role::Owner)),
        "unknown-member"
    );
    tracker.request(nik, "lab").unwrap();
    tracker.accept(olga, "lab", "nik").unwrap();
    assert_eq!(tracker.role_of(lab, nik), Some(Role::Publisher));
}

#[test]
fn a_user_gets_news_of_a_role_that_another_user_gave() {
    let (mut tracker, _, olga, _) = two_trackers_with_group();
    let nik = tracker.add_member(olga, "lab", "nik");
    let vera = tracker.create_user("vera").unwrap();
    tracker.request(vera, "lab").unwrap();
    tracker.registry.take_changed();
    tracker.set_role(olga, "lab", "nik", Role::Owner).unwrap();
    assert!(tracker.registry.take_changed().accounts.contains(&nik));
    // The new owner also learns of the requests that are open.
    let outcomes = tracker.outcomes(nik);
    for expected in [
        (DecisionOutcome::GotRole, Some(Role::Owner)),
        (DecisionOutcome::Accepted, None),
        (DecisionOutcome::Requested, None),
    ] {
        assert!(outcomes.contains(&expected), "{outcomes:?}");
    }
    assert_eq!(outcomes.len(), 3);
    assert_eq!(tracker.outcomes(olga), [(DecisionOutcome::Requested, None)]);
}

#[test]
fn a_renamed_group_keeps_its_members_and_frees_its_name() {
    let (mut tracker, _, olga, lab) = two_trackers_with_group();
    let nik = tracker.add_member(olga, "lab", "nik");
    tracker.publish(nik, "lab", "data").unwrap();
    tracker.registry.take_changed();
    assert_eq!(
        kind_of(tracker.rename_group(olga, "lab", "-x")),
        "bad-request"
    );
    let unchanged = tracker.rename_group(olga, "lab", "lab").unwrap_err();
    assert_eq!(unchanged.kind(), "name-taken");
    assert!(unchanged.to_string().contains("already called lab"));
    tracker.rename_group(olga, "lab", "LAB").unwrap();
    tracker.create_group(olga, "club").unwrap();
    let taken = tracker.rename_group(olga, "club", "lab").unwrap_err();
    assert_eq!(taken, Refusal::NameTaken(label("LAB")));
    tracker.rename_group(olga, "LAB", "hall").unwrap();
    let changed = tracker.registry.take_changed();
    // Of two renames, the first former name counts: the peers use it until they learn the new one.
    assert_eq!(changed.renamed, [(lab, label("lab"))].into_iter().collect());
    assert!(!changed.accounts.contains(&nik), "a new name is no news");
    assert_eq!(kind_of(tracker.shares(nik, "lab")), "unknown-group");
    assert_eq!(tracker.shares(nik, "hall").unwrap(), ["data"]);
    let other = tracker.create_group(nik, "lab").unwrap();
    assert_ne!(other, lab);
    assert_eq!(
        kind_of(tracker.rename_group(nik, "lab", "hall")),
        "name-taken"
    );
}

#[test]
fn the_later_of_two_roles_of_a_member_wins() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.add_member(olga, "lab", "nik");
    sync(&mut a, &mut b);
    a.set_role(olga, "lab", "nik", Role::Owner).unwrap();
    b.now = a.now + 100_000;
    b.set_role(olga, "lab", "nik", Role::Reader).unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.role_of(lab, nik), Some(Role::Reader));
}

#[test]
fn a_group_whose_owners_demote_each_other_is_owned_by_its_most_senior_member() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.add_member(olga, "lab", "nik");
    let ada = a.add_member(olga, "lab", "ada");
    a.set_role(olga, "lab", "ada", Role::Owner).unwrap();
    sync(&mut a, &mut b);
    a.set_role(olga, "lab", "ada", Role::Publisher).unwrap();
    b.set_role(ada, "lab", "olga", Role::Publisher).unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.role_of(lab, olga), Some(Role::Owner));
    assert_eq!(a.role_of(lab, ada), Some(Role::Publisher));
    assert_eq!(a.role_of(lab, nik), Some(Role::Publisher));
}

#[test]
fn a_member_that_was_made_owner_owns_the_group_if_the_owner_left_elsewhere() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.add_member(olga, "lab", "nik");
    let ada = a.add_member(olga, "lab", "ada");
    sync(&mut a, &mut b);
    a.leave(olga, "lab").unwrap();
    assert_eq!(a.registry.owner(lab), Some(nik));
    b.set_role(olga, "lab", "ada", Role::Owner).unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.registry.owner(lab), Some(ada));
    assert_eq!(a.role_of(lab, nik), Some(Role::Publisher));
}

#[test]
fn what_an_owner_and_a_publisher_did_before_they_learned_of_their_new_role_is_kept() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.add_member(olga, "lab", "nik");
    a.set_role(olga, "lab", "nik", Role::Owner).unwrap();
    let vera = a.create_user("vera").unwrap();
    a.request(vera, "lab").unwrap();
    sync(&mut a, &mut b);
    a.set_role(olga, "lab", "nik", Role::Reader).unwrap();
    b.accept(nik, "lab", "vera").unwrap();
    b.set_role(nik, "lab", "vera", Role::Owner).unwrap();
    b.publish(nik, "lab", "data").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.role_of(lab, nik), Some(Role::Reader));
    assert_eq!(a.role_of(lab, vera), Some(Role::Owner));
    assert_eq!(a.shares(nik, "lab").unwrap(), ["data"]);
}

#[test]
fn a_role_is_lost_if_the_membership_ended_elsewhere() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let nik = a.add_member(olga, "lab", "nik");
    sync(&mut a, &mut b);
    a.leave(nik, "lab").unwrap();
    b.now = a.now + 100_000;
    b.set_role(olga, "lab", "nik", Role::Owner).unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.role_of(lab, nik), None);
    assert_eq!(a.registry.owner(lab), Some(olga));
}

#[test]
fn a_member_that_leaves_and_is_accepted_again_loses_a_role_that_it_was_given_elsewhere() {
    for role in [Role::Reader, Role::Owner] {
        let (mut a, mut b, olga, lab) = two_trackers_with_group();
        let nik = a.add_member(olga, "lab", "nik");
        sync(&mut a, &mut b);
        a.leave(nik, "lab").unwrap();
        a.request(nik, "lab").unwrap();
        a.accept(olga, "lab", "nik").unwrap();
        b.now = a.now + 100_000;
        b.set_role(olga, "lab", "nik", role).unwrap();
        sync(&mut a, &mut b);
        for tracker in [&a, &b] {
            assert_eq!(tracker.role_of(lab, nik), Some(Role::Publisher));
        }
    }
}

#[test]
fn the_later_of_two_names_of_a_group_wins_and_the_earlier_claim_holds_a_name() {
    let (mut a, mut b, olga, lab) = two_trackers_with_group();
    let club = a.create_group(olga, "club").unwrap();
    sync(&mut a, &mut b);
    a.rename_group(olga, "lab", "one").unwrap();
    b.now = a.now + 100_000;
    b.rename_group(olga, "lab", "two").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.registry.group_label(lab), Some(label("two")));
    // Two groups get the same name.
    a.rename_group(olga, "two", "hall").unwrap();
    b.now = a.now + 100_000;
    b.rename_group(olga, "club", "hall").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.registry.group_id(&label("hall")), Ok(lab));
    let tagged = a.registry.group_label(club).unwrap();
    assert!(tagged.tag().is_some(), "{tagged}");
    // A group gets the name that another one gave up.
    a.rename_group(olga, "hall", "lab").unwrap();
    sync(&mut a, &mut b);
    assert_eq!(b.registry.group_label(club), Some(label("hall")));
}

#[test]
fn a_role_that_a_member_has_already_is_not_written_and_no_news() {
    let (mut tracker, _, olga, lab) = two_trackers_with_group();
    let nik = tracker.add_member(olga, "lab", "nik");
    let before = tracker.registry.dump();
    let news = tracker.outcomes(nik);
    tracker.registry.take_changed();
    for (user, role) in [("nik", Role::Publisher), ("olga", Role::Owner)] {
        tracker.set_role(olga, "lab", user, role).unwrap();
        assert!(tracker.registry.take_changed().is_empty());
    }
    assert_eq!(tracker.registry.dump().memberships, before.memberships);
    assert_eq!(tracker.outcomes(nik), news);
    tracker.set_role(olga, "lab", "nik", Role::Reader).unwrap();
    tracker
        .set_role(olga, "lab", "nik", Role::Publisher)
        .unwrap();
    assert_eq!(tracker.role_of(lab, nik), Some(Role::Publisher));
}

#[test]
fn an_owner_without_the_role_can_take_it_and_the_audit_log_shows_this() {
    let (mut tracker, lab, [olga, nik, _]) = group_without_roles();
    let own = |it: &Registry, now| {
        it.set_role(olga, &label("lab"), &label("olga").into(), Role::Owner, now)
    };
    let now = tracker.next_time();
    let update = own(&tracker.registry, now).unwrap();
    let author = Author {
        account: Some(olga),
        from: None,
    };
    let id = tracker.next_id();
    let update = tracker.registry.with_audit(update, id, author, now);
    tracker.apply(Ok(update)).unwrap();
    let actions = || -> Vec<_> {
        let entries = tracker.registry.audit(9).into_iter();
        entries.map(|entry| (entry.action, entry.who)).collect()
    };
    assert_eq!(actions(), [(AuditAction::SetRole, "olga".to_owned())]);
    assert_eq!(tracker.role_of(lab, olga), Some(Role::Owner));
    assert_eq!(tracker.role_of(lab, nik), Some(Role::Publisher));
}

#[test]
fn the_next_owner_learns_of_it_and_of_open_requests_also_after_it_gave_a_role() {
    let (mut tracker, _, olga, lab) = two_trackers_with_group();
    let nik = tracker.add_member(olga, "lab", "nik");
    tracker.add_member(olga, "lab", "ada");
    let vera = tracker.create_user("vera").unwrap();
    tracker.request(vera, "lab").unwrap();
    let seen = tracker.registry.version_vector().clone();
    tracker.registry.take_changed();
    tracker.leave(olga, "lab").unwrap();
    assert!(tracker.registry.take_changed().accounts.contains(&nik));
    tracker.set_role(nik, "lab", "ada", Role::Reader).unwrap();
    assert_eq!(tracker.registry.owner(lab), Some(nik));
    let news = tracker
        .registry
        .decisions_and_requests(nik, &seen, None, 9)
        .items;
    let users: Vec<_> = news.into_iter().map(|it| it.user).collect();
    assert_eq!(users, [Some(label("vera").into())]);
}

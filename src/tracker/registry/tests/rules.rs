//! The rules of each operation, on one registry.

use super::*;

/// All kinds that `Refusal::kind` returns, sorted.
const KINDS: [&str; 24] = [
    "account-gone",
    "already-a-member",
    "already-requested",
    "bad-request",
    "id-in-use",
    "invite-expired",
    "invite-used",
    "last-member",
    "last-owner",
    "name-kept",
    "name-taken",
    "no-request",
    "not-a-member",
    "not-a-publisher",
    "not-the-owner",
    "not-the-publisher",
    "own-removal",
    "session-ended",
    "share-exists",
    "unknown-group",
    "unknown-invite",
    "unknown-member",
    "unknown-share",
    "unknown-user",
];

#[test]
fn each_group_operation_in_each_role_has_the_result_in_the_table() {
    // Roles: stranger, requester, member, removed member, owner. The other roles of members are in
    // `roles.rs`.
    let table: [(&str, [&str; 5]); 8] = [
        (
            "request",
            [
                "ok",
                "already-requested",
                "already-a-member",
                "ok",
                "already-a-member",
            ],
        ),
        (
            "accept",
            [
                "not-a-member",
                "not-a-member",
                "not-the-owner",
                "not-a-member",
                "ok",
            ],
        ),
        (
            "reject",
            [
                "not-a-member",
                "not-a-member",
                "not-the-owner",
                "not-a-member",
                "ok",
            ],
        ),
        (
            "remove",
            [
                "not-a-member",
                "not-a-member",
                "not-the-owner",
                "not-a-member",
                "ok",
            ],
        ),
        (
            "leave",
            ["not-a-member", "not-a-member", "ok", "not-a-member", "ok"],
        ),
        (
            "members",
            ["not-a-member", "not-a-member", "ok", "not-a-member", "ok"],
        ),
        (
            "requests",
            [
                "not-a-member",
                "not-a-member",
                "not-the-owner",
                "not-a-member",
                "ok",
            ],
        ),
        (
            "rename",
            [
                "not-a-member",
                "not-a-member",
                "not-the-owner",
                "not-a-member",
                "ok",
            ],
        ),
    ];
    for (operation, expected) in table {
        for (role, expected) in expected.into_iter().enumerate() {
            let mut tracker = TestTracker::new(1);
            let owner = tracker.create_user("owner").unwrap();
            tracker.create_group(owner, "lab").unwrap();
            let stranger = tracker.create_user("stranger").unwrap();
            let requester = tracker.create_user("requester").unwrap();
            tracker.request(requester, "lab").unwrap();
            let member = tracker.add_member(owner, "lab", "member");
            let removed = tracker.add_member(owner, "lab", "removed");
            tracker.remove(owner, "lab", "removed").unwrap();
            let actor = [stranger, requester, member, removed, owner][role];
            let before = tracker.registry.dump();
            let lab = &label("lab");
            let result = match operation {
                "request" => kind_of(tracker.request(actor, "lab")),
                "accept" => kind_of(tracker.accept(actor, "lab", "requester")),
                "reject" => kind_of(tracker.reject(actor, "lab", "requester")),
                "remove" => kind_of(tracker.remove(actor, "lab", "member")),
                "leave" => kind_of(tracker.leave(actor, "lab")),
                "members" => kind_of(tracker.registry.members(actor, lab, None, 9)),
                "requests" => kind_of(tracker.registry.requests(actor, lab, None, 9)),
                _ => {
                    let now = tracker.next_time();
                    let name = "other".parse().unwrap();
                    kind_of(tracker.registry.rename_group(actor, lab, name, now))
                }
            };
            assert_eq!(result, expected, "{operation} by role {role}");
            if result != "ok" {
                assert_eq!(
                    tracker.registry.dump(),
                    before,
                    "{operation} by role {role}"
                );
            }
        }
    }
}

#[test]
fn unknown_names_have_their_own_refusals_and_only_the_owner_learns_who_exists() {
    let mut tracker = TestTracker::new(1);
    let owner = tracker.create_user("owner").unwrap();
    tracker.create_group(owner, "lab").unwrap();
    let member = tracker.add_member(owner, "lab", "member");
    let nobody = RowId([9; 16]);
    assert_eq!(kind_of(tracker.request(owner, "club")), "unknown-group");
    assert_eq!(kind_of(tracker.request(nobody, "lab")), "account-gone");
    assert_eq!(
        kind_of(tracker.create_group(nobody, "club")),
        "account-gone"
    );
    assert_eq!(kind_of(tracker.accept(owner, "lab", "who")), "unknown-user");
    assert_eq!(
        kind_of(tracker.accept(member, "lab", "who")),
        "not-the-owner"
    );
    assert_eq!(
        kind_of(tracker.accept(owner, "lab", "member")),
        "no-request"
    );
    assert_eq!(
        kind_of(tracker.reject(owner, "lab", "member")),
        "no-request"
    );
    assert_eq!(
        kind_of(tracker.remove(owner, "lab", "owner")),
        "own-removal"
    );
    let stranger = tracker.create_user("stranger").unwrap();
    assert_eq!(
        kind_of(tracker.remove(owner, "lab", "stranger")),
        "unknown-member"
    );
    assert_eq!(kind_of(tracker.leave(stranger, "club")), "unknown-group");
}

#[test]
fn a_name_cannot_be_taken_twice() {
    let mut tracker = TestTracker::new(1);
    let nik = tracker.create_user("nik").unwrap();
    assert_eq!(kind_of(tracker.create_user("nik")), "name-taken");
    tracker.create_group(nik, "lab").unwrap();
    assert_eq!(kind_of(tracker.create_group(nik, "lab")), "name-taken");
    // A new name that differs only in letter case from an existing name is refused, too.
    for name in ["Nik", "NIK", "niK"] {
        let refused = tracker.create_user(name).unwrap_err();
        assert_eq!(refused, Refusal::NameTaken(label("nik")), "{name}");
    }
    assert_eq!(kind_of(tracker.create_group(nik, "Lab")), "name-taken");
    for name in ["ni", "nik-", "nikk", "_nik"] {
        tracker.create_user(name).unwrap();
        tracker.create_group(nik, name).unwrap();
    }
    // Only an account that has lost its name may take a new one.
    let now = tracker.next_time();
    let renamed = tracker
        .registry
        .rename_account(nik, "neo".parse().unwrap(), now);
    assert_eq!(kind_of(renamed), "name-kept");
}

#[test]
fn an_owner_gets_each_request_once_and_a_new_owner_gets_the_open_requests() {
    const OWNER: usize = 0;
    const MEMBER: usize = 1;
    let mut tracker = TestTracker::new(1);
    let [owner, member, nik, uma] =
        ["owner", "member", "nik", "uma"].map(|name| tracker.create_user(name).unwrap());
    tracker.create_group(owner, "lab").unwrap();
    tracker.request(member, "lab").unwrap();
    tracker.accept(owner, "lab", "member").unwrap();
    let mut seen = [VersionVector::new(), VersionVector::new()];
    let mut news = |tracker: &TestTracker, who: usize| {
        let account = [owner, member][who];
        let (mut users, mut after) = (Vec::new(), None);
        loop {
            let page =
                tracker
                    .registry
                    .decisions_and_requests(account, &seen[who], after.as_ref(), 1);
            users.extend(page.items.into_iter().filter_map(|news| news.user));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        seen[who].join(tracker.registry.version_vector());
        users.sort();
        users
    };
    assert_eq!(news(&tracker, OWNER), []);
    tracker.request(nik, "lab").unwrap();
    tracker.request(uma, "lab").unwrap();
    assert_eq!(
        news(&tracker, OWNER),
        [label("nik").into(), label("uma").into()]
    );
    assert_eq!(news(&tracker, OWNER), []);
    assert_eq!(news(&tracker, MEMBER), [], "only the owner gets this news");
    // An answered request is no news. A request that is made again is news.
    tracker.reject(owner, "lab", "nik").unwrap();
    assert_eq!(news(&tracker, OWNER), []);
    tracker.request(nik, "lab").unwrap();
    assert_eq!(news(&tracker, OWNER), [label("nik").into()]);
    tracker.leave(owner, "lab").unwrap();
    assert_eq!(
        news(&tracker, MEMBER),
        [label("nik").into(), label("uma").into()]
    );
    assert_eq!(news(&tracker, MEMBER), []);
    assert_eq!(news(&tracker, OWNER), []);
}

#[test]
fn an_id_cannot_be_used_twice() {
    let mut tracker = TestTracker::new(1);
    let nik = tracker.create_user("nik").unwrap();
    let mut new = tracker.new_account("mayank");
    new.id = nik;
    let now = tracker.next_time();
    assert_eq!(
        kind_of(tracker.registry.create_account(new, now)),
        "id-in-use"
    );
    let new = NewGroup {
        id: RowId([5; 16]),
        membership: RowId([5; 16]),
        name: "lab".parse().unwrap(),
        key: key(),
    };
    assert_eq!(
        kind_of(tracker.registry.create_group(nik, new, now)),
        "id-in-use"
    );
}

#[test]
fn the_member_accepted_first_becomes_the_owner_and_the_group_ends_with_its_last_member() {
    let mut tracker = TestTracker::new(1);
    let first = tracker.create_user("first").unwrap();
    let lab = tracker.create_group(first, "lab").unwrap();
    // The third user asks first and is accepted last.
    let third = tracker.create_user("third").unwrap();
    tracker.request(third, "lab").unwrap();
    let second = tracker.add_member(first, "lab", "second");
    tracker.accept(first, "lab", "third").unwrap();
    tracker.leave(first, "lab").unwrap();
    assert_eq!(tracker.registry.owner(lab), Some(second));
    tracker.request(first, "lab").unwrap();
    tracker.accept(second, "lab", "first").unwrap();
    tracker.leave(second, "lab").unwrap();
    assert_eq!(tracker.registry.owner(lab), Some(third));
    tracker.remove(third, "lab", "first").unwrap();
    let now = tracker.next_time();
    let refused = tracker
        .registry
        .leave(third, &label("lab"), IfLastMember::Refuse, now);
    assert_eq!(kind_of(refused), "last-member");
    tracker.leave(third, "lab").unwrap();
    assert_eq!(kind_of(tracker.request(first, "lab")), "unknown-group");
    // The name is free again, and another group takes it.
    let new_lab = tracker.create_group(third, "lab").unwrap();
    assert_ne!(new_lab, lab);
    assert_eq!(tracker.registry.group_id(&label("lab")), Ok(new_lab));
}

#[test]
fn a_rejected_or_removed_user_may_ask_again() {
    let mut tracker = TestTracker::new(1);
    let owner = tracker.create_user("owner").unwrap();
    let lab = tracker.create_group(owner, "lab").unwrap();
    let nik = tracker.create_user("nik").unwrap();
    tracker.request(nik, "lab").unwrap();
    tracker.reject(owner, "lab", "nik").unwrap();
    assert_eq!(tracker.role(lab, nik), GroupRole::Stranger);
    tracker.request(nik, "lab").unwrap();
    tracker.accept(owner, "lab", "nik").unwrap();
    assert_eq!(tracker.role(lab, nik), GroupRole::Member);
    tracker.remove(owner, "lab", "nik").unwrap();
    assert_eq!(kind_of(tracker.accept(owner, "lab", "nik")), "no-request");
    tracker.request(nik, "lab").unwrap();
    assert_eq!(tracker.role(lab, nik), GroupRole::Requester);
}

#[test]
fn a_login_ends_by_a_log_out_or_by_a_new_password_or_by_ending_all_logins() {
    let mut tracker = TestTracker::new(1);
    let nik = tracker.create_user("nik").unwrap();
    let (login_1, login_2) = (tracker.next_id(), tracker.next_id());
    let current_credential =
        |tracker: &TestTracker| tracker.registry.account(nik).unwrap().credential();
    let old_credential = current_credential(&tracker);
    let check = |tracker: &TestTracker, login, credential| {
        kind_of(tracker.registry.check_login(nik, login, credential))
    };
    let (now, later) = (tracker.next_time(), Duration::from_secs(99));
    tracker
        .apply(tracker.registry.log_out(nik, login_1, later, now))
        .unwrap();
    assert_eq!(check(&tracker, login_1, old_credential), "session-ended");
    assert_eq!(check(&tracker, login_2, old_credential), "ok");
    let again = tracker.registry.log_out(nik, login_1, later, now);
    assert_eq!(kind_of(again), "session-ended");
    let changed = tracker.registry.change_password(nik, password("new"), now);
    tracker.apply(changed).unwrap();
    assert_eq!(check(&tracker, login_2, old_credential), "session-ended");
    let new_credential = current_credential(&tracker);
    assert_eq!(check(&tracker, login_2, new_credential), "ok");
    tracker
        .apply(tracker.registry.end_all_logins(nik, now))
        .unwrap();
    assert_eq!(check(&tracker, login_2, new_credential), "session-ended");
    assert_eq!(check(&tracker, login_2, current_credential(&tracker)), "ok");
    let nobody = tracker
        .registry
        .check_login(RowId([9; 16]), login_2, old_credential);
    assert_eq!(kind_of(nobody), "account-gone");
}

#[test]
fn an_invite_makes_one_account_before_it_expires() {
    let mut tracker = TestTracker::new(1);
    let (id, code) = (tracker.next_id(), CodeHash([4; 32]));
    let now = tracker.next_time();
    let expires = now + Duration::from_secs(60);
    tracker
        .apply(tracker.registry.create_invite(id, code, expires, now))
        .unwrap();
    let other = RowId([8; 16]);
    assert_eq!(
        kind_of(tracker.registry.create_invite(other, code, expires, now)),
        "id-in-use"
    );
    let nik = tracker.create_user("nik").unwrap();
    let new = tracker.new_account("mayank");
    let unknown = tracker
        .registry
        .redeem_invite(CodeHash([5; 32]), new.clone(), now);
    assert_eq!(kind_of(unknown), "unknown-invite");
    let late = tracker.registry.redeem_invite(code, new.clone(), expires);
    assert_eq!(kind_of(late), "invite-expired");
    let mut taken = tracker.new_account("nik");
    assert_eq!(
        kind_of(tracker.registry.redeem_invite(code, taken.clone(), now)),
        "name-taken"
    );
    taken.name = "other".parse().unwrap();
    taken.id = nik;
    assert_eq!(
        kind_of(tracker.registry.redeem_invite(code, taken, now)),
        "id-in-use"
    );
    tracker
        .apply(tracker.registry.redeem_invite(code, new.clone(), now))
        .unwrap();
    assert!(tracker.registry.account(new.id).is_some());
    let again = tracker.new_account("third");
    assert_eq!(
        kind_of(tracker.registry.redeem_invite(code, again, now)),
        "invite-used"
    );
}

#[test]
fn each_decision_is_reported_to_the_requester_once() {
    let mut tracker = TestTracker::new(1);
    let owner = tracker.create_user("owner").unwrap();
    let nik = tracker.create_user("nik").unwrap();
    for group in ["a", "b", "c", "d"] {
        tracker.create_group(owner, group).unwrap();
        tracker.request(nik, group).unwrap();
    }
    let mut seen = VersionVector::new();
    let mut unseen_decisions = |tracker: &TestTracker| {
        let page = tracker.registry.decisions(nik, &seen, None, 99);
        seen.join(tracker.registry.version_vector());
        let decisions = page.items.into_iter();
        decisions
            .map(|decision| (decision.label.to_string(), decision.outcome))
            .collect::<Vec<_>>()
    };
    assert_eq!(unseen_decisions(&tracker), []);
    tracker.reject(owner, "b", "nik").unwrap();
    tracker.accept(owner, "a", "nik").unwrap();
    tracker.leave(owner, "c").unwrap();
    let expected = [
        ("a".to_owned(), DecisionOutcome::Accepted),
        ("b".to_owned(), DecisionOutcome::Rejected),
        ("c".to_owned(), DecisionOutcome::GroupEnded),
    ];
    assert_eq!(unseen_decisions(&tracker), expected);
    assert_eq!(unseen_decisions(&tracker), []);
    tracker.remove(owner, "a", "nik").unwrap();
    assert_eq!(
        unseen_decisions(&tracker),
        [("a".to_owned(), DecisionOutcome::Removed)]
    );
    // Nothing is reported of a group that the user has left.
    tracker.accept(owner, "d", "nik").unwrap();
    tracker.leave(nik, "d").unwrap();
    assert_eq!(unseen_decisions(&tracker), []);
    assert!(
        tracker
            .registry
            .decisions(owner, &VersionVector::new(), None, 99)
            .items
            .is_empty()
    );
}

#[test]
fn an_update_applies_only_to_the_revision_it_was_made_from() {
    let mut tracker = TestTracker::new(1);
    let now = tracker.next_time();
    let (one, two) = (tracker.new_account("one"), tracker.new_account("one"));
    let first = tracker.registry.create_account(one, now).unwrap();
    let second = tracker.registry.create_account(two, now).unwrap();
    tracker.registry.apply(first).unwrap();
    let before = tracker.registry.dump();
    assert_eq!(tracker.registry.apply(second), Err(Stale));
    assert_eq!(tracker.registry.dump(), before);
}

#[test]
fn the_dump_shows_no_secret_and_the_list_of_kinds_is_sorted() {
    let mut tracker = TestTracker::new(1);
    tracker.create_user("nik").unwrap();
    let (id, now) = (tracker.next_id(), tracker.next_time());
    let invite = tracker
        .registry
        .create_invite(id, CodeHash([0xc7; 32]), now * 2, now);
    tracker.apply(invite).unwrap();
    let dump_text = serde_json::to_string(&tracker.registry.dump()).unwrap();
    assert!(
        !dump_text.contains("secret") && !dump_text.contains("c7c7"),
        "{dump_text}"
    );
    assert!(dump_text.contains("\"label\":\"nik\""), "{dump_text}");
    assert!(KINDS.is_sorted());
    assert!(KINDS.contains(&Refusal::IdInUse(id).kind()));
}

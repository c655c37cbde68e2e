//! The rules of each operation, one registry.

use super::*;

/// All words that `Refusal::kind` returns, sorted.
const KINDS: [&str; 21] = [
    "account-gone",
    "already-a-member",
    "already-requested",
    "id-in-use",
    "invite-expired",
    "invite-used",
    "last-member",
    "name-kept",
    "name-taken",
    "no-request",
    "not-a-member",
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
fn each_group_operation_in_each_role_gives_what_the_table_says() {
    // Roles: stranger, requester, member, removed member, owner.
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
                "name-kept",
            ],
        ),
    ];
    for (operation, expected) in table {
        for (role, expected) in expected.into_iter().enumerate() {
            let mut side = Side::new(1);
            let owner = side.user("owner").unwrap();
            side.group(owner, "lab").unwrap();
            let stranger = side.user("stranger").unwrap();
            let requester = side.user("requester").unwrap();
            side.request(requester, "lab").unwrap();
            let member = side.member(owner, "lab", "member");
            let removed = side.member(owner, "lab", "removed");
            side.remove(owner, "lab", "removed").unwrap();
            let actor = [stranger, requester, member, removed, owner][role];
            let before = side.registry.dump();
            let lab = &label("lab");
            let result = match operation {
                "request" => kind(side.request(actor, "lab")),
                "accept" => kind(side.accept(actor, "lab", "requester")),
                "reject" => kind(side.reject(actor, "lab", "requester")),
                "remove" => kind(side.remove(actor, "lab", "member")),
                "leave" => kind(side.leave(actor, "lab")),
                "members" => kind(side.registry.members(actor, lab, None, 9)),
                "requests" => kind(side.registry.requests(actor, lab, None, 9)),
                _ => {
                    let now = side.time();
                    let name = "other".parse().unwrap();
                    kind(side.registry.rename_group(actor, lab, name, now))
                }
            };
            assert_eq!(result, expected, "{operation} by role {role}");
            if result != "ok" {
                assert_eq!(side.registry.dump(), before, "{operation} by role {role}");
            }
        }
    }
}

#[test]
fn unknown_names_get_their_own_refusal_and_only_the_owner_learns_who_exists() {
    let mut side = Side::new(1);
    let owner = side.user("owner").unwrap();
    side.group(owner, "lab").unwrap();
    let member = side.member(owner, "lab", "member");
    let nobody = RowId([9; 16]);
    assert_eq!(kind(side.request(owner, "club")), "unknown-group");
    assert_eq!(kind(side.request(nobody, "lab")), "account-gone");
    assert_eq!(kind(side.group(nobody, "club")), "account-gone");
    assert_eq!(kind(side.accept(owner, "lab", "who")), "unknown-user");
    assert_eq!(kind(side.accept(member, "lab", "who")), "not-the-owner");
    assert_eq!(kind(side.accept(owner, "lab", "member")), "no-request");
    assert_eq!(kind(side.reject(owner, "lab", "member")), "no-request");
    assert_eq!(kind(side.remove(owner, "lab", "owner")), "own-removal");
    let stranger = side.user("stranger").unwrap();
    assert_eq!(
        kind(side.remove(owner, "lab", "stranger")),
        "unknown-member"
    );
    assert_eq!(kind(side.leave(stranger, "club")), "unknown-group");
}

#[test]
fn names_are_given_once() {
    let mut side = Side::new(1);
    let nik = side.user("nik").unwrap();
    assert_eq!(kind(side.user("nik")), "name-taken");
    side.user("Nik").unwrap();
    side.group(nik, "lab").unwrap();
    assert_eq!(kind(side.group(nik, "lab")), "name-taken");
    let now = side.time();
    let renamed = side
        .registry
        .rename_account(nik, "neo".parse().unwrap(), now);
    assert_eq!(kind(renamed), "name-kept");
}

#[test]
fn ids_are_given_once() {
    let mut side = Side::new(1);
    let nik = side.user("nik").unwrap();
    let mut new = side.new_account("mayank");
    new.id = nik;
    let now = side.time();
    assert_eq!(kind(side.registry.create_account(new, now)), "id-in-use");
    let new = NewGroup {
        id: RowId([5; 16]),
        membership: RowId([5; 16]),
        name: "lab".parse().unwrap(),
        key: key(),
    };
    assert_eq!(kind(side.registry.create_group(nik, new, now)), "id-in-use");
}

#[test]
fn the_member_of_longest_standing_takes_over_and_the_last_one_ends_the_group() {
    let mut side = Side::new(1);
    let first = side.user("first").unwrap();
    let lab = side.group(first, "lab").unwrap();
    // The one who asked first is let in last.
    let third = side.user("third").unwrap();
    side.request(third, "lab").unwrap();
    let second = side.member(first, "lab", "second");
    side.accept(first, "lab", "third").unwrap();
    side.leave(first, "lab").unwrap();
    assert_eq!(side.registry.owner(lab), Some(second));
    side.request(first, "lab").unwrap();
    side.accept(second, "lab", "first").unwrap();
    side.leave(second, "lab").unwrap();
    assert_eq!(side.registry.owner(lab), Some(third));
    side.remove(third, "lab", "first").unwrap();
    let now = side.time();
    let kept = side
        .registry
        .leave(third, &label("lab"), Leaving::KeepGroup, now);
    assert_eq!(kind(kept), "last-member");
    side.leave(third, "lab").unwrap();
    assert_eq!(kind(side.request(first, "lab")), "unknown-group");
    // The name is free again, and is another group's.
    let anew = side.group(third, "lab").unwrap();
    assert_ne!(anew, lab);
    assert_eq!(side.registry.group_id(&label("lab")), Ok(anew));
}

#[test]
fn who_was_rejected_or_removed_asks_again() {
    let mut side = Side::new(1);
    let owner = side.user("owner").unwrap();
    let lab = side.group(owner, "lab").unwrap();
    let nik = side.user("nik").unwrap();
    side.request(nik, "lab").unwrap();
    side.reject(owner, "lab", "nik").unwrap();
    assert_eq!(side.standing(lab, nik), Standing::Stranger);
    side.request(nik, "lab").unwrap();
    side.accept(owner, "lab", "nik").unwrap();
    assert_eq!(side.standing(lab, nik), Standing::Member);
    side.remove(owner, "lab", "nik").unwrap();
    assert_eq!(kind(side.accept(owner, "lab", "nik")), "no-request");
    side.request(nik, "lab").unwrap();
    assert_eq!(side.standing(lab, nik), Standing::Requester);
}

#[test]
fn a_session_ends_by_log_out_by_a_new_password_and_with_all_others() {
    let mut side = Side::new(1);
    let nik = side.user("nik").unwrap();
    let (one, two) = (side.id(), side.id());
    let credential = |side: &Side| side.registry.account(nik).unwrap().credential();
    let first = credential(&side);
    let check = |side: &Side, session, at| kind(side.registry.check_session(nik, session, at));
    let (now, later) = (side.time(), Duration::from_secs(99));
    side.apply(side.registry.log_out(nik, one, later, now))
        .unwrap();
    assert_eq!(check(&side, one, first), "session-ended");
    assert_eq!(check(&side, two, first), "ok");
    let again = side.registry.log_out(nik, one, later, now);
    assert_eq!(kind(again), "session-ended");
    let changed = side.registry.change_password(nik, password("new"), now);
    side.apply(changed).unwrap();
    assert_eq!(check(&side, two, first), "session-ended");
    let second = credential(&side);
    assert_eq!(check(&side, two, second), "ok");
    side.apply(side.registry.revoke_tokens(nik, now)).unwrap();
    assert_eq!(check(&side, two, second), "session-ended");
    assert_eq!(check(&side, two, credential(&side)), "ok");
    let nobody = side.registry.check_session(RowId([9; 16]), two, first);
    assert_eq!(kind(nobody), "account-gone");
}

#[test]
fn an_invite_makes_one_account_in_its_time() {
    let mut side = Side::new(1);
    let (id, code) = (side.id(), CodeHash([4; 32]));
    let now = side.time();
    let expires = now + Duration::from_secs(60);
    side.apply(side.registry.invite(id, code, expires, now))
        .unwrap();
    let other = RowId([8; 16]);
    assert_eq!(
        kind(side.registry.invite(other, code, expires, now)),
        "id-in-use"
    );
    let nik = side.user("nik").unwrap();
    let new = side.new_account("mayank");
    let unknown = side.registry.redeem(CodeHash([5; 32]), new.clone(), now);
    assert_eq!(kind(unknown), "unknown-invite");
    let late = side.registry.redeem(code, new.clone(), expires);
    assert_eq!(kind(late), "invite-expired");
    let mut taken = side.new_account("nik");
    assert_eq!(
        kind(side.registry.redeem(code, taken.clone(), now)),
        "name-taken"
    );
    taken.name = "other".parse().unwrap();
    taken.id = nik;
    assert_eq!(kind(side.registry.redeem(code, taken, now)), "id-in-use");
    side.apply(side.registry.redeem(code, new.clone(), now))
        .unwrap();
    assert!(side.registry.account(new.id).is_some());
    let again = side.new_account("third");
    assert_eq!(kind(side.registry.redeem(code, again, now)), "invite-used");
}

#[test]
fn a_requester_is_told_each_answer_once() {
    let mut side = Side::new(1);
    let owner = side.user("owner").unwrap();
    let nik = side.user("nik").unwrap();
    for group in ["a", "b", "c", "d"] {
        side.group(owner, group).unwrap();
        side.request(nik, group).unwrap();
    }
    let mut seen = VersionVector::new();
    let mut news = |side: &Side| {
        let page = side.registry.answers(nik, &seen, None, 99);
        seen.join(side.registry.version_vector());
        let answers = page.items.into_iter();
        answers
            .map(|answer| (answer.label.to_string(), answer.outcome))
            .collect::<Vec<_>>()
    };
    assert_eq!(news(&side), []);
    side.reject(owner, "b", "nik").unwrap();
    side.accept(owner, "a", "nik").unwrap();
    side.leave(owner, "c").unwrap();
    let expected = [
        ("a".to_owned(), Outcome::Accepted),
        ("b".to_owned(), Outcome::Rejected),
        ("c".to_owned(), Outcome::GroupEnded),
    ];
    assert_eq!(news(&side), expected);
    assert_eq!(news(&side), []);
    side.remove(owner, "a", "nik").unwrap();
    assert_eq!(news(&side), [("a".to_owned(), Outcome::Removed)]);
    side.accept(owner, "d", "nik").unwrap();
    side.leave(nik, "d").unwrap();
    assert_eq!(news(&side), []);
    assert!(
        side.registry
            .answers(owner, &VersionVector::new(), None, 99)
            .items
            .is_empty()
    );
}

#[test]
fn an_update_fits_only_the_state_it_was_made_from() {
    let mut side = Side::new(1);
    let now = side.time();
    let (one, two) = (side.new_account("one"), side.new_account("one"));
    let first = side.registry.create_account(one, now).unwrap();
    let second = side.registry.create_account(two, now).unwrap();
    side.registry.apply(first).unwrap();
    let before = side.registry.dump();
    assert_eq!(side.registry.apply(second), Err(Stale));
    assert_eq!(side.registry.dump(), before);
}

#[test]
fn the_dump_shows_no_secret_and_every_kind_has_its_word() {
    let mut side = Side::new(1);
    side.user("nik").unwrap();
    let (id, now) = (side.id(), side.time());
    let invite = side.registry.invite(id, CodeHash([0xc7; 32]), now * 2, now);
    side.apply(invite).unwrap();
    let shown = serde_json::to_string(&side.registry.dump()).unwrap();
    assert!(
        !shown.contains("secret") && !shown.contains("c7c7"),
        "{shown}"
    );
    assert!(shown.contains("\"label\":\"nik\""), "{shown}");
    assert!(KINDS.is_sorted());
    assert!(KINDS.contains(&Refusal::IdInUse(id).kind()));
}

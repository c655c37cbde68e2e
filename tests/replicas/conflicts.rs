//! Conflicts: writes on both sides of a split, and what users see of them after the trackers have
//! merged.

use super::pair::Pair;
use crate::common::control_connection::{
    User, create_user_request_with_invite, group_request, login_request, new_write,
};
use pieceful::wire::access::{AccessAnswer, AccessRequest, GroupRole};
use pieceful::wire::password::Password;

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

/// Two trackers that cannot reach each other.
fn split_pair() -> Pair {
    let pair = Pair::new();
    pair.split();
    pair
}

fn heal(pair: &Pair) {
    pair.proxy.mend();
    pair.wait_until_in_sync();
    pair.assert_same();
}

/// The role of a user in a group at a tracker.
fn role(user: &mut User, group: &str) -> Option<GroupRole> {
    let groups = user.groups();
    let found = groups.iter().find(|entry| entry.name.to_string() == group);
    found.map(|entry| entry.role)
}

/// The same login at another tracker.
fn connect_at(pair: &Pair, number: usize, user: &User) -> User {
    User {
        name: user.name.clone(),
        token: user.token.clone(),
        connection: pair.connect(number),
    }
}

#[test]
fn of_two_users_with_one_name_the_later_is_renamed_and_sees_a_note_at_login() {
    let pair = split_pair();
    for (number, secret) in [(1, "first one's"), (2, "second one's")] {
        let ask = match create_user_request_with_invite("nik", None) {
            AccessRequest::CreateUser {
                write,
                user,
                invite,
                ..
            } => AccessRequest::CreateUser {
                write,
                user,
                password: password(secret),
                invite,
            },
            other => panic!("{other:?}"),
        };
        pair.connect(number).ask(None, ask).unwrap();
    }
    heal(&pair);
    for number in [1, 2] {
        let log_in = |secret| {
            pair.connect(number)
                .ask(None, login_request("nik", &password(secret)))
        };
        match log_in("first one's").unwrap() {
            AccessAnswer::LoggedIn { user, note, .. } => {
                assert_eq!((user.to_string().as_str(), note), ("nik", None));
            }
            other => panic!("{other:?}"),
        }
        match log_in("second one's").unwrap() {
            AccessAnswer::LoggedIn { user, note, .. } => {
                let (name, note) = (user.to_string(), note.unwrap().to_string());
                assert!(name.starts_with("nik~"), "{name}");
                assert!(note.contains(&name), "{note}");
                assert!(note.contains("log in as"), "{note}");
            }
            other => panic!("{other:?}"),
        }
    }
    // A person at a peer sees the note too.
    let output = pair.run_as_person("p", 1, &["login nik 'second one'\\''s'", "status"]);
    assert!(output.stderr.contains("was given twice"), "{output:?}");
}

/// Creates three users, and three groups of the first one. ada and eve have asked to join `one`
/// and are members of `two`.
fn users_with_groups(pair: &Pair) -> [User; 3] {
    let mut owner = pair.user(1, "owner");
    let mut ada = pair.user(1, "ada");
    let mut eve = pair.user(1, "eve");
    for name in ["one", "two", "three"] {
        owner.perform(group_request(&format!("create_group {name}")));
    }
    for user in [&mut ada, &mut eve] {
        user.perform(group_request("join_group one"));
        user.perform(group_request("join_group two"));
    }
    for user in ["ada", "eve"] {
        owner.perform(group_request(&format!("accept_request two {user}")));
    }
    pair.wait_until_in_sync();
    [owner, ada, eve]
}

/// Checks at one tracker that eve has the later password, is a member of `one` and owns `two`.
fn assert_merged_for_eve(pair: &Pair, number: usize) {
    let log_in = |secret| {
        pair.connect(number)
            .ask(None, login_request("eve", &password(secret)))
    };
    let refused = log_in("password here").unwrap_err();
    assert_eq!(refused.kind.as_str(), "login-refused");
    let mut eve = match log_in("password there").unwrap() {
        AccessAnswer::LoggedIn { token, .. } => User {
            name: "eve".into(),
            token,
            connection: pair.connect(number),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(role(&mut eve, "one"), Some(GroupRole::Member));
    assert_eq!(role(&mut eve, "two"), Some(GroupRole::Owner), "handed over");
}

#[test]
fn conflicting_writes_are_merged_by_the_rules_of_the_registry() {
    let pair = Pair::new();
    let [mut owner, ada, mut eve] = users_with_groups(&pair);
    pair.split();
    let (mut owner2, mut ada2) = (connect_at(&pair, 2, &owner), connect_at(&pair, 2, &ada));
    // The owner accepts ada at the first tracker and rejects her at the second.
    owner.perform(group_request("accept_request one ada"));
    owner2.perform(group_request("reject_request one ada"));
    // At the first tracker ada is removed, at the second she leaves.
    owner.perform(group_request("remove_member two ada"));
    ada2.perform(group_request("leave_group two"));
    // The owner creates the group `both` at the first tracker, then ada creates it at the second.
    owner.perform(group_request("create_group both"));
    ada2.perform(group_request("create_group both"));
    // The owner leaves `two` at the first tracker and accepts eve into `one` at the second.
    let mut eve2 = connect_at(&pair, 2, &eve);
    owner.perform(group_request("leave_group two"));
    owner2.perform(group_request("accept_request one eve"));
    // The group `three` ends at the first tracker, and ada asks to join it at the second.
    owner.perform(group_request("leave_group three --yes"));
    ada2.perform(group_request("join_group three"));
    // eve changes her password on both sides, at the second tracker later.
    let change = |old: &str, new: &str| AccessRequest::ChangePassword {
        write: new_write(),
        old: password(old),
        new: password(new),
    };
    assert!(eve.ask(change("pw of eve", "password here")).is_ok());
    assert!(eve2.ask(change("pw of eve", "password there")).is_ok());
    heal(&pair);
    for number in [1, 2] {
        let mut ada = connect_at(&pair, number, &ada);
        assert_eq!(role(&mut ada, "one"), Some(GroupRole::Stranger));
        assert_eq!(role(&mut ada, "two"), Some(GroupRole::Stranger));
        assert_eq!(role(&mut ada, "three"), None, "the group has ended");
        assert_eq!(role(&mut ada, "both"), Some(GroupRole::Stranger));
        let groups = ada.groups();
        let renamed = groups
            .iter()
            .find(|entry| entry.name.to_string().starts_with("both~"));
        assert_eq!(renamed.map(|entry| entry.role), Some(GroupRole::Owner));
        assert_merged_for_eve(&pair, number);
    }
}

#[test]
fn a_logout_at_one_tracker_ends_the_login_at_the_other_after_the_merge() {
    let pair = split_pair();
    let mut nik = pair.user(1, "nik");
    heal(&pair);
    pair.split();
    let mut nik2 = connect_at(&pair, 2, &nik);
    nik.perform(group_request("logout"));
    assert!(
        nik2.ask(group_request("list_groups")).is_ok(),
        "the second tracker does not know of the logout yet"
    );
    heal(&pair);
    let refused = nik2.ask(group_request("list_groups")).unwrap_err();
    assert_eq!(refused.kind.as_str(), "session-ended");
}

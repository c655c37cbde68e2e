//! What was done on both sides while the line between the trackers was cut, told to people as they see it.

use super::pair::Pair;
use crate::common::control_connection::{
    User, create_user_with_invite, group_request, login_request, new_write,
};
use crate::common::waiting::wait_until;
use pieceful::wire::access::{Answer, Ask, Standing};
use pieceful::wire::password::Password;

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

/// Two trackers that do not hear of each other.
fn apart() -> Pair {
    let pair = Pair::new();
    split(&pair);
    pair
}

fn split(pair: &Pair) {
    pair.proxy.cut();
    wait_until("both know that they are apart", || {
        [1, 2]
            .iter()
            .all(|number| !pair.view(*number).unwrap().twins[0].up)
    });
}

fn heal(pair: &Pair) {
    pair.proxy.mend();
    pair.wait_until_in_step();
    pair.same();
}

/// What a user is to a group at a tracker.
fn standing(user: &mut User, name: &str) -> Option<Standing> {
    let groups = user.groups();
    let found = groups.iter().find(|entry| entry.name.to_string() == name);
    found.map(|entry| entry.standing)
}

/// The same session at another tracker.
fn at(pair: &Pair, number: usize, user: &User) -> User {
    User {
        name: user.name.clone(),
        token: user.token.clone(),
        connection: pair.connect(number),
    }
}

#[test]
fn a_name_given_twice_stays_with_the_first_and_the_other_is_told_at_login() {
    let pair = apart();
    for (number, secret) in [(1, "first one's"), (2, "second one's")] {
        let ask = match create_user_with_invite("nik", None) {
            Ask::CreateUser {
                write,
                user,
                invite,
                ..
            } => Ask::CreateUser {
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
            Answer::Session { user, note, .. } => {
                assert_eq!((user.to_string().as_str(), note), ("nik", None));
            }
            other => panic!("{other:?}"),
        }
        match log_in("second one's").unwrap() {
            Answer::Session { user, note, .. } => {
                let (name, note) = (user.to_string(), note.unwrap().to_string());
                assert!(name.starts_with("nik~"), "{name}");
                let does = note.contains(&name) && note.contains("log in as");
                assert!(does, "{note}");
            }
            other => panic!("{other:?}"),
        }
    }
    // A person sees it, too.
    let told = pair.person("p", 1, &["login nik 'second one'\\''s'", "status"]);
    assert!(told.stderr.contains("was given twice"), "{told:?}");
}

#[test]
fn what_each_side_did_meanwhile_follows_the_table() {
    let pair = Pair::new();
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
    pair.wait_until_in_step();
    split(&pair);
    let (mut owner2, mut ada2) = (at(&pair, 2, &owner), at(&pair, 2, &ada));
    // Accepted here, rejected there.
    owner.perform(group_request("accept_request one ada"));
    owner2.perform(group_request("reject_request one ada"));
    // Removed here; there she leaves by herself.
    owner.perform(group_request("remove_member two ada"));
    ada2.perform(group_request("leave_group two"));
    // The same group made on both sides; here first.
    owner.perform(group_request("create_group twin"));
    ada2.perform(group_request("create_group twin"));
    // The owner leaves here; there he lets somebody in.
    let mut eve2 = at(&pair, 2, &eve);
    owner.perform(group_request("leave_group two"));
    owner2.perform(group_request("accept_request one eve"));
    // The group ends here, and somebody asks to be let in there.
    owner.perform(group_request("leave_group three --yes"));
    ada2.perform(group_request("join_group three"));
    // Passwords changed on both sides: there later.
    let change = |old: &str, new: &str| Ask::ChangePassword {
        write: new_write(),
        old: password(old),
        new: password(new),
    };
    assert!(eve.ask(change("pw of eve", "here")).is_ok());
    assert!(eve2.ask(change("pw of eve", "there")).is_ok());
    heal(&pair);
    for number in [1, 2] {
        let mut ada = at(&pair, number, &ada);
        assert_eq!(standing(&mut ada, "one"), Some(Standing::Stranger));
        assert_eq!(standing(&mut ada, "two"), Some(Standing::Stranger));
        assert_eq!(standing(&mut ada, "three"), None, "it has ended");
        assert_eq!(standing(&mut ada, "twin"), Some(Standing::Stranger));
        let groups = ada.groups();
        let kept = groups
            .iter()
            .find(|entry| entry.name.to_string().starts_with("twin~"));
        assert_eq!(kept.map(|entry| entry.standing), Some(Standing::Owner));
        let log_in = |secret| {
            pair.connect(number)
                .ask(None, login_request("eve", &password(secret)))
        };
        let refused = log_in("here").unwrap_err();
        assert_eq!(refused.kind.as_str(), "login-refused");
        let mut eve = match log_in("there").unwrap() {
            Answer::Session { token, .. } => User {
                name: "eve".into(),
                token,
                connection: pair.connect(number),
            },
            other => panic!("{other:?}"),
        };
        assert_eq!(standing(&mut eve, "one"), Some(Standing::Member));
        assert_eq!(
            standing(&mut eve, "two"),
            Some(Standing::Owner),
            "handed over"
        );
    }
}

#[test]
fn a_log_out_at_one_tracker_ends_the_session_at_the_other() {
    let pair = apart();
    let mut nik = pair.user(1, "nik");
    heal(&pair);
    split(&pair);
    let mut there = at(&pair, 2, &nik);
    nik.perform(group_request("logout"));
    assert!(
        there.ask(group_request("list_groups")).is_ok(),
        "not known there yet"
    );
    heal(&pair);
    let refused = there.ask(group_request("list_groups")).unwrap_err();
    assert_eq!(refused.kind.as_str(), "session-ended");
}

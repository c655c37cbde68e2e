//! The list of logins at two trackers, one of which lags behind.

use super::pair::{Pair, create_and_log_in};
use crate::common::control_connection::{group_request, login_request, password_of};
use pieceful::wire::access::{AccessAnswer, LoginEntry, Token};
use serde_json::Value;

/// The logins that a tracker lists, or the kind of its refusal.
fn logins(pair: &Pair, number: usize, token: &Token) -> Result<Vec<LoginEntry>, String> {
    let answer = pair
        .connect(number)
        .ask(Some(token), group_request("list_logins"));
    match answer {
        Ok(AccessAnswer::Logins(page)) => Ok(page.entries),
        Ok(other) => panic!("{other:?}"),
        Err(refused) => Err(refused.kind.as_str().to_owned()),
    }
}

/// Logs in at a tracker. Returns the token.
fn log_in(pair: &Pair, number: usize, user: &str) -> Token {
    let request = login_request(user, &password_of(user));
    match pair.connect(number).ask(None, request) {
        Ok(AccessAnswer::LoggedIn { token, .. }) => token,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_end_at_one_tracker_counts_at_the_other_one_when_that_has_caught_up() {
    let mut pair = Pair::new();
    let mut desk = pair.peer("desk", 1);
    create_and_log_in(&mut desk, "nik");
    let mut lost = pair.peer("lost", 2);
    lost.run("login nik pw-of-nik");
    pair.wait_until_in_sync();
    let list = desk.run("list_logins");
    let list = list["logins"].as_array().unwrap();
    assert_eq!(list.len(), 2, "{list:?}");
    let is_other = |login: &&Value| login["here"] == false;
    let other = list.iter().find(is_other).unwrap();
    let other = other["id"].as_str().unwrap().to_owned();

    // The second tracker is away when the login ends.
    pair.kill(2);
    let ended = desk.run(&format!("end_login {other}"));
    assert_eq!(ended["copies"], 1, "{ended}");
    // The first one already refuses the login. The peer goes on until both of them do.
    lost.assert_refused("list_groups", "unreachable", "");
    assert_eq!(lost.run("status")["user"], "nik");
    pair.start(2, &[]);
    pair.wait_until_in_sync();
    lost.assert_refused("list_groups", "session-ended", "log in again");
    assert_eq!(lost.run("status")["user"], Value::Null);
    let list = desk.run("list_logins");
    assert_eq!(list["logins"].as_array().unwrap().len(), 1, "{list}");
    pair.stop_and_assert_same();
}

#[test]
fn a_login_works_at_a_tracker_that_does_not_have_its_row() {
    let mut pair = Pair::new();
    drop(pair.user(1, "nik"));
    pair.wait_until_in_sync();
    pair.split();
    let token = log_in(&pair, 1, "nik");
    // The log-in did not wait for the other tracker, and is listed here.
    let here = logins(&pair, 1, &token).unwrap();
    assert_eq!(here.len(), 2, "{here:?}");
    // It is valid there too. The first request for the list makes a row there.
    let there = logins(&pair, 2, &token).unwrap();
    assert_eq!(there.len(), 2, "{there:?}");
    let is_same = |login: &LoginEntry| login.is_present.then(|| login.id.clone());
    assert_eq!(
        here.iter().find_map(is_same),
        there.iter().find_map(is_same)
    );
    // Both rows are one row in the end.
    pair.proxy.mend();
    pair.wait_until_in_sync();
    for number in [1, 2] {
        assert_eq!(logins(&pair, number, &token).unwrap().len(), 2);
    }
    pair.stop_and_assert_same();
}

//! The list of a user's logins: two peers of one user see both, and one ends the other.

use super::log_outs::{HOUR, token_at};
use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{
    User, group_request, login_request, new_write, password_of,
};
use crate::common::peer::Peer;
use crate::common::process::{Output, run};
use crate::common::waiting::wait_until;
use pieceful::wire::access::{AccessAnswer, AccessRequest, LoginEntry, Token};
use serde_json::Value;

const DAY: u64 = 24 * HOUR;

/// Runs a command at the peer that has this state folder and is not running.
fn run_once(tracker: &AccountTracker, peer: &str, command: &str) -> Output {
    let state = tracker.sandbox.state(peer);
    let info = tracker.sandbox.path("info");
    std::fs::write(&info, tracker.address().to_string()).unwrap();
    let arguments = ["peer", "127.0.0.1:0", info.to_str().unwrap(), "--dir"];
    let arguments = [&arguments[..], &[state.to_str().unwrap(), "-c", command]].concat();
    run(&tracker.sandbox.folder(peer), &arguments, "")
}

/// The name of this host, as the name of a machine.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let is_kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name = name.trim().chars();
    name.map(|c| if is_kept(c) { c } else { '-' }).collect()
}

/// The logins of a list: whether each is the present one, and its id.
fn ids(list: &Value) -> Vec<(bool, String)> {
    let logins = list["logins"].as_array().unwrap().iter();
    let pair = |login: &Value| {
        let id = login["id"].as_str().unwrap().to_owned();
        (login["here"].as_bool().unwrap(), id)
    };
    let mut ids: Vec<_> = logins.map(pair).collect();
    ids.sort();
    ids
}

fn logins(user: &mut User) -> Vec<LoginEntry> {
    match user.ask(group_request("list_logins")) {
        Ok(AccessAnswer::Logins(page)) => page.entries,
        other => panic!("{other:?}"),
    }
}

/// Two peers, `desk` and `lost`, at which nik is logged in. He owns the group `lab`.
fn two_peers_of_nik(tracker: &AccountTracker) -> [Peer; 2] {
    let mut desk = tracker.sandbox.peer("desk");
    desk.run("create_user nik pw-of-nik");
    desk.run("login nik pw-of-nik");
    desk.run("create_group lab");
    let mut lost = tracker.sandbox.peer("lost");
    lost.run("login nik pw-of-nik");
    [desk, lost]
}

#[test]
fn a_user_sees_the_logins_of_all_his_peers_and_ends_one_of_them() {
    let tracker = AccountTracker::new();
    let [mut desk, mut lost] = two_peers_of_nik(&tracker);

    let list = desk.run("list_logins");
    for login in list["logins"].as_array().unwrap() {
        assert_eq!(login["host"], host(), "{list}");
        assert_eq!(login["from"], "127.0.0.1", "{list}");
        assert_eq!(login["at"], login["used"], "{list}");
    }
    let both = ids(&list);
    let [(false, other), (true, own)] = &both[..] else {
        panic!("{list}");
    };
    assert_eq!(
        ids(&lost.run("list_logins")),
        [(false, own.clone()), (true, other.clone())]
    );

    desk.assert_refused(&format!("end_login {own}"), "own-login", "type logout");
    desk.assert_refused("end_login 00000000", "unknown-login", "list_logins");
    desk.assert_refused("end_login 0000", "bad-name", "8 to 32");
    desk.run(&format!("end_login {other}"));
    assert_eq!(ids(&desk.run("list_logins")), [(true, own.clone())]);
    desk.assert_refused(
        &format!("end_login {other}"),
        "unknown-login",
        "list_logins",
    );
    lost.assert_refused("list_groups", "session-ended", "log in again");
    let status = lost.run("status");
    assert_eq!(status["user"], Value::Null);
    let trouble = status["login_trouble"].as_str().unwrap();
    assert!(trouble.contains("the login of nik has ended"), "{trouble}");
    lost.assert_refused("list_logins", "not-logged-in", "login");

    // It is the same after a restart of the tracker, and as text.
    desk.kill();
    let mut tracker = AccountTracker::restart(tracker.kill());
    let output = run_once(&tracker, "desk", "list_logins");
    let line = output
        .stdout
        .lines()
        .find(|line| line.starts_with(own.as_str()));
    let line = line.unwrap_or_else(|| panic!("{output:?}"));
    assert!(
        line.starts_with(&format!("{own}  {}  127.0.0.1  began 20", host())),
        "{line}"
    );
    assert!(line.ends_with("  this peer"), "{line}");
    assert!(!output.stdout.contains(other.as_str()), "{output:?}");
    let entry = tracker.console("audit 1");
    assert!(
        entry.contains("nik ended one of their logins  from 127.0.0.1"),
        "{entry}"
    );
}

#[test]
fn a_running_peer_whose_login_is_ended_learns_it_by_itself() {
    let tracker = AccountTracker::new();
    let [mut desk, mut lost] = two_peers_of_nik(&tracker);
    let file = tracker.sandbox.folder("lost").join("data");
    std::fs::write(&file, "data").unwrap();
    lost.run("upload_file lab data");
    let list = ids(&desk.run("list_logins"));
    desk.run(&format!("end_login {}", list[0].1));
    wait_until("the peer knows that its login has ended", || {
        lost.run("status")["user"].is_null()
    });
}

#[test]
fn a_repeated_log_in_is_one_login_and_a_new_password_keeps_the_host() {
    let tracker = AccountTracker::new();
    let mut nik = tracker.user("nik");
    let AccessRequest::Login {
        attempt,
        user,
        password,
        ..
    } = login_request("nik", &password_of("nik"))
    else {
        unreachable!()
    };
    let log_in = AccessRequest::Login {
        attempt,
        user,
        password,
        host: "gpu1".parse().ok(),
    };
    let mut tokens: Vec<Token> = Vec::new();
    for _ in 0..3 {
        match tracker.connect().ask(None, log_in.clone()) {
            Ok(AccessAnswer::LoggedIn { token, .. }) => tokens.push(token),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(logins(&mut nik).len(), 2);
    // Each of the answers is good.
    for token in &tokens {
        let list = tracker
            .connect()
            .ask(Some(token), group_request("list_logins"));
        let Ok(AccessAnswer::Logins(page)) = list else {
            panic!("{list:?}");
        };
        let hosts: Vec<_> = page.entries.iter().map(|login| &login.host).collect();
        assert_eq!(hosts, [&"gpu1".parse().ok(), &None]);
        assert!(page.entries[0].is_present);
    }
    let change = AccessRequest::ChangePassword {
        write: new_write(),
        old: password_of("nik"),
        new: "another one".parse().unwrap(),
    };
    // The second request is a repetition: its answer was lost.
    for _ in 0..2 {
        match tracker.connect().ask(Some(&tokens[0]), change.clone()) {
            Ok(AccessAnswer::LoggedIn { token, .. }) => nik.token = token,
            other => panic!("{other:?}"),
        }
    }
    let list = logins(&mut nik);
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!(list[0].host, "gpu1".parse().ok());
    assert!(list[0].is_present);
}

#[test]
fn a_renewal_notes_a_use_of_the_login_at_most_once_a_day() {
    let tracker = AccountTracker::new();
    let mut nik = tracker.user("nik");
    let begun = logins(&mut nik)[0].clone();
    // A token of four days ago is renewed: its row is of today.
    let age = 4 * DAY;
    let old = token_at(&tracker, &nik.token, 0u64.wrapping_sub(age), 30 * DAY);
    let groups = group_request("list_groups");
    tracker.connect().ask(Some(&old), groups.clone()).unwrap();
    let list = logins(&mut nik);
    assert_eq!((list.len(), &list[0]), (1, &begun));
    // A token that lives longer than the row says is written down.
    let long = token_at(&tracker, &nik.token, 0, 60 * DAY);
    let list = tracker
        .connect()
        .ask(Some(&long), group_request("list_logins"));
    let Ok(AccessAnswer::Logins(page)) = list else {
        panic!("{list:?}");
    };
    assert_eq!(page.entries[0].made_at, begun.made_at);
    assert!(page.entries[0].used_at > begun.used_at);
    let (_sandbox, dump) = tracker.stop_and_dump();
    let dump: Value = serde_json::from_str(&dump).unwrap();
    let until = dump["logins"][0]["expires"].as_u64().unwrap();
    assert_eq!(until, begun.made_at + 61 * DAY, "{dump}");
}

//! What the operator does at the console to accounts, groups and shares of users.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{User, group_request, login_request, password_of};
use crate::common::peer::quoted;
use crate::common::process::run;
use crate::common::waiting::wait_until;
use pieceful::wire::password::Password;
use serde_json::{Value, json};

/// Asserts that the login of this user has ended.
fn assert_login_has_ended(user: &mut User) {
    let refused = user.ask(group_request("list_groups")).unwrap_err();
    assert_eq!(refused.kind.as_str(), "session-ended");
}

#[test]
fn the_operator_sets_a_forgotten_password_and_ends_logins() {
    let mut tracker = AccountTracker::new();
    let mut nik = tracker.user("nik");
    let mut olga = tracker.user("olga");
    tracker.process.write_line("set_password nik");
    assert_eq!(
        tracker.console("another secret"),
        "nik has another password; all logins of nik have ended"
    );
    assert_login_has_ended(&mut nik);
    let mut connection = tracker.connect();
    let old_password = login_request("nik", &password_of("nik"));
    let refused = connection.ask(None, old_password).unwrap_err();
    assert_eq!(refused.kind.as_str(), "login-refused");
    let new_password = login_request("nik", &Password::new("another secret").unwrap());
    assert!(connection.ask(None, new_password).is_ok());
    // Nothing has changed for other users.
    olga.perform(group_request("create_group lab"));
    assert_eq!(
        tracker.console("end_sessions olga"),
        "all logins of olga have ended"
    );
    assert_login_has_ended(&mut olga);
    let mut olga = User::log_in(tracker.connect(), "olga");
    assert_eq!(olga.groups().len(), 1);
}

#[test]
fn the_operator_removes_shares_and_groups() {
    let mut tracker = AccountTracker::new();
    let mut nik = tracker.sandbox.peer("nik");
    nik.run("create_user nik 'a password'");
    nik.run("login nik 'a password'");
    nik.run("create_group lab");
    let mut olga = tracker.user("olga");
    olga.perform(group_request("join_group lab"));
    let mut uma = tracker.user("uma");
    uma.perform(group_request("join_group lab"));
    nik.run("accept_request lab uma");
    for name in ["a.bin", "b c.bin"] {
        let file = tracker.sandbox.file(&format!("nik/{name}"), 50_000, 1);
        nik.run(&format!("upload_file lab {}", quoted(&file)));
    }
    assert_eq!(
        tracker.console("remove_share lab 'b c.bin'"),
        "b c.bin is removed from lab"
    );
    let listed = nik.run("list_files lab");
    assert_eq!(listed["files"].as_array().unwrap().len(), 1, "{listed}");
    // The publisher's peer learns that its share is removed, and stops serving it.
    wait_until("the removed share has a `trouble`", || {
        let status = nik.run("status");
        let shares = status["shares"].as_array().unwrap().clone();
        let removed = shares.iter().find(|share| share["name"] == "b c.bin");
        removed.is_some_and(|share| !share["trouble"].is_null())
    });
    assert_eq!(
        tracker.console("remove_group lab --yes"),
        "group lab has ended"
    );
    let refused = nik.try_run("list_files lab");
    assert_eq!(refused["error"]["kind"], "unknown-group", "{refused}");
    assert!(uma.groups().is_empty());
    assert_eq!(tracker.console("status").matches("0 groups").count(), 1);
    // The name is free again. The new group has none of the earlier members, and nobody who had
    // asked to join.
    olga.perform(group_request("create_group lab"));
    let groups = olga.groups();
    assert_eq!(groups[0].members, 1);
}

#[test]
fn the_operator_removes_a_user_for_good() {
    let mut tracker = AccountTracker::new();
    let [mut nik, mut olga] = ["nik", "olga"].map(|name| {
        let mut peer = tracker.sandbox.peer(name);
        peer.run(&format!("create_user {name} 'a password'"));
        peer.run(&format!("login {name} 'a password'"));
        peer
    });
    nik.run("create_group lab");
    olga.run("join_group lab");
    nik.run("accept_request lab olga");
    let file = tracker.sandbox.file("olga/a.bin", 50_000, 1);
    olga.run(&format!("upload_file lab {}", quoted(&file)));
    nik.run("download_file lab a.bin");
    nik.run("wait 60");
    assert_eq!(
        tracker.console("remove_user olga --yes"),
        "user olga is removed"
    );
    let members = nik.run("list_members lab");
    assert_eq!(members["members"].as_array().unwrap().len(), 1, "{members}");
    let files = nik.run("list_files lab");
    assert_eq!(files["files"].as_array().unwrap().len(), 0, "{files}");
    let refused = olga.try_run("list_groups");
    assert_eq!(refused["error"]["kind"], "account-gone", "{refused}");
    let refused = olga.try_run("login olga 'a password'");
    assert_eq!(refused["error"]["kind"], "login-refused", "{refused}");
    assert_eq!(tracker.console("users"), "nik");
    // The name is free again. Its new account has nothing of the old one.
    let mut other = tracker.user("olga");
    assert_eq!(other.groups().len(), 1);
    let refused = other.ask(group_request("list_members lab")).unwrap_err();
    assert_eq!(refused.kind.as_str(), "not-a-member");
    // A restart changes nothing.
    let tracker = AccountTracker::restart(tracker.kill());
    let mut other = User::log_in(tracker.connect(), "olga");
    assert_eq!(other.groups().len(), 1);
}

#[test]
fn the_audit_log_says_who_did_what_and_from_where() {
    let mut tracker = AccountTracker::new();
    let mut nik = tracker.user("nik");
    let mut olga = tracker.user("olga");
    nik.perform(group_request("create_group lab"));
    olga.perform(group_request("join_group lab"));
    nik.perform(group_request("accept_request lab olga"));
    nik.perform(group_request("remove_member lab olga"));
    assert_eq!(
        tracker.console("end_sessions olga"),
        "all logins of olga have ended"
    );
    let expected = [
        ("nik", "made-user", json!(null), json!(null)),
        ("olga", "made-user", json!(null), json!(null)),
        ("nik", "made-group", json!(null), json!("lab")),
        ("nik", "accepted", json!("olga"), json!("lab")),
        ("nik", "removed-member", json!("olga"), json!("lab")),
        ("the operator", "ended-logins", json!("olga"), json!(null)),
    ];
    tracker.process.write_line("audit 2");
    // The last line of `users` shows that all lines of `audit` have come.
    tracker.process.write_line("users");
    let lines = std::iter::repeat_with(|| tracker.process.line());
    let shown: Vec<String> = lines.take_while(|line| line != "olga").collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert!(
        shown[0].contains("  nik removed olga from lab  from 127.0.0.1"),
        "{shown:?}"
    );
    assert!(
        shown[1].ends_with("  the operator ended all logins of olga"),
        "{shown:?}"
    );
    let (sandbox, _) = tracker.stop_and_dump();
    let data = sandbox.path("data");
    let arguments = ["tracker", "--data", data.to_str().unwrap(), "--audit"];
    let exported = run(&sandbox.folder("audit"), &arguments, "");
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let lines: Vec<Value> = exported
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, (who, action, subject, group)) in lines.iter().zip(expected) {
        assert_eq!(line["who"], who, "{line}");
        assert_eq!(line["action"], action, "{line}");
        for (field, name) in [("subject", &subject), ("group", &group)] {
            assert_eq!(line[field], *name, "{line}");
            let id = &line[format!("{field}_id")];
            assert_eq!(id.is_null(), name.is_null(), "{line}");
        }
        let from = match who {
            "the operator" => json!(null),
            _ => json!("127.0.0.1"),
        };
        assert_eq!(line["from"], from, "{line}");
        assert_eq!(line["who_id"].is_null(), who == "the operator", "{line}");
        assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
    }
}

#[test]
fn mistakes_of_the_operator_change_nothing() {
    let mut tracker = AccountTracker::new();
    let mut nik = tracker.user("nik");
    nik.perform(group_request("create_group lab"));
    let mistakes = [
        ("set_password nobody\nhunter2222", "no user nobody"),
        ("set_password\nhunter2222", "usage: set_password USER"),
        ("set_password nik\nshort", "8 characters"),
        ("end_sessions nobody", "no user nobody"),
        ("end_sessions", "usage: end_sessions USER"),
        ("remove_share lab nothing", "no share nothing in lab"),
        ("remove_share lab", "usage: remove_share GROUP NAME"),
        ("remove_share office x", "no group office"),
        ("remove_group lab", "add --yes to confirm"),
        ("remove_group lab yes", "usage: remove_group GROUP --yes"),
        ("remove_group office --yes", "no group office"),
        ("remove_user nik", "add --yes to confirm"),
        ("remove_user nik yes", "usage: remove_user USER --yes"),
        ("remove_user uma --yes", "no user uma"),
        ("audit all", "usage: audit [N]"),
    ];
    for (typed, _) in mistakes {
        tracker.process.write_line(typed);
    }
    assert!(tracker.console("status").contains("1 group"));
    assert_eq!(nik.groups().len(), 1);
    tracker.process.write_line("quit");
    let (status, errors) = tracker.process.wait();
    assert!(status.success(), "{errors}");
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), mistakes.len(), "{errors}");
    for ((typed, message), line) in mistakes.iter().zip(lines) {
        assert!(
            line.starts_with("error: ") && line.contains(message),
            "{typed}: {line}"
        );
    }
}

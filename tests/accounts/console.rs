//! The tracker's console: an operator pipes lines into it.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{
    User, create_user_request, create_user_request_with_invite, group_request, login_request,
};
use crate::common::process::{BINARY, run};
use crate::common::sandbox::Sandbox;
use crate::common::terminal::Terminal;
use pieceful::wire::access::AccessAnswer;
use pieceful::wire::password::Password;
use std::thread;

#[test]
fn the_console_shows_the_state_and_creates_accounts_and_invites() {
    let mut tracker = AccountTracker::new();
    let status = tracker.console("status");
    let address = tracker.address().to_string();
    for part in [
        address.as_str(),
        "0 users",
        "0 groups",
        "registration open",
        "open swarms served",
    ] {
        assert!(status.contains(part), "{status}");
    }
    tracker.process.write_line("create_user nik");
    assert_eq!(tracker.console("secret of nik"), "user nik created");
    let mut connection = tracker.connect();
    let secret = Password::new("secret of nik").unwrap();
    let answer = connection.ask(None, login_request("nik", &secret));
    assert!(
        matches!(answer, Ok(AccessAnswer::LoggedIn { .. })),
        "{answer:?}"
    );
    let mut uma = tracker.user("uma");
    uma.perform(group_request("create_group lab"));
    assert_eq!(tracker.console("users"), "nik");
    assert_eq!(tracker.process.line(), "uma");
    assert_eq!(tracker.console("groups"), "lab  owner uma  1 member");
    let invite = tracker.console("invite");
    let code = invite.strip_prefix("invite ").unwrap();
    assert_eq!(code.split('-').map(str::len).collect::<Vec<_>>(), [4; 4]);
    assert_help_names_each_command(&mut tracker);
    tracker.process.write_line("quit");
    let (status, errors) = tracker.process.wait();
    assert!(status.success() && errors.is_empty(), "{errors}");
}

/// Asserts that `help` names each command once.
fn assert_help_names_each_command(tracker: &mut AccountTracker) {
    let first_line = tracker.console("help");
    assert!(first_line.starts_with("status"), "{first_line}");
    let commands: Vec<String> = (0..14).map(|_| tracker.process.line()).collect();
    for name in [
        "users",
        "groups",
        "usage",
        "create_user USER",
        "set_password USER",
        "end_sessions USER",
        "remove_share GROUP NAME",
        "remove_group GROUP --yes",
        "remove_user USER --yes",
        "audit [N]",
        "invite",
        "help",
        "quit",
        "exit",
    ] {
        let found = commands.iter().filter(|line| line.starts_with(name));
        assert_eq!(found.count(), 1, "{name} in {commands:?}");
    }
}

#[test]
fn bad_lines_are_errors_and_the_end_of_input_does_not_end_the_tracker() {
    let mut tracker = AccountTracker::new();
    tracker.user("nik");
    let bad = [
        ("stauts", "unknown command"),
        ("status now", "has no arguments"),
        ("users 'x", "quote"),
        ("create_user\nhunter22", "usage: create_user USER"),
        ("create_user a b\nhunter22", "usage: create_user USER"),
        ("create_user n!k\nhunter22", "letters a to z"),
        ("create_user nik\nhunter22", "taken"),
        ("create_user --help\nhunter22", "must not begin with '-'"),
        ("create_user uma\n", "password cannot be empty"),
        ("create_user uma\nhunter7", "at least 8 characters"),
        ("create_user NIK\nhunter22", "the name nik is taken"),
        ("\u{1b}[2J", "unknown command"),
        ("   ", ""),
    ];
    for (line, _) in bad {
        tracker.process.write_line(line);
    }
    assert_eq!(tracker.console("users"), "nik");
    tracker.process.close_stdin();
    // The tracker goes on serving after the end of its input.
    let mut uma = tracker.user("uma");
    uma.perform(group_request("create_group lab"));
    tracker.process.signal("-TERM");
    let (status, errors) = tracker.process.wait();
    assert!(status.success(), "{errors}");
    let expected = bad.iter().filter(|(_, says)| !says.is_empty());
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), expected.clone().count(), "{errors}");
    for (line, (typed, says)) in lines.iter().zip(expected) {
        assert!(
            line.starts_with("error: ") && line.contains(says),
            "{typed:?}: {line}"
        );
    }
    assert!(
        !errors.contains("hunter22") && !errors.contains('\u{1b}'),
        "{errors}"
    );
}

#[test]
fn ctrl_d_ends_only_the_password_question_and_ctrl_c_also_ends_the_tracker() {
    let sandbox = Sandbox::new();
    let program = [BINARY, "tracker", "--listen", "127.0.0.1:0", "--data", "d"];
    let mut tracker = Terminal::session(&sandbox.folder("tracker"), &program);
    tracker.wait_for_text("help lists all commands");
    for key in ["\x04", "\x03"] {
        tracker.press("create_user joe\r");
        tracker.wait_for_text("password for joe: ");
        tracker.press(key);
        tracker.wait_for_text("error: create_user: stopped before it was done");
    }
    assert_eq!(tracker.wait().code(), Some(0));
}

#[test]
fn a_tracker_without_input_runs_and_a_dump_of_its_state_is_refused() {
    let mut tracker = AccountTracker::new();
    tracker.process.close_stdin();
    let data = tracker.sandbox.path("data");
    let all = ["tracker", "--data", data.to_str().unwrap(), "--dump"];
    let output = run(&tracker.sandbox.folder("dump"), &all, "");
    assert!(
        output.code == Some(1) && output.stdout.is_empty(),
        "{output:?}"
    );
    assert!(output.stderr.contains("in use"), "{output:?}");
    tracker.user("nik");
}

#[test]
fn with_closed_registration_an_account_needs_an_invite() {
    let mut tracker = AccountTracker::with(&["--registration", "closed"]);
    let mut connection = tracker.connect();
    let refused = connection
        .ask(None, create_user_request("uma"))
        .unwrap_err();
    assert_eq!(refused.kind.as_str(), "invite-needed", "{refused}");
    assert!(refused.message.as_str().contains("--invite CODE"));
    tracker.process.write_line("create_user nik");
    assert_eq!(tracker.console("pw of nik"), "user nik created");
    User::log_in(tracker.connect(), "nik");
    let invite = tracker.console("invite");
    let code = invite.strip_prefix("invite ").unwrap();
    for (code, kind) in [
        ("garbage", "unknown-invite"),
        ("0000-0000-0000-0000", "unknown-invite"),
    ] {
        let refused = connection.ask(None, create_user_request_with_invite("uma", Some(code)));
        assert_eq!(refused.unwrap_err().kind.as_str(), kind);
    }
    // A name that is taken does not use up the code.
    let refused = connection.ask(None, create_user_request_with_invite("nik", Some(code)));
    assert_eq!(refused.unwrap_err().kind.as_str(), "name-taken");
    assert_eq!(create_accounts_at_once(&tracker, code), 1);
    let (sandbox, dump) = tracker.stop_and_dump();
    assert!(!dump.contains(code) && !dump.contains(&code.replace('-', "")));
    // After a restart the tracker still refuses the used code. The command of a peer shows that.
    let mut tracker = AccountTracker::with_data(sandbox, &["--registration", "closed"]);
    let used = run_at_zoe(
        &tracker,
        &format!("create_user zoe pw-of-zoe --invite {code}"),
    );
    assert_eq!(used["error"]["kind"], "invite-used", "{used}");
    let invite = tracker.console("invite");
    let code = invite.strip_prefix("invite ").unwrap().to_lowercase();
    let created = run_at_zoe(
        &tracker,
        &format!("create_user zoe pw-of-zoe --invite {code}"),
    );
    assert_eq!(created["ok"], true, "{created}");
}

/// Eight users try to create an account with the same code at the same time. Returns how many
/// succeed.
fn create_accounts_at_once(tracker: &AccountTracker, code: &str) -> usize {
    let created: Vec<bool> = thread::scope(|scope| {
        let users = (0..8).map(|number| (tracker.connect(), format!("guest{number}")));
        let users: Vec<_> = users
            .map(|(mut connection, name)| {
                scope.spawn(move || {
                    match connection.ask(None, create_user_request_with_invite(&name, Some(code))) {
                        Ok(answer) => answer == AccessAnswer::Done,
                        Err(refused) => {
                            assert_eq!(refused.kind.as_str(), "invite-used", "{refused}");
                            false
                        }
                    }
                })
            })
            .collect();
        users.into_iter().map(|user| user.join().unwrap()).collect()
    });
    created.iter().filter(|created| **created).count()
}

/// Starts the peer of zoe and runs one command at it.
fn run_at_zoe(tracker: &AccountTracker, typed: &str) -> serde_json::Value {
    tracker.sandbox.peer("zoe").try_run(typed)
}

//! A person at the prompt: questions for passwords and confirmations, and news above the line that
//! is being typed.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{create_user_request, group_request};
use crate::common::terminal::Terminal;
use std::fs;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

#[test]
fn passwords_are_typed_unseen_and_not_stored() {
    let tracker = AccountTracker::new();
    let mut nik = Terminal::peer(&tracker.sandbox, "nik");
    type_passwords_at_questions(&mut nik);
    type_passwords_in_lines(&mut nik);
    nik.press(CTRL_D);
    assert!(
        !nik.wait().success(),
        "the exit status reports failed commands"
    );
    let screen = nik.all_text();
    assert!(!screen.contains("hidden"), "{screen}");
    let history = fs::read_to_string(tracker.sandbox.path("nik.state/history")).unwrap();
    assert!(
        history.contains("create_user nik\n") && history.contains("create_group lab"),
        "{history}"
    );
    let log = fs::read_to_string(tracker.sandbox.path("nik.state/peer.log")).unwrap();
    for text in [history, log] {
        assert!(
            !text.contains("hidden") && !text.contains("typed-1"),
            "{text}"
        );
    }
}

/// Types passwords that begin with `hidden` when the peer asks for them. No account is created.
fn type_passwords_at_questions(nik: &mut Terminal) {
    nik.press("create_user nik\r");
    nik.wait_for_text("password for nik: ");
    nik.press("hidden-1\r");
    nik.wait_for_text("the same password again: ");
    nik.press("hidden-2\r");
    nik.wait_for_text("error: the two passwords differ");
    // Each of these keys ends the question, not the peer.
    let stopped = "error: create_user: stopped before it was done";
    for key in [CTRL_C, CTRL_D] {
        nik.press("create_user nik\r");
        nik.wait_for_text("password for nik: ");
        nik.press(key);
        nik.wait_for_text(stopped);
    }
    nik.press("create_user nik\r");
    nik.wait_for_text("password for nik: ");
    nik.press("hidden-3");
    nik.press(CTRL_C);
    nik.wait_for_text(stopped);
    nik.wait_for_text("pieceful> ");
}

/// Types passwords that begin with `typed-1`: as a quoted argument, after a mistyped command, with
/// a quote that is not closed, and pasted below the command that asks for them.
fn type_passwords_in_lines(nik: &mut Terminal) {
    nik.type_line("create_user nik 'typed-1 and more'");
    nik.type_line("logni nik typed-1");
    nik.type_line("login nik 'typed-1");
    // `change_password` asks nothing, because nobody is logged in.
    nik.press("change_password\rlogin nik\rtyped-1 and more\rcreate_group lab\r");
    nik.wait_for_text("group lab created");
    // The line editor reads keys only while a prompt is shown.
    nik.wait_for_text("pieceful> ");
}

#[test]
fn a_repeated_download_of_a_complete_share_shows_no_second_notice() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    sandbox.file("seed/first", 30_000, 1);
    sandbox.file("seed/second", 30_000, 2);
    let mut seed = sandbox.peer("seed");
    seed.run("send first");
    seed.run("send second");
    let mut nik = Terminal::peer(sandbox, "nik");
    for answer in [
        "complete first",
        "already here: first",
        "already here: first",
    ] {
        nik.press("download ../seed/first.torrent\r");
        nik.wait_for_text(answer);
        nik.wait_for_text("pieceful> ");
    }
    // A second notice about `first` would be shown together with the notice about `second`.
    nik.press("download ../seed/second.torrent\r");
    nik.wait_for_text("complete second");
    nik.press(CTRL_D);
    assert!(nik.wait().success());
    let screen = nik.all_text();
    assert_eq!(screen.matches("complete first").count(), 1, "{screen}");
}

#[test]
fn the_last_member_must_confirm_the_end_of_a_group() {
    let tracker = AccountTracker::new();
    tracker
        .connect()
        .ask(None, create_user_request("nik"))
        .unwrap();
    let mut nik = Terminal::peer(&tracker.sandbox, "nik");
    nik.type_line("login nik 'pw of nik'");
    nik.type_line("create_group lab");
    let stopped = "error: leave_group: stopped before it was done";
    for (refusal, error) in [
        ("n\r", "--yes"),
        ("\r", "--yes"),
        ("what\r", "--yes"),
        (CTRL_C, stopped),
        (CTRL_D, "--yes"),
    ] {
        nik.press("leave_group lab\r");
        nik.wait_for_text("Leave? [y/N] ");
        nik.press(refusal);
        nik.wait_for_text(error);
        nik.wait_for_text("pieceful> ");
    }
    let groups = nik.type_line("list_groups");
    assert!(groups.contains("you own it"), "{groups}");
    nik.press("leave_group lab\r");
    nik.wait_for_text("Leave? [y/N] ");
    nik.press("y\r");
    nik.wait_for_text("left lab");
    nik.wait_for_text("pieceful> ");
    let groups = nik.type_line("list_groups");
    assert!(!groups.contains("owner"), "{groups}");
}

#[test]
fn the_owner_of_a_group_is_notified_once_of_a_request_to_join() {
    let tracker = AccountTracker::new();
    let mut uma = tracker.user("uma");
    tracker
        .connect()
        .ask(None, create_user_request("nik"))
        .unwrap();
    let mut nik = Terminal::peer(&tracker.sandbox, "nik");
    nik.type_line("login nik 'pw of nik'");
    nik.type_line("create_group lab");
    uma.perform(group_request("join_group lab"));
    nik.wait_for_text("lab: uma asks to join; to accept, type: accept_request lab uma");
    nik.wait_for_text("pieceful> ");
    let log = fs::read_to_string(tracker.sandbox.path("nik.state/peer.log")).unwrap();
    assert!(log.contains("news of lab: requested uma"), "{log}");
    // The request is not shown again, neither in a list nor after a restart.
    let shown = nik.type_line("list_groups");
    assert!(!shown.contains("asks to join"), "{shown}");
    nik.press(CTRL_D);
    assert!(nik.wait().success());
    let mut nik = Terminal::peer(&tracker.sandbox, "nik");
    let shown = nik.type_line("list_groups");
    assert!(shown.contains("you own it"), "{shown}");
    assert!(!shown.contains("asks to join"), "{shown}");
    // A request that is made while no prompt is open is shown at the next login.
    nik.press(CTRL_D);
    assert!(nik.wait().success());
    let mut zoe = tracker.user("zoe");
    zoe.perform(group_request("join_group lab"));
    let mut nik = Terminal::peer(&tracker.sandbox, "nik");
    nik.press("login nik 'pw of nik'\r");
    nik.wait_for_text("lab: zoe asks to join");
}

#[test]
fn news_appears_above_the_line_that_is_being_typed() {
    let tracker = AccountTracker::new();
    let mut owner = tracker.user("nik");
    owner.perform(group_request("create_group lab"));
    tracker
        .connect()
        .ask(None, create_user_request("uma"))
        .unwrap();
    let mut uma = Terminal::peer(&tracker.sandbox, "uma");
    uma.type_line("login uma 'pw of uma'");
    uma.type_line("join_group lab");
    uma.press("list_mem");
    uma.wait_for_text("list_mem");
    owner.perform(group_request("accept_request lab uma"));
    uma.wait_for_text("lab: your request was accepted, you are a member");
    // The typed text is shown again below the news and can be continued.
    uma.wait_for_text("pieceful> list_mem");
    uma.press("bers lab\r");
    uma.wait_for_text("nik  since");
    uma.wait_for_text("pieceful> ");
    let groups = uma.type_line("list_groups");
    assert!(!groups.contains("was accepted"), "shown twice: {groups}");
    // News is for the user who is logged in: another user gets other news.
    let mut zoe = tracker.user("zoe");
    zoe.perform(group_request("join_group lab"));
    uma.type_line("logout");
    uma.type_line("login zoe 'pw of zoe'");
    owner.perform(group_request("reject_request lab zoe"));
    uma.wait_for_text("lab: your request was rejected");
}

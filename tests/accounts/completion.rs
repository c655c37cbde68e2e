//! Tab at the prompt, the history, and notices above the prompt.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{create_user_request, group_request};
use crate::common::sandbox::Sandbox;
use crate::common::terminal::Terminal;
use std::fs;

const TAB: &str = "\t";

#[test]
fn tab_completes_names_that_were_listed() {
    let tracker = AccountTracker::new();
    let mut owner = tracker.user("nik");
    owner.perform(group_request("create_group lab-of-nik"));
    tracker
        .connect()
        .ask(None, create_user_request("uma"))
        .unwrap();
    let mut uma = Terminal::peer(&tracker.sandbox, "uma");
    uma.type_line("login uma 'pw of uma'");
    uma.type_line("list_groups");
    uma.press("join_group la");
    uma.press(TAB);
    uma.wait_for_text("join_group lab-of-nik ");
    uma.press("\r");
    uma.wait_for_text("asked to join lab-of-nik");
    uma.wait_for_text("pieceful> ");
    owner.perform(group_request("accept_request lab-of-nik uma"));
    uma.wait_for_text("was accepted");
    tracker.sandbox.file("uma/a picture of it.raw", 1000, 1);
    uma.type_line("upload_file lab-of-nik 'a picture of it.raw'");
    uma.type_line("list_files lab-of-nik");
    uma.press("stop_share l");
    uma.press(TAB);
    uma.press("a\\ p");
    uma.press(TAB);
    uma.press("\r");
    uma.wait_for_text("stopped sharing a picture of it.raw");
}

#[test]
fn tab_completes_the_id_of_the_other_login() {
    let tracker = AccountTracker::new();
    let other = tracker.user("nik");
    let mut nik = Terminal::peer(&tracker.sandbox, "nik");
    nik.type_line("login nik 'pw of nik'");
    nik.type_line("list_logins");
    nik.press("end_l");
    nik.press(TAB);
    nik.wait_for_text("end_login ");
    nik.press(TAB);
    nik.press("\r");
    nik.wait_for_text("ended the login ");
    let groups = group_request("list_groups");
    let ended = tracker.connect().ask(Some(&other.token), groups);
    assert_eq!(ended.unwrap_err().kind.as_str(), "session-ended");
}

#[test]
fn a_file_name_with_an_escape_does_not_reach_the_terminal() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let folder = sandbox.folder("peer");
    for name in ["bad\x1b[35mA.bin", "bad\x1b[35mB.bin", "only\x1b[35m.bin"] {
        fs::write(folder.join(name), "x").unwrap();
    }
    let mut peer = Terminal::peer(&sandbox, "peer");
    peer.press("send b");
    peer.press(TAB);
    peer.wait_for_text("send bad");
    peer.press(TAB);
    peer.press(TAB);
    peer.wait_for_text("bad\\u{1b}[35mB.bin");
    peer.wait_for_text("pieceful> send bad");
    // Ctrl-U (0x15) clears the line.
    peer.press("\x15send o");
    peer.press(TAB);
    peer.wait_for_text("send only");
    peer.press("\x15status\r");
    peer.wait_for_text("nobody is logged in");
    let bytes = peer.bytes();
    assert!(!bytes.windows(5).any(|bytes| bytes == b"\x1b[35m"));
}

#[test]
fn a_mistyped_line_is_in_the_history_without_its_password() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let mut peer = Terminal::peer(&sandbox, "peer");
    for line in [
        "sned disk.img",
        "send 'disk.img",
        "logni nik hidden",
        "hidden",
    ] {
        peer.type_line(line);
    }
    let history = fs::read_to_string(sandbox.path("peer.state/history")).unwrap();
    assert!(
        history.ends_with("sned disk.img\nsend 'disk.img\nlogni nik\n"),
        "{history}"
    );
}

#[test]
fn a_complete_download_is_reported_above_the_prompt() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&["--interval", "1"]);
    let file = sandbox.file("disk.img", 300_000, 1);
    let mut seed = sandbox.peer("seed");
    seed.run(&format!("send '{}' disk.torrent", file.display()));
    let mut leech = Terminal::peer(&sandbox, "leech");
    leech.type_line("download ../seed/disk.torrent");
    leech.press("show_d");
    leech.wait_for_text("complete disk.img");
    leech.wait_for_text("pieceful> show_d");
    leech.press("ownloads\r");
    leech.wait_for_text("[C] [-] disk.img");
}

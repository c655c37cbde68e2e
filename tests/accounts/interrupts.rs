//! Ctrl-C at the prompt: the first one ends the command that runs, and the peer goes on.

use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::create_user_request;
use crate::common::process::BINARY;
use crate::common::sandbox::Sandbox;
use crate::common::terminal::{Terminal, TerminalKind};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::FileExt;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

#[test]
fn with_stay_ctrl_d_ends_the_input_and_ctrl_c_ends_the_peer() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let info = sandbox.tracker_info();
    for kind in ["xterm", "dumb"] {
        let (kind, state) = (format!("TERM={kind}"), format!("{kind}.state"));
        let program = ["env", &kind, BINARY, "peer", "127.0.0.1:0"];
        let options = [info.to_str().unwrap(), "--dir", &state, "--stay"];
        let program = [&program[..], &options].concat();
        let mut peer = Terminal::session(&sandbox.folder("peer"), &program);
        peer.wait_for_text("; Ctrl-D ends the input; Ctrl-C ends the peer");
        peer.wait_for_text("pieceful> ");
        peer.press(CTRL_D);
        let before = peer.wait_for_text("the input has ended and the peer goes on; Ctrl-C ends it");
        let (prompt, _) = before.split_once("the input has ended").unwrap();
        assert!(prompt.ends_with('\n'), "{before:?}");
        peer.press(CTRL_C);
        assert_eq!(peer.wait().code(), Some(0));
    }
}

#[test]
fn an_interrupted_wait_leaves_the_download_running() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let file = sandbox.file("lonely.bin", 100_000, 1);
    let mut seed = sandbox.peer("seed");
    seed.run(&format!("send '{}' lonely.torrent", file.display()));
    seed.kill();
    let mut leech = Terminal::peer(&sandbox, "leech");
    leech.type_line("download ../seed/lonely.torrent");
    for _ in 0..2 {
        leech.press("wait\r");
        leech.wait_for_text("lonely.bin");
        leech.press(CTRL_C);
        leech.wait_for_text("error: wait: stopped before it was done");
        leech.wait_for_text("pieceful> ");
    }
    let shown = leech.type_line("show_downloads");
    assert!(shown.contains("[D] [-] lonely.bin"), "{shown}");
    // At an empty prompt, Ctrl-C ends the peer.
    leech.press(CTRL_C);
    leech.wait_for_text("lonely.bin: stopped at 0%");
    assert_eq!(leech.wait().code(), Some(1));
}

#[test]
fn an_interrupted_send_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    // The file is sparse, so it takes little space. Each piece has a byte, because a piece that is
    // only a hole is neither read nor hashed.
    let large = fs::File::create(sandbox.path("large.bin")).unwrap();
    for piece in 1..=16_384 {
        large.write_all_at(b"x", piece * (4 << 20) - 1).unwrap();
    }
    let mut peer = Terminal::peer(&sandbox, "peer");
    peer.press("send ../large.bin\r");
    peer.wait_for_text("hashing [");
    peer.press(CTRL_C);
    peer.wait_for_text("error: send: stopped before it was done");
    peer.wait_for_text("pieceful> ");
    let shown = peer.type_line("status");
    assert!(!shown.contains("large.bin  "), "{shown}");
    assert_eq!(fs::read_dir(sandbox.path("peer")).unwrap().count(), 0);
    let records = fs::read_dir(sandbox.path("peer.state/records"));
    assert!(records.map_or(0, |records| records.count()) == 0);
    peer.press("quit\r");
    assert_eq!(peer.wait().code(), Some(1));
}

#[test]
fn an_interrupted_log_in_does_not_wait_for_the_tracker() {
    let sandbox = Sandbox::new();
    // A tracker that accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    fs::write(sandbox.tracker_info(), format!("{address}\n")).unwrap();
    let mut nik = Terminal::peer(&sandbox, "nik");
    nik.press("login nik\r");
    nik.wait_for_text("password of nik: ");
    nik.press("long-secret\r");
    let _connection = silent.accept().unwrap();
    nik.wait_for_text(&format!("waiting for {address}; Ctrl-C stops\n"));
    nik.press(CTRL_C);
    nik.wait_for_text("error: interrupted before a tracker had answered\n");
    nik.wait_for_text("pieceful> ");
    // The peer cannot know whether a tracker has carried out a write.
    nik.press("create_user nik long-secret\r");
    let _connection = silent.accept().unwrap();
    nik.press(CTRL_C);
    nik.wait_for_text("error: it is not known whether this was done; if login succeeds");
    nik.wait_for_text("pieceful> ");
    nik.press("quit\r");
    assert_eq!(nik.wait().code(), Some(1));
}

#[test]
fn an_interrupted_question_on_a_plain_terminal_ends_the_command() {
    let tracker = AccountTracker::new();
    tracker
        .connect()
        .ask(None, create_user_request("nik"))
        .unwrap();
    let kind = TerminalKind {
        name: "dumb",
        columns: 80,
    };
    let mut nik = Terminal::peer_at(&tracker.sandbox, "nik", kind);
    nik.press("login nik\r");
    nik.wait_for_text("password of nik: ");
    nik.press(CTRL_C);
    nik.wait_for_text("error: login: stopped before it was done");
    nik.wait_for_text("pieceful> ");
    nik.press("login nik\r");
    nik.wait_for_text("password of nik: ");
    nik.press("pw of nik\r");
    nik.wait_for_text("logged in as nik");
    nik.wait_for_text("pieceful> ");
    nik.press(CTRL_C);
    assert_eq!(nik.wait().code(), Some(1));
}

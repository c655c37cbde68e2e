//! Which signals end a process, and which signals it ignores because its parent ignored them.

use crate::common::fake_tracker::{FakeTracker, set_only_tracker};
use crate::common::http_client::stats;
use crate::common::log::wait_for_log_line;
use crate::common::process::{BINARY, Process, prepared};
use crate::common::sandbox::Sandbox;
use crate::common::terminal::Terminal;
use crate::common::waiting::wait_until;
use std::fs;
use std::process::Command;

/// A tracker whose parent ignores these signals.
fn tracker_ignoring(sandbox: &Sandbox, signals: &str) -> Process {
    let script = format!("trap '' {signals}; exec \"$0\" \"$@\"");
    let data = sandbox.folder("data");
    let arguments = ["-c", &script, BINARY, "tracker", "--open"];
    let more = ["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let arguments = [&arguments[..], &more].concat();
    Process::spawn(prepared(
        Command::new("sh"),
        &sandbox.folder("tracker"),
        &arguments,
    ))
}

#[test]
fn a_hangup_ends_a_peer_gracefully() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    let file = sandbox.file("f", 100_000, 1);
    let mut peer = sandbox.peer("peer");
    peer.run(&format!("send '{}'", file.display()));
    wait_until("the peer is in the swarm", || {
        stats(tracker.address)["peers"] == 1
    });
    peer.process.signal("-HUP");
    assert_eq!(peer.process.wait().0.code(), Some(0));
    assert_eq!(stats(tracker.address)["peers"], 0);
}

/// Sends signals to the process without a pause.
fn send_together(process: &Process, signals: &[&str]) {
    let script = "process=$1; shift; for signal; do kill \"-$signal\" \"$process\"; done";
    let process = process.id().to_string();
    let arguments = [&["-c", script, "sh", &process], signals].concat();
    let status = Command::new("sh").args(arguments).status().unwrap();
    assert!(status.success());
}

#[test]
fn signals_sent_together_end_a_peer_gracefully_and_a_later_sigint_or_sigterm_kills_it() {
    let sandbox = Sandbox::new();
    let tracker = FakeTracker::naming(&[]);
    set_only_tracker(&sandbox, tracker.address());
    let file = sandbox.file("f", 100_000, 1);
    let cases: [(&[&str], &str, i32); 8] = [
        // A terminal that closes sends SIGHUP, and so does its shell.
        (&["HUP"], "HUP", 0),
        (&["HUP"], "INT", 130),
        (&["HUP"], "TERM", 130),
        (&["TERM"], "INT", 130),
        // `timeout` sends two, and systemd two different ones.
        (&["TERM", "TERM"], "HUP", 0),
        (&["TERM", "HUP"], "HUP", 0),
        (&["INT", "HUP", "INT"], "HUP", 0),
        (&["INT", "TERM"], "TERM", 130),
    ];
    for (number, (first, later, code)) in cases.into_iter().enumerate() {
        let mut peer = sandbox.peer(&format!("peer{number}"));
        peer.run(&format!("send '{}'", file.display()));
        wait_for_log_line(&peer.log, &["/announce answers"]);
        let before = tracker.requests().len();
        // The tracker does not answer until this is dropped, so the peer cannot end yet.
        let held = tracker.hold();
        send_together(&peer.process, first);
        tracker.wait_for_requests(|requests| {
            let mut new = requests.iter().skip(before);
            new.any(|request| request.contains("event=stopped"))
        });
        if code == 0 {
            peer.process.signal(&format!("-{later}"));
            wait_until("the peer has received the signals", || {
                !has_pending_signal(peer.process.id())
            });
            drop(held);
        } else {
            // A signal counts as a later one only if it comes at least 200 ms after the first.
            wait_until("the peer has ended", || {
                peer.process.signal(&format!("-{later}"));
                peer.process.has_ended()
            });
        }
        assert_eq!(
            peer.process.wait().0.code(),
            Some(code),
            "{first:?}, {later}"
        );
    }
}

#[test]
fn timeout_ends_a_tracker_gracefully() {
    let sandbox = Sandbox::new();
    let data = sandbox.folder("data");
    let arguments = ["--preserve-status", "1000", BINARY, "tracker", "--open"];
    let more = ["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let arguments = [&arguments[..], &more].concat();
    let folder = sandbox.folder("tracker");
    let tracker = Process::spawn(prepared(Command::new("timeout"), &folder, &arguments));
    // On SIGTERM, `timeout` does what it does when its time is up.
    tracker.signal("-TERM");
    assert_eq!(tracker.wait().0.code(), Some(0));
}

/// Whether a signal is pending for the process. False if the process has ended.
fn has_pending_signal(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    pending.is_some_and(|mask| mask.trim().chars().any(|digit| digit != '0'))
}

#[test]
fn signals_that_the_parent_ignored_stay_ignored() {
    let sandbox = Sandbox::new();
    let mut tracker = tracker_ignoring(&sandbox, "HUP INT USR1");
    let fingerprint = tracker.line();
    assert!(fingerprint.starts_with("fingerprint"), "{fingerprint}");
    for signal in ["-HUP", "-INT", "-HUP", "-USR1", "-INT"] {
        tracker.signal(signal);
        tracker.write_line("status");
        assert!(tracker.line().starts_with("tracker on "));
    }
    tracker.signal("-TERM");
    let (status, errors) = tracker.wait();
    assert!(status.success() && errors.is_empty(), "{errors}");
    // A shell starts background processes with SIGINT ignored. SIGHUP still ends such a process.
    let mut tracker = tracker_ignoring(&sandbox, "INT");
    tracker.line();
    tracker.signal("-HUP");
    assert!(tracker.wait().0.success());
}

#[test]
fn ctrl_c_ends_a_script_but_not_the_tracker_that_it_started_in_the_background() {
    let sandbox = Sandbox::new();
    let script = "\"$PIECEFUL\" tracker --open --listen 127.0.0.1:0 --data d </dev/null & \
                  echo process $!.; sleep 1000";
    let folder = sandbox.folder("script");
    let mut terminal = Terminal::session(&folder, &["bash", "-c", script]);
    terminal.wait_for_text("process ");
    let process = terminal.wait_for_text(".");
    terminal.wait_for_text("listening on ");
    let address = terminal.wait_for_text("\n");
    let address = address.trim_end().parse().unwrap();
    terminal.wait_for_text("fingerprint");
    terminal.press("\x03");
    terminal.wait();
    assert_eq!(stats(address)["peers"], 0);
    let end = ["-TERM", process.trim_end_matches('.')];
    assert!(Command::new("kill").args(end).status().unwrap().success());
    wait_until("the tracker has ended", || {
        std::net::TcpStream::connect(address).is_err()
    });
}

#[test]
fn sigusr1_reopens_the_log() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.peer("peer");
    let rotated = sandbox.state("peer").join("peer.log.1");
    fs::rename(&peer.log, &rotated).unwrap();
    peer.process.signal("-USR1");
    wait_for_log_line(&peer.log, &["reopened the log"]);
    peer.try_run("cancel nothing");
    wait_for_log_line(&peer.log, &["command cancel failed"]);
    assert!(!fs::read_to_string(rotated).unwrap().contains("cancel"));
    peer.process.signal("-TERM");
    // The command `cancel` has failed.
    assert_eq!(peer.process.wait().0.code(), Some(1));
}

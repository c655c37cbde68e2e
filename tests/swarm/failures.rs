//! What a peer with `--stay` or `--fail-fast` does after a command has failed.

use super::downloads::seeded_swarm;
use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::create_user_request;
use crate::common::log::wait_for_log_line;
use crate::common::process::{Process, command, run};
use crate::common::sandbox::Sandbox;
use serde_json::Value;
use std::fs;

/// Each command, and the kind of its error. The kind is empty if the command succeeded.
fn results(stdout: &str) -> Vec<(String, String)> {
    let objects = stdout.lines().map(|line| {
        let object: Value = serde_json::from_str(line).unwrap();
        object
    });
    let results = objects.filter(|object| object["event"].is_null());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    results
        .map(|object| (text(&object["command"]), text(&object["error"]["kind"])))
        .collect()
}

fn result(command: &str, kind: &str) -> (String, String) {
    (command.to_owned(), kind.to_owned())
}

#[test]
fn a_peer_with_stay_ends_after_a_command_that_cannot_succeed_later() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let info = sandbox.tracker_info();
    let arguments = [
        "peer",
        "127.0.0.1:0",
        info.to_str().unwrap(),
        "--json",
        "--stay",
    ];
    let commands = ["-c", "download missing.torrent", "-c", "status"];
    let output = run(
        &sandbox.folder("work"),
        &[&arguments[..], &commands].concat(),
        "",
    );
    assert_eq!(output.code, Some(1), "{output:?}");
    assert_eq!(
        results(&output.stdout),
        [result("download", "file"), result("status", "")]
    );
    assert!(
        output.stderr.contains("leaving: a command has failed"),
        "{output:?}"
    );
}

#[test]
fn a_peer_with_stay_tries_a_command_again_while_no_tracker_answers() {
    let tracker = AccountTracker::new();
    let request = create_user_request("nik");
    tracker.connect().ask(None, request).unwrap();
    let (sandbox, info) = (&tracker.sandbox, tracker.sandbox.tracker_info());
    let working_info = fs::read(&info).unwrap();
    // Nothing listens on port 1.
    fs::write(&info, "127.0.0.1:1\n").unwrap();
    let state = sandbox.path("nik.state");
    let mut all = vec!["peer", "127.0.0.1:0", info.to_str().unwrap(), "--json"];
    all.extend(["--stay", "--dir", state.to_str().unwrap()]);
    all.extend(["-c", "login nik", "-c", "create_group lab"]);
    let mut peer = Process::start(&sandbox.folder("nik"), &all);
    peer.write_line("pw of nik");
    let log = sandbox.log("nik");
    wait_for_log_line(&log, &["login is tried again"]);
    fs::write(&info, working_info).unwrap();
    // One object per command, and the password is read once.
    for command in ["login", "create_group"] {
        let object: Value = serde_json::from_str(&peer.line()).unwrap();
        assert_eq!(object["command"], command, "{object}");
        assert_eq!(object["ok"], true, "{object}");
    }
    peer.signal("-INT");
    let (status, errors) = peer.wait();
    assert!(status.success(), "{errors}");
    assert!(
        errors.contains("login: no tracker answers: ")
            && errors.contains("it is tried again until it succeeds"),
        "{errors}"
    );
}

#[test]
fn a_signal_ends_a_command_that_is_tried_again() {
    let sandbox = Sandbox::new();
    let info = sandbox.tracker_info();
    let state = sandbox.path("nik.state");
    let mut all = vec!["peer", "127.0.0.1:0", info.to_str().unwrap(), "--json"];
    all.extend(["--stay", "--dir", state.to_str().unwrap()]);
    all.extend(["-c", "login nik pw"]);
    let mut peer = Process::spawn(command(&sandbox.folder("nik"), &all));
    let log = sandbox.log("nik");
    wait_for_log_line(&log, &["login is tried again"]);
    peer.signal("-TERM");
    let object: Value = serde_json::from_str(&peer.line()).unwrap();
    assert_eq!(object["error"]["kind"], "interrupted", "{object}");
    assert_eq!(peer.wait().0.code(), Some(1));
}

#[test]
fn a_wait_that_ends_too_early_and_a_repeated_download_do_not_end_a_peer_with_stay() {
    let (sandbox, _tracker, _file, seed, torrent) = seeded_swarm("f", 300_000, &[]);
    seed.process.kill();
    let download = format!("download '{torrent}'");
    let commands = [
        "--stay",
        "-c",
        &download,
        "-c",
        "wait 0.05",
        "-c",
        &download,
    ];
    let mut leech = sandbox.peer_with("leech", &commands);
    for (command, ok) in [("download", true), ("wait", false), ("download", true)] {
        let object: Value = serde_json::from_str(&leech.process.line()).unwrap();
        assert_eq!(
            (&object["command"], &object["ok"]),
            (&command.into(), &ok.into())
        );
    }
    leech.process.signal("-INT");
    let (status, errors) = leech.process.wait();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(!errors.contains("leaving"), "{errors}");
}

#[test]
fn with_fail_fast_no_command_runs_after_the_first_failure() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let (folder, info) = (sandbox.folder("work"), sandbox.tracker_info());
    let arguments = [
        "peer",
        "127.0.0.1:0",
        info.to_str().unwrap(),
        "--json",
        "--fail-fast",
    ];
    let commands = ["-c", "help", "-c", "send missing", "-c", "status"];
    for (more, input) in [
        (&commands[..], ""),
        (&["--stay"], "help\nsend missing\nstatus\n"),
        (&[], "help\nsend missing\nstatus\n"),
    ] {
        let output = run(&folder, &[&arguments[..], more].concat(), input);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert_eq!(
            results(&output.stdout),
            [result("help", ""), result("send", "create")]
        );
    }
}

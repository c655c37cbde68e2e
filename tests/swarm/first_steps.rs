//! The mistakes of somebody who starts a peer for the first time: each message says what to type.

use crate::common::process::{Process, run};
use crate::common::sandbox::Sandbox;
use crate::common::terminal::Terminal;
use std::fs;

#[test]
fn a_missing_tracker_info_is_reported_at_the_start_with_what_to_write() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder("work");
    let start = || run(&folder, &["peer", "127.0.0.1:0"], "");
    let output = start();
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(
        output.stderr,
        "no tracker is known: tracker_info.txt does not exist; write the address of each tracker \
         into it, one HOST:PORT per line\n"
    );
    for (text, part) in [
        ("# none yet\n", "tracker_info.txt names no tracker; write"),
        (
            "localhost\n",
            "tracker_info.txt: line 1: \"localhost\" lacks a port",
        ),
    ] {
        fs::write(folder.join("tracker_info.txt"), text).unwrap();
        let output = start();
        assert!(output.stderr.contains(part), "{output:?}");
    }
    fs::write(folder.join("tracker_info.txt"), "localhost:5000\n").unwrap();
    assert_eq!(start().stderr, "");
}

#[test]
fn without_a_known_tracker_no_password_is_asked_for() {
    let sandbox = Sandbox::new();
    let mut nik = Terminal::peer(&sandbox, "nik");
    for typed in ["create_user nik", "login nik"] {
        let output = nik.type_line(typed);
        assert!(output.contains("error: no tracker is known: "), "{output}");
        assert!(!output.contains("password"), "{output}");
    }
}

#[test]
fn a_word_that_is_neither_an_address_nor_a_file_is_explained() {
    let sandbox = Sandbox::new();
    let output = run(&sandbox.folder("work"), &["peer", "trackers.txt"], "");
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(
        output
            .stderr
            .contains("\"trackers.txt\" lacks a port; write HOST:PORT")
            && output.stderr.contains("(and there is no such file)"),
        "{output:?}"
    );
}

#[test]
fn a_second_peer_on_a_host_is_advised_to_take_another_port() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder("work");
    let first = Process::start(&folder, &["peer", "127.0.0.1:0"]);
    let port = first.address.port();
    let address = format!("127.0.0.1:{port}");
    let advice = format!(
        "give this one another port: pieceful peer 127.0.0.1:{}",
        port.checked_add(1).unwrap_or(6881)
    );
    let start_second = || {
        let all = ["peer", &address, "--no-attach", "-c", "status"];
        let output = run(&folder, &all, "");
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.trim_end().ends_with(&advice), "{output:?}");
        output.stderr
    };
    // The second peer has a state folder of its own, but its port is taken.
    let error = start_second();
    assert!(error.contains("Address already in use; give"), "{error}");
    drop(first);
    // The second peer would use the same state folder as the first one.
    let _first = Process::start(&folder, &["peer", &address]);
    let error = start_second();
    let part = format!("is in use: another peer has port {port}; give");
    assert!(error.contains(&part), "{error}");
}

#[test]
fn messages_of_system_errors_contain_no_error_numbers() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let mut peer = sandbox.peer("nik");
    sandbox.file("nik/f", 10, 1);
    for typed in [
        "send missing",
        "send f no/such/folder/f.torrent",
        "download missing.torrent",
        "download f/x.torrent",
        "download .",
        "send missing/..",
    ] {
        let (kind, message) = peer.error_of(typed);
        for jargon in ["os error", "entity not found", "Errno", "ENOENT"] {
            assert!(!message.contains(jargon), "{typed}: {kind}: {message}");
        }
    }
    let folder = sandbox.folder("work");
    for arguments in [
        &["tracker", "missing.txt"][..],
        &["torrent", "show", "missing"],
        &["torrent", "create", "missing"],
        &["torrent", "create", "/etc/hostname", "-o", "missing/x"],
        &["torrent", "check", "missing", "missing"],
        &["peer", "127.0.0.1:0", "--dir", "/proc/none"],
        &["peer", "127.0.0.1:0", "--scenario", "in1.txt"],
        &["tracker", "--data", "missing", "--backup", "x"],
    ] {
        let output = run(&folder, arguments, "");
        assert_eq!(output.code, Some(1), "{arguments:?}: {output:?}");
        for jargon in ["os error", "entity not found", "Errno", "ENOENT"] {
            assert!(!output.stderr.contains(jargon), "{arguments:?}: {output:?}");
        }
    }
}

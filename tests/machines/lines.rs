//! `pieceful join`: lines that are good, mistyped, spent, expired or revoked; joins that are cut
//! short and repeated.

use super::machine::{
    end, join_and_run, join_line, join_only, owner, start, wait_for_machine, wait_for_news,
};
use crate::common::account_tracker::AccountTracker;
use crate::common::process::{KilledOnDrop, command, run};
use crate::common::waiting::wait_until;
use crate::proxy::Proxy;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

/// The kind of the error that a join with `--json` has printed.
fn error_kind(output: &str) -> String {
    let object: Value = serde_json::from_str(output.trim()).unwrap();
    assert_eq!(object["ok"], false, "{object}");
    object["error"]["kind"].as_str().unwrap().to_owned()
}

#[test]
fn a_join_writes_private_files_says_what_to_run_and_can_be_repeated() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let line = join_line(&mut ann, "--role publisher");
    let state = sandbox.state("m1");
    let dir = state.to_str().unwrap();
    let arguments = [
        "join",
        "--dir",
        dir,
        "--listen",
        "127.0.0.1:0",
        "--name",
        "m1",
    ];
    // As a chat may have wrapped it, and as a person may type it.
    let typed = format!("  {}\n", line.to_uppercase().replace('-', " "));
    let joined = run(&sandbox.folder("m1"), &arguments, &typed);
    assert_eq!(joined.code, Some(0), "{joined:?}");
    let mut lines = joined.stdout.lines();
    assert_eq!(lines.next(), Some("joined as ann/m1: lab (publisher)"));
    let info = state.join("tracker_info.txt");
    let next = format!(
        "pieceful peer 127.0.0.1:0 {} --dir {dir} --stay",
        info.display()
    );
    assert_eq!(
        lines.next(),
        Some(&*format!("to share and download, type: {next}"))
    );
    for file in ["tracker_info.txt", "token", "machine"] {
        let mode = fs::metadata(state.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let text = fs::read_to_string(&info).unwrap();
    assert!(text.contains(&tracker.address().to_string()), "{text}");
    assert!(text.contains("fingerprint sha256:"), "{text}");
    // A second join changes nothing, also while the peer runs, and without any tracker.
    let mut peer = start(sandbox, "m1");
    wait_for_machine(&mut peer, "logged-in");
    let own = sandbox.file("own", 1000, 3);
    peer.run(&format!("upload_file lab '{}'", own.display()));
    let again = run(&sandbox.folder("m1"), &arguments, &line);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(
        again
            .stdout
            .starts_with("this machine has joined before: it is ann/m1\n")
    );
    // A machine's state folder is for one machine.
    let other = join_line(&mut ann, "");
    end(peer);
    let refused = run(&sandbox.folder("m1"), &arguments, &other);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("a machine with another token"),
        "{refused:?}"
    );
}

#[test]
fn a_mistyped_line_is_found_before_anything_is_written_or_sent() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let line = join_line(&mut ann, "");
    let token = ann.run("create_token lab")["text"]
        .as_str()
        .unwrap()
        .to_owned();
    // The last character belongs to the last group.
    let mut wrong = line.clone();
    let typed = if wrong.pop() == Some('7') { '8' } else { '7' };
    wrong.push(typed);
    for (typed, part) in [
        (wrong.as_str(), "has a typing mistake"),
        (&line[..line.len() - 9], "a part of it is missing"),
        (&token, "pieceful peer --token FILE"),
        ("hello", "does not begin with"),
    ] {
        let output = join_only(sandbox, "m1", typed);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains(part), "{output:?}");
        assert!(!sandbox.state("m1").exists());
    }
    let nothing = run(&sandbox.folder("m1"), &["join"], "");
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
}

#[test]
fn a_spent_line_is_refused_with_another_key_and_its_maker_is_told() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let created = ann.run("create_join lab");
    let line = created["line"].as_str().unwrap();
    let first = join_and_run(sandbox, "m1", line);
    let second = join_only(sandbox, "m2", line);
    assert_eq!(second.code, Some(3), "{second:?}");
    assert_eq!(error_kind(&second.stdout), "token-spent");
    wait_for_news(
        &mut ann,
        "token-refused",
        created["token"].as_str().unwrap(),
    );
    let tokens = ann.run("list_tokens");
    assert_eq!(tokens["tokens"][0]["state"], "spent", "{tokens}");
    drop(first);
    // A revoked line ends for a machine that has not joined, and for one that has.
    let revoked = ann.run("create_join lab --uses 2");
    ann.run(&format!(
        "revoke_token {}",
        revoked["token"].as_str().unwrap()
    ));
    let late = join_only(sandbox, "m3", revoked["line"].as_str().unwrap());
    assert_eq!(late.code, Some(3), "{late:?}");
    assert_eq!(error_kind(&late.stdout), "token-ended");
}

#[test]
fn a_join_without_a_tracker_fails_can_be_interrupted_and_is_simply_repeated() {
    let mut tracker = AccountTracker::new();
    let mut ann = owner(&tracker.sandbox);
    let line = join_line(&mut ann, "");
    // The tracker is silent.
    tracker.process.signal("-STOP");
    let sandbox = &tracker.sandbox;
    let state = sandbox.state("m1");
    let dir = state.to_str().unwrap();
    let mut interrupted = command(
        &sandbox.folder("m1"),
        &[
            "join",
            &line,
            "--dir",
            dir,
            "--listen",
            "127.0.0.1:0",
            "--name",
            "m1",
        ],
    );
    let child = interrupted.stdin(Stdio::null()).spawn().unwrap();
    let id = child.id();
    let child = KilledOnDrop(child);
    wait_until("the key is made", || state.join("machine").exists());
    let mut kill = std::process::Command::new("kill");
    assert!(
        kill.args(["-INT", &id.to_string()])
            .status()
            .unwrap()
            .success()
    );
    let output = child.output();
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("interrupted"), "{output:?}");
    assert!(
        output.stderr.contains("run the same command again"),
        "{output:?}"
    );
    let key = fs::read(state.join("machine")).unwrap();
    tracker.process.signal("-CONT");
    tracker.process.write_line("quit");
    wait_until("the tracker ends", || tracker.process.has_ended());
    let unreachable = join_only(sandbox, "m1", &line);
    assert_eq!(unreachable.code, Some(1), "{unreachable:?}");
    let kind = error_kind(&unreachable.stdout);
    assert_eq!(kind, "unreachable", "{unreachable:?}");
    assert_eq!(
        fs::read(state.join("machine")).unwrap(),
        key,
        "the key is kept"
    );
}

#[test]
fn the_secret_is_sent_only_to_the_cluster_of_the_line() {
    let (tracker, other) = (AccountTracker::new(), AccountTracker::new());
    let sandbox = &tracker.sandbox;
    let proxy = Proxy::new();
    proxy.forward_to(tracker.address());
    fs::write(sandbox.tracker_info(), format!("{}\n", proxy.address)).unwrap();
    let mut ann = owner(sandbox);
    let line = join_line(&mut ann, "");
    // Another cluster answers at the address in the line.
    proxy.forward_to(other.address());
    let joined = join_only(sandbox, "m1", &line);
    assert_eq!(joined.code, Some(1), "{joined:?}");
    assert_eq!(error_kind(&joined.stdout), "untrusted");
    proxy.forward_to(tracker.address());
    let joined = join_only(sandbox, "m1", &line);
    assert_eq!(joined.code, Some(0), "{joined:?}");
}

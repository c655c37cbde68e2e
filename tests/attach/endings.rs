//! What ends an attached command: the user, a signal, the end of the client or of the peer.

use super::clients::{attached_status, hold_start, objects, signal, start_attached};
use crate::common::handmade_torrent::Torrent;
use crate::common::peer::{Peer, quoted};
use crate::common::process::{KilledOnDrop, Output, Process, command};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_until;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

/// A peer that downloads what nobody has.
fn busy_peer(sandbox: &Sandbox) -> Peer {
    let mut peer = sandbox.debug_peer("nik", &[]);
    let torrent = Torrent::new("share", 40_000, 32_768, 1).write(sandbox, "share.torrent");
    peer.run(&format!("download {}", quoted(&torrent)));
    peer
}

fn log(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.log("nik")).unwrap()
}

/// Starts an attached `wait`, then `status`, and waits until the peer carries out the first one.
fn waiting_client(sandbox: &Sandbox) -> KilledOnDrop {
    let before = log(sandbox).matches("command wait").count();
    let client = start_attached(sandbox, "nik", &["--json", "-c", "wait", "-c", "status"]);
    wait_until("the peer carries out the command", || {
        log(sandbox).matches("command wait").count() > before
    });
    client
}

fn assert_interrupted(output: &Output) {
    assert_eq!(output.code, Some(1), "{output:?}");
    let objects = objects(output);
    assert_eq!(objects.len(), 2, "{output:?}");
    for object in objects {
        assert_eq!(object["error"]["kind"], "interrupted", "{output:?}");
    }
}

#[test]
fn a_signal_ends_the_attached_commands_and_not_the_peer() {
    let sandbox = Sandbox::new();
    let mut peer = busy_peer(&sandbox);
    for ending in ["-INT", "-TERM", "-HUP"] {
        let client = waiting_client(&sandbox);
        let other = waiting_client(&sandbox);
        signal(&client, ending);
        assert_interrupted(&client.output());
        // Neither the other command nor the peer ends.
        peer.run("status");
        signal(&other, ending);
        assert_interrupted(&other.output());
    }
    peer.end();
}

#[test]
fn a_second_signal_ends_the_client_at_once() {
    let sandbox = Sandbox::new();
    let peer = busy_peer(&sandbox);
    let mut client = waiting_client(&sandbox);
    // The peer does not answer.
    peer.process.signal("-STOP");
    wait_until("the client ends", || {
        // Signals within 0.2 s are one request to end.
        std::thread::sleep(Duration::from_millis(250));
        if client.exit_status().is_none() {
            signal(&client, "-INT");
        }
        client.exit_status().is_some()
    });
    assert_eq!(client.exit_status().unwrap().code(), Some(130));
    peer.process.signal("-CONT");
    peer.end();
}

#[test]
fn a_command_ends_with_its_client() {
    let sandbox = Sandbox::new();
    let mut peer = busy_peer(&sandbox);
    let client = waiting_client(&sandbox);
    drop(client);
    wait_until("the command ends", || {
        log(&sandbox).contains("command wait failed: wait: stopped before it was done")
    });
    peer.run("status");
    peer.end();
}

#[test]
fn the_client_reports_the_end_of_the_peer() {
    let sandbox = Sandbox::new();
    // Killed: nobody knows whether the command was carried out.
    let peer = busy_peer(&sandbox);
    let client = waiting_client(&sandbox);
    peer.kill();
    let output = client.output();
    assert_eq!(output.code, Some(1), "{output:?}");
    let lost = "the running process has ended before the command was done";
    assert!(!output.stderr.contains("error"), "{output:?}");
    let lines = objects(&output);
    let kinds: Vec<_> = lines
        .iter()
        .map(|object| &object["error"]["kind"])
        .collect();
    assert_eq!(kinds, ["process-ended", "interrupted"], "{output:?}");
    assert_eq!(
        (&lines[0]["command"], &lines[1]["command"]),
        (&"wait".into(), &"status".into())
    );
    let message = lines[0]["error"]["message"].as_str().unwrap();
    assert!(message.contains(lost), "{message}");
    // The socket of the killed peer is replaced. The peer ends in order: the command is ended.
    assert!(sandbox.state("nik").join("attach").exists());
    let peer = sandbox.debug_peer("nik", &[]);
    let client = waiting_client(&sandbox);
    peer.process.signal("-TERM");
    let output = client.output();
    assert_eq!(output.code, Some(1), "{output:?}");
    assert_eq!(objects(&output)[0]["error"]["kind"], "interrupted");
    peer.end();
    assert!(!sandbox.state("nik").join("attach").exists());
}

#[test]
fn a_stopped_peer_is_waited_for_with_a_bound() {
    let sandbox = Sandbox::new();
    let peer = sandbox.peer("nik");
    peer.process.signal("-STOP");
    let id = peer.process.id();
    let output = attached_status(&sandbox);
    peer.process.signal("-CONT");
    assert_eq!(output.code, Some(1), "{output:?}");
    let waiting = format!("waiting for the running peer (process {id}) to answer");
    assert!(output.stderr.contains(&waiting), "{output:?}");
    let silent = format!("(process {id}) does not answer within 10 s; it may be stopped");
    assert!(output.stderr.contains(&silent), "{output:?}");
    peer.end();
}

#[test]
fn a_client_that_attaches_while_the_peer_starts_waits_for_it() {
    let sandbox = Sandbox::new();
    let (folder, state) = (sandbox.folder("nik"), sandbox.state("nik"));
    let wait_until_held = hold_start(&sandbox, "nik");
    let start = |more: &[&str]| {
        let all = [&["peer", "--dir", state.to_str().unwrap()], more].concat();
        let mut command = command(&folder, &all);
        KilledOnDrop(command.stdin(Stdio::piped()).spawn().unwrap())
    };
    let _holder = start(&["127.0.0.1:0"]);
    let held = wait_until_held();
    let mut clients: Vec<_> = (0..4)
        .map(|_| start(&["--json", "-c", "show_peers", "-c", "status"]))
        .collect();
    for client in &mut clients {
        let mut note = String::new();
        let mut errors = BufReader::new(client.0.stderr.as_mut().unwrap());
        errors.read_line(&mut note).unwrap();
        assert!(note.starts_with("waiting for the running peer"), "{note}");
    }
    drop(held);
    for client in clients {
        let output = client.output();
        assert_eq!(output.code, Some(0), "{output:?}");
    }
}

#[test]
fn input_that_is_not_carried_out_because_the_peer_has_ended_is_a_failure() {
    let sandbox = Sandbox::new();
    let peer = sandbox.peer("nik");
    let state = sandbox.state("nik");
    let all = ["peer", "--dir", state.to_str().unwrap()];
    let mut client = Process::start(&sandbox.folder("client"), &all);
    client.write_line("status");
    client.line();
    peer.kill();
    wait_until("the client ends", || client.has_ended());
    let (status, errors) = client.wait();
    assert_eq!(status.code(), Some(1), "{errors}");
    // The peer may be killed before the client knows that the first command is done.
    let between = "error: the running peer has ended";
    let within = "error: status: the running process has ended before the command was done";
    let is_reported = errors.contains(between) || errors.contains(within);
    assert!(is_reported, "{errors}");
}

//! Trackers that accept a connection and do not answer: the error says how long the peer waited.

use crate::common::sandbox::Sandbox;
use std::fs;
use std::net::TcpListener;

#[test]
fn the_error_says_how_long_a_peer_waited_for_a_silent_tracker() {
    let sandbox = Sandbox::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let line = format!("{}\n", silent.local_addr().unwrap());
    fs::write(sandbox.tracker_info(), line).unwrap();
    let status = sandbox.peer("one").run("status").to_string();
    assert!(
        status.contains("handshake failed: no answer within 2 s"),
        "{status}"
    );
    let tracker = sandbox.tracker(&[]);
    let mut peer = sandbox.peer("two");
    let status = peer.run("status").to_string();
    assert!(!status.contains("no answer"), "{status}");
    // The tracker stops answering while the connection is open.
    tracker.signal("-STOP");
    let status = peer.run("status").to_string();
    assert!(status.contains("no answer within 1 s"), "{status}");
    tracker.signal("-CONT");
}

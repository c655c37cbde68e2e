//! Saved swarms: they survive a graceful restart, and a damaged file is ignored.

use crate::common::http_client::{HttpClient, peer_addresses, stats};
use crate::common::process::Process;
use crate::common::sandbox::Sandbox;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// Starts a tracker and waits for the second line of its output, which has the fingerprint.
fn start(sandbox: &Sandbox, data: &Path) -> Process {
    let mut tracker = sandbox.tracker(&["--data", data.to_str().unwrap()]);
    tracker.line();
    tracker
}

/// Ends the tracker by a signal. The exit is a success only after SIGTERM.
fn end(tracker: Process, signal: &str) {
    tracker.signal(signal);
    let (status, stderr) = tracker.wait();
    assert_eq!(status.success(), signal == "-TERM", "{status}: {stderr}");
}

fn stat(tracker: &Process, name: &str) -> u64 {
    stats(tracker.address)[name].as_u64().unwrap()
}

fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

#[test]
fn a_graceful_restart_keeps_every_peer_and_its_rank() {
    let sandbox = Sandbox::new();
    let data = sandbox.folder("data");
    let tracker = start(&sandbox, &data);
    let mut client = HttpClient::new(tracker.address);
    for number in 0..100 {
        let id = char::from(b'A' + number % 50);
        let more = if number < 50 { "" } else { "&uploaded=0" };
        client.announce(id, 1_000 + u16::from(number % 50), more);
    }
    let best = "&uploaded=1000000";
    client.announce('K', 1_010, best);
    assert_eq!(stat(&tracker, "peers"), 50);
    assert_eq!(stat(&tracker, "uploaded_bytes"), 1_000_000);
    end(tracker, "-TERM");
    assert!(data.join("swarms").exists());

    let tracker = start(&sandbox, &data);
    assert_eq!((stat(&tracker, "peers"), stat(&tracker, "swarms")), (50, 1));
    assert!(
        !data.join("swarms").exists(),
        "the file is deleted once it has been read"
    );
    let answer = HttpClient::new(tracker.address).announce('~', 2_000, "&numwant=5");
    assert_eq!(
        peer_addresses(&answer)[0],
        local(1_010),
        "the peer with the most uploaded bytes comes first"
    );
    assert_eq!(answer.incomplete, Some(51));
    end(tracker, "-TERM");
}

#[test]
fn after_a_kill_or_with_a_damaged_file_a_tracker_starts_with_empty_swarms() {
    let sandbox = Sandbox::new();
    let data = sandbox.folder("data");
    let tracker = start(&sandbox, &data);
    HttpClient::new(tracker.address).announce('b', 1_001, "");
    end(tracker, "-TERM");
    let saved = fs::read(data.join("swarms")).unwrap();
    let tracker = start(&sandbox, &data);
    assert_eq!(stat(&tracker, "peers"), 1);
    HttpClient::new(tracker.address).announce('b', 1_001, "&event=stopped");
    end(tracker, "-KILL");
    let tracker = start(&sandbox, &data);
    assert_eq!(
        stat(&tracker, "peers"),
        0,
        "a peer that stopped does not come back"
    );
    end(tracker, "-KILL");

    let mut changed = saved.clone();
    changed[40] ^= 1;
    let huge = vec![b'x'; 70 << 20];
    for damaged in [&saved[..saved.len() - 1], &changed, b"", b"text\n", &huge] {
        fs::write(data.join("swarms"), damaged).unwrap();
        let tracker = start(&sandbox, &data);
        assert_eq!(stat(&tracker, "peers"), 0);
        let answer = HttpClient::new(tracker.address).announce('b', 1_001, "");
        assert_eq!(answer.incomplete, Some(1));
        end(tracker, "-KILL");
        let log = fs::read_to_string(data.join("tracker.log")).unwrap();
        let message = log
            .lines()
            .rfind(|line| line.contains("starts without swarms"));
        assert!(message.is_some(), "{log}");
        fs::write(data.join("tracker.log"), "").unwrap();
    }
    fs::write(data.join("swarms"), &saved).unwrap();
    let tracker = start(&sandbox, &data);
    assert_eq!(stat(&tracker, "peers"), 1);
}

//! A recorded link between two members: it shows neither the name of the file nor a byte of it.

use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::recorder::Recording;
use std::fs;
use std::net::TcpListener;

const LENGTH: usize = 300_000;

/// A peer that listens at `address`. The tracker names the peer at 127.0.0.1, because the peer's
/// control connection comes from there.
fn peer_at(tracker: &AccountTracker, name: &str, address: &str) -> Peer {
    let mut peer = tracker.sandbox.peer_at(address, name, &[]);
    peer.run(&format!("create_user {name}\npw-of-{name}"));
    peer.run(&format!("login {name}\npw-of-{name}"));
    peer
}

/// A peer that listens at `ip`. Others connect to its port at 127.0.0.1, where their connections
/// are recorded.
fn recorded_peer(tracker: &AccountTracker, name: &str, ip: &str, recording: &Recording) -> Peer {
    // No other process listens at `ip`, so a port that is free at 127.0.0.1 is free there too.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = peer_at(tracker, name, &format!("{ip}:{port}"));
    recording.record(listener, peer.process.address);
    peer
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    let first = part[0];
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
    let mut starts = starts.map(|(at, _)| at);
    starts.any(|at| bytes[at..].starts_with(part))
}

/// What the recording must not contain: names, and samples of the file's content.
fn secrets(content: &[u8]) -> Vec<Vec<u8>> {
    let words = [
        "secret-plans",
        "laboratory",
        "niklas",
        "mayank",
        "BitTorrent",
    ];
    let mut secrets: Vec<Vec<u8>> = words.map(|word| word.as_bytes().to_vec()).to_vec();
    let samples = content
        .chunks(4096)
        .map(|chunk| chunk[..24.min(chunk.len())].to_vec());
    secrets.extend(samples);
    secrets
}

#[test]
fn a_recorded_link_between_members_contains_neither_name_nor_content() {
    let tracker = AccountTracker::new();
    let recording = Recording::default();
    let mut nik = recorded_peer(&tracker, "niklas", "127.0.0.2", &recording);
    let mut mayank = recorded_peer(&tracker, "mayank", "127.0.0.3", &recording);
    nik.run("create_group laboratory");
    mayank.run("join_group laboratory");
    nik.run("accept_request laboratory mayank");
    let file = tracker.sandbox.file("secret-plans.bin", LENGTH, 1);
    let uploaded = nik.run(&format!("upload_file laboratory {}", quoted(&file)));
    mayank.run("download_file laboratory secret-plans.bin");
    mayank.run("wait");
    let content = fs::read(&file).unwrap();
    assert!(fs::read(tracker.sandbox.path("mayank/secret-plans.bin")).unwrap() == content);
    let directions = recording.directions();
    let recorded: usize = directions.iter().map(Vec::len).sum();
    assert!(recorded > LENGTH, "only {recorded} bytes were recorded");
    let secrets = secrets(&content);
    for bytes in directions.iter().filter(|bytes| !bytes.is_empty()) {
        assert_eq!(bytes[0], 0x16, "TLS from the first byte");
        for secret in &secrets {
            assert!(
                !contains(bytes, secret),
                "{} was recorded",
                secret.escape_ascii()
            );
        }
    }
    // The info-hash is not secret: it is the server name in the TLS handshake.
    let info_hash = uploaded["info_hash"].as_str().unwrap().as_bytes();
    assert!(directions.iter().any(|bytes| contains(bytes, info_hash)));
}

//! Strangers who try to fill the log of a tracker or a peer.

use crate::common::http_client::HttpClient;
use crate::common::sandbox::Sandbox;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

/// Sends `bytes` on a new connection and waits until the other side closes it.
fn call(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    // The other side may have closed the connection already.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

fn lines_with(log: &Path, text: &str) -> usize {
    let log = fs::read_to_string(log).unwrap();
    log.lines().filter(|line| line.contains(text)).count()
}

#[test]
fn few_events_of_one_address_are_logged_and_the_others_are_counted() {
    let sandbox = Sandbox::new();
    let data = sandbox.folder("data");
    let tracker = sandbox.tracker(&["--data", data.to_str().unwrap()]);
    let peer = sandbox.peer("nik");
    for _ in 0..100 {
        call(tracker.address, b"\x16\x03\x01\x00\x05hello");
        call(peer.process.address, b"\x13BitTorrent protocol, or not");
    }
    peer.end();
    tracker.signal("-TERM");
    let (status, errors) = tracker.wait();
    assert!(status.success(), "{status}: {errors}");
    // In each minute, at most 30 lines are written, and one line that counts the others. If a new
    // minute began during the calls, there are up to 60 lines and two such counts. A few other
    // lines contain the text too.
    let tracker_log = data.join("tracker.log");
    for (log, text) in [
        (tracker_log, "the TLS handshake with 127.0.0.1"),
        (sandbox.log("nik"), "127.0.0.1:"),
    ] {
        let written = lines_with(&log, text);
        assert!((30..=65).contains(&written), "{written} lines");
        let counted = lines_with(&log, "more of these in the last minute; the last one: ");
        assert!((1..=2).contains(&counted), "{counted} lines with a count");
    }
}

#[test]
fn no_file_of_a_log_exceeds_the_maximum_size() {
    const MAX_LENGTH: u64 = 64 << 10;
    let sandbox = Sandbox::new();
    let data = sandbox.folder("data");
    let arguments = ["--log", "debug", "--log-size", "64K", "--data"];
    let tracker = sandbox.tracker(&[&arguments[..], &[data.to_str().unwrap()]].concat());
    let mut client = HttpClient::new(tracker.address);
    for _ in 0..6_000 {
        let answer = client.get("/announce?info_hash=no");
        assert!(answer.has_status("200"));
    }
    let mut files: Vec<PathBuf> = fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().contains("tracker.log"))
        .collect();
    files.sort();
    let suffixes = ["", ".1", ".2", ".3", ".4"];
    let expected = suffixes.map(|suffix| data.join(format!("tracker.log{suffix}")));
    assert_eq!(files, expected);
    for file in files {
        let length = fs::metadata(&file).unwrap().len();
        assert!(length <= MAX_LENGTH, "{}: {length} bytes", file.display());
    }
}

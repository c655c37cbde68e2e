//! A tracker whose callers read nothing or take all its descriptors, or whose address is gone. It
//! answers other callers at once, and a signal stops it.

use crate::common::http_client::{HttpClient, INFO_HASH, announce_target};
use crate::common::network_namespace::{in_own_network, remove_address};
use crate::common::odd_disk::report_skipped;
use crate::common::process::{Process, command_with_descriptor_limit};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::{PATIENCE, wait_until};
use nix::sys::socket::sockopt::RcvBuf;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

/// A connection whose window for received bytes is as small as the system allows.
fn connect_with_small_window(to: SocketAddr) -> TcpStream {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
    socket::setsockopt(&socket, RcvBuf, &1).unwrap();
    let SocketAddr::V4(to) = to else {
        panic!("{to} is not an IPv4 address")
    };
    socket::connect(socket.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
    TcpStream::from(socket)
}

/// The longest time that a busy machine may need for an answer. A write that blocks, and a thread
/// that waits for a caller, take longer.
const AT_ONCE: Duration = Duration::from_secs(4);

/// Asserts that the tracker answers five announces, each on a new connection, and each at once.
fn assert_answers_at_once(tracker: SocketAddr) {
    for _ in 0..5 {
        let begun = Instant::now();
        let mut client = HttpClient::new(tracker);
        let target = announce_target('z', 1, "&event=stopped");
        assert!(client.get(&target).has_status("200"));
        let waited = begun.elapsed();
        assert!(waited < AT_ONCE, "{waited:?}");
    }
}

#[test]
fn a_caller_that_reads_nothing_delays_no_other() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&["--max-answer-peers", "200"]);
    let mut announcer = HttpClient::new(tracker.address);
    let target = |port: u16| format!("/announce?{INFO_HASH}&peer_id={port:020}&port={port}&left=1");
    for port in 1..=200 {
        assert!(announcer.get(&target(port)).has_status("200"));
    }
    // An answer names 200 peers. The buffers of a socket cannot hold 700 such answers.
    let target = target(999) + "&numwant=200&compact=0";
    let request = format!("GET {target} HTTP/1.1\r\n\r\n").repeat(700);
    let not_reading: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = connect_with_small_window(tracker.address);
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    assert_answers_at_once(tracker.address);
    drop(not_reading);
    // A caller that is only slow gets its whole answer.
    let mut slow = connect_with_small_window(tracker.address);
    let request = format!("GET {target} HTTP/1.0\r\n\r\n");
    slow.write_all(request.as_bytes()).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).unwrap();
    assert!(answer.len() > 5_000 && answer.ends_with(b"e"));
}

/// Asserts that a signal ends the tracker within 8 s.
fn assert_stops(tracker: Process) {
    tracker.signal("-TERM");
    let begun = Instant::now();
    let (status, errors) = tracker.wait();
    assert!(status.success(), "{errors}");
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(8), "{waited:?}");
}

#[test]
fn a_tracker_whose_callers_took_all_descriptors_stops() {
    let sandbox = Sandbox::new();
    let data = sandbox.folder("data");
    let arguments = ["tracker", "--listen", "127.0.0.1:0", "--open", "--data"];
    let arguments = [&arguments[..], &[data.to_str().unwrap()]].concat();
    let tracker = Process::spawn(command_with_descriptor_limit(
        &sandbox.folder("home"),
        &arguments,
        64,
    ));
    let open_descriptors = || std::fs::read_dir(format!("/proc/{}/fd", tracker.id())).unwrap();
    let crowd: Vec<TcpStream> = (0..200)
        .map(|_| TcpStream::connect(tracker.address).unwrap())
        .collect();
    wait_until("the tracker has no descriptor left", || {
        open_descriptors().count() >= 60
    });
    assert_stops(tracker);
    drop(crowd);
}

#[test]
fn a_tracker_that_waits_without_a_free_descriptor_stops() {
    let sandbox = Sandbox::new();
    let data = sandbox.folder("data");
    let tracker = sandbox.tracker(&["--data", data.to_str().unwrap()]);
    // An answer shows that the tracker has opened all that it needs.
    let mut client = HttpClient::new(tracker.address);
    assert!(client.get("/").has_status("200"));
    drop(client);
    let mut limit = Command::new("prlimit");
    limit.args(["--nofile=3:", "--pid", &tracker.id().to_string()]);
    match limit.status() {
        Ok(status) => assert!(status.success()),
        Err(error) => return report_skipped(&format!("no prlimit here: {error}")),
    }
    // Nobody calls, so nothing but the signal wakes the tracker.
    assert_stops(tracker);
}

#[test]
fn a_tracker_whose_address_is_gone_stops() {
    in_own_network(&["10.9.8.7"], || {
        let sandbox = Sandbox::new();
        let arguments = ["tracker", "--listen", "10.9.8.7:0", "--open"];
        let tracker = Process::start(&sandbox.folder("home"), &arguments);
        remove_address("10.9.8.7");
        assert_stops(tracker);
    });
}

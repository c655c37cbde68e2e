//! Trackers that answer what they should not.

use crate::common::fake_peer::*;
use crate::common::log::wait_for_log_line;
use crate::common::open_swarm::{TORRENT, leech};
use crate::common::peer::{Peer, quoted};
use crate::common::process::{resident_kib, run};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_for;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A tracker that answers every request with `answer`; none closes without a word.
pub(crate) fn tracker(
    answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> SocketAddr {
    listen_tcp(move |mut wire, _| {
        let mut lines = BufReader::new(wire.stream.try_clone().unwrap())
            .lines()
            .map_while(Result::ok);
        let Some(first) = lines.next() else { return };
        if lines.any(|line| line.is_empty())
            && let Some(answer) = answer(&first)
        {
            wire.send(&answer);
        }
    })
}

pub(crate) fn http(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A tracker that names these peers and no other.
pub(crate) fn naming(peers: &[SocketAddr]) -> SocketAddr {
    let body = answer("i60e", &compact(peers));
    tracker(move |_| Some(http(&body)))
}

fn compact(peers: &[SocketAddr]) -> Vec<u8> {
    let entry = |peer: &SocketAddr| match peer {
        SocketAddr::V4(peer) => {
            [peer.ip().octets().as_slice(), &peer.port().to_be_bytes()].concat()
        }
        SocketAddr::V6(_) => panic!("compact peers are IPv4"),
    };
    peers.iter().flat_map(entry).collect()
}

fn answer(interval: &str, peers: &[u8]) -> Vec<u8> {
    [
        format!("d8:interval{interval}5:peers{}:", peers.len()).as_bytes(),
        peers,
        b"e",
    ]
    .concat()
}

/// An answer that asks for the next announce after a second.
pub(crate) fn answer_soon(peers: &[SocketAddr]) -> Vec<u8> {
    let peers = compact(peers);
    let head = format!("d8:intervali1e12:min intervali1e5:peers{}:", peers.len());
    [head.as_bytes(), &peers, b"8:piecefuli1ee"].concat()
}

/// Makes a tracker the only one that the peers of the sandbox know.
pub(crate) fn announce_to(sandbox: &Sandbox, tracker: SocketAddr) {
    fs::write(sandbox.tracker_info(), format!("{tracker}\n")).unwrap();
}

/// A peer that begins to download the torrent and asks that tracker for owners.
pub(crate) fn downloading(sandbox: &Sandbox, tracker: SocketAddr) -> Peer {
    announce_to(sandbox, tracker);
    let mut peer = sandbox.debug_peer("leech", &[]);
    let file = TORRENT.write(sandbox, "share.torrent");
    peer.run(&format!("download {} copy", quoted(&file)));
    peer
}

fn tracker_status(peer: &mut Peer) -> Value {
    peer.run("status")["trackers"][0].clone()
}

/// What `status` says of the tracker once it has answered or failed.
fn outcome(peer: &mut Peer) -> Value {
    wait_for(
        || Some(tracker_status(peer)).filter(|status| !status["reachable"].is_null()),
        || "the tracker is never asked".into(),
    )
}

#[test]
fn an_answer_that_cannot_be_used_is_told_and_harms_nobody() {
    let big = [
        b"d8:intervali60e5:peers2097144:".as_slice(),
        &vec![1; 2_097_144],
        b"e",
    ]
    .concat();
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nd5:peers0:e\r\n0\r\n\r\n".to_vec();
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nd5:peers0:e".to_vec();
    let table: Vec<(&str, Option<Vec<u8>>, &str)> = vec![
        (
            "not bencode",
            Some(http(b"<html>sorry</html>")),
            "is not bencode",
        ),
        ("nothing", Some(http(b"")), "is not bencode"),
        (
            "20,000 lists",
            Some(http("l".repeat(20_000).as_bytes())),
            "is not bencode",
        ),
        ("a list", Some(http(b"le")), "is not a dictionary"),
        ("2 MiB", Some(http(&big)), "limit"),
        (
            "a head of 2 MiB",
            Some([b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &vec![b'x'; 2 << 20]].concat()),
            "",
        ),
        ("a chunk of 2^64 bytes", Some(chunked), ""),
        ("less than promised", Some(short), ""),
        (
            "no HTTP",
            Some(b"\x00\x01\x02\x03\x04\x05\x06\x07\r\n\r\n".to_vec()),
            "",
        ),
        ("a closed line", None, ""),
        (
            "status 500",
            Some(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec()),
            "HTTP status 500",
        ),
        (
            "peers of 7 bytes",
            Some(http(&answer("i60e", &[1; 7]))),
            "peers in the tracker's answer is malformed",
        ),
        (
            "an interval that is text",
            Some(http(&answer("2:60", b""))),
            "interval in the tracker's answer is malformed",
        ),
        (
            "an interval beyond numbers",
            Some(http(&answer("i99999999999999999999e", b""))),
            "is not bencode",
        ),
    ];
    for (name, bytes, trouble) in table {
        let sandbox = Sandbox::new();
        let mut peer = downloading(&sandbox, tracker(move |_| bytes.clone()));
        let status = outcome(&mut peer);
        assert_eq!(status["reachable"], false, "{name}: {status}");
        let told = status["trouble"].as_str().unwrap();
        assert!(!told.is_empty() && told.contains(trouble), "{name}: {told}");
        wait_for_log_line(&peer.log, &["WARN", told]);
        assert!(resident_kib(peer.process.id()) < 64 << 10, "{name}");
    }
}

#[test]
fn redirects_in_a_circle_end_and_are_told() {
    let sandbox = Sandbox::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let circle = tracker(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Some(b"HTTP/1.1 302 Found\r\nLocation: /announce\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec())
    });
    let mut peer = downloading(&sandbox, circle);
    let status = outcome(&mut peer);
    assert_eq!(status["reachable"], false, "{status}");
    assert!(
        asked.load(Ordering::SeqCst) <= 8,
        "{asked:?} requests for one announce"
    );
}

#[test]
fn no_interval_makes_a_peer_announce_without_pause_or_never_again() {
    for interval in [
        "i0e",
        "i-1e",
        "i-9223372036854775808e",
        "i2147483648e",
        "i9223372036854775807e",
    ] {
        let sandbox = Sandbox::new();
        let asked = Arc::new(AtomicUsize::new(0));
        let (counted, body) = (asked.clone(), answer(interval, b""));
        let mut peer = downloading(
            &sandbox,
            tracker(move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
                Some(http(&body))
            }),
        );
        assert_eq!(outcome(&mut peer)["reachable"], true, "{interval}");
        // Fifty questions of ours take longer than fifty announces without a pause.
        for _ in 0..50 {
            peer.run("status");
        }
        assert!(
            asked.load(Ordering::SeqCst) <= 2,
            "{interval}: {asked:?} announces"
        );
    }
}

#[test]
fn a_tracker_that_never_answers_holds_up_neither_commands_nor_another_tracker() {
    let sandbox = Sandbox::new();
    let mute = listen_tcp(|mut wire, _| wire.read_to_end());
    let owner = honest_seed(&TORRENT, "owner");
    let good = naming(&[owner]);
    fs::write(sandbox.tracker_info(), format!("{mute}\n{good}\n")).unwrap();
    let mut peer = sandbox.debug_peer("leech", &[]);
    let file = TORRENT.write(&sandbox, "share.torrent");
    peer.run(&format!("download {} copy", quoted(&file)));
    peer.run("wait 30");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
}

#[test]
fn peers_that_cannot_be_are_passed_over_and_the_real_one_is_found() {
    let sandbox = Sandbox::new();
    let owner = honest_seed(&TORRENT, "owner");
    let nobody = [
        "0.0.0.0:0",
        "0.0.0.0:6881",
        "127.0.0.1:0",
        "224.0.0.1:6881",
        "255.255.255.255:1",
        "127.0.0.1:1",
    ];
    let nobody: Vec<SocketAddr> = nobody
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
    // The peer itself is among them: it says its port when it announces.
    let liar = tracker(move |line| {
        let port = line.split_once("port=").unwrap().1;
        let port = port.split(['&', ' ']).next().unwrap().parse().unwrap();
        let all = [
            nobody.as_slice(),
            &[SocketAddr::from(([127, 0, 0, 1], port)), owner],
        ]
        .concat();
        Some(http(&answer("i60e", &compact(&all))))
    });
    let mut peer = downloading(&sandbox, liar);
    peer.run("wait 30");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
    let own = peer.process.address;
    assert_eq!(
        peer.download("share")["from"],
        serde_json::json!({ owner.to_string(): TORRENT.content.len() })
    );
    wait_for_log_line(&peer.log, &[&format!("{own} is this peer itself")]);
}

#[test]
fn twenty_thousand_peers_that_are_not_there_do_not_hide_an_owner_for_ever() {
    let sandbox = Sandbox::new();
    let owner = honest_seed(&TORRENT, "owner");
    let mut all = vec![owner];
    // Ports of loopback addresses on which nothing listens: each call is refused at once.
    all.extend(
        (0..20_000u32)
            .map(|number| SocketAddr::from(([127, 1, (number >> 8) as u8, number as u8], 1))),
    );
    let mut peer = downloading(&sandbox, naming(&all));
    peer.run("wait 50");
    assert!(resident_kib(peer.process.id()) < 64 << 10);
}

#[test]
fn a_tracker_that_is_written_down_after_the_download_began_is_asked() {
    let sandbox = Sandbox::new();
    let mut peer = leech(&sandbox, "leech", &TORRENT);
    announce_to(&sandbox, naming(&[honest_seed(&TORRENT, "owner")]));
    peer.run("wait 30");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
}

#[test]
fn a_reason_full_of_terminal_escapes_is_shown_escaped() {
    let sandbox = Sandbox::new();
    let reason = "\x1b[2J\x1b]0;owned\x07 go \u{202e}away\n\u{9b}31m";
    let body = format!("d14:failure reason{}:{reason}e", reason.len()).into_bytes();
    announce_to(&sandbox, tracker(move |_| Some(http(&body))));
    let file = TORRENT.write(&sandbox, "share.torrent");
    let info = sandbox.tracker_info();
    let download = format!("download {} copy", quoted(&file));
    let arguments = [
        "peer",
        "127.0.0.1:0",
        info.to_str().unwrap(),
        "--dir",
        "state",
        "-c",
        &download,
        "-c",
        "wait 2",
        "-c",
        "status",
        "-c",
        "show_downloads",
    ];
    let output = run(&sandbox.folder("work"), &arguments, "");
    for text in [&output.stdout, &output.stderr] {
        let acted_on = |c: char| {
            c.is_control() && c != '\n'
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{80}'..='\u{9f}')
        };
        assert!(!text.contains(acted_on), "{text:?}");
    }
    assert!(
        output.stdout.contains("the tracker refuses: \\"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("go") && output.stdout.contains("away"),
        "{}",
        output.stdout
    );
}

//! Lying and broken trackers: their answers are refused with a reason, and other trackers and peers
//! still work.

use crate::common::fake_peer::{honest_seed, listen_tcp};
use crate::common::fake_tracker::{
    announce_answer, compact, http_response, serve_requests, set_only_tracker, tracker_naming,
};
use crate::common::handmade_torrent::Torrent;
use crate::common::log::wait_for_log_line;
use crate::common::open_swarm::{TORRENT, leech};
use crate::common::peer::{Peer, quoted};
use crate::common::process::{resident_kib, run};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_for;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A peer that starts to download `TORRENT` and asks `tracker` for seeds.
pub(crate) fn start_download(sandbox: &Sandbox, tracker: SocketAddr) -> Peer {
    start_download_of(sandbox, &TORRENT, tracker)
}

/// A peer that starts to download this torrent and asks `tracker` for seeds.
pub(crate) fn start_download_of(sandbox: &Sandbox, torrent: &Torrent, tracker: SocketAddr) -> Peer {
    set_only_tracker(sandbox, tracker);
    let mut peer = sandbox.debug_peer("leech", &[]);
    let file = torrent.write(sandbox, "share.torrent");
    peer.run(&format!("download {} copy", quoted(&file)));
    peer
}

/// The only tracker in `status`.
fn tracker_status(peer: &mut Peer) -> Value {
    peer.run("status")["trackers"][0].clone()
}

/// The only tracker in `status`, after it has answered or failed.
fn tracker_after_announce(peer: &mut Peer) -> Value {
    wait_for(
        || Some(tracker_status(peer)).filter(|status| !status["reachable"].is_null()),
        || "the peer does not announce".into(),
    )
}

#[test]
fn an_unusable_answer_is_shown_and_logged_with_its_reason() {
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
            Some(http_response(b"<html>sorry</html>")),
            "is not bencode",
        ),
        ("nothing", Some(http_response(b"")), "is not bencode"),
        (
            "20,000 lists",
            Some(http_response("l".repeat(20_000).as_bytes())),
            "is not bencode",
        ),
        ("a list", Some(http_response(b"le")), "is not a dictionary"),
        ("2 MiB", Some(http_response(&big)), "limit"),
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
        ("a closed connection", None, ""),
        (
            "status 500",
            Some(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec()),
            "HTTP status 500",
        ),
        (
            "peers that are a number",
            Some(http_response(b"d5:peersi7ee")),
            "peers in the tracker's answer is malformed",
        ),
        (
            "an interval above 64 bits",
            Some(http_response(&announce_answer(
                "i99999999999999999999e",
                b"",
            ))),
            "is not bencode",
        ),
    ];
    for (name, bytes, trouble) in table {
        let sandbox = Sandbox::new();
        let mut peer = start_download(&sandbox, serve_requests(move |_| bytes.clone()));
        let status = tracker_after_announce(&mut peer);
        assert_eq!(status["reachable"], false, "{name}: {status}");
        let shown_trouble = status["trouble"].as_str().unwrap();
        assert!(
            !shown_trouble.is_empty() && shown_trouble.contains(trouble),
            "{name}: {shown_trouble}"
        );
        wait_for_log_line(&peer.log, &["WARN", shown_trouble]);
        assert!(resident_kib(peer.process.id()) < 64 << 10, "{name}");
    }
}

#[test]
fn redirects_in_a_circle_end_as_a_failed_announce() {
    let sandbox = Sandbox::new();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let circle = serve_requests(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Some(b"HTTP/1.1 302 Found\r\nLocation: /announce\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec())
    });
    let mut peer = start_download(&sandbox, circle);
    let status = tracker_after_announce(&mut peer);
    assert_eq!(status["reachable"], false, "{status}");
    assert!(
        requests.load(Ordering::SeqCst) <= 8,
        "{requests:?} requests for one announce"
    );
}

#[test]
fn a_peer_pauses_between_announces_whatever_the_interval() {
    for interval in [
        "i0e",
        "i-1e",
        "i-9223372036854775808e",
        "i2147483648e",
        "i9223372036854775807e",
    ] {
        let sandbox = Sandbox::new();
        let requests = Arc::new(AtomicUsize::new(0));
        let (counted, body) = (requests.clone(), announce_answer(interval, b""));
        let mut peer = start_download(
            &sandbox,
            serve_requests(move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
                Some(http_response(&body))
            }),
        );
        assert_eq!(
            tracker_after_announce(&mut peer)["reachable"],
            true,
            "{interval}"
        );
        // Fifty commands take longer than fifty announces without a pause.
        for _ in 0..50 {
            peer.run("status");
        }
        assert!(
            requests.load(Ordering::SeqCst) <= 2,
            "{interval}: {requests:?} announces"
        );
    }
}

#[test]
fn a_tracker_that_never_answers_delays_neither_commands_nor_other_trackers() {
    let sandbox = Sandbox::new();
    let mute = listen_tcp(|mut link, _| link.read_to_end());
    let seed = honest_seed(&TORRENT, "seed");
    let good = tracker_naming(&[seed]);
    fs::write(sandbox.tracker_info(), format!("{mute}\n{good}\n")).unwrap();
    let mut peer = sandbox.debug_peer("leech", &[]);
    let file = TORRENT.write(&sandbox, "share.torrent");
    peer.run(&format!("download {} copy", quoted(&file)));
    peer.run("wait 30");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
}

#[test]
fn impossible_addresses_are_skipped_and_the_real_seed_is_found() {
    let sandbox = Sandbox::new();
    let seed = honest_seed(&TORRENT, "seed");
    let unreachable = [
        "0.0.0.0:0",
        "0.0.0.0:6881",
        "127.0.0.1:0",
        "224.0.0.1:6881",
        "255.255.255.255:1",
        "127.0.0.1:1",
    ];
    let unreachable: Vec<SocketAddr> = unreachable
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
    // The tracker also names the peer itself, by the port in its announce.
    let liar = serve_requests(move |line| {
        let port = line.split_once("port=").unwrap().1;
        let port = port.split(['&', ' ']).next().unwrap().parse().unwrap();
        let all = [
            unreachable.as_slice(),
            &[SocketAddr::from(([127, 0, 0, 1], port)), seed],
        ]
        .concat();
        Some(http_response(&announce_answer("i60e", &compact(&all))))
    });
    let mut peer = start_download(&sandbox, liar);
    peer.run("wait 30");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
    let own_address = peer.process.address;
    assert_eq!(
        peer.shown_download("share")["from"],
        serde_json::json!({ seed.to_string(): TORRENT.content.len() })
    );
    wait_for_log_line(&peer.log, &[&format!("{own_address} is this peer itself")]);
}

#[test]
fn twenty_thousand_unreachable_peers_do_not_hide_a_seed() {
    let sandbox = Sandbox::new();
    let seed = honest_seed(&TORRENT, "seed");
    let mut named_peers = vec![seed];
    // Nothing listens at these loopback addresses: each call is refused at once.
    named_peers.extend(
        (0..20_000u32)
            .map(|number| SocketAddr::from(([127, 1, (number >> 8) as u8, number as u8], 1))),
    );
    let mut peer = start_download(&sandbox, tracker_naming(&named_peers));
    peer.run("wait 50");
    assert!(resident_kib(peer.process.id()) < 64 << 10);
}

#[test]
fn a_tracker_added_to_tracker_info_later_is_asked() {
    let sandbox = Sandbox::new();
    let mut peer = leech(&sandbox, "leech", &TORRENT);
    set_only_tracker(&sandbox, tracker_naming(&[honest_seed(&TORRENT, "seed")]));
    peer.run("wait 30");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
}

#[test]
fn terminal_escapes_in_a_failure_reason_are_shown_escaped() {
    let sandbox = Sandbox::new();
    let reason = "\x1b[2J\x1b]0;owned\x07 go \u{202e}away\n\u{9b}31m";
    let body = format!("d14:failure reason{}:{reason}e", reason.len()).into_bytes();
    set_only_tracker(
        &sandbox,
        serve_requests(move |_| Some(http_response(&body))),
    );
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
        let terminal_acts_on = |c: char| {
            c.is_control() && c != '\n'
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{80}'..='\u{9f}')
        };
        assert!(!text.contains(terminal_acts_on), "{text:?}");
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

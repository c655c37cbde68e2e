//! Connections that begin without a handshake, connections whose handshake a peer must refuse, and
//! seeds that hang up at the handshake.

use crate::common::fake_peer::*;
use crate::common::fake_tracker::{set_only_tracker, tracker_naming};
use crate::common::log::wait_for_log_line;
use crate::common::open_swarm::{TORRENT, assert_serves, seed};
use crate::common::peer::quoted;
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_for;
use std::fs;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[test]
fn connections_without_a_handshake_for_a_served_swarm_are_closed_without_an_answer() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    let valid = handshake(TORRENT.info_hash, EXTENDED_AND_FAST, "stranger");
    let changed = |at: usize, byte: u8| {
        let mut bytes = valid.clone();
        bytes[at] = byte;
        bytes
    };
    let for_another_swarm = handshake([9; 20], EXTENDED_AND_FAST, "stranger");
    let table = [
        (
            "a protocol name of 18 bytes",
            changed(0, 18),
            "not a BitTorrent handshake (first byte 0x12)",
        ),
        (
            "a protocol name of 255 bytes",
            changed(0, 255),
            "not a BitTorrent handshake (first byte 0xff)",
        ),
        (
            "another protocol name",
            changed(19, b'L'),
            "not a BitTorrent handshake",
        ),
        (
            "another swarm",
            for_another_swarm,
            "asks for 0909090909090909090909090909090909090909, which is not served here",
        ),
        (
            "HTTP",
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            "not a BitTorrent handshake (first byte 0x47)",
        ),
        (
            "a bad TLS record",
            b"\x16\x03\x01\x00\x04none".to_vec(),
            "refused: the other side does not speak TLS",
        ),
        (
            "zeros",
            vec![0; 68],
            "not a BitTorrent handshake (first byte 0x00)",
        ),
    ];
    for (name, bytes, reason) in table {
        let mut link = FakePeer::connect_tcp(seed.process.address);
        link.send(&bytes);
        assert_eq!(
            link.stream.read(&mut [0; 1]).unwrap_or(0),
            0,
            "{name}: the seed answered"
        );
        wait_for_log_line(&seed.log, &[&format!("{}: ", link.local_address()), reason]);
    }
    let mut link = FakePeer::connect_tcp(seed.process.address);
    link.send(&valid[..67]);
    let address = link.local_address();
    drop(link);
    wait_for_log_line(
        &seed.log,
        &[&format!("{address}: "), "the handshake did not come whole"],
    );
    assert_serves(&seed, &TORRENT);
}

#[test]
fn a_peer_makes_no_link_with_itself() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    let mut link = FakePeer::connect_tcp(seed.process.address);
    link.send(&handshake(TORRENT.info_hash, EXTENDED_AND_FAST, "asker"));
    let answer = link.read_handshake().unwrap();
    let own_id = String::from_utf8(answer[48..].to_vec()).unwrap();
    let mut mirror = FakePeer::connect_tcp(seed.process.address);
    mirror.send(&handshake(TORRENT.info_hash, EXTENDED_AND_FAST, &own_id));
    // The answer shows the caller that it has called itself. Nothing follows.
    assert_eq!(&mirror.read_handshake().unwrap()[48..], own_id.as_bytes());
    assert!(mirror.read_message().is_none());
    wait_for_log_line(
        &seed.log,
        &[&format!(
            "{}: a call from ourselves",
            mirror.local_address()
        )],
    );
}

#[test]
fn a_peer_id_gets_no_second_link() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    let mut first = FakePeer::connect(seed.process.address, &TORRENT, EXTENDED_AND_FAST, "same id");
    assert_eq!(first.fetch(0, 0, 1).unwrap(), TORRENT.block(0, 0, 1));
    for _ in 0..3 {
        let mut second =
            FakePeer::connect(seed.process.address, &TORRENT, EXTENDED_AND_FAST, "same id");
        second.read_to_end();
        wait_for_log_line(
            &seed.log,
            &[&second.local_address().to_string(), "linked already"],
        );
    }
    assert_eq!(first.fetch(1, 0, 1).unwrap(), TORRENT.block(1, 0, 1));
}

#[test]
fn a_handshake_that_trickles_is_ended_at_its_deadline() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    let valid = handshake(TORRENT.info_hash, EXTENDED_AND_FAST, "slow");
    let start = Instant::now();
    let mut links: Vec<FakePeer> = (0..50)
        .map(|_| FakePeer::connect_tcp(seed.process.address))
        .collect();
    let mut next = 0;
    let mut is_open = true;
    while is_open {
        for link in &mut links {
            link.send(&valid[next..=next]);
        }
        next = (next + 1).min(60);
        assert_serves(&seed, &TORRENT);
        // The read waits between two bytes, and detects the end of the connection.
        let first = &mut links[0].stream;
        first
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        is_open = first.read(&mut [0; 1]).is_err_and(|error| {
            matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            )
        });
        assert!(
            start.elapsed() < Duration::from_secs(25),
            "the seed waits for ever"
        );
    }
    wait_for_log_line(&seed.log, &["the handshake did not come whole"]);
}

/// The seed behaves like a program that accepts only obfuscated handshakes.
#[test]
fn a_seed_that_hangs_up_at_the_handshake_is_named_with_the_likely_reason() {
    let sandbox = Sandbox::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let seed = listen_tcp(move |mut link, _| {
        link.read_handshake();
        counted.fetch_add(1, Ordering::SeqCst);
    });
    set_only_tracker(&sandbox, tracker_naming(&[seed]));
    // A peer with the default log level.
    let mut leech = sandbox.peer("leech");
    let file = TORRENT.write(&sandbox, "share.torrent");
    leech.run(&format!("download {} copy", quoted(&file)));
    let reason = format!(
        "{seed}: it hung up at the handshake; it does not share this, or accepts encrypted connections only"
    );
    let download = leech.wait_for_download("share", |download| {
        let trouble = download["trouble"].as_str().unwrap_or_default();
        trouble.starts_with(&format!("no owner can be reached: {reason}"))
    });
    assert_eq!(download["state"], "downloading");
    wait_for(
        || (calls.load(Ordering::SeqCst) >= 3).then_some(()),
        || "the seed is not called again".to_owned(),
    );
    let log = sandbox.path("leech.state/peer.log");
    wait_for_log_line(&log, &["INFO", &reason]);
    let text = fs::read_to_string(log).unwrap();
    assert_eq!(
        text.matches(&format!("calling {reason}")).count(),
        1,
        "{text}"
    );
}

#[test]
fn a_seed_that_never_answers_the_handshake_is_named() {
    let sandbox = Sandbox::new();
    let seed = listen_tcp(|mut link, _| while link.read_message().is_some() {});
    set_only_tracker(&sandbox, tracker_naming(&[seed]));
    let mut leech = sandbox.peer("leech");
    let file = TORRENT.write(&sandbox, "share.torrent");
    leech.run(&format!("download {} copy", quoted(&file)));
    leech.wait_for_download("share", |download| {
        let trouble = download["trouble"].as_str().unwrap_or_default();
        trouble.starts_with(&format!("no owner can be reached: {seed}: "))
    });
}

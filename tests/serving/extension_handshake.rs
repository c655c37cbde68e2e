//! The extension handshake (BEP 10): what a peer reports about itself, and how it uses what others
//! report.

use crate::common::fake_peer::*;
use crate::common::log::wait_for_log_line;
use crate::common::open_swarm::{TORRENT, leech, seed};
use crate::common::sandbox::Sandbox;
use std::io::Read;
use std::time::Duration;

/// Reads up to the next extension handshake. Returns its dictionary as text.
fn read_extension_handshake(link: &mut FakePeer) -> String {
    loop {
        let body = link.read_until(EXTENDED).unwrap();
        if body[0] == 0 {
            return String::from_utf8_lossy(&body[1..]).into_owned();
        }
    }
}

fn extension_handshake(dictionary: &str) -> Vec<u8> {
    frame(EXTENDED, &[b"\0", dictionary.as_bytes()].concat())
}

#[test]
fn a_peer_reports_its_version_port_queue_and_whether_it_only_uploads() {
    let sandbox = Sandbox::new();
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let mut link = FakePeer::connect(
        leech.process.address,
        &TORRENT,
        EXTENDED_AND_FAST,
        "curious",
    );
    let text = read_extension_handshake(&mut link);
    let version = concat!("pieceful ", env!("CARGO_PKG_VERSION"));
    let port = leech.process.address.port();
    for part in [version, "4:reqqi4096e", &format!("1:pi{port}e")] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("upload_only"), "{text}");
    // When the leech is complete, it reports that to peers that are not complete.
    let mut source =
        FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "source");
    source.send(&[have_all(), unchoke()].concat());
    for _ in 0..40 {
        let (index, begin, length) = parse_request(&source.read_until(REQUEST).unwrap());
        source.send(&piece(index, begin, TORRENT.block(index, begin, length)));
    }
    leech.run("wait 30");
    assert!(read_extension_handshake(&mut link).contains("11:upload_onlyi1e"));
    let mut late = FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "late");
    assert!(read_extension_handshake(&mut late).contains("11:upload_onlyi1e"));
}

#[test]
fn a_leech_has_at_most_as_many_open_requests_as_the_other_peer_queues() {
    let sandbox = Sandbox::new();
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let mut link = FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "small");
    link.send(&[extension_handshake("d4:reqqi3ee"), have_all(), unchoke()].concat());
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(link.read_until(REQUEST).unwrap());
    }
    // A fourth request would follow at once, or with the next tick.
    let pause = Duration::from_millis(500);
    link.stream.set_read_timeout(Some(pause)).unwrap();
    assert!(link.stream.read(&mut [0; 1]).is_err(), "a fourth request");
    link.stream
        .set_read_timeout(Some(crate::common::waiting::PATIENCE))
        .unwrap();
    // A later extension handshake without `reqq` changes nothing.
    link.send(&extension_handshake("d1:v1:xe"));
    for _ in 0..40 {
        if waiting.is_empty() {
            waiting.push(link.read_until(REQUEST).unwrap());
        }
        let (index, begin, length) = parse_request(&waiting.remove(0));
        link.send(&piece(index, begin, TORRENT.block(index, begin, length)));
    }
    leech.run("wait 30");
}

#[test]
fn a_link_between_two_peers_that_only_upload_is_ended() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    // This peer has some pieces and wants no others.
    let mut partial =
        FakePeer::connect(seed.process.address, &TORRENT, EXTENDED_AND_FAST, "partial");
    partial.send(
        &[
            frame(BITFIELD, &[0xf0, 0, 0]),
            extension_handshake("d11:upload_onlyi1ee"),
        ]
        .concat(),
    );
    partial.read_to_end();
    wait_for_log_line(
        &seed.log,
        &[&partial.local_address().to_string(), "neither side fetches"],
    );
    // A peer that reports that it only uploads, but is interested, is served.
    let mut undecided = FakePeer::connect(
        seed.process.address,
        &TORRENT,
        EXTENDED_AND_FAST,
        "undecided",
    );
    undecided.send(
        &[
            frame(HAVE_NONE, &[]),
            interested(),
            extension_handshake("d11:upload_onlyi1ee"),
        ]
        .concat(),
    );
    assert_eq!(undecided.fetch(0, 0, 9).unwrap(), TORRENT.block(0, 0, 9));
}

#[test]
fn a_leech_keeps_its_link_to_a_seed_that_only_uploads() {
    let sandbox = Sandbox::new();
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let mut seed = FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "seed");
    seed.send(&extension_handshake("d11:upload_onlyi1ee"));
    serve_all(seed, &TORRENT);
    leech.run("wait 30");
}

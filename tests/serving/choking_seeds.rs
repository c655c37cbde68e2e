//! Seeds that serve badly: one never unchokes, one delivers nothing, one chokes after each block.

use crate::common::fake_peer::*;
use crate::common::open_swarm::{TORRENT, leech, serve_to};
use crate::common::sandbox::Sandbox;
use std::fs;
use std::thread;

fn assert_whole(sandbox: &Sandbox) {
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
}

/// Sends the block of a request.
fn answer(link: &mut FakePeer, body: &[u8]) {
    let (index, begin, length) = parse_request(body);
    link.send(&piece(index, begin, TORRENT.block(index, begin, length)));
}

#[test]
fn a_seed_that_never_unchokes_is_asked_only_for_its_allowed_pieces() {
    let sandbox = Sandbox::new();
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let mut choking = FakePeer::connect(
        leech.process.address,
        &TORRENT,
        EXTENDED_AND_FAST,
        "choking",
    );
    choking.send(&[have_all(), frame(ALLOWED_FAST, &numbers(&[3]))].concat());
    let mut requests = Vec::new();
    for _ in 0..2 {
        let body = choking.read_until(REQUEST).unwrap();
        answer(&mut choking, &body);
        requests.push(parse_request(&body));
    }
    assert_eq!(requests, [(3, 0, BLOCK), (3, BLOCK, BLOCK)]);
    let honest = serve_to(&leech, &TORRENT, "honest");
    leech.run("wait 30");
    assert_whole(&sandbox);
    honest.join().unwrap();
    while let Some((id, body)) = choking.read_message() {
        assert_ne!(id, REQUEST, "asked while choked: {body:?}");
    }
    assert_eq!(
        leech.shown_download("share")["from"][choking.local_address().to_string()],
        32_768
    );
}

#[test]
fn a_seed_that_delivers_nothing_does_not_hold_up_a_download() {
    let sandbox = Sandbox::new();
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let mut stalling = FakePeer::connect(
        leech.process.address,
        &TORRENT,
        EXTENDED_AND_FAST,
        "stalling",
    );
    stalling.send(&[have_all(), unchoke()].concat());
    stalling.read_until(REQUEST).unwrap();
    let honest = serve_to(&leech, &TORRENT, "honest");
    leech.run("wait 30");
    assert_whole(&sandbox);
    honest.join().unwrap();
}

/// Asserts that a leech completes from a seed that chokes after each block, drops all waiting
/// requests and then unchokes. If `rejects` is true, the seed rejects each dropped request (BEP 6).
fn assert_completes_from_a_seed_that_chokes_after_each_block(reserved: [u8; 8], rejects: bool) {
    let sandbox = Sandbox::new();
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let mut link = FakePeer::connect(leech.process.address, &TORRENT, reserved, "unsteady");
    let owned_pieces = if reserved == BEP_3_ONLY {
        frame(BITFIELD, &[0xff, 0xff, 0xf0])
    } else {
        have_all()
    };
    let unsteady = thread::spawn(move || {
        link.send(&[owned_pieces, unchoke()].concat());
        while let Some(body) = link.read_until(REQUEST) {
            // The choke below drops all other requests that have arrived by now.
            link.stream.set_nonblocking(true).unwrap();
            let mut arrived = vec![0; 64 << 10];
            let length = link.stream.peek(&mut arrived).unwrap_or(0);
            link.stream.set_nonblocking(false).unwrap();
            let dropped = arrived[..length].chunks_exact(17);
            let dropped: Vec<Vec<u8>> = dropped
                .take_while(|message| message[..5] == [0, 0, 0, 13, REQUEST])
                .map(|message| message[5..].to_vec())
                .collect();
            answer(&mut link, &body);
            link.send(&frame(CHOKE, &[]));
            for body in dropped {
                assert_eq!(link.read_until(REQUEST).as_ref(), Some(&body));
                if rejects {
                    link.send(&frame(REJECT_REQUEST, &body));
                }
            }
            link.send(&unchoke());
        }
    });
    leech.run("wait 50");
    assert_whole(&sandbox);
    unsteady.join().unwrap();
}

#[test]
fn a_seed_that_chokes_after_each_block_is_asked_again() {
    assert_completes_from_a_seed_that_chokes_after_each_block(EXTENDED_AND_FAST, true);
}

#[test]
fn a_seed_that_chokes_after_each_block_without_bep_6_is_asked_again() {
    assert_completes_from_a_seed_that_chokes_after_each_block(BEP_3_ONLY, false);
}

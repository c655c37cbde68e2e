//! Seeds that send wrong data, or none, beside an honest one: the download completes, and only
//! liars are barred.

use super::lying_tracker::start_download;
use crate::common::fake_peer::*;
use crate::common::fake_tracker::{set_only_tracker, tracker_naming};
use crate::common::handmade_torrent::Torrent;
use crate::common::log::{log_line_with, wait_for_log_line};
use crate::common::open_swarm::{TORRENT, leech};
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::PATIENCE;
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};

/// Takes a request (index, begin, length) and the requested block. Returns the bytes to send.
type Answer = fn((u32, u32, u32), &[u8]) -> Vec<u8>;

fn with_first_bit_flipped(_: (u32, u32, u32), block: &[u8]) -> Vec<u8> {
    let mut block = block.to_vec();
    block[0] ^= 1;
    block
}

/// An honest seed that serves only after a signal over the channel.
fn held_seed(torrent: &Torrent) -> (SocketAddr, Sender<()>) {
    let (go, gate): (_, Receiver<()>) = channel();
    let (served, gate) = (torrent.clone(), Mutex::new(gate));
    let address = listen(torrent, "honest", move |link, _| {
        let _ = gate.lock().unwrap().recv();
        serve_all(link, &served);
    });
    (address, go)
}

fn assert_whole(sandbox: &Sandbox, torrent: &Torrent) {
    assert!(
        fs::read(sandbox.path("leech/copy")).unwrap() == torrent.content,
        "the copy differs"
    );
}

#[test]
fn a_seed_that_sends_a_bad_piece_is_barred_and_another_is_asked() {
    let sandbox = Sandbox::new();
    let (seed, go) = held_seed(&TORRENT);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let liar = listen(&TORRENT, "liar", move |link, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        serve(link, &TORRENT, with_first_bit_flipped);
    });
    let mut peer = start_download(&sandbox, tracker_naming(&[liar, seed]));
    wait_for_log_line(
        &peer.log,
        &[
            &format!("link with {liar} ended"),
            "from it does not verify",
        ],
    );
    go.send(()).unwrap();
    peer.run("wait 30");
    assert_whole(&sandbox, &TORRENT);
    assert_eq!(calls.load(Ordering::SeqCst), 1, "the liar was called again");
    assert_eq!(
        peer.shown_download("share")["from"],
        serde_json::json!({ seed.to_string(): TORRENT.content.len() })
    );
}

#[test]
fn a_seed_that_hangs_up_after_a_bad_piece_is_barred_too() {
    let sandbox = Sandbox::new();
    let liar = listen(&TORRENT, "liar", |mut link, _| {
        link.send(&[have_all(), unchoke()].concat());
        let (index, ..) = parse_request(&link.read_until(REQUEST).unwrap());
        let piece_length = if index == 19 { 20_000 } else { 32_768 };
        let blocks = (0..piece_length).step_by(BLOCK as usize).map(|begin| {
            let length = BLOCK.min(piece_length - begin);
            piece(
                index,
                begin,
                &with_first_bit_flipped(
                    (index, begin, length),
                    TORRENT.block(index, begin, length),
                ),
            )
        });
        let blocks: Vec<Vec<u8>> = blocks.collect();
        // A block that comes before its request would break the protocol.
        if blocks.len() > 1 {
            link.read_until(REQUEST).unwrap();
        }
        link.send(&blocks.concat());
    });
    let mut peer = start_download(&sandbox, tracker_naming(&[liar]));
    wait_for_log_line(&peer.log, &["does not verify"]);
    // A barred liar does not count as a seed. So the peer knows no seed, and shows the reason.
    let download = peer.wait_for_download("share", |download| {
        download["trouble"]
            .as_str()
            .is_some_and(|trouble| trouble.contains("owner"))
    });
    let trouble = download["trouble"].as_str().unwrap();
    assert!(
        trouble.starts_with("every owner sent bad data"),
        "{trouble}"
    );
}

/// One of two seeds. Both unchoke at once, and each answers only when the other has a request too.
/// So the leech requests a part of the only piece from each of them.
fn seed_beside_another(
    torrent: &Torrent,
    barrier: &Arc<Barrier>,
    id: &'static str,
    answer: Answer,
) -> SocketAddr {
    let (barrier, served) = (barrier.clone(), torrent.clone());
    listen(torrent, id, move |mut link, number| {
        if number > 0 {
            return serve(link, &served, answer);
        }
        barrier.wait();
        link.send(&[have_all(), unchoke()].concat());
        let first = parse_request(&link.read_until(REQUEST).unwrap());
        barrier.wait();
        link.send(&piece(
            first.0,
            first.1,
            &answer(first, served.block(first.0, first.1, first.2)),
        ));
        while let Some(body) = link.read_until(REQUEST) {
            let (index, begin, length) = parse_request(&body);
            link.send(&piece(
                index,
                begin,
                &answer((index, begin, length), served.block(index, begin, length)),
            ));
        }
    })
}

#[test]
fn of_two_seeds_that_sent_a_bad_piece_together_only_the_liar_is_barred() {
    let torrent = Torrent::new("share", 32 * BLOCK as usize, 32 * BLOCK as usize, 3);
    let sandbox = Sandbox::new();
    let barrier = Arc::new(Barrier::new(2));
    let liar = seed_beside_another(&torrent, &barrier, "liar", with_first_bit_flipped);
    let honest = seed_beside_another(&torrent, &barrier, "honest", |_, block| block.to_vec());
    set_only_tracker(&sandbox, tracker_naming(&[liar, honest]));
    let mut peer = sandbox.debug_peer("leech", &[]);
    let file = torrent.write(&sandbox, "share.torrent");
    peer.run(&format!("download {} copy", quoted(&file)));
    peer.run("wait 30");
    assert_whole(&sandbox, &torrent);
    wait_for_log_line(&peer.log, &["it is fetched again from one peer alone"]);
    // The good piece shows who lied, even if the liar was not asked alone.
    wait_for_log_line(&peer.log, &[&liar.to_string(), "had sent bad blocks of it"]);
    assert_eq!(
        log_line_with(&peer.log, &[&honest.to_string(), "had sent bad blocks"]),
        None
    );
    assert_eq!(
        log_line_with(&peer.log, &[&honest.to_string(), "from it does not verify"]),
        None
    );
    assert_eq!(
        peer.shown_download("share")["from"],
        serde_json::json!({ honest.to_string(): torrent.content.len() })
    );
}

/// Runs a download from `bad`, which gets the first requests, and then also from an honest seed.
/// The download must complete.
fn assert_completes_beside(
    bad: impl Fn(FakePeer, Sender<()>) + Send + Sync + 'static,
) -> (Sandbox, Peer) {
    let sandbox = Sandbox::new();
    let (seed, go) = held_seed(&TORRENT);
    let (was_requested, requested) = channel();
    let was_requested = Mutex::new(was_requested);
    let bad = listen(&TORRENT, "bad", move |link, _| {
        bad(link, was_requested.lock().unwrap().clone())
    });
    let mut peer = start_download(&sandbox, tracker_naming(&[bad, seed]));
    requested.recv_timeout(PATIENCE).unwrap();
    go.send(()).unwrap();
    let waited = peer.try_run("wait 25");
    assert_eq!(
        waited["ok"],
        true,
        "{waited}\n{}",
        fs::read_to_string(&peer.log).unwrap()
    );
    assert_whole(&sandbox, &TORRENT);
    (sandbox, peer)
}

#[test]
fn a_seed_that_chokes_after_the_first_request_does_not_stop_a_download() {
    assert_completes_beside(|mut link, was_requested| {
        link.send(&[have_all(), unchoke()].concat());
        link.read_until(REQUEST);
        link.send(&frame(CHOKE, &[]));
        let _ = was_requested.send(());
        link.read_to_end();
    });
}

#[test]
fn a_seed_that_rejects_everything_does_not_stop_a_download() {
    assert_completes_beside(|mut link, was_requested| {
        link.send(&[have_all(), unchoke()].concat());
        while let Some(body) = link.read_until(REQUEST) {
            link.send(&frame(REJECT_REQUEST, &body));
            let _ = was_requested.send(());
        }
    });
}

#[test]
fn a_seed_that_chokes_and_unchokes_at_each_request_does_not_stop_a_download() {
    assert_completes_beside(|mut link, was_requested| {
        link.send(&[have_all(), unchoke()].concat());
        while let Some(body) = link.read_until(REQUEST) {
            link.send(&[frame(CHOKE, &[]), frame(REJECT_REQUEST, &body), unchoke()].concat());
            let _ = was_requested.send(());
        }
    });
}

#[test]
fn a_seed_that_goes_silent_inside_a_block_does_not_stop_a_download() {
    assert_completes_beside(|mut link, was_requested| {
        link.send(&[have_all(), unchoke()].concat());
        let (index, begin, length) = parse_request(&link.read_until(REQUEST).unwrap());
        let message = piece(index, begin, TORRENT.block(index, begin, length));
        link.send(&message[..message.len() / 2]);
        let _ = was_requested.send(());
        link.read_to_end();
    });
}

#[test]
fn a_block_that_was_not_requested_ends_the_link() {
    let sandbox = Sandbox::new();
    let leech = leech(&sandbox, "leech", &TORRENT);
    let mut link = FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "eager");
    link.send(&[have_all(), unchoke()].concat());
    let (index, begin, length) = parse_request(&link.read_until(REQUEST).unwrap());
    // The block is one byte shorter than requested. So it does not count as the requested one.
    link.send(&piece(
        index,
        begin,
        &TORRENT.block(index, begin, length)[1..],
    ));
    link.read_to_end();
    wait_for_log_line(
        &leech.log,
        &[
            &format!("link with {} ended", link.local_address()),
            "a block that was not asked for",
        ],
    );
    assert!(!sandbox.path("leech/copy").exists());
}

#[test]
fn a_block_sent_twice_ends_the_link_and_counts_once() {
    let (_sandbox, mut peer) = assert_completes_beside(|mut link, was_requested| {
        link.send(&[have_all(), unchoke()].concat());
        let (index, begin, length) = parse_request(&link.read_until(REQUEST).unwrap());
        let message = piece(index, begin, TORRENT.block(index, begin, length));
        link.send(&message.repeat(2));
        link.read_to_end();
        let _ = was_requested.send(());
    });
    wait_for_log_line(&peer.log, &["ended", "a block that was not asked for"]);
    let from = peer.shown_download("share")["from"].clone();
    let counts = from.as_object().unwrap().values();
    let sum: u64 = counts.map(|bytes| bytes.as_u64().unwrap()).sum();
    assert_eq!(sum, TORRENT.content.len() as u64);
}

#[test]
fn a_block_after_a_choke_is_late_but_not_a_breach() {
    let (_sandbox, peer) = assert_completes_beside(|mut link, was_requested| {
        link.send(&[have_all(), unchoke()].concat());
        let body = link.read_until(REQUEST).unwrap();
        let (index, begin, length) = parse_request(&body);
        let late = piece(index, begin, TORRENT.block(index, begin, length));
        link.send(&[frame(CHOKE, &[]), late, unchoke()].concat());
        // The leech still sends requests over this link.
        assert!(link.read_until(REQUEST).is_some());
        let _ = was_requested.send(());
        serve_all(link, &TORRENT);
    });
    assert_eq!(log_line_with(&peer.log, &["was not asked for"]), None);
}

#[test]
fn pieces_that_end_inside_a_block_arrive_whole() {
    let sandbox = Sandbox::new();
    for (number, piece_length) in [1, 1_000, 16_383, 16_385, 100_000].into_iter().enumerate() {
        let length = 3 * piece_length + piece_length / 2;
        let torrent = Torrent::new("share", length, piece_length, number as u64);
        let seed = honest_seed(&torrent, "honest");
        set_only_tracker(&sandbox, tracker_naming(&[seed]));
        let mut peer = sandbox.debug_peer(&format!("leech{number}"), &[]);
        let file = torrent.write(&sandbox, "share.torrent");
        peer.run(&format!("download {} copy", quoted(&file)));
        peer.run("wait 30");
        let copy = fs::read(sandbox.path(&format!("leech{number}/copy"))).unwrap();
        assert!(copy == torrent.content, "pieces of {piece_length}");
    }
}

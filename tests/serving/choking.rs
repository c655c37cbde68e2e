//! Upload slots: which peers a seed serves, and what happens to requests when it chokes.

use crate::common::fake_peer::*;
use crate::common::open_swarm::{TORRENT, seed_with};
use crate::common::peer::Peer;
use crate::common::sandbox::Sandbox;
use std::collections::HashSet;
use std::fs;

/// One slot and one block per second: requests wait long enough to be dropped.
const ONE_SLOW_SLOT: [&str; 4] = ["--upload-slots", "1", "--up", "16K"];

/// The requests for every block of the first 19 pieces.
fn all_requests() -> Vec<[u32; 3]> {
    (0..19)
        .flat_map(|piece| [[piece, 0, BLOCK], [piece, BLOCK, BLOCK]])
        .collect()
}

fn send_all_requests(link: &mut FakePeer) {
    for [index, begin, length] in all_requests() {
        link.send(&request(index, begin, length));
    }
}

/// Reads the numbers of the pieces that a caller may request while choked (BEP 6).
fn read_allowed_pieces(link: &mut FakePeer) -> HashSet<u32> {
    let numbers = (0..10).map(|_| link.read_until(ALLOWED_FAST).unwrap().try_into().unwrap());
    numbers.map(u32::from_be_bytes).collect()
}

/// Connects a caller that gets no slot: it is interested, and the seed rejects its request.
fn connect_waiting_caller(seed: &Peer, id: &str) -> FakePeer {
    let mut link = FakePeer::connect(seed.process.address, &TORRENT, EXTENDED_AND_FAST, id);
    let allowed = read_allowed_pieces(&mut link);
    let not_allowed = (0..20).find(|piece| !allowed.contains(piece)).unwrap();
    link.send(&[interested(), request(not_allowed, 0, 1)].concat());
    assert_eq!(
        link.read_message(),
        Some((REJECT_REQUEST, numbers(&[not_allowed, 0, 1])))
    );
    link
}

#[test]
fn a_choke_rejects_waiting_requests_and_frees_the_slot() {
    let sandbox = Sandbox::new();
    let seed = seed_with(&sandbox, "seed", &TORRENT, &ONE_SLOW_SLOT);
    let mut first = FakePeer::connect(seed.process.address, &TORRENT, EXTENDED_AND_FAST, "first");
    let allowed = read_allowed_pieces(&mut first);
    first.send(&interested());
    first.read_until(UNCHOKE).unwrap();
    send_all_requests(&mut first);
    let mut second = connect_waiting_caller(&seed, "second");
    // `first` gives up its slot while `second` waits for one. So the seed drops the waiting
    // requests of `first`.
    let block = first.read_until(PIECE).unwrap();
    first.send(&frame(NOT_INTERESTED, &[]));
    let mut answered = HashSet::from([block[..8].to_vec()]);
    let mut choked = false;
    let is_allowed =
        |body: &[u8]| allowed.contains(&parse_request(&[&body[..8], &[0; 4]].concat()).0);
    // After the choke, only allowed pieces may still be served. The seed rejects each waiting
    // request for a piece that is not allowed.
    let not_allowed = all_requests()
        .iter()
        .map(|request| numbers(request))
        .filter(|body| !is_allowed(body))
        .count();
    while answered.iter().filter(|body| !is_allowed(body)).count() < not_allowed {
        let (id, body) = first.read_message().unwrap();
        match id {
            CHOKE => choked = true,
            PIECE => assert!(!choked || is_allowed(&body), "a block after the choke"),
            REJECT_REQUEST => assert!(
                choked && !is_allowed(&body),
                "a reject before the choke or of an allowed piece"
            ),
            _ => continue,
        }
        if id != CHOKE {
            assert!(answered.insert(body[..8].to_vec()), "answered twice");
        }
    }
    assert!(choked);
    assert_eq!(second.read_until(UNCHOKE), Some(vec![]));
    // A new request while choked is rejected at once.
    let refused = (0..19).find(|piece| !allowed.contains(piece));
    let new_request = [refused.unwrap(), 0, BLOCK];
    first.send(&frame(REQUEST, &numbers(&new_request)));
    assert_eq!(
        first.read_until(REJECT_REQUEST),
        Some(numbers(&new_request))
    );
}

#[test]
fn without_bep_6_a_choke_drops_requests_silently() {
    let sandbox = Sandbox::new();
    let seed = seed_with(&sandbox, "seed", &TORRENT, &ONE_SLOW_SLOT);
    let mut plain = FakePeer::connect(seed.process.address, &TORRENT, BEP_3_ONLY, "plain");
    plain.send(&interested());
    plain.read_until(UNCHOKE).unwrap();
    send_all_requests(&mut plain);
    let mut second = connect_waiting_caller(&seed, "second");
    plain.read_until(PIECE).unwrap();
    plain.send(&frame(NOT_INTERESTED, &[]));
    second.read_until(UNCHOKE).unwrap();
    plain.read_until(CHOKE).unwrap();
    // The seed reports nothing about the dropped requests: the next message is an unchoke, and the
    // one after it is the block of a new request.
    plain.send(&[request(5, 0, 7), interested()].concat());
    drop(second);
    assert_eq!(plain.read_message(), Some((UNCHOKE, vec![])));
    plain.send(&request(9, 3, 77));
    let (id, body) = plain.read_message().unwrap();
    assert_eq!((id, &body[..8]), (PIECE, &numbers(&[9, 3])[..]));
}

#[test]
fn a_choked_peer_gets_allowed_pieces_until_it_has_ten_pieces() {
    let sandbox = Sandbox::new();
    let seed = seed_with(&sandbox, "seed", &TORRENT, &["--upload-slots", "1"]);
    let mut holder = FakePeer::connect(seed.process.address, &TORRENT, EXTENDED_AND_FAST, "holder");
    holder.send(&interested());
    holder.read_until(UNCHOKE).unwrap();
    let mut link = FakePeer::connect(seed.process.address, &TORRENT, EXTENDED_AND_FAST, "choked");
    let set = read_allowed_pieces(&mut link);
    let allowed: Vec<u32> = set.into_iter().collect();
    let not_allowed = (0..20).find(|piece| !allowed.contains(piece)).unwrap();
    link.send(&request(not_allowed, 0, 9));
    assert_eq!(
        link.read_message(),
        Some((REJECT_REQUEST, numbers(&[not_allowed, 0, 9])))
    );
    link.send(&request(allowed[0], 4, 9));
    let (id, body) = link.read_message().unwrap();
    assert_eq!(
        (id, &body[8..]),
        (PIECE, TORRENT.block(allowed[0], 4, 9)),
        "an allowed piece"
    );
    for piece in 0..10 {
        link.send(&frame(HAVE, &numbers(&[piece])));
    }
    link.send(&request(allowed[0], 4, 9));
    assert_eq!(
        link.read_message(),
        Some((REJECT_REQUEST, numbers(&[allowed[0], 4, 9])))
    );
    // A cancel of a request that was never sent is not answered.
    holder.send(&frame(CANCEL, &numbers(&[1, 0, BLOCK])));
    holder.send(&request(1, 0, 5));
    assert_eq!(holder.read_message().unwrap().0, PIECE);
}

#[test]
fn downloads_complete_with_more_leeches_than_slots() {
    const LENGTH: usize = 6 << 20;
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let slots = ["--upload-slots", "2"];
    let mut seed = sandbox.peer_with("seed", &slots);
    let file = sandbox.file("share", LENGTH, 5);
    let torrent = sandbox.path("share.torrent");
    seed.run(&format!(
        "send '{}' '{}'",
        file.display(),
        torrent.display()
    ));
    let mut leeches: Vec<_> = (0..7)
        .map(|number| sandbox.peer_with(&format!("leech{number}"), &slots))
        .collect();
    for leech in &mut leeches {
        leech.run(&format!("download '{}' copy", torrent.display()));
    }
    let mut from_seed = 0;
    for (number, leech) in leeches.iter_mut().enumerate() {
        leech.run("wait 60");
        assert!(
            fs::read(sandbox.path(&format!("leech{number}/copy"))).unwrap()
                == fs::read(&file).unwrap()
        );
        let from = leech.shown_download("share")["from"].clone();
        from_seed += from[seed.process.address.to_string()].as_u64().unwrap_or(0);
    }
    assert!(
        from_seed < 7 * LENGTH as u64,
        "the leeches got nothing from each other: {from_seed}"
    );
}

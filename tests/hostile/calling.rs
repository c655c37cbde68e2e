//! Callers of a peer: odd messages that are allowed, and too many requests.

use crate::common::fake_peer::*;
use crate::common::log::{log_line_with, wait_for_log_line};
use crate::common::open_swarm::{TORRENT, assert_serves, leech, seed, seed_with};
use crate::common::process::resident_kib;
use crate::common::sandbox::Sandbox;

#[test]
fn odd_but_allowed_messages_do_not_end_the_link() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    let bitfield = frame(BITFIELD, &[0x80, 0, 0]);
    let extension_handshake = frame(EXTENDED, b"\0d1:md6:ut_pexi1ee1:pi1e4:reqqi-5e1:v3:x\x1bye");
    let table: [(&str, Vec<u8>); 16] = [
        ("keep-alives", KEEP_ALIVE.repeat(1000)),
        ("an unknown id", frame(99, &[1, 2, 3])),
        (
            "1 MiB under an unknown id",
            frame(99, &vec![1; (1 << 20) - 1]),
        ),
        (
            "an extension that was not offered",
            frame(EXTENDED, &[7, 1, 2]),
        ),
        (
            "the extension handshake before the bitfield",
            [extension_handshake.clone(), bitfield.clone()].concat(),
        ),
        (
            "the extension handshake twice",
            [extension_handshake.clone(), extension_handshake].concat(),
        ),
        (
            "a DHT port before the bitfield",
            [frame(PORT, &[0x1a, 0xe1]), bitfield.clone()].concat(),
        ),
        (
            "a keep-alive before the bitfield",
            [KEEP_ALIVE.to_vec(), bitfield.clone()].concat(),
        ),
        (
            "the same bitfield twice",
            [bitfield.clone(), bitfield.clone()].concat(),
        ),
        (
            "a second bitfield with more pieces, instead of `have`",
            [
                frame(HAVE_NONE, &[]),
                bitfield,
                frame(BITFIELD, &[0xa0, 0, 0]),
            ]
            .concat(),
        ),
        (
            "have twice",
            [frame(HAVE, &[0, 0, 0, 3]), frame(HAVE, &[0, 0, 0, 3])].concat(),
        ),
        (
            "a cancel of a block that was not requested",
            frame(CANCEL, &numbers(&[0, 0, BLOCK])),
        ),
        (
            "a reject of a block that was not requested",
            frame(REJECT_REQUEST, &numbers(&[0, 0, BLOCK])),
        ),
        (
            "choke, unchoke, interested and not interested, twice",
            [0, 1, 2, 3, 0, 1, 2, 3]
                .iter()
                .flat_map(|id| frame(*id, &[]))
                .collect(),
        ),
        (
            "suggest and allowed fast",
            [frame(SUGGEST_PIECE, &[0; 4]), frame(ALLOWED_FAST, &[0; 4])].concat(),
        ),
        ("have none", frame(HAVE_NONE, &[])),
    ];
    for (number, (name, bytes)) in table.into_iter().enumerate() {
        let mut link = FakePeer::connect(
            seed.process.address,
            &TORRENT,
            EXTENDED_AND_FAST,
            &format!("odd{number}"),
        );
        link.send(&bytes);
        let block = link.fetch(3, 16, 100);
        let line = log_line_with(
            &seed.log,
            &[&format!("link with {} ended", link.local_address())],
        );
        assert_eq!(
            block.as_deref(),
            Some(TORRENT.block(3, 16, 100)),
            "{name}: {line:?}"
        );
    }
}

/// A handshake and messages of many kinds, with two requests among them.
fn handshake_and_messages(id: &str) -> Vec<u8> {
    let messages = [
        KEEP_ALIVE.to_vec(),
        frame(EXTENDED, b"\0de"),
        frame(BITFIELD, &[0x40, 0, 0]),
        frame(HAVE, &numbers(&[2])),
        frame(INTERESTED, &[]),
        KEEP_ALIVE.to_vec(),
        frame(99, b"unknown"),
        request(5, 0, BLOCK),
        frame(CANCEL, &numbers(&[6, 0, 1])),
        frame(PORT, &[1, 2]),
        request(19, BLOCK, 3616),
        KEEP_ALIVE.to_vec(),
    ];
    let handshake = handshake(TORRENT.info_hash, EXTENDED_AND_FAST, id);
    [handshake, messages.concat()].concat()
}

/// Asserts that both requests of [`handshake_and_messages`] are answered.
fn assert_answered(mut link: FakePeer) {
    assert!(link.read_handshake().is_some());
    let blocks = [
        link.read_until(PIECE).unwrap(),
        link.read_until(PIECE).unwrap(),
    ];
    assert!(
        blocks[0][8..] == *TORRENT.block(5, 0, BLOCK)
            && blocks[1][8..] == *TORRENT.block(19, BLOCK, 3616)
    );
}

#[test]
fn messages_may_be_split_anywhere_or_come_all_at_once() {
    let sandbox = Sandbox::new();
    let seed = seed_with(&sandbox, "seed", &TORRENT, &["--upload-slots", "200"]);
    let mut whole = FakePeer::connect_tcp(seed.process.address);
    whole.send(&handshake_and_messages("whole"));
    assert_answered(whole);
    let mut bytewise = FakePeer::connect_tcp(seed.process.address);
    handshake_and_messages("bytewise")
        .iter()
        .for_each(|byte| bytewise.send(&[*byte]));
    assert_answered(bytewise);
    for cut in 1..handshake_and_messages("").len() {
        let bytes = handshake_and_messages(&format!("cut{cut}"));
        let mut link = FakePeer::connect_tcp(seed.process.address);
        link.send(&bytes[..cut]);
        link.send(&bytes[cut..]);
        assert_answered(link);
    }
}

#[test]
fn ten_thousand_requests_at_once_end_the_link_and_take_no_memory() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    let kib_before = resident_kib(seed.process.id());
    let mut greedy = FakePeer::connect(seed.process.address, &TORRENT, EXTENDED_AND_FAST, "greedy");
    greedy.send(&interested());
    greedy.read_until(UNCHOKE).unwrap();
    greedy.send(&request(0, 0, BLOCK).repeat(10_000));
    let address = greedy.local_address().to_string();
    let line = wait_for_log_line(&seed.log, &[&format!("link with {address} ended")]);
    assert!(
        line.contains("more open requests than this peer keeps"),
        "{line}"
    );
    assert_serves(&seed, &TORRENT);
    let grown = resident_kib(seed.process.id()).saturating_sub(kib_before);
    assert!(grown < 8 << 10, "{grown} KiB more than before");
}

#[test]
fn a_caller_that_reads_nothing_does_not_stop_others() {
    let sandbox = Sandbox::new();
    let seed = seed_with(&sandbox, "seed", &TORRENT, &["--upload-slots", "200"]);
    // Each caller fills its own connection: 1,000 blocks are 16 MiB, more than the buffers of the
    // sockets.
    let deaf: Vec<FakePeer> = (0..20)
        .map(|number| {
            let mut link = FakePeer::connect(
                seed.process.address,
                &TORRENT,
                EXTENDED_AND_FAST,
                &format!("deaf{number}"),
            );
            link.send(&interested());
            link.read_until(UNCHOKE).unwrap();
            link.send(&request(0, 0, BLOCK).repeat(1000));
            link
        })
        .collect();
    let mut honest = FakePeer::connect(seed.process.address, &TORRENT, EXTENDED_AND_FAST, "honest");
    for index in 0..20 {
        assert_eq!(
            honest.fetch(index, 0, 16).unwrap(),
            TORRENT.block(index, 0, 16)
        );
    }
    let memory = resident_kib(seed.process.id());
    assert!(memory < 64 << 10, "{memory} KiB");
    drop(deaf);
}

#[test]
fn a_request_for_a_missing_piece_is_rejected() {
    let sandbox = Sandbox::new();
    let leech = leech(&sandbox, "leech", &TORRENT);
    let kib_before = resident_kib(leech.process.id());
    let mut link = FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "early");
    link.send(&request(4, 0, BLOCK));
    assert_eq!(
        link.read_until(REJECT_REQUEST).unwrap(),
        numbers(&[4, 0, BLOCK])
    );
    // Without BEP 6 there is no reject message. The link stays open.
    let mut plain = FakePeer::connect(leech.process.address, &TORRENT, BEP_3_ONLY, "plain");
    plain.send(&[request(4, 0, BLOCK), frame(INTERESTED, &[])].concat());
    assert_eq!(plain.read_message().unwrap(), (UNCHOKE, vec![]));
    // The caller does not read these rejects.
    link.send(&request(4, 0, BLOCK).repeat(400_000));
    let mut later = FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "later");
    later.send(&interested());
    assert_eq!(later.read_until(UNCHOKE), Some(vec![]));
    let grown = resident_kib(leech.process.id()).saturating_sub(kib_before);
    assert!(grown < 8 << 10, "{grown} KiB more than before");
}

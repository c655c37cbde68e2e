//! Breaches of the protocol: each ends its link, and the log names the rule.

use crate::common::fake_peer::*;
use crate::common::log::wait_for_log_line;
use crate::common::open_swarm::{TORRENT, seed};
use crate::common::process::resident_kib;
use crate::common::sandbox::Sandbox;

/// The name of a breach, the reserved bits of the handshake, the bytes that follow it, and what the
/// log must say.
type Breach = (&'static str, [u8; 8], Vec<u8>, &'static str);

/// The length and the id of a message, without its body. These alone must be enough for the peer to
/// refuse the message.
fn message_header(length: u32, id: u8) -> Vec<u8> {
    [length.to_be_bytes().as_slice(), &[id]].concat()
}

/// A message with these numbers as its body.
fn message_of(id: u8, values: &[u32]) -> Vec<u8> {
    frame(id, &numbers(values))
}

fn wrong_lengths() -> Vec<Breach> {
    let wrong = [
        (0, 2, "message 0 has length 2"),
        (1, 2, "message 1 has length 2"),
        (2, 2, "message 2 has length 2"),
        (3, 2, "message 3 has length 2"),
        (4, 4, "message 4 has length 4"),
        (4, 6, "message 4 has length 6"),
        (5, 5, "message 5 has length 5"),
        (6, 12, "message 6 has length 12"),
        (6, 14, "message 6 has length 14"),
        (7, 1, "message 7 has length 1"),
        (7, 8, "message 7 has length 8"),
        (7, 9, "message 7 has length 9"),
        (7, 500_009, "message 7 has length 500009"),
        (8, 12, "message 8 has length 12"),
        (9, 1, "message 9 has length 1"),
        (13, 1, "message 13 has length 1"),
        (14, 2, "message 14 has length 2"),
        (15, 5, "message 15 has length 5"),
        (16, 1, "message 16 has length 1"),
        (17, 6, "message 17 has length 6"),
        (20, 1, "message 20 has length 1"),
        (20, 65_537, "message 20 has length 65537"),
    ];
    let rows = wrong.map(|(id, length, rule)| {
        (
            "a length that no message with this id has",
            EXTENDED_AND_FAST,
            message_header(length, id),
            rule,
        )
    });
    let prefixes = [
        (u32::MAX, "a message of 4294967295 bytes"),
        (1 << 31, "a message of 2147483648 bytes"),
        ((1 << 20) + 1, "a message of 1048577 bytes"),
    ];
    let prefixes = prefixes.map(|(length, rule)| {
        (
            "a length above the limit",
            EXTENDED_AND_FAST,
            message_header(length, 7),
            rule,
        )
    });
    rows.into_iter().chain(prefixes).collect()
}

fn wrong_pieces() -> Vec<Breach> {
    let piece_0 = frame(BITFIELD, &[0x80, 0, 0]);
    vec![
        (
            "a short bitfield",
            EXTENDED_AND_FAST,
            frame(BITFIELD, &[0, 0]),
            "a bitfield has 2 bytes instead of 3",
        ),
        (
            "an empty bitfield",
            EXTENDED_AND_FAST,
            frame(BITFIELD, &[]),
            "a bitfield has 0 bytes instead of 3",
        ),
        (
            "a long bitfield",
            EXTENDED_AND_FAST,
            frame(BITFIELD, &[0; 4]),
            "message 5 has length 5",
        ),
        (
            "spare bits",
            EXTENDED_AND_FAST,
            frame(BITFIELD, &[0, 0, 1]),
            "a spare bit of the bitfield is set",
        ),
        (
            "a second bitfield without the piece of the first",
            EXTENDED_AND_FAST,
            [piece_0.clone(), frame(BITFIELD, &[0x40, 0, 0])].concat(),
            "a later bitfield lacks pieces that were announced before",
        ),
        (
            "a bitfield without the piece of an earlier `have`",
            EXTENDED_AND_FAST,
            [message_of(4, &[1]), piece_0.clone()].concat(),
            "a later bitfield lacks pieces that were announced before",
        ),
        (
            "have none after a bitfield",
            EXTENDED_AND_FAST,
            [piece_0, frame(HAVE_NONE, &[])].concat(),
            "a later bitfield lacks pieces that were announced before",
        ),
        (
            "have of piece 20 of 20",
            EXTENDED_AND_FAST,
            message_of(4, &[20]),
            "have for piece 20, but the share has no such piece",
        ),
        (
            "have of the largest number",
            EXTENDED_AND_FAST,
            message_of(4, &[u32::MAX]),
            "have for piece 4294967295, but the share has no such piece",
        ),
        (
            "have all without BEP 6",
            BEP_3_ONLY,
            frame(HAVE_ALL, &[]),
            "the fast extension that was not agreed on",
        ),
        (
            "reject without BEP 6",
            BEP_3_ONLY,
            message_of(16, &[0, 0, BLOCK]),
            "the fast extension that was not agreed on",
        ),
        (
            "suggest of a piece that does not exist",
            EXTENDED_AND_FAST,
            message_of(13, &[20]),
            "suggest for piece 20, but the share has no such piece",
        ),
        (
            "allowed fast of a piece that does not exist",
            EXTENDED_AND_FAST,
            message_of(17, &[u32::MAX]),
            "allowed fast for piece 4294967295, but the share has no such piece",
        ),
    ]
}

fn wrong_blocks() -> Vec<Breach> {
    let block = [7; BLOCK as usize];
    vec![
        (
            "a block that was not requested",
            EXTENDED_AND_FAST,
            piece(0, 0, &block),
            "a block that was not asked for: piece 0, bytes 0+16384",
        ),
        (
            "a block of twice the length",
            EXTENDED_AND_FAST,
            piece(0, 0, &[7; 2 * BLOCK as usize]),
            "a block that was not asked for: piece 0, bytes 0+32768",
        ),
        (
            "a block of piece 20 of 20",
            EXTENDED_AND_FAST,
            piece(20, 0, &block),
            "bad block: no piece 20: the share has 20 pieces",
        ),
        (
            "a block of a piece far outside",
            EXTENDED_AND_FAST,
            piece(3_581_935_998, 0, &block),
            "bad block: no piece 3581935998: the share has 20 pieces",
        ),
        (
            "a block that leaves its piece",
            EXTENDED_AND_FAST,
            piece(0, BLOCK + 1, &block),
            "bad block: bytes 16385+16384 of a piece of 32768",
        ),
        (
            "a block whose end overflows",
            EXTENDED_AND_FAST,
            piece(0, u32::MAX, &block),
            "bad block: bytes 4294967295+16384 of a piece of 32768",
        ),
        (
            "a whole block in the short last piece",
            EXTENDED_AND_FAST,
            piece(19, BLOCK, &block),
            "bad block: bytes 16384+16384 of a piece of 20000",
        ),
        (
            "a request of nothing",
            EXTENDED_AND_FAST,
            request(0, 0, 0),
            "a block of 0 bytes",
        ),
        (
            "a request over 128 KiB",
            EXTENDED_AND_FAST,
            request(0, 0, (128 << 10) + 1),
            "a block of 131073 bytes",
        ),
        (
            "a request of 4 GiB",
            EXTENDED_AND_FAST,
            request(0, 0, u32::MAX),
            "a block of 4294967295 bytes",
        ),
        (
            "a request that leaves its piece",
            EXTENDED_AND_FAST,
            request(0, 32_768, 1),
            "bytes 32768+1 of a piece of 32768",
        ),
        (
            "a request whose end overflows",
            EXTENDED_AND_FAST,
            request(0, u32::MAX, 2),
            "bytes 4294967295+2 of a piece of 32768",
        ),
        (
            "a request of a piece that does not exist",
            EXTENDED_AND_FAST,
            request(20, 0, 1),
            "no piece 20: the share has 20 pieces",
        ),
        (
            "a cancel of a piece that does not exist",
            EXTENDED_AND_FAST,
            message_of(8, &[20, 0, 1]),
            "no piece 20: the share has 20 pieces",
        ),
        (
            "a reject that overflows",
            EXTENDED_AND_FAST,
            message_of(16, &[0, u32::MAX, 2]),
            "bytes 4294967295+2 of a piece of 32768",
        ),
    ]
}

fn wrong_extension_messages() -> Vec<Breach> {
    let deep = [&[0], "l".repeat(20_000).as_bytes()].concat();
    let huge = [&[0], b"d1:v99999999999:x".as_slice()].concat();
    vec![
        (
            "extended without BEP 10",
            BEP_3_ONLY,
            frame(EXTENDED, b"\0de"),
            "the extension protocol that was not agreed on",
        ),
        (
            "an extension handshake that is not bencode",
            EXTENDED_AND_FAST,
            frame(EXTENDED, b"\0x"),
            "bad extension handshake",
        ),
        (
            "an extension handshake that is a list",
            EXTENDED_AND_FAST,
            frame(EXTENDED, b"\0le"),
            "bad extension handshake",
        ),
        (
            "20,000 nested lists",
            EXTENDED_AND_FAST,
            frame(EXTENDED, &deep),
            "bad extension handshake",
        ),
        (
            "a text of 99999999999 bytes",
            EXTENDED_AND_FAST,
            frame(EXTENDED, &huge),
            "bad extension handshake",
        ),
    ]
}

#[test]
fn every_breach_ends_its_own_link_and_is_named_in_the_log() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    let kib_before = resident_kib(seed.process.id());
    let mut bystander = FakePeer::connect(
        seed.process.address,
        &TORRENT,
        EXTENDED_AND_FAST,
        "bystander",
    );
    let rows = [
        wrong_lengths(),
        wrong_pieces(),
        wrong_blocks(),
        wrong_extension_messages(),
    ]
    .concat();
    for (number, (name, reserved, bytes, rule)) in rows.into_iter().enumerate() {
        let mut link = FakePeer::connect(
            seed.process.address,
            &TORRENT,
            reserved,
            &format!("breaker{number}"),
        );
        link.send(&bytes);
        link.read_to_end();
        let address = link.local_address().to_string();
        let line = wait_for_log_line(&seed.log, &[&format!("link with {address} ended")]);
        assert!(line.contains(rule), "{name}: {line}");
    }
    assert_eq!(
        bystander.fetch(19, BLOCK, 3616).unwrap(),
        TORRENT.block(19, BLOCK, 3616)
    );
    let grown = resident_kib(seed.process.id()).saturating_sub(kib_before);
    assert!(grown < 8 << 10, "{grown} KiB more than before");
}

//! The extension handshake (BEP 10): what we say of ourselves, and what we make of what others say.

use crate::common::fake_peer::*;
use crate::common::log::wait_for_log_line;
use crate::common::open_swarm::{TORRENT, leech, seed};
use crate::common::sandbox::Sandbox;
use std::io::Read;
use std::time::Duration;

/// The next extension handshake that comes, as text.
fn hello(link: &mut FakePeer) -> String {
    loop {
        let body = link.read_until(EXTENDED).unwrap();
        if body[0] == 0 {
            return String::from_utf8_lossy(&body[1..]).into_owned();
        }
    }
}

fn hello_frame(dictionary: &str) -> Vec<u8> {
    frame(EXTENDED, &[b"\0", dictionary.as_bytes()].concat())
}

#[test]
fn it_tells_of_program_port_queue_and_whether_it_only_uploads() {
    let sandbox = Sandbox::new();
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let mut link = FakePeer::connect(
        leech.process.address,
        &TORRENT,
        EXTENDED_AND_FAST,
        "curious",
    );
    let text = hello(&mut link);
    let version = concat!("pieceful ", env!("CARGO_PKG_VERSION"));
    let port = leech.process.address.port();
    for part in [version, "4:reqqi4096e", &format!("1:pi{port}e")] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("upload_only"), "{text}");
    // Once it has everything it says so, to those who still lack something.
    let mut giver = FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "giver");
    giver.send(&[have_all(), unchoke()].concat());
    for _ in 0..40 {
        let (index, begin, length) = parse_request(&giver.read_until(REQUEST).unwrap());
        giver.send(&piece(index, begin, TORRENT.block(index, begin, length)));
    }
    leech.run("wait 30");
    assert!(hello(&mut link).contains("11:upload_onlyi1e"));
    let mut late = FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "late");
    assert!(hello(&mut late).contains("11:upload_onlyi1e"));
}

#[test]
fn no_more_is_asked_at_a_time_than_the_other_side_keeps() {
    let sandbox = Sandbox::new();
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let mut link = FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "small");
    link.send(&[hello_frame("d4:reqqi3ee"), have_all(), unchoke()].concat());
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(link.read_until(REQUEST).unwrap());
    }
    // A fourth would have come along with them or with the next tick.
    let pause = Duration::from_millis(500);
    link.stream.set_read_timeout(Some(pause)).unwrap();
    assert!(link.stream.read(&mut [0; 1]).is_err(), "a fourth request");
    link.stream
        .set_read_timeout(Some(crate::common::waiting::PATIENCE))
        .unwrap();
    // A later handshake that does not speak of it changes nothing.
    link.send(&hello_frame("d1:v1:xe"));
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
fn two_that_only_upload_leave_each_other_alone() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    // It has a part only, and wants no more.
    let mut partial =
        FakePeer::connect(seed.process.address, &TORRENT, EXTENDED_AND_FAST, "partial");
    partial.send(
        &[
            frame(BITFIELD, &[0xf0, 0, 0]),
            hello_frame("d11:upload_onlyi1ee"),
        ]
        .concat(),
    );
    partial.read_to_end();
    wait_for_log_line(
        &seed.log,
        &[&partial.local_address().to_string(), "neither side fetches"],
    );
    // One that says so and then is interested all the same is served.
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
            hello_frame("d11:upload_onlyi1ee"),
        ]
        .concat(),
    );
    assert_eq!(undecided.fetch(0, 0, 9).unwrap(), TORRENT.block(0, 0, 9));
}

#[test]
fn a_leech_keeps_an_owner_that_only_uploads() {
    let sandbox = Sandbox::new();
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let mut owner = FakePeer::connect(leech.process.address, &TORRENT, EXTENDED_AND_FAST, "owner");
    owner.send(&hello_frame("d11:upload_onlyi1ee"));
    serve(owner, &TORRENT, |_, block| block.to_vec());
    leech.run("wait 30");
}

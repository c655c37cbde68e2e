//! A download of 700,000 pieces: what links cost that deliver nothing.

use crate::common::fake_peer::*;
use crate::common::handmade_torrent::Torrent;
use crate::common::open_swarm::leech;
use crate::common::process::processor_time;
use crate::common::sandbox::Sandbox;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

const PIECES: usize = 700_000;
/// As many links as a share may have by default, except two.
const SILENT_LINKS: usize = 48;
/// How long the processor time is measured.
const IDLE: Duration = Duration::from_secs(4);

/// Each piece has one byte.
static LARGE: LazyLock<Torrent> = LazyLock::new(|| Torrent::new("large", PIECES, 1, 1));

/// The messages of a peer that has the pieces before `end` and from `start` on.
fn bitfield_without(end: usize, start: usize) -> Vec<u8> {
    let mut bits = vec![0; PIECES / 8];
    for piece in (0..end).chain(start..PIECES) {
        bits[piece / 8] |= 0x80 >> (piece % 8);
    }
    frame(BITFIELD, &bits)
}

/// Returns when the other peer has handled everything that was sent before.
fn wait_until_handled(link: &mut FakePeer) {
    link.send(&request(0, 0, 1));
    assert!(link.read_until(REJECT_REQUEST).is_some());
}

#[test]
fn links_that_deliver_nothing_cost_hardly_any_processor_time() {
    let sandbox = Sandbox::new();
    let leech = leech(&sandbox, "leech", &LARGE);
    let connect =
        |id: &str| FakePeer::connect(leech.process.address, &LARGE, EXTENDED_AND_FAST, id);
    // Every piece but the first is available, at a peer that chokes.
    let mut choking = connect("choking");
    choking.send(&bitfield_without(0, 1));
    wait_until_handled(&mut choking);
    let mut silent = Vec::new();
    for number in 0..SILENT_LINKS {
        let mut link = connect(&format!("silent{number}"));
        link.send(&[bitfield_without(1, PIECES), unchoke()].concat());
        wait_until_handled(&mut link);
        silent.push(link);
    }
    let id = leech.process.id();
    let before = processor_time(id);
    thread::sleep(IDLE);
    let used = processor_time(id) - before;
    // 5 % of a core in a build for tests. It is ten times as fast in a build for use.
    assert!(used < IDLE / 20, "{used:?} in {IDLE:?}");
}

#[test]
fn a_repeated_have_all_costs_no_more_than_its_reading() {
    const MESSAGES: usize = 10_000;
    let sandbox = Sandbox::new();
    let leech = leech(&sandbox, "leech", &LARGE);
    let mut link = FakePeer::connect(leech.process.address, &LARGE, EXTENDED_AND_FAST, "repeats");
    link.send(&have_all());
    wait_until_handled(&mut link);
    let id = leech.process.id();
    let before = processor_time(id);
    link.send(&have_all().repeat(MESSAGES));
    wait_until_handled(&mut link);
    let used = processor_time(id) - before;
    assert!(used < Duration::from_millis(500), "{used:?}");
}

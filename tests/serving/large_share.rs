//! A download of 700,000 pieces: links that deliver nothing cost hardly any processor time.

use crate::common::fake_peer::*;
use crate::common::handmade_torrent::Torrent;
use crate::common::open_swarm::leech;
use crate::common::process::processor_time;
use crate::common::sandbox::Sandbox;
use std::ops::Range;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

const PIECES: usize = 700_000;
/// Two less than the maximum number of links of a share, which is 50 by default.
const SILENT_LINKS: usize = 48;
/// The test measures how much processor time the leech uses in this time.
const MEASURED_TIME: Duration = Duration::from_secs(4);

/// Each piece has one byte.
static LARGE: LazyLock<Torrent> = LazyLock::new(|| Torrent::new("large", PIECES, 1, 1));

/// The `bitfield` message of a peer that has all pieces except those in `missing`.
fn bitfield_without(missing: Range<usize>) -> Vec<u8> {
    let mut bits = vec![0; PIECES / 8];
    for piece in (0..missing.start).chain(missing.end..PIECES) {
        bits[piece / 8] |= 0x80 >> (piece % 8);
    }
    frame(BITFIELD, &bits)
}

/// Returns when the other peer has handled all messages that were sent earlier over this link.
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
    // The silent peers have the first piece only. So that the leech also wants all others, a peer
    // that chokes it has these.
    let mut choking = connect("choking");
    choking.send(&bitfield_without(0..1));
    wait_until_handled(&mut choking);
    let mut silent = Vec::new();
    for number in 0..SILENT_LINKS {
        let mut link = connect(&format!("silent{number}"));
        link.send(&[bitfield_without(1..PIECES), unchoke()].concat());
        wait_until_handled(&mut link);
        silent.push(link);
    }
    let id = leech.process.id();
    let before = processor_time(id);
    thread::sleep(MEASURED_TIME);
    let used = processor_time(id) - before;
    // The limit is 5 % of a core for a debug build. A release build is ten times as fast.
    assert!(used < MEASURED_TIME / 20, "{used:?} in {MEASURED_TIME:?}");
}

#[test]
fn a_repeated_have_all_costs_hardly_any_processor_time() {
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

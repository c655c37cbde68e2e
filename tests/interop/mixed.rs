//! One swarm of all programs: a seed and six leeches of five kinds.

use super::aria2::Aria2;
use super::contents::assert_same;
use super::exchange::{
    OtherClient, Swarm, TrackerProtocol, assert_no_warnings, make_with, wait_for_peer,
};
use super::libtorrent::Libtorrent;
use super::programs::{DISK, Program, are_installed, wait_for_answer};
use super::rqbit::Rqbit;
use super::transmission::Transmission;
use serde_json::json;
use std::path::Path;
use std::sync::PoisonError;

const LENGTH: usize = (8 << 20) + 77;

#[test]
fn a_seed_and_six_leeches_of_five_kinds_trade_and_ban_no_peer() {
    if !are_installed(&[
        Program::Libtorrent,
        Program::Aria2,
        Program::Transmission,
        Program::Rqbit,
    ]) {
        return;
    }
    let _alone = DISK.lock().unwrap_or_else(PoisonError::into_inner);
    // Two of three runs must succeed: on a busy machine a client may find the others late.
    let (mut successes, mut failures) = (0, 0);
    while successes < 2 {
        let sent = run_swarm() as f64 / LENGTH as f64;
        println!("the first seed sent {sent:.2} times the file");
        if sent <= 2.0 {
            successes += 1;
        } else {
            failures += 1;
        }
        assert!(failures < 2, "the first seed sent {sent:.2} times the file");
    }
}

/// Runs a swarm until all clients have the file. Returns the bytes that the seed has sent.
fn run_swarm() -> u64 {
    let swarm = Swarm::new("127.0.0.1");
    let file = swarm.sandbox.file("owned/file", LENGTH, 1);
    let torrent = swarm.sandbox.path("file.torrent");
    let url = TrackerProtocol::Http.url(swarm.tracker.address);
    make_with(&file, &url, &torrent, &["--piece-length", "64K"]);

    // Transmission calls no peer on loopback, so it starts first, and the others call it. It keeps
    // one link per address, and all clients have the same address. Its only link must be neither
    // with the seed nor with aria2, which ends when its download is complete. So our two peers
    // start next and call Transmission, and the seed starts last.
    let mut transmission = Transmission::start(&swarm);
    transmission.fetch(&torrent, &swarm.sandbox.folder("of transmission"));
    wait_for_leeches(&swarm, 1);
    let mut ours = ["one", "other"].map(|name| swarm.peer(name, &["--stay"]));
    for peer in &mut ours {
        peer.run(&format!("download {}", torrent.display()));
    }
    wait_for_answer("Transmission is called", || {
        transmission.is_connected().then_some(())
    });
    let mut libtorrent = Libtorrent::start(&swarm, &json!({}));
    libtorrent.fetch(&torrent, &swarm.sandbox.folder("of libtorrent"));
    let mut aria2 = Aria2::new(&swarm);
    aria2.fetch(&torrent, &swarm.sandbox.folder("of aria2"));
    let mut rqbit = Rqbit::new(&swarm);
    rqbit.fetch(&torrent, &swarm.sandbox.folder("of rqbit"));
    wait_for_leeches(&swarm, 6);
    // Even on a busy machine, the seed is slower than the leeches among each other.
    let mut seed = swarm.peer("seed", &["--up", "256K"]);
    let owned = file.parent().unwrap();
    seed.run(&format!(
        "download {} {}",
        torrent.display(),
        owned.display()
    ));

    for peer in &mut ours {
        wait_for_peer(peer);
    }
    let clients: [&mut dyn OtherClient; 4] =
        [&mut transmission, &mut libtorrent, &mut aria2, &mut rqbit];
    assert_all_complete_without_bans(&swarm, &file, clients);
    for name in ["seed", "one", "other"] {
        assert_no_warnings(&swarm, name);
    }
    let status = seed.run("status");
    status["shares"][0]["uploaded"].as_u64().unwrap()
}

/// Waits until all clients have the file. Asserts that both peers have it too, and that no client
/// has banned a peer or received bad data.
fn assert_all_complete_without_bans(
    swarm: &Swarm,
    file: &Path,
    mut clients: [&mut dyn OtherClient; 4],
) {
    for client in &mut clients {
        client.wait_until_complete();
    }
    for folder in [
        "of transmission",
        "of libtorrent",
        "of aria2",
        "of rqbit",
        "one",
        "other",
    ] {
        assert_same(file, &swarm.sandbox.path(folder).join("file"));
    }
    // Only bans and bad data count: clients may have other complaints about each other.
    let is_ban = |complaint: &String| {
        let signs = ["ban", "hash", "corrupt"];
        signs.iter().any(|sign| complaint.contains(sign))
    };
    for client in clients {
        let bans: Vec<_> = client.complaints().into_iter().filter(is_ban).collect();
        assert_eq!(bans, Vec::<String>::new());
    }
}

/// Waits until the tracker counts `count` leeches.
fn wait_for_leeches(swarm: &Swarm, count: u64) {
    wait_for_answer("the tracker counts all leeches", || {
        (swarm.figure("peers") - swarm.figure("seeds") == count).then_some(())
    });
}

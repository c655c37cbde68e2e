//! One swarm of everybody: a seed and six leeches by five authors.

use super::aria2::Aria2;
use super::contents::assert_same;
use super::exchange::{OtherClient, Over, Swarm, assert_calm, make_with, until_fetched};
use super::libtorrent::Libtorrent;
use super::programs::{DISK, Program, are_installed, until};
use super::rqbit::Rqbit;
use super::transmission::Transmission;
use serde_json::json;
use std::sync::PoisonError;

const LENGTH: usize = (8 << 20) + 77;

#[test]
fn one_seed_and_six_leeches_of_five_kinds_trade_and_ban_nobody() {
    if !are_installed(&[
        Program::Libtorrent,
        Program::Aria2,
        Program::Transmission,
        Program::Rqbit,
    ]) {
        return;
    }
    let _alone = DISK.lock().unwrap_or_else(PoisonError::into_inner);
    // Two of three: on a busy machine somebody may hear of the others late.
    let (mut within, mut beyond) = (0, 0);
    while within < 2 {
        let sent = sent_by_the_seed() as f64 / LENGTH as f64;
        println!("the first seed sent {sent:.2} times the file");
        if sent <= 2.0 {
            within += 1;
        } else {
            beyond += 1;
        }
        assert!(beyond < 2, "the first seed sent {sent:.2} times the file");
    }
}

/// Runs a swarm until everybody has the file; gives the bytes that came from the first seed.
fn sent_by_the_seed() -> u64 {
    let swarm = Swarm::new("127.0.0.1");
    let file = swarm.sandbox.file("owned/file", LENGTH, 1);
    let torrent = swarm.sandbox.path("file.torrent");
    let url = Over::Http.url(swarm.tracker.address);
    make_with(&file, &url, &torrent, &["--piece-length", "64K"]);
    let copy = |name: &str| swarm.sandbox.path(name).join("file");

    // Transmission calls nobody on loopback, so all others are to hear of it, and are after it. It keeps one line with an
    // address: as all have the same, that is to be a leech that does not leave it, and not the seed, which is the last.
    let mut transmission = Transmission::start(&swarm);
    transmission.fetch(&torrent, &swarm.sandbox.folder("of transmission"));
    until_leeches(&swarm, 1);
    let mut ours = ["one", "other"].map(|name| swarm.peer(name, &["--stay"]));
    for peer in &mut ours {
        peer.run(&format!("download {}", torrent.display()));
    }
    until("Transmission is called", || {
        transmission.is_connected().then_some(())
    });
    let mut libtorrent = Libtorrent::start(&swarm, &json!({}));
    libtorrent.fetch(&torrent, &swarm.sandbox.folder("of libtorrent"));
    let mut aria2 = Aria2::new(&swarm);
    aria2.fetch(&torrent, &swarm.sandbox.folder("of aria2"));
    let mut rqbit = Rqbit::new(&swarm);
    rqbit.fetch(&torrent, &swarm.sandbox.folder("of rqbit"));
    until_leeches(&swarm, 6);
    // Slower than they are among each other, on a busy machine too.
    let mut seed = swarm.peer("seed", &["--up", "256K"]);
    let owned = file.parent().unwrap();
    seed.run(&format!(
        "download {} {}",
        torrent.display(),
        owned.display()
    ));

    for peer in &mut ours {
        until_fetched(peer);
    }
    libtorrent.until_complete();
    aria2.until_complete();
    transmission.until_complete();
    rqbit.until_complete();
    for folder in [
        "of transmission",
        "of libtorrent",
        "of aria2",
        "of rqbit",
        "one",
        "other",
    ] {
        assert_same(&file, &copy(folder));
    }
    // What they find wrong with each other beside that is not our matter.
    let is_ban = |complaint: &String| {
        let signs = ["ban", "hash", "corrupt"];
        signs.iter().any(|sign| complaint.contains(sign))
    };
    let clients: [&mut dyn OtherClient; 4] =
        [&mut transmission, &mut libtorrent, &mut aria2, &mut rqbit];
    for client in clients {
        let bans: Vec<_> = client.complaints().into_iter().filter(is_ban).collect();
        assert_eq!(bans, Vec::<String>::new());
    }
    for name in ["seed", "one", "other"] {
        assert_calm(&swarm, name);
    }
    let status = seed.run("status");
    status["shares"][0]["uploaded"].as_u64().unwrap()
}

fn until_leeches(swarm: &Swarm, count: u64) {
    until("the tracker hears of the leeches", || {
        (swarm.figure("peers") - swarm.figure("seeds") == count).then_some(())
    });
}

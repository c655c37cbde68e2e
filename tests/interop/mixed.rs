//! One swarm of everybody: a seed and five leeches by four authors.

use crate::aria2::Aria2;
use crate::contents::assert_same;
use crate::exchange::{Client, Over, Swarm, assert_calm, until_fetched};
use crate::libtorrent::Libtorrent;
use crate::others::{DISK, Other, are_here, until};
use crate::transmission::Transmission;
use serde_json::json;
use std::sync::PoisonError;

const LENGTH: usize = (12 << 20) + 77;

#[test]
fn one_seed_and_five_leeches_of_four_kinds_trade_and_ban_nobody() {
    if !are_here(&[Other::Libtorrent, Other::Aria2, Other::Transmission]) {
        return;
    }
    let _alone = DISK.lock().unwrap_or_else(PoisonError::into_inner);
    // Leeches that wait for a busy machine do not trade, while the first seed goes on at its rate.
    let sent = (0..3).map(|_| sent_by_the_seed());
    let told = |sent: &u64| {
        println!(
            "the first seed sent {:.2} times the file",
            *sent as f64 / LENGTH as f64
        )
    };
    assert!(sent.inspect(told).any(|sent| sent <= 2 * LENGTH as u64));
}

/// Runs a swarm until everybody has the file; gives the bytes that came from the first seed.
fn sent_by_the_seed() -> u64 {
    let swarm = Swarm::new("127.0.0.1");
    let file = swarm.sandbox.file("owned/file", LENGTH, 1);
    // Slower than they are among each other, on a busy machine too.
    let mut seed = swarm.peer("seed", &["--up", "512K"]);
    let torrent = swarm.send(&mut seed, &file, &Over::Http.url(swarm.tracker.address));
    let copy = |name: &str| swarm.sandbox.path(name).join("file");

    // Transmission calls nobody on loopback, so all others are to hear of it, and are after it.
    let mut transmission = Transmission::start(&swarm);
    transmission.fetch(&torrent, &swarm.sandbox.folder("of transmission"));
    until_leeches(&swarm, 1);
    let mut libtorrent = Libtorrent::start(&swarm, &json!({}));
    libtorrent.fetch(&torrent, &swarm.sandbox.folder("of libtorrent"));
    let mut aria2 = Aria2::new(&swarm);
    aria2.fetch(&torrent, &swarm.sandbox.folder("of aria2"));
    let mut ours = ["one", "other"].map(|name| swarm.peer(name, &["--stay"]));
    for peer in &mut ours {
        peer.run(&format!("download {}", torrent.display()));
    }

    for peer in &mut ours {
        until_fetched(peer);
    }
    libtorrent.until_complete();
    aria2.until_complete();
    transmission.until_complete();
    for folder in [
        "of transmission",
        "of libtorrent",
        "of aria2",
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
    let clients: [&mut dyn Client; 3] = [&mut transmission, &mut libtorrent, &mut aria2];
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

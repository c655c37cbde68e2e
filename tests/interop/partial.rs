//! Partial seeds (BEP 21): a peer that has all chosen files but not the whole share.

use super::exchange::{Swarm, TrackerProtocol, assert_no_warnings, wait_for_peer};
use super::libtorrent::Libtorrent;
use super::programs::{Program, are_installed, wait_for_answer};
use crate::common::web_server::{WebServer, send_whole};
use pieceful::torrent::Metainfo;
use serde_json::json;
use std::fs;

#[test]
fn libtorrent_fetches_from_a_partial_seed_and_sees_that_it_only_uploads() {
    if !are_installed(&[Program::Libtorrent]) {
        return;
    }
    let swarm = Swarm::new("127.0.0.1");
    swarm.sandbox.file("owned/set/a.bin", 1_000_003, 1);
    swarm.sandbox.file("owned/set/b.bin", 2_000_003, 2);
    let set = swarm.owned.join("set");
    let mut seed = swarm.peer("seed", &[]);
    let torrent = swarm.send(
        &mut seed,
        &set,
        &TrackerProtocol::Http.url(swarm.tracker.address),
    );
    swarm.wait_for_announced_peers(1);
    let mut partial = swarm.peer("partial", &[]);
    partial.run(&format!("download {} --only a.bin", torrent.display()));
    wait_for_peer(&mut partial);
    seed.process.write_line("quit");
    seed.process.wait();

    // By default libtorrent ends the link with a peer that only uploads and has nothing that
    // libtorrent lacks.
    let settings = json!({"close_redundant_connections": false});
    let mut theirs = Libtorrent::start(&swarm, &settings);
    theirs.add(&torrent, &swarm.sandbox.folder("copies"));
    let metainfo = Metainfo::parse(&fs::read(&torrent).unwrap()).unwrap();
    let piece_length = metainfo.info().lengths().piece_length();
    let needed = 1_000_003_u64.div_ceil(piece_length.into());
    wait_for_answer(
        "libtorrent has all pieces of the partial seed and sees that it only uploads",
        || {
            let answer = theirs.ask(&json!({"do": "peers"}));
            let peer = &answer["peers"][0];
            let has_all = answer["have"] == needed && peer["have"] == needed;
            (has_all && peer["upload_only"] == true).then_some(())
        },
    );
    let copied = fs::read(swarm.sandbox.path("copies/set/a.bin")).unwrap();
    assert!(copied == fs::read(set.join("a.bin")).unwrap());
    assert_no_warnings(&swarm, "partial");
}

#[test]
fn a_partial_seed_announces_paused_and_the_bytes_that_it_lacks() {
    let swarm = Swarm::new("127.0.0.1");
    swarm.sandbox.file("owned/set/a.bin", 100_003, 1);
    swarm.sandbox.file("owned/set/b.bin", 2_000_003, 2);
    let mut seed = swarm.peer("seed", &[]);
    let port = seed.process.address.port().to_be_bytes();
    let tracker = WebServer::start(move |_, _, stream| {
        // Only an answer with `pieceful` may demand such a short interval.
        let mut body = b"d8:intervali1e5:peers6:".to_vec();
        body.extend([&[127, 0, 0, 1], &port[..], b"8:piecefuli1ee"].concat());
        send_whole(stream, &body)
    });
    let torrent = swarm.send(
        &mut seed,
        &swarm.owned.join("set"),
        &tracker.url("/announce"),
    );
    swarm.clear_tracker_info();
    let mut partial = swarm.peer("partial", &[]);
    partial.run(&format!("download {} --only a.bin", torrent.display()));
    wait_for_peer(&mut partial);
    let metainfo = Metainfo::parse(&fs::read(&torrent).unwrap()).unwrap();
    let piece_length = u64::from(metainfo.info().lengths().piece_length());
    let missing = 2_100_006 - 100_003_u64.div_ceil(piece_length) * piece_length;
    wait_for_answer("the partial seed announces that it is paused", || {
        let requests = tracker.requests();
        let paths = requests.iter().map(|request| request.path.as_str());
        let paused = paths.rev().find(|path| path.contains("&event=paused"))?;
        assert!(paused.contains(&format!("&left={missing}&")), "{paused}");
        Some(())
    });
}

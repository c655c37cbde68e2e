//! Many idle connections: honest peers are served beside them.

use crate::common::fake_peer::*;
use crate::common::fake_tracker::{
    compact, http_response, serve_requests, set_only_tracker, tracker_naming,
};
use crate::common::log::log_line_with;
use crate::common::open_swarm::{TORRENT, assert_serves, leech, seed};
use crate::common::process::resident_kib;
use crate::common::sandbox::Sandbox;
use crate::common::waiting::{PATIENCE, wait_for};
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

/// The number of idle connections.
const CROWD: usize = 300;

#[test]
fn connections_without_a_handshake_stop_neither_seed_nor_leech() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    set_only_tracker(&sandbox, tracker_naming(&[seed.process.address]));
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let crowd: Vec<TcpStream> = (0..CROWD)
        .flat_map(|_| [seed.process.address, leech.process.address])
        .map(|address| TcpStream::connect(address).unwrap())
        .collect();
    assert_serves(&seed, &TORRENT);
    leech.run("wait 30");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
    assert!(resident_kib(seed.process.id()) < 64 << 10);
    drop(crowd);
}

#[test]
fn idle_links_at_a_seed_make_room_for_an_interested_peer() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    let crowd: Vec<FakePeer> = (0..CROWD)
        .map(|number| {
            FakePeer::connect(
                seed.process.address,
                &TORRENT,
                EXTENDED_AND_FAST,
                &format!("idle{number}"),
            )
        })
        .collect();
    // A link makes room only after it has been idle for a while. So the test tries again and again.
    let mut tries = 0;
    let block = wait_for(
        || {
            tries += 1;
            FakePeer::connect(
                seed.process.address,
                &TORRENT,
                EXTENDED_AND_FAST,
                &format!("honest{tries}"),
            )
            .fetch(0, 0, BLOCK)
        },
        || "idle links keep all places".into(),
    );
    assert_eq!(block, TORRENT.block(0, 0, BLOCK));
    drop(crowd);
}

#[test]
fn idle_links_at_a_leech_do_not_keep_it_from_calling_a_seed() {
    let sandbox = Sandbox::new();
    let named_peers = Arc::new(Mutex::new(Vec::new()));
    let peers_to_name = named_peers.clone();
    // This tracker demands an announce every second, as only a pieceful tracker may.
    let tracker = serve_requests(move |_| {
        let peers = compact(&peers_to_name.lock().unwrap());
        let head = format!("d8:intervali1e12:min intervali1e5:peers{}:", peers.len());
        let body = [head.as_bytes(), &peers, b"8:piecefuli1ee"].concat();
        Some(http_response(&body))
    });
    set_only_tracker(&sandbox, tracker);
    let mut leech = leech(&sandbox, "leech", &TORRENT);
    let crowd: Vec<FakePeer> = (0..CROWD)
        .map(|number| {
            let mut link = FakePeer::connect(
                leech.process.address,
                &TORRENT,
                EXTENDED_AND_FAST,
                &format!("idle{number}"),
            );
            link.send(&frame(HAVE_NONE, &[]));
            link
        })
        .collect();
    // Now the tracker names a seed.
    named_peers
        .lock()
        .unwrap()
        .push(honest_seed(&TORRENT, "seed"));
    leech.run("wait 30");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
    drop(crowd);
}

#[test]
fn one_address_cannot_take_all_connections() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    let mut connections: Vec<TcpStream> = Vec::new();
    while log_line_with(&seed.log, &[": too many connections"]).is_none() {
        assert!(connections.len() < 1000, "one address has no limit");
        connections.push(TcpStream::connect(seed.process.address).unwrap());
    }
    // The refused connection is closed.
    let mut refused = connections.pop().unwrap();
    refused.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(refused.read(&mut [0; 1]).unwrap_or(0), 0);
    drop(connections);
    // The closed connections make room again.
    wait_for(
        || {
            let mut link = FakePeer::connect_tcp(seed.process.address);
            link.send(&handshake(TORRENT.info_hash, EXTENDED_AND_FAST, "next"));
            link.read_handshake()
        },
        || "closed connections still count".into(),
    );
}

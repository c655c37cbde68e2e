//! Many connections that do nothing.

use super::lying_tracker::{announce_to, answer_soon, http, naming, tracker};
use crate::common::fake_peer::*;
use crate::common::log::log_line_with;
use crate::common::open_swarm::{TORRENT, assert_serves, leech, seed};
use crate::common::process::resident_kib;
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_for;
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

/// How many; a sound peer must be served beside them.
const CROWD: usize = 300;

#[test]
fn three_hundred_lines_without_a_handshake_stop_neither_seed_nor_leech() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    announce_to(&sandbox, naming(&[seed.process.address]));
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
fn three_hundred_idle_links_do_not_keep_one_from_a_seed_that_wants_something() {
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
    // An idle one has to make room as soon as it was idle for a while.
    let mut tries = 0;
    let block = wait_for(
        || {
            tries += 1;
            FakePeer::connect(
                seed.process.address,
                &TORRENT,
                EXTENDED_AND_FAST,
                &format!("sound{tries}"),
            )
            .fetch(0, 0, BLOCK)
        },
        || "the idle ones keep all places".into(),
    );
    assert_eq!(block, TORRENT.block(0, 0, BLOCK));
    drop(crowd);
}

#[test]
fn three_hundred_idle_links_do_not_keep_a_leech_from_calling_an_owner() {
    let sandbox = Sandbox::new();
    let named = Arc::new(Mutex::new(Vec::new()));
    let names = named.clone();
    // Like one of ours it asks to be asked each second.
    announce_to(
        &sandbox,
        tracker(move |_| Some(http(&answer_soon(&names.lock().unwrap())))),
    );
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
    // Only now the leech hears of the one that has something.
    named.lock().unwrap().push(honest_seed(&TORRENT, "owner"));
    leech.run("wait 30");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
    drop(crowd);
}

#[test]
fn one_address_may_not_take_every_line() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    let mut lines: Vec<TcpStream> = Vec::new();
    while log_line_with(&seed.log, &["turned away: too many connections"]).is_none() {
        assert!(lines.len() < 1000, "no cap for one address");
        lines.push(TcpStream::connect(seed.process.address).unwrap());
    }
    // The one that was turned away sees its line closed.
    let mut last = lines.pop().unwrap();
    last.set_read_timeout(Some(crate::common::waiting::PATIENCE))
        .unwrap();
    assert_eq!(last.read(&mut [0; 1]).unwrap_or(0), 0);
    drop(lines);
    // Those that went make room again.
    wait_for(
        || {
            let mut link = FakePeer::connect_tcp(seed.process.address);
            link.send(&handshake(TORRENT.info_hash, EXTENDED_AND_FAST, "next"));
            link.read_handshake()
        },
        || "the lines that ended still count".into(),
    );
}

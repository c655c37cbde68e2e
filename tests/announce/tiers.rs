//! Real peers with trackers of several kinds and tiers (BEP 12).

use crate::client::Client;
use crate::support::{PATIENCE, Process, Sandbox};
use pieceful::torrent::Metainfo;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Instant;

/// A sandbox with an open tracker, and a peer that shares `data` there.
fn share() -> (Sandbox, Process, crate::support::Peer, PathBuf) {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    let data = sandbox.file("seed/data", 1_000_000, 1);
    let mut seed = sandbox.peer("seed");
    seed.run("send data");
    // From now on TRACKER_INFO names nobody.
    fs::write(sandbox.tracker_info(), "# nobody\n").unwrap();
    (sandbox, tracker, seed, data)
}

/// The share's torrent with other trackers.
fn with_tiers(sandbox: &Sandbox, tiers: &[&[String]]) -> PathBuf {
    let torrent = fs::read(sandbox.path("seed/data.torrent")).unwrap();
    let info = Metainfo::parse(&torrent).unwrap().info().clone();
    let tiers = tiers.iter().map(|tier| tier.to_vec()).collect();
    let path = sandbox.path("tiers.torrent");
    fs::write(&path, Metainfo::new(info, tiers).encode()).unwrap();
    path
}

fn announces(tracker: &Process) -> u64 {
    let told = Client::new(tracker.address).get("/stats");
    let told: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
    told["announces"].as_u64().unwrap()
}

/// Another open tracker, which TRACKER_INFO does not name.
fn other_tracker(sandbox: &Sandbox) -> Process {
    let arguments = ["tracker", "--listen", "127.0.0.1:0", "--open"];
    Process::start(&sandbox.folder("other"), &arguments)
}

#[test]
fn a_dead_first_tracker_leads_to_the_next_tier_over_udp() {
    let (sandbox, tracker, _seed, data) = share();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead_address = dead.local_addr().unwrap();
    drop(dead);
    let spare = other_tracker(&sandbox);
    let torrent = with_tiers(
        &sandbox,
        &[
            &[format!("http://{dead_address}/announce")],
            &[format!("udp://{}/announce", tracker.address)],
            &[format!("http://{}/announce", spare.address)],
        ],
    );
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download {}", torrent.display()));
    leech.run("wait 50");
    let copy = fs::read(sandbox.path("leech/data")).unwrap();
    assert!(copy == fs::read(data).unwrap());
    let status = leech.run("status").to_string();
    assert!(
        status.contains("udp://") && status.contains("http://"),
        "{status}"
    );
    assert_eq!(announces(&spare), 0, "the third tier was not needed");
    leech.run("quit");
    let (exit, stderr) = leech.process.wait();
    assert!(exit.success(), "{stderr}");
    // The farewell went over UDP too: only the seed is left.
    let told = Client::new(tracker.address).get("/stats");
    let told: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(
        (told["peers"].as_u64(), told["seeds"].as_u64()),
        (Some(1), Some(1))
    );
}

#[test]
fn one_tracker_that_is_ours_has_all_of_them_announced_to() {
    let (sandbox, tracker, _seed, _) = share();
    let twin = other_tracker(&sandbox);
    let url = |tracker: &Process| format!("http://{}/announce", tracker.address);
    let torrent = with_tiers(&sandbox, &[&[url(&tracker)], &[url(&twin)]]);
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download {}", torrent.display()));
    leech.run("wait 50");
    let begun = Instant::now();
    while announces(&twin) == 0 {
        assert!(begun.elapsed() < PATIENCE, "the twin never heard of it");
    }
}

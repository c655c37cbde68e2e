//! Real peers with trackers in several tiers (BEP 12), over HTTP and UDP.

use crate::common::fake_tracker::FakeTracker;
use crate::common::handmade_torrent::Torrent;
use crate::common::http_client::stats;
use crate::common::open_swarm::{TORRENT, seed};
use crate::common::peer::{Peer, quoted};
use crate::common::process::Process;
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_until;
use pieceful::torrent::Metainfo;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

/// A sandbox, its open tracker, a peer that shares the file `data` there, and the path of `data`.
fn sandbox_with_share() -> (Sandbox, Process, Peer, PathBuf) {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    let data = sandbox.file("seed/data", 1_000_000, 1);
    let mut seed = sandbox.peer("seed");
    seed.run("send data");
    // From now on TRACKER_INFO names no tracker.
    fs::write(sandbox.tracker_info(), "# no tracker\n").unwrap();
    (sandbox, tracker, seed, data)
}

/// Writes the share's torrent with these tiers of trackers. Returns the path of the new torrent.
fn write_share_with_tiers(sandbox: &Sandbox, tiers: &[&[String]]) -> PathBuf {
    let torrent = fs::read(sandbox.path("seed/data.torrent")).unwrap();
    write_torrent_with_tiers(sandbox, &torrent, tiers)
}

/// Writes a torrent with these tiers of trackers. Returns the path of the new torrent.
pub(crate) fn write_torrent_with_tiers(
    sandbox: &Sandbox,
    torrent: &[u8],
    tiers: &[&[String]],
) -> PathBuf {
    let info = Metainfo::parse(torrent).unwrap().info().clone();
    let tiers = tiers.iter().map(|tier| tier.to_vec()).collect();
    let path = sandbox.path("tiers.torrent");
    fs::write(&path, Metainfo::new(info, tiers).encode()).unwrap();
    path
}

/// The number of announces that a tracker has received.
pub(crate) fn announce_count(tracker: &Process) -> u64 {
    stats(tracker.address)["announces"].as_u64().unwrap()
}

/// Starts another open tracker, which TRACKER_INFO does not name.
pub(crate) fn other_tracker(sandbox: &Sandbox) -> Process {
    let arguments = ["tracker", "--listen", "127.0.0.1:0", "--open"];
    Process::start(&sandbox.folder("other"), &arguments)
}

#[test]
fn if_the_first_tracker_is_dead_the_peer_announces_to_the_next_tier_over_udp() {
    let (sandbox, tracker, _seed, data) = sandbox_with_share();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead_address = dead.local_addr().unwrap();
    drop(dead);
    let spare = other_tracker(&sandbox);
    let torrent = write_share_with_tiers(
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
    assert_eq!(announce_count(&spare), 0, "the third tier was not needed");
    leech.run("quit");
    let (exit, stderr) = leech.process.wait();
    assert!(exit.success(), "{stderr}");
    // The last announce went over UDP too: only the seed is left.
    let counts = stats(tracker.address);
    assert_eq!(
        (counts["peers"].as_u64(), counts["seeds"].as_u64()),
        (Some(1), Some(1))
    );
}

#[test]
fn if_one_tracker_is_pieceful_the_peer_announces_to_all_tiers() {
    let (sandbox, tracker, _seed, _) = sandbox_with_share();
    let other = other_tracker(&sandbox);
    let url = |tracker: &Process| format!("http://{}/announce", tracker.address);
    let torrent = write_share_with_tiers(&sandbox, &[&[url(&tracker)], &[url(&other)]]);
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download {}", torrent.display()));
    leech.run("wait 50");
    wait_until("the other tracker receives an announce", || {
        announce_count(&other) > 0
    });
}

#[test]
fn a_download_without_data_tries_the_next_tier_and_a_seed_does_not() {
    let sandbox = Sandbox::new();
    let (first, second) = (FakeTracker::naming(&[]), FakeTracker::naming(&[]));
    let torrent =
        write_torrent_with_tiers(&sandbox, &TORRENT.bytes, &[&[first.url()], &[second.url()]]);
    let mut seed = sandbox.peer("seed");
    fs::write(sandbox.path("seed/share"), &TORRENT.content).unwrap();
    seed.run(&format!("download {}", quoted(&torrent)));
    seed.run("wait 50");
    let seed = seed.process.address;
    first.wait_for_requests(|requests| {
        requests
            .iter()
            .any(|line| line.contains(&port_parameter(seed)))
    });
    second.set_peers(&[seed]);
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download {} copy", quoted(&torrent)));
    leech.run("wait 50");
    assert!(fs::read(sandbox.path("leech/copy")).unwrap() == TORRENT.content);
    let leech = port_parameter(leech.process.address);
    for tracker in [&first, &second] {
        assert!(tracker.requests().iter().any(|line| line.contains(&leech)));
    }
    // The seed runs longer than the leech and does not need the second tier.
    let requests = second.requests();
    assert!(
        requests.iter().all(|line| line.contains(&leech)),
        "the second tier was asked without need: {requests:?}"
    );
}

/// The port of a peer as it is in the query of an announce.
fn port_parameter(peer: std::net::SocketAddr) -> String {
    format!("&port={}&", peer.port())
}

#[test]
fn all_trackers_of_a_magnet_link_are_asked_at_once() {
    let sandbox = Sandbox::new();
    let seed = seed(&sandbox, "seed", &TORRENT);
    let (first, second) = (
        FakeTracker::naming(&[]),
        FakeTracker::naming(&[seed.process.address]),
    );
    let mut leech = sandbox.peer("leech");
    let link = magnet(&TORRENT, &[&first, &second]);
    leech.run(&format!("download {link}"));
    leech.run("wait 50");
    assert!(fs::read(sandbox.path("leech/share")).unwrap() == TORRENT.content);
    first.wait_for_requests(|requests| !requests.is_empty());
}

/// The magnet link of a torrent with these trackers.
pub(crate) fn magnet(torrent: &Torrent, trackers: &[&FakeTracker]) -> String {
    let trackers = trackers
        .iter()
        .map(|tracker| format!("&tr={}", tracker.url()));
    crate::common::extensions::magnet_link(torrent, &trackers.collect::<String>())
}

#[test]
fn a_failed_tracker_is_replaced_by_the_next_one_until_it_is_back() {
    let sandbox = Sandbox::new();
    let (first, second) = (FakeTracker::silent(), FakeTracker::naming(&[]));
    let torrent =
        write_torrent_with_tiers(&sandbox, &TORRENT.bytes, &[&[first.url()], &[second.url()]]);
    let mut seed = sandbox.peer("seed");
    fs::write(sandbox.path("seed/share"), &TORRENT.content).unwrap();
    seed.run(&format!("download {}", quoted(&torrent)));
    second
        .wait_for_requests(|requests| requests.iter().any(|line| line.contains("&event=started")));
    // The peer tries the first tracker again although the second one answers.
    let tries = first.requests().len();
    first.wait_for_requests(|requests| requests.len() > tries + 1);
    assert!(
        second
            .requests()
            .iter()
            .all(|line| !line.contains("stopped"))
    );
    first.set_peers(&[]);
    let requests = second
        .wait_for_requests(|requests| requests.iter().any(|line| line.contains("&event=stopped")));
    assert_eq!(requests.len(), 2, "{requests:?}");
    let requests = first.requests();
    assert!(
        requests.iter().all(|line| line.contains("&event=started")),
        "{requests:?}"
    );
    seed.run("quit");
    // The first tracker receives the last announce.
    first.wait_for_requests(|requests| requests.iter().any(|line| line.contains("&event=stopped")));
    assert_eq!(second.requests().len(), 2);
}

#[test]
fn a_tracker_id_is_sent_back_and_a_warning_is_logged_once() {
    let sandbox = Sandbox::new();
    let tracker = FakeTracker::naming(&[]);
    let warning = "\x1b[2Jold \u{202e}client";
    let answer = |more: &str| format!("d8:intervali1e5:peers0:8:piecefuli1e{more}e");
    let warning_entry = format!("15:warning message{}:{warning}", warning.len());
    tracker.set_answer(answer(&format!("10:tracker id4:a &\x01{warning_entry}")).as_bytes());
    let torrent = write_torrent_with_tiers(&sandbox, &TORRENT.bytes, &[&[tracker.url()]]);
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.run(&format!("download {}", quoted(&torrent)));
    let requests = tracker.wait_for_requests(|requests| requests.len() > 2);
    assert!(!requests[0].contains("trackerid"), "{requests:?}");
    assert!(
        requests[1].contains("&trackerid=a%20%26%01"),
        "{requests:?}"
    );
    // The peer keeps the tracker id when an answer has none.
    tracker.set_answer(answer(&warning_entry).as_bytes());
    let count_so_far = tracker.requests().len();
    tracker.wait_for_requests(|requests| requests.len() > count_so_far + 2);
    leech.run("quit");
    let log = leech.log.clone();
    leech.end();
    let requests = tracker.requests();
    assert!(
        requests[1..]
            .iter()
            .all(|line| line.contains("&trackerid=a%20%26%01")),
        "{requests:?}"
    );
    assert!(requests.last().unwrap().contains("&event=stopped"));
    let log = fs::read_to_string(log).unwrap();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("warns")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("WARN") && warnings[0].contains(r"\u{1b}[2Jold \u{202e}client"),
        "{warnings:?}"
    );
}

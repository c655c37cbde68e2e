//! Swarms whose tracker is opentracker, over HTTP and UDP.

use super::contents::{self, NAMES, assert_same};
use super::exchange::{
    OtherClient, Swarm, TrackerProtocol, assert_no_complaints, assert_no_warnings, make,
    wait_for_peer,
};
use super::libtorrent::Libtorrent;
use super::programs::{Program, are_installed, command, free_port, wait_for_answer};
use crate::common::process::KilledOnDrop;
use pieceful::torrent::Metainfo;
use serde_json::json;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A running opentracker. Debian's build serves only swarms that are listed when it starts.
struct Opentracker {
    address: SocketAddr,
    _process: KilledOnDrop,
}

impl Opentracker {
    fn start(swarm: &Swarm, address: SocketAddr, torrents: &[PathBuf]) -> Self {
        // If root starts opentracker, opentracker becomes the user `nobody` and sees only this
        // folder.
        let home = swarm.sandbox.folder("opentracker");
        fs::set_permissions(&home, Permissions::from_mode(0o755)).unwrap();
        let listed = torrents
            .iter()
            .map(|torrent| format!("{}\n", info_hash(torrent)));
        fs::write(home.join("listed"), listed.collect::<String>()).unwrap();
        let mut opentracker = command("opentracker", &home);
        let port = address.port().to_string();
        opentracker
            .args(["-i", &address.ip().to_string(), "-p", &port, "-P", &port])
            .args(["-u", "nobody", "-w", "listed", "-d"])
            .arg(&home)
            .current_dir(&home)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self {
            address,
            _process: KilledOnDrop(opentracker.spawn().unwrap()),
        }
    }

    /// Waits until opentracker counts a seed of each torrent.
    fn wait_for_seeds(&self, torrents: &[PathBuf]) {
        for torrent in torrents {
            let escaped: String = info_hash(torrent)
                .as_bytes()
                .chunks(2)
                .map(|byte| format!("%{}", str::from_utf8(byte).unwrap()))
                .collect();
            let url = format!("http://{}/scrape?info_hash={escaped}", self.address);
            wait_for_answer("opentracker knows a seed", || {
                let scraped = ureq::get(&url).call().ok()?.body_mut().read_to_vec().ok()?;
                String::from_utf8_lossy(&scraped)
                    .contains("8:completei1e")
                    .then_some(())
            });
        }
    }
}

fn info_hash(torrent: &Path) -> String {
    let metainfo = Metainfo::parse(&fs::read(torrent).unwrap()).unwrap();
    metainfo.info().info_hash().to_string()
}

/// Writes the content and its torrents, whose only tracker is opentracker, and starts opentracker.
/// The pieceful tracker of the swarm is not used.
fn swarm_with_opentracker(protocol: TrackerProtocol) -> (Swarm, Opentracker, [PathBuf; 4]) {
    let swarm = Swarm::new("127.0.0.1");
    swarm.clear_tracker_info();
    let owned = contents::write(&swarm.sandbox);
    let address = SocketAddr::new(swarm.ip, free_port(swarm.ip));
    let torrents = NAMES.map(|name| {
        let torrent = swarm.sandbox.path(&format!("{name}.torrent"));
        make(&owned.join(name), &protocol.url(address), &torrent);
        torrent
    });
    let tracker = Opentracker::start(&swarm, address, &torrents);
    (swarm, tracker, torrents)
}

/// A peer seeds; another peer and libtorrent download.
fn peer_seeds(protocol: TrackerProtocol) {
    if !are_installed(&[Program::Opentracker, Program::Libtorrent]) {
        return;
    }
    let (swarm, tracker, torrents) = swarm_with_opentracker(protocol);
    let mut seed = swarm.peer("seed", &[]);
    for torrent in &torrents {
        // The peer has the content already and only verifies it.
        let (torrent, owned) = (torrent.display(), swarm.owned.display());
        seed.run(&format!("download {torrent} {owned}"));
    }
    tracker.wait_for_seeds(&torrents);
    peer_and_libtorrent_fetch(&swarm, &torrents);
    assert_no_warnings(&swarm, "seed");
}

/// libtorrent seeds; a peer and another libtorrent download.
fn libtorrent_seeds(protocol: TrackerProtocol) {
    if !are_installed(&[Program::Opentracker, Program::Libtorrent]) {
        return;
    }
    let (swarm, tracker, torrents) = swarm_with_opentracker(protocol);
    let mut seed = Libtorrent::start(&swarm, &json!({}));
    for torrent in &torrents {
        seed.seed(torrent, &swarm.owned);
    }
    tracker.wait_for_seeds(&torrents);
    peer_and_libtorrent_fetch(&swarm, &torrents);
    assert_eq!(seed.complaints(), Vec::<String>::new());
}

/// A peer and libtorrent download everything.
fn peer_and_libtorrent_fetch(swarm: &Swarm, torrents: &[PathBuf]) {
    let mut leech = swarm.peer("leech", &[]);
    let mut theirs = Libtorrent::start(swarm, &json!({}));
    let copies = swarm.sandbox.folder("copies");
    for torrent in torrents {
        leech.run(&format!("download {}", torrent.display()));
        theirs.fetch(torrent, &copies);
    }
    wait_for_peer(&mut leech);
    theirs.wait_until_complete();
    for name in NAMES {
        let owned = swarm.owned.join(name);
        assert_same(&owned, &swarm.sandbox.path("leech").join(name));
        assert_same(&owned, &copies.join(name));
    }
    assert_no_complaints(swarm, &mut theirs, "leech");
}

#[test]
fn libtorrent_and_a_peer_fetch_from_another_peer_with_an_http_tracker() {
    peer_seeds(TrackerProtocol::Http);
}

#[test]
fn libtorrent_and_a_peer_fetch_from_another_peer_with_a_udp_tracker() {
    peer_seeds(TrackerProtocol::Udp);
}

#[test]
fn libtorrent_and_a_peer_fetch_from_another_libtorrent_with_an_http_tracker() {
    libtorrent_seeds(TrackerProtocol::Http);
}

#[test]
fn libtorrent_and_a_peer_fetch_from_another_libtorrent_with_a_udp_tracker() {
    libtorrent_seeds(TrackerProtocol::Udp);
}

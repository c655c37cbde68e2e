//! Hybrid torrents (BEP 52) that libtorrent has made: a peer downloads from libtorrent, and
//! libtorrent from a peer. Only the part of version 1 is used.

use super::contents::{self, NAMES};
use super::exchange::{
    OtherClient, Swarm, TrackerProtocol, assert_client_has_all, magnet_link,
    peer_fetches_by_magnet_link, peer_fetches_from_client,
};
use super::libtorrent::Libtorrent;
use super::programs::{Program, are_installed};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// libtorrent as a client that writes hybrid torrents.
struct HybridClient(Libtorrent);

impl OtherClient for HybridClient {
    fn make(&mut self, path: &Path, url: &str, torrent: &Path) {
        let make =
            json!({"do": "make", "path": path, "trackers": [url], "out": torrent, "hybrid": true});
        self.0.ask(&make);
        let bytes = fs::read(torrent).unwrap();
        let version = b"12:meta versioni2e";
        assert!(bytes.windows(version.len()).any(|bytes| bytes == version));
    }

    fn seed(&mut self, torrent: &Path, folder: &Path) {
        self.0.seed(torrent, folder);
    }

    fn fetch(&mut self, torrent: &Path, folder: &Path) {
        self.0.fetch(torrent, folder);
    }

    fn fetch_by_magnet_link(&mut self, link: &str, folder: &Path) {
        self.0.fetch_by_magnet_link(link, folder);
    }

    fn wait_until_complete(&mut self) {
        self.0.wait_until_complete();
    }

    fn complaints(&mut self) -> Vec<String> {
        self.0.complaints()
    }
}

fn run_exchange(exchange: fn(&Swarm, &mut dyn OtherClient, TrackerProtocol)) {
    if !are_installed(&[Program::Libtorrent]) {
        return;
    }
    let swarm = Swarm::new("127.0.0.1");
    let mut libtorrent = HybridClient(Libtorrent::start(&swarm, &json!({})));
    exchange(&swarm, &mut libtorrent, TrackerProtocol::Http);
}

#[test]
fn a_peer_fetches_a_hybrid_torrent_from_libtorrent() {
    run_exchange(peer_fetches_from_client);
}

#[test]
fn a_peer_fetches_a_hybrid_torrent_from_libtorrent_by_a_version_1_magnet_link() {
    run_exchange(peer_fetches_by_magnet_link);
}

/// The client writes torrents, a peer seeds their content, and the client downloads the content.
fn fetch_from_peer(
    swarm: &Swarm,
    client: &mut dyn OtherClient,
    fetch: fn(&mut dyn OtherClient, &Path, &str, &Path),
) {
    let url = TrackerProtocol::Http.url(swarm.tracker.address);
    let owned = contents::write(&swarm.sandbox);
    let mut seed = swarm.peer("seed", &[]);
    let torrents: [PathBuf; 4] = NAMES.map(|name| {
        let torrent = swarm.sandbox.path(&format!("{name}.torrent"));
        client.make(&owned.join(name), &url, &torrent);
        // The peer has the content already and only verifies it.
        seed.run(&format!(
            "download {} {}",
            torrent.display(),
            owned.display()
        ));
        torrent
    });
    swarm.wait_for_announced_peers(NAMES.len() as u64);
    let copies = swarm.sandbox.folder("copies");
    for torrent in &torrents {
        fetch(client, torrent, &url, &copies);
    }
    assert_client_has_all(swarm, client);
}

#[test]
fn libtorrent_fetches_a_hybrid_torrent_from_a_peer() {
    run_exchange(|swarm, client, _| {
        fetch_from_peer(swarm, client, |client, torrent, _, copies| {
            client.fetch(torrent, copies);
        });
    });
}

#[test]
fn libtorrent_fetches_a_hybrid_torrent_from_a_peer_by_a_version_1_magnet_link() {
    run_exchange(|swarm, client, _| {
        fetch_from_peer(swarm, client, |client, torrent, url, copies| {
            client.fetch_by_magnet_link(&magnet_link(torrent, url), copies);
        });
    });
}

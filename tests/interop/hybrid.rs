//! Hybrids (BEP 52) that libtorrent makes: in both directions, by their v1 half.

use super::contents::{self, NAMES};
use super::exchange::{
    OtherClient, Over, Swarm, link, until_copied, we_fetch_by_link, we_fetch_what_they_seed,
};
use super::libtorrent::Libtorrent;
use super::programs::{Program, are_installed};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// libtorrent, whose torrents are hybrids.
struct Hybrids(Libtorrent);

impl OtherClient for Hybrids {
    fn make(&mut self, path: &Path, url: &str, torrent: &Path) {
        let make =
            json!({"do": "make", "path": path, "trackers": [url], "out": torrent, "hybrid": true});
        self.0.ask(&make);
        let made = fs::read(torrent).unwrap();
        let version = b"12:meta versioni2e";
        assert!(made.windows(version.len()).any(|bytes| bytes == version));
    }

    fn seed(&mut self, torrent: &Path, folder: &Path) {
        self.0.seed(torrent, folder);
    }

    fn fetch(&mut self, torrent: &Path, folder: &Path) {
        self.0.fetch(torrent, folder);
    }

    fn fetch_by_link(&mut self, link: &str, folder: &Path) {
        self.0.fetch_by_link(link, folder);
    }

    fn until_complete(&mut self) {
        self.0.until_complete();
    }

    fn complaints(&mut self) -> Vec<String> {
        self.0.complaints()
    }
}

fn exchange(exchange: fn(&Swarm, &mut dyn OtherClient, Over)) {
    if !are_installed(&[Program::Libtorrent]) {
        return;
    }
    let swarm = Swarm::new("127.0.0.1");
    let mut libtorrent = Hybrids(Libtorrent::start(&swarm, &json!({})));
    exchange(&swarm, &mut libtorrent, Over::Http);
}

#[test]
fn we_fetch_what_libtorrent_seeds() {
    exchange(we_fetch_what_they_seed);
}

#[test]
fn we_fetch_by_a_link_of_the_first_version_what_libtorrent_seeds() {
    exchange(we_fetch_by_link);
}

/// Has a peer of ours seed what libtorrent made torrents of.
fn they_fetch(
    swarm: &Swarm,
    client: &mut dyn OtherClient,
    fetch: fn(&mut dyn OtherClient, &Path, &str, &Path),
) {
    let url = Over::Http.url(swarm.tracker.address);
    let owned = contents::write(&swarm.sandbox);
    let mut seed = swarm.peer("seed", &[]);
    let torrents: [PathBuf; 4] = NAMES.map(|name| {
        let torrent = swarm.sandbox.path(&format!("{name}.torrent"));
        client.make(&owned.join(name), &url, &torrent);
        // What is there already is not fetched.
        seed.run(&format!(
            "download {} {}",
            torrent.display(),
            owned.display()
        ));
        torrent
    });
    swarm.until_known(NAMES.len() as u64);
    let copies = swarm.sandbox.folder("copies");
    for torrent in &torrents {
        fetch(client, torrent, &url, &copies);
    }
    until_copied(swarm, client);
}

#[test]
fn libtorrent_fetches_what_we_seed() {
    exchange(|swarm, client, _| {
        they_fetch(swarm, client, |client, torrent, _, copies| {
            client.fetch(torrent, copies);
        });
    });
}

#[test]
fn libtorrent_fetches_by_a_link_of_the_first_version_what_we_seed() {
    exchange(|swarm, client, _| {
        they_fetch(swarm, client, |client, torrent, url, copies| {
            client.fetch_by_link(&link(torrent, url), copies);
        });
    });
}

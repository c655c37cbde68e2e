//! Swarms whose tracker is opentracker, over HTTP and UDP.

use super::contents::{self, NAMES, assert_same};
use super::exchange::{OtherClient, Over, Swarm, assert_calm, assert_content, make, until_fetched};
use super::libtorrent::Libtorrent;
use super::programs::{Program, Running, are_installed, command, free_port, until};
use pieceful::torrent::Metainfo;
use serde_json::json;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Debian's build serves only swarms that are listed when it starts.
struct Opentracker {
    address: SocketAddr,
    _process: Running,
}

impl Opentracker {
    fn start(swarm: &Swarm, address: SocketAddr, torrents: &[PathBuf]) -> Self {
        // Started by root it sees nothing but this folder, as nobody.
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
            _process: Running(opentracker.spawn().unwrap()),
        }
    }

    /// Waits until it knows a seed of each torrent.
    fn until_seeded(&self, torrents: &[PathBuf]) {
        for torrent in torrents {
            let escaped: String = info_hash(torrent)
                .as_bytes()
                .chunks(2)
                .map(|byte| format!("%{}", str::from_utf8(byte).unwrap()))
                .collect();
            let url = format!("http://{}/scrape?info_hash={escaped}", self.address);
            until("opentracker knows a seed", || {
                let told = ureq::get(&url).call().ok()?.body_mut().read_to_vec().ok()?;
                String::from_utf8_lossy(&told)
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

/// Every content, its torrent with opentracker as the only tracker, and that tracker. Ours is not to help.
fn swarm(over: Over) -> (Swarm, Opentracker, [PathBuf; 4]) {
    let swarm = Swarm::new("127.0.0.1");
    swarm.hide_tracker();
    let owned = contents::write(&swarm.sandbox);
    let address = SocketAddr::new(swarm.ip, free_port(swarm.ip));
    let torrents = NAMES.map(|name| {
        let torrent = swarm.sandbox.path(&format!("{name}.torrent"));
        make(&owned.join(name), &over.url(address), &torrent);
        torrent
    });
    let tracker = Opentracker::start(&swarm, address, &torrents);
    (swarm, tracker, torrents)
}

fn we_seed(over: Over) {
    if !are_installed(&[Program::Opentracker, Program::Libtorrent]) {
        return;
    }
    let (swarm, tracker, torrents) = swarm(over);
    let mut seed = swarm.peer("seed", &[]);
    for torrent in &torrents {
        // What is there already is not fetched.
        let (torrent, owned) = (torrent.display(), swarm.owned.display());
        seed.run(&format!("download {torrent} {owned}"));
    }
    tracker.until_seeded(&torrents);
    both_fetch(&swarm, &torrents);
    assert_calm(&swarm, "seed");
}

fn libtorrent_seeds(over: Over) {
    if !are_installed(&[Program::Opentracker, Program::Libtorrent]) {
        return;
    }
    let (swarm, tracker, torrents) = swarm(over);
    let mut seed = Libtorrent::start(&swarm, &json!({}));
    for torrent in &torrents {
        seed.seed(torrent, &swarm.owned);
    }
    tracker.until_seeded(&torrents);
    both_fetch(&swarm, &torrents);
    assert_eq!(seed.complaints(), Vec::<String>::new());
}

fn both_fetch(swarm: &Swarm, torrents: &[PathBuf]) {
    let mut leech = swarm.peer("leech", &[]);
    let mut theirs = Libtorrent::start(swarm, &json!({}));
    let copies = swarm.sandbox.folder("copies");
    for torrent in torrents {
        leech.run(&format!("download {}", torrent.display()));
        theirs.fetch(torrent, &copies);
    }
    until_fetched(&mut leech);
    theirs.until_complete();
    for name in NAMES {
        let owned = swarm.owned.join(name);
        assert_same(&owned, &swarm.sandbox.path("leech").join(name));
        assert_same(&owned, &copies.join(name));
    }
    assert_content(swarm, &mut theirs, "leech");
}

#[test]
fn we_seed_and_libtorrent_and_we_fetch_over_its_http() {
    we_seed(Over::Http);
}

#[test]
fn we_seed_and_libtorrent_and_we_fetch_over_its_udp() {
    we_seed(Over::Udp);
}

#[test]
fn libtorrent_seeds_and_libtorrent_and_we_fetch_over_its_http() {
    libtorrent_seeds(Over::Http);
}

#[test]
fn libtorrent_seeds_and_libtorrent_and_we_fetch_over_its_udp() {
    libtorrent_seeds(Over::Udp);
}

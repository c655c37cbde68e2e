//! Swarms whose tracker is opentracker, over HTTP and UDP.

use crate::contents::assert_same;
use crate::exchange::{Client, Over, Swarm, assert_content, make, until_fetched};
use crate::libtorrent::Libtorrent;
use crate::others::{Other, Running, are_here, command, free_port, until};
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
    fn start(swarm: &Swarm, address: SocketAddr, torrents: &[&Path]) -> Self {
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

    /// Waits until it knows a seed of the torrent.
    fn until_seeded(&self, torrent: &Path) {
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

fn info_hash(torrent: &Path) -> String {
    let metainfo = Metainfo::parse(&fs::read(torrent).unwrap()).unwrap();
    metainfo.info().info_hash().to_string()
}

/// A file, its torrent with opentracker as the only tracker, and that tracker.
fn swarm(over: Over) -> (Swarm, Opentracker, PathBuf, PathBuf) {
    let swarm = Swarm::new("127.0.0.1");
    let file = swarm.sandbox.file("owned/file", 3_000_001, 1);
    let torrent = swarm.sandbox.path("file.torrent");
    let address = SocketAddr::new(swarm.ip, free_port(swarm.ip));
    make(&file, &over.url(address), &torrent);
    let tracker = Opentracker::start(&swarm, address, &[&torrent]);
    // Ours is not to help.
    fs::write(swarm.sandbox.tracker_info(), format!("{address}\n")).unwrap();
    (swarm, tracker, file, torrent)
}

#[test]
fn we_seed_and_libtorrent_and_we_fetch_over_its_http() {
    if !are_here(&[Other::Opentracker, Other::Libtorrent]) {
        return;
    }
    let (swarm, tracker, file, torrent) = swarm(Over::Http);
    let mut seed = swarm.peer("seed", &[]);
    seed.run(&format!("send {} sent.torrent", file.display()));
    tracker.until_seeded(&torrent);
    fetch_and_compare(&swarm, &file, &torrent);
}

#[test]
fn libtorrent_seeds_and_libtorrent_and_we_fetch_over_its_udp() {
    if !are_here(&[Other::Opentracker, Other::Libtorrent]) {
        return;
    }
    let (swarm, tracker, file, torrent) = swarm(Over::Udp);
    let mut seed = Libtorrent::start(&swarm, &json!({}));
    seed.seed(&torrent, file.parent().unwrap());
    tracker.until_seeded(&torrent);
    swarm.hide_tracker();
    fetch_and_compare(&swarm, &file, &torrent);
    assert_eq!(seed.complaints(), Vec::<String>::new());
}

fn fetch_and_compare(swarm: &Swarm, file: &Path, torrent: &Path) {
    let mut leech = swarm.peer("leech", &[]);
    leech.run(&format!("download {}", torrent.display()));
    let mut theirs = Libtorrent::start(swarm, &json!({}));
    let copies = swarm.sandbox.folder("copies");
    theirs.fetch(torrent, &copies);
    until_fetched(&mut leech);
    theirs.until_complete();
    assert_same(file, &swarm.sandbox.path("leech/file"));
    assert_same(file, &copies.join("file"));
    assert_content(swarm, &mut theirs, "leech");
}

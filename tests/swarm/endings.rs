//! The end of downloads and of peers, and its effects on later downloads and at trackers.

use super::downloads::{seeded_swarm, send};
use crate::common::process::run;
use crate::common::sandbox::{Sandbox, bytes};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// The tracker's answer to a scrape of one swarm.
fn scrape(tracker: SocketAddr, info_hash: &str) -> String {
    let escaped: String = info_hash
        .as_bytes()
        .chunks(2)
        .map(|pair| format!("%{}", str::from_utf8(pair).unwrap()))
        .collect();
    let mut stream = TcpStream::connect(tracker).unwrap();
    write!(stream, "GET /scrape?info_hash={escaped} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn cancelled_downloads_do_not_disturb_the_next_one() {
    let (sandbox, _tracker, file, _seed, torrent) =
        seeded_swarm("big.bin", 64 << 20, &["--interval", "1"]);
    let mut leech = sandbox.peer("leech");
    for _ in 0..4 {
        leech.run(&format!("download '{torrent}'"));
        let download = leech.wait_for_download("big.bin", |download| download["bytes_done"] != 0);
        if download["state"] != "complete" {
            leech.try_run("cancel big.bin");
        }
        if leech.shown_download("big.bin")["state"] == "complete" {
            break;
        }
    }
    leech.try_run(&format!("download '{torrent}'"));
    leech.run("wait 30");
    assert!(fs::read(sandbox.path("leech/big.bin")).unwrap() == fs::read(&file).unwrap());
}

#[test]
fn downloads_without_a_seed_do_not_slow_down_a_download_with_a_seed() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let (mut gone, mut seed) = (sandbox.peer("gone"), sandbox.peer("seed"));
    let mut leech = sandbox.peer("leech");
    let torrents: Vec<String> = (0..14)
        .map(|number| {
            let file = sandbox.file(&format!("f{number}"), 1 << 20, number);
            send(&mut gone, &sandbox, &file, &format!("f{number}.torrent"))
        })
        .collect();
    gone.process.kill();
    for torrent in torrents {
        leech.run(&format!("download '{torrent}'"));
    }
    let file = sandbox.file("big.bin", 64 << 20, 1);
    let torrent = send(&mut seed, &sandbox, &file, "big.torrent");
    leech.run(&format!("download '{torrent}'"));
    let start = Instant::now();
    leech.wait_for_state("big.bin", "complete");
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_failed_download_can_be_started_again() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("f", 600_000, 1);
    let folder = sandbox.folder("leech");
    let arguments = [
        "torrent",
        "create",
        file.to_str().unwrap(),
        "-o",
        "f.torrent",
        "--file-sha1",
    ];
    assert_eq!(run(&folder, &arguments, "").code, Some(0));
    // All piece hashes are right; the SHA-1 of the whole file in the torrent is wrong.
    let mut torrent = fs::read(folder.join("f.torrent")).unwrap();
    let at = torrent
        .windows(8)
        .position(|bytes| bytes == b"4:sha120")
        .unwrap();
    torrent[at + 10] ^= 1;
    fs::write(folder.join("f.torrent"), torrent).unwrap();
    fs::write(folder.join("f.part"), bytes(600_000, 1)).unwrap();
    let mut leech = sandbox.peer("leech");
    for _ in 0..2 {
        leech.run("download f.torrent");
        let waited = leech.try_run("wait 30");
        assert_eq!(waited["error"]["kind"], "download-failed", "{waited}");
        assert!(
            waited["error"]["message"]
                .as_str()
                .unwrap()
                .contains("SHA-1"),
            "{waited}"
        );
        assert!(!folder.join("f").exists());
    }
    leech.run("cancel f");
    // No record names the file that the pieces came from, so that file stays.
    let part = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.ends_with(".part").then_some(name)
    };
    let left: Vec<String> = fs::read_dir(&folder).unwrap().filter_map(part).collect();
    assert_eq!(left, ["f.part"]);
    assert!(fs::read(folder.join("f.part")).unwrap() == bytes(600_000, 1));
}

#[test]
fn a_tracker_counts_completed_downloads_and_peers_that_end() {
    let (sandbox, tracker, _file, mut seed, torrent) = seeded_swarm("f", 600_000, &[]);
    let info_hash = seed.run("status")["shares"][0]["info_hash"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download '{torrent}'"));
    leech.run("wait 30");
    leech.process.write_line("quit");
    assert_eq!(leech.process.wait().0.code(), Some(0));
    let scraped = scrape(tracker.address, &info_hash);
    assert!(
        scraped.contains("8:completei1e10:downloadedi1e10:incompletei0e"),
        "{scraped}"
    );
    seed.process.write_line("quit");
    assert_eq!(seed.process.wait().0.code(), Some(0));
    let scraped = scrape(tracker.address, &info_hash);
    assert!(!scraped.contains("8:completei1e"), "{scraped}");
    // No seed is left: the download can only be cancelled.
    let mut other = sandbox.peer("other");
    other.run(&format!("download '{torrent}'"));
    assert_eq!(other.try_run("wait 1")["ok"], false);
    other.run("cancel f");
    let start = Instant::now();
    while scrape(tracker.address, &info_hash).contains("10:incompletei1e") {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "the cancelled download is still in the swarm"
        );
        other.try_run("wait 0.1");
    }
}

#[test]
fn a_peer_ends_although_its_tracker_does_not_answer() {
    let sandbox = Sandbox::new();
    // This tracker accepts connections and never reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    fs::write(sandbox.tracker_info(), format!("{address}\n")).unwrap();
    let file = sandbox.file("f", 600_000, 1);
    let mut seed = sandbox.peer("seed");
    send(&mut seed, &sandbox, &file, "f.torrent");
    let _announce = silent.accept().unwrap();
    let start = Instant::now();
    seed.process.signal("-INT");
    assert_eq!(seed.process.wait().0.code(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
}

//! Downloads of files and folders, also of many at once and from several seeds: the copies have the
//! content of the originals.

use crate::common::peer::Peer;
use crate::common::process::Process;
use crate::common::sandbox::{Sandbox, bytes};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Seeds a file or folder with the command `send`. Returns the path of its torrent.
pub fn send(peer: &mut Peer, sandbox: &Sandbox, path: &Path, torrent: &str) -> String {
    let torrent = sandbox.path(torrent).to_str().unwrap().to_owned();
    peer.run(&format!("send '{}' '{torrent}'", path.display()));
    torrent
}

/// A sandbox, its tracker, a file, the seed of the file, and the path of the file's torrent.
pub fn seeded_swarm(
    name: &str,
    length: usize,
    tracker_arguments: &[&str],
) -> (Sandbox, Process, PathBuf, Peer, String) {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(tracker_arguments);
    let file = sandbox.file(name, length, 1);
    let mut seed = sandbox.peer("seed");
    let torrent = send(&mut seed, &sandbox, &file, "seed.torrent");
    (sandbox, tracker, file, seed, torrent)
}

/// The verified bytes of a download, from all sources together.
fn bytes_from_all_sources(download: &Value) -> u64 {
    download["from"]
        .as_object()
        .unwrap()
        .values()
        .map(|bytes| bytes.as_u64().unwrap())
        .sum()
}

#[test]
fn leeches_fetch_at_least_a_third_of_a_file_from_each_other() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&["--interval", "1"]);
    let length = 64 << 20;
    let file = sandbox.file("big.bin", length, 1);
    let mut seed = sandbox.peer("seed");
    let torrent = send(&mut seed, &sandbox, &file, "big.torrent");
    // The seed does not run until all three leeches wait for it. Otherwise, on one machine, the
    // first leech would complete the file before it knows the others.
    seed.process.kill();
    let mut leeches: Vec<Peer> = (1..4)
        .map(|number| sandbox.peer(&format!("leech{number}")))
        .collect();
    for leech in &mut leeches {
        leech.run(&format!("download '{torrent}'"));
    }
    let seed = sandbox.peer("seed");
    let (mut all_bytes, mut from_seed) = (0, 0);
    for (number, leech) in leeches.iter_mut().enumerate() {
        leech.run("wait 60");
        let download = leech.shown_download("big.bin");
        assert_eq!(
            (&download["state"], bytes_from_all_sources(&download)),
            (&"complete".into(), length as u64),
            "{download}"
        );
        all_bytes += bytes_from_all_sources(&download);
        from_seed += download["from"][seed.process.address.to_string()]
            .as_u64()
            .unwrap_or(0);
        let copy = sandbox.path(&format!("leech{}/big.bin", number + 1));
        assert!(fs::read(&copy).unwrap() == fs::read(&file).unwrap());
        assert!(!copy.with_extension("bin.part").exists());
    }
    assert!(
        from_seed * 3 <= all_bytes * 2,
        "{from_seed} of {all_bytes} bytes came from the seed"
    );
}

#[test]
fn a_folder_arrives_with_its_empty_and_executable_files() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    for number in 0..200 {
        sandbox.file(
            &format!("set/d{}/f{number}", number % 7),
            number * 37,
            number as u64,
        );
    }
    let script = sandbox.file("set/run.sh", 50, 3);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let (mut seed, mut leech) = (sandbox.peer("seed"), sandbox.peer("leech"));
    let torrent = send(&mut seed, &sandbox, &sandbox.path("set"), "set.torrent");
    leech.run(&format!("download '{torrent}'"));
    leech.run("wait 60");
    for number in 0..200 {
        let copy = sandbox.path(&format!("leech/set/d{}/f{number}", number % 7));
        assert_eq!(fs::read(copy).unwrap(), bytes(number * 37, number as u64));
    }
    let copied = fs::metadata(sandbox.path("leech/set/run.sh")).unwrap();
    assert_eq!(copied.permissions().mode() & 0o100, 0o100);
}

#[test]
fn files_with_lengths_at_the_edges_of_blocks_and_pieces_arrive_whole() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let (mut seed, mut leech) = (sandbox.peer("seed"), sandbox.peer("leech"));
    let lengths = [
        0, 1, 16_383, 16_384, 16_385, 524_287, 524_288, 524_289, 3_000_001,
    ];
    for length in lengths {
        let file = sandbox.file(&format!("{length}.bin"), length, length as u64);
        let torrent = send(&mut seed, &sandbox, &file, &format!("{length}.torrent"));
        leech.run(&format!("download '{torrent}'"));
    }
    leech.run("wait 60");
    for length in lengths {
        let copy = fs::read(sandbox.path(&format!("leech/{length}.bin"))).unwrap();
        assert!(copy == bytes(length, length as u64), "{length}");
    }
}

#[test]
fn pieces_of_4_mib_arrive_from_two_seeds() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let file = sandbox.file("big.bin", (9 << 20) + 5, 1);
    let folder = sandbox.folder("made");
    let created = crate::common::process::run(
        &folder,
        &[
            "torrent",
            "create",
            file.to_str().unwrap(),
            "-o",
            "big.torrent",
            "--piece-length",
            "4M",
            "--file-sha1",
            "-t",
            &format!(
                "http://{}/announce",
                fs::read_to_string(sandbox.tracker_info()).unwrap().trim()
            ),
        ],
        "",
    );
    assert_eq!(created.code, Some(0), "{}", created.stderr);
    let torrent = folder.join("big.torrent").to_str().unwrap().to_owned();
    // Each seed finds a complete file under the name that its partial file would have. It uses
    // another name, and copies all pieces from that file. So there are two seeds without `send`.
    let mut seeds: Vec<Peer> = (0..2)
        .map(|number| sandbox.peer(&format!("seed{number}")))
        .collect();
    for (number, seed) in seeds.iter_mut().enumerate() {
        fs::copy(&file, sandbox.path(&format!("seed{number}/big.bin.part"))).unwrap();
        seed.run(&format!("download '{torrent}'"));
        seed.run("wait 60");
        assert_eq!(
            seed.shown_download("big.bin")["from"]["disk"],
            (9 << 20) + 5
        );
    }
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download '{torrent}'"));
    leech.run("wait 60");
    assert!(fs::read(sandbox.path("leech/big.bin")).unwrap() == fs::read(&file).unwrap());
}

#[test]
fn twenty_downloads_at_once_complete() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let (mut seed, mut leech) = (sandbox.peer("seed"), sandbox.peer("leech"));
    for number in 0..20 {
        let file = sandbox.file(
            &format!("f{number}"),
            1_500_000 + number * 4_321,
            number as u64,
        );
        let torrent = send(&mut seed, &sandbox, &file, &format!("f{number}.torrent"));
        leech.run(&format!("download '{torrent}'"));
    }
    leech.run("wait 60");
    for number in 0..20 {
        let copy = fs::read(sandbox.path(&format!("leech/f{number}"))).unwrap();
        assert!(
            copy == bytes(1_500_000 + number * 4_321, number as u64),
            "{number}"
        );
    }
    let list = leech.run("show_downloads");
    assert_eq!(list["downloads"].as_array().unwrap().len(), 20);
}

#[test]
fn a_peer_with_max_peers_3_downloads_a_file() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let file = sandbox.file("f", 3 << 20, 1);
    let mut seed = sandbox.peer("the seed");
    let torrent = send(&mut seed, &sandbox, &file, "f.torrent");
    let mut leech = sandbox.peer_with("leech", &["--max-peers", "3"]);
    leech.run(&format!("download '{torrent}'"));
    leech.run("wait 60");

    let status = leech.run("status");
    assert_eq!(status["shares"][0]["name"], "f", "{status}");
    let sent = seed.run("status")["shares"][0]["uploaded"]
        .as_u64()
        .unwrap();
    assert!(sent >= 3 << 20, "{sent}");
}

#[test]
fn peers_with_one_worker_share_a_file_over_ipv6() {
    let sandbox = Sandbox::new();
    let arguments = ["tracker", "--listen", "[::1]:0", "--open"];
    let tracker = Process::start(&sandbox.folder("tracker"), &arguments);
    assert!(tracker.address.is_ipv6());
    fs::write(sandbox.tracker_info(), format!("{}\n", tracker.address)).unwrap();
    let file = sandbox.file("f", 5_000_001, 1);
    let peer = |name: &str| sandbox.peer_at("[::1]:0", name, &["--threads", "1"]);
    let (mut seed, mut leech) = (peer("seed"), peer("leech"));
    let torrent = send(&mut seed, &sandbox, &file, "f.torrent");
    leech.run(&format!("download '{torrent}'"));
    leech.run("wait 60");
    let download = leech.shown_download("f");
    assert_eq!(
        download["from"][seed.process.address.to_string()],
        5_000_001
    );
    assert!(fs::read(sandbox.path("leech/f")).unwrap() == bytes(5_000_001, 1));
}

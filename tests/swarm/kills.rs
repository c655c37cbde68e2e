//! Peers and trackers that are killed, return, or start late: downloads go on without a command,
//! with the peers and trackers that are running.

use super::downloads::{seeded_swarm, send};
use crate::common::handmade_torrent::Torrent;
use crate::common::peer::{Peer, quoted};
use crate::common::process::run;
use crate::common::sandbox::Sandbox;
use std::fs;

/// Waits until the download has some bytes.
fn wait_for_first_bytes(leech: &mut Peer, name: &str) {
    leech.wait_for_download(name, |download| {
        let bytes_done = download["bytes_done"].as_u64().unwrap_or(0);
        bytes_done > 0 || download["state"] == "complete"
    });
}

#[test]
fn a_killed_seed_does_not_stop_a_download_that_has_a_second_seed() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&["--interval", "1"]);
    let file = sandbox.file("big.bin", 48 << 20, 1);
    let (mut first, mut second) = (sandbox.peer("first"), sandbox.peer("second"));
    let torrent = send(&mut first, &sandbox, &file, "big.torrent");
    send(&mut second, &sandbox, &file, "second.torrent");
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download '{torrent}'"));
    wait_for_first_bytes(&mut leech, "big.bin");
    first.process.kill();
    leech.run("wait 60");
    assert!(fs::read(sandbox.path("leech/big.bin")).unwrap() == fs::read(&file).unwrap());
}

#[test]
fn without_a_seed_wait_fails_and_the_download_goes_on_when_a_seed_returns() {
    let (sandbox, _tracker, file, seed, torrent) =
        seeded_swarm("big.bin", 4 << 20, &["--interval", "1"]);
    seed.process.kill();
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download '{torrent}'"));
    let waited = leech.try_run("wait 1");
    assert_eq!(
        (&waited["ok"], &waited["error"]["kind"]),
        (&false.into(), &"not-complete".into()),
        "{waited}"
    );
    let message = waited["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("big.bin") && message.contains("owner"),
        "{message}"
    );
    // The seed has the same state folder: it shares without a second `send`.
    let _seed = sandbox.peer("seed");
    leech.run("wait 60");
    assert!(fs::read(sandbox.path("leech/big.bin")).unwrap() == fs::read(&file).unwrap());
}

#[test]
fn the_text_of_wait_and_show_downloads_says_why_a_download_makes_no_progress() {
    let (sandbox, _tracker, _file, seed, torrent) = seeded_swarm("big.bin", 100_000, &[]);
    seed.process.kill();
    let info = sandbox.tracker_info();
    let download = format!("download '{torrent}'");
    let mut arguments = vec!["peer", "127.0.0.1:0", info.to_str().unwrap()];
    // `wait` shows its first line after 5 s.
    arguments.extend(["-c", &download, "-c", "wait 7", "-c", "show_downloads"]);
    let output = run(&sandbox.folder("leech"), &arguments, "");
    let start = "[D] [-] big.bin  0%  0 B/s  0 peers  eta -  (";
    let count_reasons = |text: &str| {
        let reasons = text.lines().filter_map(|line| line.strip_prefix(start));
        reasons.filter(|reason| reason.contains("no owner")).count()
    };
    assert_eq!(count_reasons(&output.stderr), 1, "{output:?}");
    assert_eq!(count_reasons(&output.stdout), 1, "{output:?}");
}

#[test]
fn a_killed_peer_goes_on_downloading_and_sharing_after_a_restart() {
    let (sandbox, _tracker, file, seed, torrent) =
        seeded_swarm("big.bin", 48 << 20, &["--interval", "1"]);
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download '{torrent}'"));
    wait_for_first_bytes(&mut leech, "big.bin");
    // A paused seed keeps its links and sends nothing, so that the leech is killed with a partial
    // file.
    seed.process.signal("-STOP");
    let bytes_before_kill = leech.shown_download("big.bin")["bytes_done"]
        .as_u64()
        .unwrap();
    leech.process.kill();
    let mut leech = sandbox.peer("leech");
    let download = leech.wait_for_download("big.bin", |download| download["state"] != "checking");
    assert!(
        download["bytes_done"].as_u64().unwrap() >= bytes_before_kill,
        "{bytes_before_kill} were verified: {download}"
    );
    seed.process.signal("-CONT");
    leech.run("wait 60");
    assert!(fs::read(sandbox.path("leech/big.bin")).unwrap() == fs::read(&file).unwrap());
    // After another kill the leech seeds by itself: a third peer fetches from it alone.
    seed.process.kill();
    leech.process.kill();
    let leech = sandbox.peer("leech");
    let mut third = sandbox.peer("third");
    third.run(&format!("download '{torrent}'"));
    third.run("wait 60");
    let from = third.shown_download("big.bin")["from"].clone();
    assert_eq!(from[leech.process.address.to_string()], 48 << 20, "{from}");
}

#[test]
fn cancel_by_name_is_refused_if_two_downloads_have_the_name() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let mut leech = sandbox.peer("leech");
    let hashes: Vec<String> = [1, 2]
        .map(|seed| {
            let folder = sandbox.folder(&format!("leech/{seed}"));
            let torrent = Torrent::new("data", 10_000, 16_384, seed);
            let torrent = torrent.write(&sandbox, &format!("{seed}.torrent"));
            let (torrent, folder) = (quoted(&torrent), quoted(&folder));
            let started = leech.run(&format!("download {torrent} {folder}"));
            started["info_hash"].as_str().unwrap().to_owned()
        })
        .into();
    for hash in &hashes {
        leech.assert_refused("cancel data", "several-shares", hash);
    }
    let partial = |seed: u64| sandbox.path(&format!("leech/{seed}/data.part"));
    assert!(partial(1).exists() && partial(2).exists());
    leech.run(&format!("cancel {}", hashes[1]));
    assert!(partial(1).exists() && !partial(2).exists());
    leech.run("cancel data");
    assert!(!partial(1).exists());
    leech.assert_refused("cancel data", "no-such-download", "data");
}

#[test]
fn wait_names_missing_downloads_by_info_hash_if_they_have_the_same_name() {
    let (sandbox, _tracker, _file, mut seed, _torrent) = seeded_swarm("x", 10_000, &[]);
    let mut leech = sandbox.peer("leech");
    let names = ["a b", "twin", "twin"];
    let paths: Vec<_> = (0..)
        .zip(names)
        .map(|(number, name)| {
            let file = sandbox.file(&format!("source{number}/{name}"), 10_000, number + 5);
            let torrent = send(&mut seed, &sandbox, &file, &format!("{number}.torrent"));
            let folder = sandbox.folder(&format!("leech/{number}"));
            leech.run(&format!("download '{torrent}' {}", quoted(&folder)));
            folder.join(name)
        })
        .collect();
    leech.run("wait 60");
    leech.end();
    for path in &paths {
        fs::remove_file(path).unwrap();
    }
    let mut leech = sandbox.peer("leech");
    let message = leech.try_run("wait 60")["error"]["message"].to_string();
    let message = message.replace("\\\"", "\"");
    let listed = leech.run("show_downloads");
    let downloads = listed["downloads"].as_array().unwrap();
    assert_eq!(downloads.len(), names.len(), "{listed}");
    for download in downloads {
        let command = match download["name"].as_str().unwrap() {
            "twin" => format!("stop_share - {}", download["info_hash"].as_str().unwrap()),
            name => format!("stop_share - '{name}'"),
        };
        assert!(message.contains(&command), "{command}: {message}");
        leech.run(&command);
    }
    assert_eq!(
        leech.run("show_downloads")["downloads"],
        serde_json::json!([])
    );
}

#[test]
fn after_every_restart_wait_names_the_downloads_whose_files_are_gone_or_differ() {
    let (sandbox, _tracker, _file, mut seed, torrent) = seeded_swarm("gone.bin", 100_000, &[]);
    let other = sandbox.file("other.bin", 100_000, 2);
    let other_torrent = send(&mut seed, &sandbox, &other, "other.torrent");
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download '{torrent}'"));
    leech.run("wait 60");
    seed.kill();
    leech.run(&format!("download '{other_torrent}'"));
    leech.end();
    fs::remove_file(sandbox.path("leech/gone.bin")).unwrap();
    fs::write(sandbox.path("leech/other.bin"), "of a person").unwrap();
    // `wait` may run before or after the check of the files at the start. Several starts make both
    // orders likely.
    for _ in 0..5 {
        let mut leech = sandbox.peer("leech");
        let (kind, message) = leech.error_of("wait 60");
        assert_eq!(kind, "download-failed", "{message}");
        for name in ["gone.bin: ", "other.bin: "] {
            assert!(message.contains(name), "{message}");
        }
        leech.run("wait 60");
        leech.kill();
    }
}

#[test]
fn cancel_ends_a_download_and_leaves_nothing() {
    let (sandbox, _tracker, _file, seed, torrent) = seeded_swarm("big.bin", 4 << 20, &[]);
    seed.process.kill();
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download '{torrent}'"));
    leech.run("cancel big.bin");
    assert_eq!(
        leech.try_run("cancel big.bin")["error"]["kind"],
        "no-such-download"
    );
    assert_eq!(fs::read_dir(sandbox.path("leech")).unwrap().count(), 0);
    assert_eq!(
        leech.run("show_downloads")["downloads"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    // A new download of the same torrent can start.
    leech.run(&format!("download '{torrent}'"));
}

#[test]
fn a_tracker_that_returns_at_another_address_is_found() {
    let (sandbox, tracker, _file, _seed, torrent) =
        seeded_swarm("f", 1 << 20, &["--interval", "1"]);
    tracker.kill();
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download '{torrent}'"));
    assert_eq!(leech.try_run("wait 1")["ok"], false);
    // The tracker now has another port. Only TRACKER_INFO names it.
    let _tracker = sandbox.tracker(&["--interval", "1"]);
    leech.run("wait 60");
}

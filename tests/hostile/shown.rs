//! What a person sees of damaged records, of files that are being checked, and of downloads that
//! fail.

use super::disk::seed_in_two_parts;
use crate::common::fake_tracker::{set_only_tracker, tracker_naming};
use crate::common::open_swarm::TORRENT;
use crate::common::peer::quoted;
use crate::common::process::run;
use crate::common::sandbox::Sandbox;
use crate::common::terminal::Terminal;
use crate::common::waiting::wait_until;
use std::fs;
use std::sync::mpsc::channel;

#[test]
fn damaged_files_in_the_state_folder_are_named_at_the_start_and_in_status() {
    let sandbox = Sandbox::new();
    let mut seed = sandbox.peer("seed");
    let tracker = sandbox.tracker(&[]);
    for number in 1..=3u64 {
        sandbox.file(&format!("seed/share-{number}"), 1_000, number);
    }
    let hashes = [1, 2, 3].map(|number| {
        let sent = seed.run(&format!("send share-{number}"));
        sent["info_hash"].as_str().unwrap().to_owned()
    });
    let magnet = format!("magnet:?xt=urn:btih:{}", "ab".repeat(20));
    seed.run(&format!("download '{magnet}'"));
    seed.end();
    drop(tracker);
    let state = sandbox.state("seed");
    let damaged = [
        state.join("magnets").join("ab".repeat(20)),
        state.join("records").join(&hashes[0]),
        state
            .join("torrents")
            .join(format!("{}.torrent", hashes[1])),
    ];
    for path in &damaged {
        let mut bytes = fs::read(path).unwrap();
        bytes[10] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let (info, state) = (sandbox.tracker_info(), state.to_str().unwrap().to_owned());
    let run_status = |json: bool| {
        let mut all = vec![
            "peer",
            "127.0.0.1:0",
            info.to_str().unwrap(),
            "--dir",
            &state,
        ];
        all.extend(["-c", "status"]);
        all.extend(json.then_some("--json"));
        run(&sandbox.path("seed"), &all, "")
    };
    let text = run_status(false);
    for path in &damaged {
        let path = path.to_str().unwrap();
        let names_it = |line: &&str| line.contains(path);
        assert_eq!(text.stderr.lines().filter(names_it).count(), 1, "{text:?}");
        let mut lines = text.stdout.lines().filter(names_it);
        assert!(lines.all(|line| line.starts_with("damaged ")), "{text:?}");
    }
    assert!(text.stdout.contains("share share-3"), "{text:?}");
    let json = run_status(true);
    let last = json.stdout.lines().last().unwrap();
    let status: serde_json::Value = serde_json::from_str(last).unwrap();
    let listed: Vec<&str> = status["damaged"]
        .as_array()
        .unwrap()
        .iter()
        .map(|damaged| damaged["path"].as_str().unwrap())
        .collect();
    assert_eq!(listed.len(), damaged.len(), "{status}");
    assert!(
        damaged
            .iter()
            .all(|path| listed.contains(&path.to_str().unwrap())),
        "{status}"
    );
}

#[test]
fn the_progress_of_a_check_is_shown() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    sandbox.file("seed/data", 48 << 20, 1);
    let mut seed = sandbox.peer("seed");
    seed.run("send data");
    let mut leech = sandbox.peer("leech");
    leech.run("download ../seed/data.torrent");
    leech.run("wait 60");
    leech.end();
    // With a new modification time, the file is hashed at the next start.
    let touch = || {
        let copy = fs::File::options()
            .write(true)
            .open(sandbox.path("leech/data"));
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(10);
        copy.unwrap().set_modified(later).unwrap();
    };
    touch();
    let (info, state) = (sandbox.tracker_info(), sandbox.state("leech"));
    let arguments = [
        "peer",
        "127.0.0.1:0",
        info.to_str().unwrap(),
        "--dir",
        state.to_str().unwrap(),
        "-c",
        "show_downloads",
    ];
    let shown = run(&sandbox.path("leech"), &arguments, "");
    assert!(
        shown.stdout.contains("[V] [-] data  checking "),
        "{shown:?}"
    );
    let mut leech = sandbox.peer("leech");
    let mut seen = Vec::new();
    wait_until("the check ends", || {
        let download = leech.shown_download("data");
        seen.extend(download["checked_percent"].as_u64());
        download["state"] == "complete"
    });
    assert!(
        seen.iter().any(|percent| (1..100).contains(percent)),
        "{seen:?}"
    );
    assert!(seen.is_sorted(), "{seen:?}");
    drop((seed, tracker));
}

#[test]
fn a_download_that_fails_during_wait_is_shown_once() {
    let sandbox = Sandbox::new();
    let (go, gate) = channel();
    set_only_tracker(&sandbox, tracker_naming(&[seed_in_two_parts(gate)]));
    let torrent = TORRENT.write(&sandbox, "share.torrent");
    let mut person = Terminal::peer(&sandbox, "leech");
    person.type_line(&format!("download {} copy", quoted(&torrent)));
    person.press("wait\r");
    person.wait_for_text("%");
    fs::write(sandbox.path("leech/copy"), "a file of the person").unwrap();
    go.send(()).unwrap();
    person.wait_for_text("error: ");
    // A second notice about `share` would appear before the notice about `empty`, which ends later.
    sandbox.file("leech/empty", 0, 1);
    let created = run(
        &sandbox.folder("leech"),
        &["torrent", "create", "empty"],
        "",
    );
    assert_eq!(created.code, Some(0), "{created:?}");
    person.type_line("download empty.torrent other");
    person.wait_for_text("complete empty");
    let screen = person.all_text();
    assert_eq!(screen.matches("exists already").count(), 1, "{screen}");
}

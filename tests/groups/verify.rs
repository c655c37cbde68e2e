//! `verify`: what it finds in the files of shares and downloads, and what it repairs.

use super::team::{share_in_status, team};
use super::updates::{Files, contents, expected};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::process::{KilledOnDrop, command};
use crate::common::sandbox::{Sandbox, bytes};
use crate::common::waiting::wait_until;
use serde_json::{Value, json};
use std::fs::{self, File, FileTimes};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FILES: Files = &[
    ("large", 3_000_000, 1),
    ("sub/other", 900_000, 2),
    ("small", 500, 3),
];

/// Changes a byte of a file. Its length, inode and modification time stay the same, as if the disk
/// had changed it.
fn rot(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    file.set_times(FileTimes::new().set_modified(modified))
        .unwrap();
}

fn make(sandbox: &Sandbox, folder: &str) -> PathBuf {
    for (name, length, seed) in FILES {
        sandbox.file(&format!("{folder}/{name}"), *length, *seed);
    }
    sandbox.path(folder)
}

/// nik publishes the folder `data`, and mayank has downloaded it.
fn shared(options: &str) -> (AccountTracker, Peer, Peer) {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    let path = make(&tracker.sandbox, "nik/data");
    nik.run(&format!("upload_file lab {}", quoted(&path)));
    mayank.run(&format!("download_file lab data {options}"));
    mayank.run("wait 50");
    (tracker, nik, mayank)
}

/// The names of the bad files below `folder`, each with the word for its fault.
fn bad_files(result: &Value, folder: &Path) -> Vec<(String, String)> {
    let files = result["bad_files"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entry = |file: &Value| {
        let path = PathBuf::from(text(&file["path"]));
        let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
        (name.to_owned(), text(&file["fault"]))
    };
    files.map(entry).collect()
}

fn assert_damaged(peer: &mut Peer, line: &str, folder: &Path, expected: &[(&str, &str)]) {
    let result = peer.try_run(line);
    assert_eq!(result["ok"], false, "{result}");
    assert_eq!(result["error"]["kind"], "damaged", "{result}");
    let expected: Vec<(String, String)> = expected
        .iter()
        .map(|(name, fault)| ((*name).to_owned(), (*fault).to_owned()))
        .collect();
    assert_eq!(bad_files(&result, folder), expected, "{result}");
}

fn is_served(peer: &mut Peer) -> bool {
    share_in_status(peer, "data")["trouble"].is_null()
}

#[test]
fn a_rotten_file_is_found_withheld_over_a_restart_and_repaired_in_place() {
    let (tracker, _nik, mut mayank) = shared("");
    let folder = tracker.sandbox.path("mayank/data");
    let good = mayank.run("verify data");
    assert_eq!(
        (&good["files"], &good["bad_pieces"], &good["bad_files"]),
        (&json!(3), &json!(0), &json!([]))
    );
    fs::write(folder.join("notes"), "mine").unwrap();
    rot(&folder.join("large"), 1_000_000);
    let rotten = contents(&folder);
    let inode = |name: &str| fs::metadata(folder.join(name)).unwrap().ino();
    let before = ["large", "sub/other", "small"].map(inode);
    assert!(is_served(&mut mayank), "nothing has shown it yet");
    for name in ["data", "data@1"] {
        let line = format!("verify {name}");
        assert_damaged(&mut mayank, &line, &folder, &[("large", "content")]);
    }
    assert!(!is_served(&mut mayank));
    assert!(contents(&folder) == rotten, "verify alone changes nothing");
    mayank.process.signal("-KILL");
    wait_until("the peer is dead", || mayank.process.has_ended());
    mayank = tracker.sandbox.debug_peer("mayank", &[]);
    wait_until("it is checked", || {
        !share_in_status(&mut mayank, "data").is_null() && !is_served(&mut mayank)
    });
    let repair = mayank.run("verify data --repair");
    assert_eq!(
        (&repair["repairing"], &repair["bad_pieces"]),
        (&json!(true), &json!(1))
    );
    mayank.run("wait 50");
    let mut after = contents(&folder);
    assert_eq!(after.remove("notes").unwrap(), b"mine");
    assert!(after == expected(&[FILES]));
    // No file was copied, and only the bad piece was fetched.
    assert_eq!(["large", "sub/other", "small"].map(inode), before);
    let shown = mayank.shown_download("data");
    let from = shown["from"].as_object().unwrap().iter();
    let fetched = from.filter(|(source, _)| *source != "disk");
    let fetched: u64 = fetched.map(|(_, bytes)| bytes.as_u64().unwrap()).sum();
    assert!(fetched <= 4_000_000 + (1 << 20), "{shown}");
    assert!(is_served(&mut mayank));
    mayank.run("verify data");
    let names = fs::read_dir(tracker.sandbox.path("mayank")).unwrap();
    assert_eq!(names.count(), 1, "something is left beside the share");
}

#[test]
fn each_kind_of_damage_is_named_and_repaired_also_if_only_some_files_were_chosen() {
    let (tracker, _nik, mut mayank) = shared("--only large --only 'sub/*'");
    let folder = tracker.sandbox.path("mayank/data");
    assert_eq!(mayank.run("verify data")["files"], 2);
    File::options()
        .write(true)
        .open(folder.join("large"))
        .unwrap()
        .set_len(1_000_000)
        .unwrap();
    fs::remove_file(folder.join("sub/other")).unwrap();
    let expected_faults = [("large", "length"), ("sub/other", "missing")];
    assert_damaged(&mut mayank, "verify data", &folder, &expected_faults);
    mayank.run("verify data --repair");
    mayank.run("wait 50");
    let chosen: Files = &FILES[..2];
    assert!(contents(&folder) == expected(&[chosen]));
    assert_eq!(mayank.run("verify data")["files"], 2);
    // A file that is in the way of the repair is named, and stays.
    fs::remove_file(folder.join("large")).unwrap();
    std::os::unix::fs::symlink("sub/other", folder.join("large")).unwrap();
    let refused = mayank.error_of("verify data --repair");
    assert!(refused.1.contains("large"), "{refused:?}");
    assert!(folder.join("large").is_symlink() && folder.join("sub/other").exists());
}

#[test]
fn files_that_a_peer_publishes_are_never_changed() {
    let (tracker, mut nik, mut mayank) = shared("");
    let folder = tracker.sandbox.path("nik/data");
    assert_eq!(nik.run("verify data")["bad_pieces"], 0);
    rot(&folder.join("large"), 2_000_000);
    let rotten = contents(&folder);
    for line in ["verify data", "verify data --repair"] {
        assert_damaged(&mut nik, line, &folder, &[("large", "content")]);
        let (_, message) = nik.error_of(line);
        assert!(message.contains("upload_file --update"), "{message}");
        assert!(contents(&folder) == rotten);
    }
    assert!(!is_served(&mut nik));
    // With the right content, it is served again by itself.
    fs::write(folder.join("large"), bytes(FILES[0].1, FILES[0].2)).unwrap();
    wait_until("it is served again", || is_served(&mut nik));
    assert_eq!(mayank.run("verify data")["bad_pieces"], 0);
}

#[test]
fn a_single_file_of_an_open_swarm_is_repaired() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&["--interval", "1"]);
    let file = sandbox.file("seed/image", 2_000_000, 8);
    let mut seed = sandbox.debug_peer("seed", &[]);
    seed.run(&format!("send {} image.torrent", quoted(&file)));
    let mut leech = sandbox.debug_peer("leech", &[]);
    let torrent = sandbox.path("seed/image.torrent");
    leech.run(&format!("download {} copy", quoted(&torrent)));
    leech.run("wait 50");
    let copy = sandbox.path("leech/copy");
    rot(&copy, 5);
    for line in ["verify copy", "verify image"] {
        leech.assert_refused(line, "damaged", "1 of 1 file");
    }
    leech.run("verify copy --repair");
    leech.run("wait 50");
    assert!(fs::read(&copy).unwrap() == bytes(2_000_000, 8));
    assert_eq!(leech.run("verify copy")["bad_pieces"], 0);
    rot(&file, 5);
    seed.assert_refused("verify image --repair", "damaged", "send");
    assert!(fs::read(&file).unwrap() != bytes(2_000_000, 8));
}

#[test]
fn what_cannot_be_verified_is_refused() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let file = sandbox.file("seed/image", 200_000, 8);
    let mut seed = sandbox.debug_peer("seed", &[]);
    seed.run(&format!("send {} image.torrent", quoted(&file)));
    let torrent = sandbox.path("seed/image.torrent");
    seed.assert_refused("verify other", "no-such-share", "other");
    seed.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.run(&format!("download {}", quoted(&torrent)));
    leech.assert_refused("verify image", "unfinished", "not complete");
    fs::write(sandbox.path("leech/image"), bytes(200_000, 8)).unwrap();
}

/// Starts `verify` attached to the peer called `nik`, and waits until it reads files.
fn verifying(sandbox: &Sandbox) -> (KilledOnDrop, BufReader<impl std::io::Read>) {
    let state = sandbox.state("nik");
    let arguments = ["peer", "--dir", state.to_str().unwrap(), "-c", "verify big"];
    let mut started = command(&sandbox.folder("client"), &arguments);
    let mut client = started
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut notes = BufReader::new(client.stderr.take().unwrap());
    let client = KilledOnDrop(client);
    let mut line = String::new();
    notes.read_line(&mut line).unwrap();
    assert!(line.contains("checking"), "{line}");
    (client, notes)
}

#[test]
fn one_check_runs_at_a_time_and_ctrl_c_ends_it() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let [mut nik] = team(&tracker, ["nik"]);
    // A hole takes no room on the disk. To check the SHA-1 of the file, it is read nevertheless.
    let big = sandbox.folder("nik").join("big");
    File::create(&big).unwrap().set_len(6 << 30).unwrap();
    nik.run(&format!("upload_file lab {}", quoted(&big)));
    let (mut client, mut notes) = verifying(sandbox);
    nik.assert_refused("verify big", "busy", "wait until it has ended");
    // The peer goes on meanwhile.
    assert_eq!(nik.run("status")["shares"][0]["trouble"], Value::Null);
    let begun = Instant::now();
    let id = client.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut notes, &mut rest).unwrap();
    assert!(!client.0.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(5), "{rest}");
    assert!(rest.contains("stopped before it was done"), "{rest}");
    // The next one may begin at once.
    let (client, notes) = verifying(sandbox);
    drop((client, notes));
}

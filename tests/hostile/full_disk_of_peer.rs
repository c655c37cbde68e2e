//! A peer whose disk is full: its downloads wait and go on by themselves when there is room, and
//! what it could not record is recorded then.

use super::disk::seed_in_two_parts;
use crate::common::account_tracker::AccountTracker;
use crate::common::fake_tracker::{set_only_tracker, tracker_naming};
use crate::common::odd_disk::OddDisk;
use crate::common::open_swarm::TORRENT;
use crate::common::peer::{Peer, quoted};
use crate::common::process::Process;
use crate::common::sandbox::{Sandbox, bytes};
use crate::common::small_disk::SmallDisk;
use crate::common::waiting::wait_until;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};

/// The bytes of the pieces that the seed serves at first.
const FIRST_PART: usize = 8 * 32_768;

/// Makes a seed the only source of the downloads in the sandbox. It serves the first part at once,
/// and the other pieces after the drop of the sender.
fn start_seed(sandbox: &Sandbox) -> Sender<()> {
    let (go, gate) = channel();
    set_only_tracker(sandbox, tracker_naming(&[seed_in_two_parts(gate)]));
    go
}

/// A download to `small/copy` that waits because its disk is full: the folder `small`, with 1 MiB.
/// It has its first part.
fn download_on_full_disk(sandbox: &Sandbox) -> Option<(SmallDisk, Peer)> {
    let folder = sandbox.folder("small");
    let disk = SmallDisk::mount(&folder, "1m")?;
    let go = start_seed(sandbox);
    let mut leech = disk.peer(sandbox, "leech");
    start_download(&mut leech, sandbox, &folder.join("copy"), "");
    disk.fill(0);
    drop(go);
    wait_for_full_disk(&mut leech);
    Some((disk, leech))
}

/// Starts the download, and waits for its first part.
fn start_download(leech: &mut Peer, sandbox: &Sandbox, to: &Path, options: &str) {
    let file = quoted(&TORRENT.write(sandbox, "share.torrent"));
    leech.run(&format!(
        "download {file} {} --sequential {options}",
        quoted(to)
    ));
    leech.wait_for_download("share", |download| download["bytes_done"] == FIRST_PART);
}

/// Waits until the download waits for room and has no links, and returns it.
fn wait_for_full_disk(leech: &mut Peer) -> Value {
    let waits = |download: &Value| {
        let trouble = download["trouble"].as_str().unwrap_or_default();
        trouble.starts_with("waits: the disk or the quota is full, ") && download["peers"] == 0
    };
    let download = leech.wait_for_download("share", waits);
    assert_eq!(download["state"], "downloading", "{download}");
    let trouble = download["trouble"].as_str().unwrap();
    assert!(
        trouble.ends_with(": make room, and the download goes on by itself"),
        "{trouble}"
    );
    download
}

fn assert_content(path: &Path) {
    assert!(fs::read(path).unwrap() == TORRENT.content, "{path:?}");
}

/// The number of times that the download has begun to wait.
fn waits(log: &Path) -> usize {
    fs::read_to_string(log)
        .unwrap()
        .matches("share: waits: ")
        .count()
}

#[test]
fn a_download_waits_while_its_disk_is_full_and_completes_when_there_is_room() {
    let sandbox = Sandbox::new();
    let Some((disk, mut leech)) = download_on_full_disk(&sandbox) else {
        return;
    };
    let download = leech.shown_download("share");
    let needs = format!(
        "small/copy needs {} more bytes",
        TORRENT.content.len() - FIRST_PART
    );
    let trouble = download["trouble"].as_str().unwrap();
    assert!(trouble.contains(&needs), "{trouble}");
    // The peer looks for room at least once, and finds too little.
    disk.free(300 << 10);
    leech.assert_refused("wait 4", "not-complete", &needs);
    assert_eq!(waits(&leech.log), 1);
    disk.make_room();
    let download = leech.wait_for_state("share", "complete");
    assert_eq!(download["trouble"], Value::Null);
    leech.run("wait");
    assert_content(&disk.seen.join("copy"));
    assert_eq!(waits(&leech.log), 1);
}

#[test]
fn a_download_whose_disk_is_full_still_waits_after_a_restart() {
    let sandbox = Sandbox::new();
    let Some((disk, mut leech)) = download_on_full_disk(&sandbox) else {
        return;
    };
    let before = leech.shown_download("share");
    leech.kill();
    // It does not wait for an error of a write: there is nobody to download from.
    set_only_tracker(&sandbox, tracker_naming(&[]));
    let mut leech = disk.peer(&sandbox, "leech");
    let after = wait_for_full_disk(&mut leech);
    for field in ["bytes_done", "trouble"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    drop(start_seed(&sandbox));
    disk.make_room();
    leech.wait_for_state("share", "complete");
    assert_content(&disk.seen.join("copy"));
}

#[test]
fn a_download_that_waits_for_room_can_be_cancelled() {
    let sandbox = Sandbox::new();
    let Some((disk, mut leech)) = download_on_full_disk(&sandbox) else {
        return;
    };
    leech.run("cancel share");
    assert_eq!(leech.shown_download("share"), Value::Null);
    assert!(!disk.seen.join("copy.part").exists());
    // A new download is refused before it starts.
    let file = quoted(&sandbox.path("share.torrent"));
    let copy = quoted(&sandbox.path("small/copy"));
    let again = format!("download {file} {copy}");
    leech.assert_refused(&again, "storage", "bytes, only");
    assert!(!disk.seen.join("copy.part").exists());
    disk.make_room();
    leech.run(&again);
    leech.wait_for_state("share", "complete");
    assert_content(&disk.seen.join("copy"));
}

#[test]
fn a_download_waits_if_the_state_folder_is_full_when_it_replaces_a_file() {
    let sandbox = Sandbox::new();
    let state = sandbox.folder("leech.state");
    let Some(disk) = SmallDisk::mount(&state, "1m") else {
        return;
    };
    let go = start_seed(&sandbox);
    let mut leech = disk.peer(&sandbox, "leech");
    let old = bytes(1_000, 7);
    let copy = sandbox.path("copy");
    fs::write(&copy, &old).unwrap();
    start_download(&mut leech, &sandbox, &copy, "--force");
    disk.fill(0);
    drop(go);
    let download = wait_for_full_disk(&mut leech);
    let trouble = download["trouble"].as_str().unwrap();
    assert!(
        trouble.contains("cannot write") && trouble.contains("leech.state/records"),
        "{trouble}"
    );
    assert!(fs::read(&copy).unwrap() == old);
    leech.assert_refused("wait 4", "not-complete", "100%: waits: the disk");
    disk.make_room();
    leech.wait_for_state("share", "complete");
    assert_content(&copy);
}

#[test]
fn a_download_waits_if_the_disk_turns_out_to_be_full_when_its_files_are_synced() {
    let sandbox = Sandbox::new();
    let Some(disk) = OddDisk::new(&sandbox, "odd") else {
        return;
    };
    let go = start_seed(&sandbox);
    // EDQUOT. The file system says that it has much free space.
    let mut leech = disk.peer(&sandbox, "leech", "sync_file=122");
    let copy = disk.folder.join("copy");
    start_download(&mut leech, &sandbox, &copy, "");
    drop(go);
    wait_for_full_disk(&mut leech);
    leech.assert_refused("wait 4", "not-complete", "100%: waits: the disk");
    assert_eq!(
        waits(&leech.log),
        1,
        "it goes on although the quota is full"
    );
    assert!(!copy.exists());
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.wait_for_state("share", "complete");
    assert_content(&copy);
}

/// Writes the `.torrent` of [`TORRENT`] with a tracker.
fn with_tracker(sandbox: &Sandbox, url: &str) -> String {
    let announce = format!("d8:announce{}:{url}", url.len());
    let mut torrent = TORRENT.clone();
    torrent.bytes = [announce.as_bytes(), &TORRENT.bytes[1..]].concat();
    quoted(&torrent.write(sandbox, "named.torrent"))
}

#[test]
fn a_tracker_that_could_not_be_recorded_is_recorded_when_there_is_room() {
    let sandbox = Sandbox::new();
    let state = sandbox.folder("leech.state");
    let Some(disk) = SmallDisk::mount(&state, "1m") else {
        return;
    };
    let go = start_seed(&sandbox);
    let mut leech = disk.peer(&sandbox, "leech");
    let copy = sandbox.path("copy");
    start_download(&mut leech, &sandbox, &copy, "");
    let url = "http://127.0.0.1:1/another-tracker";
    let (file, copy) = (with_tracker(&sandbox, url), quoted(&copy));
    let hash = leech.shown_download("share")["info_hash"].clone();
    let record = disk.seen.join("records").join(hash.as_str().unwrap());
    let is_recorded = || {
        let record = fs::read(&record).unwrap();
        String::from_utf8_lossy(&record).contains(url)
    };
    disk.fill(0);
    leech.run(&format!("download {file} {copy}"));
    assert!(!is_recorded());
    disk.make_room();
    wait_until("the tracker is recorded", is_recorded);
    leech.kill();
    let mut leech = disk.peer(&sandbox, "leech");
    drop(go);
    leech.wait_for_state("share", "complete");
    assert!(is_recorded());
}

#[test]
fn a_login_that_could_not_be_stored_is_stored_when_there_is_room() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let state = sandbox.folder("nik.state");
    let Some(disk) = SmallDisk::mount(&state, "1m") else {
        return;
    };
    let mut nik = disk.peer(sandbox, "nik");
    nik.run("create_user nik 'a password'");
    disk.fill(0);
    nik.assert_refused("login nik 'a password'", "record", "when it can");
    assert_eq!(nik.run("status")["user"], "nik");
    let stored = disk.seen.join("session");
    assert!(!stored.exists());
    disk.make_room();
    wait_until("the login is stored", || stored.exists());
    nik.kill();
    let mut nik = disk.peer(sandbox, "nik");
    assert_eq!(nik.run("status")["user"], "nik");
}

/// A peer whose state folder is full, with a complete download of the file `a` of the torrent
/// `set`. Also returns the tracker and the seed, and the command that downloads a file.
fn complete_with_full_state(sandbox: &Sandbox) -> Option<(SmallDisk, Peer, Sources, String)> {
    let disk = SmallDisk::mount(&sandbox.folder("leech.state"), "1m")?;
    let tracker = sandbox.tracker(&[]);
    for name in ["a", "b"] {
        sandbox.file(&format!("seed/set/{name}"), 100_000, 5);
    }
    let mut seed = sandbox.peer("seed");
    seed.run("send set");
    let mut leech = disk.peer(sandbox, "leech");
    let [file, set] = ["seed/set.torrent", "leech/set"].map(|path| quoted(&sandbox.path(path)));
    let download = format!("download {file} {set} --only");
    leech.run(&format!("{download} a"));
    leech.wait_for_state("set", "complete");
    disk.fill(0);
    Some((disk, leech, (tracker, seed), download))
}

/// A tracker and a seed.
type Sources = (Process, Peer);

#[test]
fn a_complete_download_is_served_again_if_more_of_its_files_are_refused_on_a_full_disk() {
    let sandbox = Sandbox::new();
    let Some((disk, mut leech, _sources, download)) = complete_with_full_state(&sandbox) else {
        return;
    };
    leech.assert_refused(&format!("{download} b"), "record", "No space left");
    leech.wait_for_state("set", "complete");
    disk.make_room();
    leech.kill();
    let mut leech = disk.peer(&sandbox, "leech");
    leech.wait_for_state("set", "complete");
    leech.run(&format!("{download} b"));
    leech.wait_for_state("set", "complete");
    let copy = fs::read(sandbox.path("leech/set/b")).unwrap();
    assert!(copy == bytes(100_000, 5));
}

#[test]
fn a_lost_download_returns_with_its_files_although_another_attempt_was_refused() {
    let sandbox = Sandbox::new();
    let Some((_disk, mut leech, _sources, download)) = complete_with_full_state(&sandbox) else {
        return;
    };
    let [copy, away] = ["leech/set/a", "leech/away"].map(|path| sandbox.path(path));
    fs::rename(&copy, &away).unwrap();
    sandbox.file("leech/set/a", 100_000, 6);
    leech.wait_for_state("set", "failed");
    leech.assert_refused(&format!("{download} a --force"), "record", "No space left");
    leech.wait_for_state("set", "failed");
    fs::rename(&away, &copy).unwrap();
    leech.wait_for_state("set", "complete");
}

#[test]
fn a_record_that_cannot_be_written_does_not_keep_another_from_being_written() {
    let sandbox = Sandbox::new();
    set_only_tracker(&sandbox, tracker_naming(&[]));
    let mut leech = sandbox.peer("leech");
    let mut records = Vec::new();
    for name in ["share", "other"] {
        let mut torrent = TORRENT.clone();
        let mut parts = TORRENT.bytes.windows(7);
        let at = parts.position(|part| part == b"5:share").unwrap();
        torrent.bytes[at + 2..at + 7].copy_from_slice(name.as_bytes());
        let copy = quoted(&sandbox.path(&format!("leech/{name}")));
        let file = quoted(&torrent.write(&sandbox, &format!("{name}.torrent")));
        leech.run(&format!("download {file} {copy}"));
        let shown = leech.wait_for_state(name, "downloading");
        let hash = shown["info_hash"].as_str().unwrap();
        let record = sandbox.path("leech.state/records").join(hash);
        // A file cannot replace a folder.
        fs::remove_file(&record).unwrap();
        fs::create_dir(&record).unwrap();
        let announce = b"d8:announce20:http://127.0.0.1:1/a";
        torrent.bytes = [&announce[..], &torrent.bytes[1..]].concat();
        let file = quoted(&torrent.write(&sandbox, &format!("{name}.torrent")));
        leech.run(&format!("download {file} {copy}"));
        records.push(record);
    }
    // The records are written in this order.
    records.sort();
    fs::remove_dir(&records[1]).unwrap();
    wait_until("the second record is written", || records[1].is_file());
    assert!(records[0].is_dir());
}

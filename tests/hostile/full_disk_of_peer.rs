//! A peer whose disk is full: its downloads wait. When there is room, they go on by themselves, and
//! the peer writes the records that it could not write before.

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

/// Total length in bytes of the pieces that the seed serves first.
const FIRST_PART: usize = 8 * 32_768;

/// Makes a seed the only source of the downloads in the sandbox. At first, the seed serves only the
/// first part. It serves the other pieces after the returned sender is dropped.
fn start_seed(sandbox: &Sandbox) -> Sender<()> {
    let (go, gate) = channel();
    set_only_tracker(sandbox, tracker_naming(&[seed_in_two_parts(gate)]));
    go
}

/// Starts a download to `small/copy`. The folder `small` is a disk of 1 MiB. Fills the disk when
/// the download has its first part. Returns when the download waits for room. If no file system can
/// be mounted here, reports that the test is skipped and returns `None`.
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

/// Waits until the download waits for room and has no links. Returns what `show_downloads` shows of
/// it.
fn wait_for_full_disk(leech: &mut Peer) -> Value {
    let waits_for_room = |download: &Value| {
        let trouble = download["trouble"].as_str().unwrap_or_default();
        trouble.starts_with("waits: the disk or the quota is full, ") && download["peers"] == 0
    };
    let download = leech.wait_for_download("share", waits_for_room);
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
fn count_waits(log: &Path) -> usize {
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
    // In the next 4 s, the peer checks at least once whether there is room. There is too little.
    disk.free(300 << 10);
    leech.assert_refused("wait 4", "not-complete", &needs);
    assert_eq!(count_waits(&leech.log), 1);
    disk.make_room();
    let download = leech.wait_for_state("share", "complete");
    assert_eq!(download["trouble"], Value::Null);
    leech.run("wait");
    assert_content(&disk.outside_path.join("copy"));
    assert_eq!(count_waits(&leech.log), 1);
}

#[test]
fn a_download_whose_disk_is_full_still_waits_after_a_restart() {
    let sandbox = Sandbox::new();
    let Some((disk, mut leech)) = download_on_full_disk(&sandbox) else {
        return;
    };
    let before = leech.shown_download("share");
    leech.kill();
    // After the restart, the download waits for room although no write fails: there is nobody to
    // download from.
    set_only_tracker(&sandbox, tracker_naming(&[]));
    let mut leech = disk.peer(&sandbox, "leech");
    let after = wait_for_full_disk(&mut leech);
    for field in ["bytes_done", "trouble"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    drop(start_seed(&sandbox));
    disk.make_room();
    leech.wait_for_state("share", "complete");
    assert_content(&disk.outside_path.join("copy"));
}

#[test]
fn a_download_that_waits_for_room_can_be_cancelled() {
    let sandbox = Sandbox::new();
    let Some((disk, mut leech)) = download_on_full_disk(&sandbox) else {
        return;
    };
    leech.run("cancel share");
    assert_eq!(leech.shown_download("share"), Value::Null);
    assert!(!disk.outside_path.join("copy.part").exists());
    // A new download is refused before it starts.
    let file = quoted(&sandbox.path("share.torrent"));
    let copy = quoted(&sandbox.path("small/copy"));
    let again = format!("download {file} {copy}");
    leech.assert_refused(&again, "storage", "bytes, only");
    assert!(!disk.outside_path.join("copy.part").exists());
    disk.make_room();
    leech.run(&again);
    leech.wait_for_state("share", "complete");
    assert_content(&disk.outside_path.join("copy"));
}

#[test]
fn a_download_that_replaces_a_file_waits_if_the_state_folder_is_full() {
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
fn a_download_waits_if_the_sync_of_its_files_fails_because_the_quota_is_full() {
    let sandbox = Sandbox::new();
    let Some(disk) = OddDisk::new(&sandbox, "odd") else {
        return;
    };
    let go = start_seed(&sandbox);
    // 122 is EDQUOT: the quota is full. But the file system reports much free space.
    let mut leech = disk.peer(&sandbox, "leech", "sync_file=122");
    let copy = disk.folder.join("copy");
    start_download(&mut leech, &sandbox, &copy, "");
    drop(go);
    wait_for_full_disk(&mut leech);
    leech.assert_refused("wait 4", "not-complete", "100%: waits: the disk");
    assert_eq!(
        count_waits(&leech.log),
        1,
        "the download went on although the quota was full"
    );
    assert!(!copy.exists());
    leech.kill();
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.wait_for_state("share", "complete");
    assert_content(&copy);
}

/// Writes a `.torrent` of [`TORRENT`] that names the tracker at `url`. Returns its path in quotes.
fn write_torrent_with_tracker(sandbox: &Sandbox, url: &str) -> String {
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
    let (file, copy) = (write_torrent_with_tracker(&sandbox, url), quoted(&copy));
    let hash = leech.shown_download("share")["info_hash"].clone();
    let record = disk
        .outside_path
        .join("records")
        .join(hash.as_str().unwrap());
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
    let stored = disk.outside_path.join("session");
    assert!(!stored.exists());
    disk.make_room();
    wait_until("the login is stored", || stored.exists());
    nik.kill();
    let mut nik = disk.peer(sandbox, "nik");
    assert_eq!(nik.run("status")["user"], "nik");
}

/// Returns a disk that is full, a peer that has its state folder on this disk, the tracker and the
/// seed of the torrent `set`, and the start of a command. The peer has downloaded the file `a` of
/// the torrent. The command downloads another file, whose name is to be added at its end.
fn complete_download_with_full_state_folder(
    sandbox: &Sandbox,
) -> Option<(SmallDisk, Peer, Sources, String)> {
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
fn a_complete_download_stays_complete_if_another_file_is_refused_because_the_disk_is_full() {
    let sandbox = Sandbox::new();
    let Some((disk, mut leech, _sources, download)) =
        complete_download_with_full_state_folder(&sandbox)
    else {
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
fn a_failed_download_completes_when_its_file_is_back_even_after_a_refused_attempt() {
    let sandbox = Sandbox::new();
    let Some((_disk, mut leech, _sources, download)) =
        complete_download_with_full_state_folder(&sandbox)
    else {
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
fn a_record_that_cannot_be_written_does_not_block_the_next_record() {
    let sandbox = Sandbox::new();
    set_only_tracker(&sandbox, tracker_naming(&[]));
    let mut leech = sandbox.peer("leech");
    let mut records = Vec::new();
    for name in ["share", "other"] {
        let mut torrent = TORRENT.clone();
        let mut windows = TORRENT.bytes.windows(7);
        let at = windows.position(|window| window == b"5:share").unwrap();
        torrent.bytes[at + 2..at + 7].copy_from_slice(name.as_bytes());
        let copy = quoted(&sandbox.path(&format!("leech/{name}")));
        let file = quoted(&torrent.write(&sandbox, &format!("{name}.torrent")));
        leech.run(&format!("download {file} {copy}"));
        let shown = leech.wait_for_state(name, "downloading");
        let hash = shown["info_hash"].as_str().unwrap();
        let record = sandbox.path("leech.state/records").join(hash);
        // The next write of the record fails, because a file cannot replace a folder.
        fs::remove_file(&record).unwrap();
        fs::create_dir(&record).unwrap();
        // A new tracker changes the record.
        let announce = b"d8:announce20:http://127.0.0.1:1/a";
        torrent.bytes = [&announce[..], &torrent.bytes[1..]].concat();
        let file = quoted(&torrent.write(&sandbox, &format!("{name}.torrent")));
        leech.run(&format!("download {file} {copy}"));
        records.push(record);
    }
    // The peer writes the records in the order of their names.
    records.sort();
    fs::remove_dir(&records[1]).unwrap();
    wait_until("the second record is written", || records[1].is_file());
    assert!(records[0].is_dir());
}

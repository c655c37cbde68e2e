//! A new version of a share: only what changed is sent, and the old version is left as it is until
//! the new one is complete.

use super::team::team;
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::bytes;
use crate::common::waiting::wait_until;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

const SMALL_FILES: usize = 30;
const SMALL: usize = 100_000;
const LARGE: usize = 11_000_000;

/// nik shares `data`, and mayank has downloaded it.
struct Update {
    tracker: AccountTracker,
    nik: Peer,
    mayank: Peer,
}

fn small(number: usize) -> String {
    format!("small/{number:02}")
}

/// Waits until the download with this info-hash is complete, and the only one. Returns the bytes
/// that came from other peers.
fn fetched_bytes(peer: &mut Peer, info_hash: &Value) -> u64 {
    let mut found = Value::Null;
    wait_until("the new version is complete", || {
        let _ = peer.try_run("wait 0.1");
        let downloads = peer.run("show_downloads")["downloads"].take();
        found = downloads[0].clone();
        let is_only = downloads.as_array().is_some_and(|all| all.len() == 1);
        is_only && found["info_hash"] == *info_hash && found["state"] == "complete"
    });
    let from = found["from"].as_object().unwrap().iter();
    let others = from.filter(|(source, _)| *source != "disk");
    others.map(|(_, bytes)| bytes.as_u64().unwrap()).sum()
}

impl Update {
    fn new() -> Self {
        let tracker = AccountTracker::with(&["--interval", "1"]);
        let [nik, mayank] = team(&tracker, ["nik", "mayank"]);
        for number in 0..SMALL_FILES {
            let name = format!("nik/data/{}", small(number));
            tracker.sandbox.file(&name, SMALL, number as u64);
        }
        tracker.sandbox.file("nik/data/large", LARGE, 100);
        tracker.sandbox.file("nik/data/gone", 5_000, 101);
        let mut it = Self {
            tracker,
            nik,
            mayank,
        };
        it.upload("");
        let all = it.download();
        assert!(all >= LARGE as u64, "{all}");
        it
    }

    fn upload(&mut self, options: &str) -> Value {
        let path = self.tracker.sandbox.path("nik/data");
        self.nik
            .run(&format!("upload_file lab {} {options}", quoted(&path)))
    }

    /// mayank downloads the newest version to the usual place. Returns the bytes from other peers.
    fn download(&mut self) -> u64 {
        let folder = self.tracker.sandbox.folder("mayank");
        let command = format!("download_file lab data {}", quoted(&folder));
        let started = self.mayank.run(&command);
        fetched_bytes(&mut self.mayank, &started["info_hash"])
    }

    /// What mayank would fetch of the newest version. Nothing is started.
    fn preview(&mut self) -> Value {
        let folder = self.tracker.sandbox.folder("mayank");
        let command = format!("download_file lab data {} --dry-run", quoted(&folder));
        let preview = self.mayank.run(&command);
        assert!(!folder.join("data.part").exists());
        preview
    }

    /// Overwrites bytes of a file of nik.
    fn change(&self, file: &str, at: u64, length: usize) {
        let path = self.tracker.sandbox.path("nik/data").join(file);
        let file = fs::File::options().write(true).open(path).unwrap();
        file.write_all_at(&bytes(length, 999), at).unwrap();
    }

    fn assert_mayank_has_the_files_of_nik(&self) {
        let [nik, mayank] = ["nik/data", "mayank/data"].map(|path| self.tracker.sandbox.path(path));
        let mut names: Vec<String> = (0..SMALL_FILES).map(small).collect();
        names.push("large".to_owned());
        for name in names {
            let (expected, found) = (nik.join(&name), mayank.join(&name));
            assert!(
                fs::read(expected).unwrap() == fs::read(&found).unwrap(),
                "{name}"
            );
            assert_eq!(found.metadata().unwrap().nlink(), 1, "{name}");
        }
        assert!(!self.tracker.sandbox.path("mayank/data.part").exists());
        assert!(!mayank.join(".pad").exists(), "padding is never stored");
    }
}

#[test]
fn only_what_changed_is_fetched() {
    let mut it = Update::new();
    let unchanged = it.tracker.sandbox.path("mayank/data").join(small(3));
    let inode = unchanged.metadata().unwrap().ino();
    it.change(&small(7), 50_000, 1_000);
    it.change("large", 5_000_000, 1_000);
    let gone = it.tracker.sandbox.path("nik/data/gone");
    fs::remove_file(gone).unwrap();
    it.upload("--update");
    let preview = it.preview();
    let files = [
        "unchanged_files",
        "changed_files",
        "new_files",
        "gone_files",
    ];
    let counts = files.map(|key| preview[key].as_u64().unwrap());
    assert_eq!(counts, [SMALL_FILES as u64 - 1, 2, 0, 1]);
    // The changed piece of `large`, and the blocks that `small/07` touches.
    let most = (512 << 10) + SMALL as u64 + 2 * (16 << 10);
    let to_fetch = preview["to_fetch"].as_u64().unwrap();
    assert!((1..=most).contains(&to_fetch), "{to_fetch} bytes");
    let fetched = it.download();
    assert!(fetched <= to_fetch, "{fetched} of {to_fetch} bytes");
    it.assert_mayank_has_the_files_of_nik();
    assert!(!it.tracker.sandbox.path("mayank/data/gone").exists());
    // The unchanged file was linked, not copied.
    assert_eq!(unchanged.metadata().unwrap().ino(), inode);
}

#[test]
fn appending_to_a_file_moves_no_other_piece() {
    let mut it = Update::new();
    let path = it.tracker.sandbox.path("nik/data/large");
    let mut content = fs::read(&path).unwrap();
    content.extend(bytes(50_000, 5));
    fs::write(&path, content).unwrap();
    it.upload("--update");
    let fetched = it.download();
    assert!(fetched <= 50_000 + 2 * (512 << 10), "{fetched} bytes");
    it.assert_mayank_has_the_files_of_nik();
}

#[test]
fn the_same_files_are_the_same_share_also_with_padding() {
    let mut it = Update::new();
    let first = it.upload("");
    let copy = it.tracker.sandbox.path("mayank/data");
    let command = format!("upload_file lab {}", quoted(&copy));
    let again = it.mayank.run(&command);
    assert_eq!(again["info_hash"], first["info_hash"]);
    // A change that is taken back is the first version again, with its info-hash.
    it.change("large", 9, 9);
    let second = it.upload("--update");
    assert_ne!(second["info_hash"], first["info_hash"]);
    it.tracker.sandbox.file("nik/data/large", LARGE, 100);
    let third = it.upload("--update");
    assert_eq!(third["info_hash"], first["info_hash"]);
}

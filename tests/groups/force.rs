//! Downloads with `--force`: the old file or folder stays untouched until the new one is complete.

use super::team::team;
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::bytes;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const LENGTH: usize = 1_500_000;

/// The content of each file below `path`. The keys are the paths without `path`, for example
/// `/sub/b`. If `path` is a file, its key is empty.
fn contents(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    collect_contents(path, String::new(), &mut found);
    found
}

fn collect_contents(path: &Path, key: String, found: &mut BTreeMap<String, Vec<u8>>) {
    if !path.is_dir() {
        found.insert(key, fs::read(path).unwrap());
        return;
    }
    for entry in fs::read_dir(path).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        collect_contents(&path.join(&name), format!("{key}/{name}"), found);
    }
}

/// nik shares `data`, a file or a folder, and is logged out. mayank has other content under that
/// name.
struct Replacement {
    tracker: AccountTracker,
    nik: Peer,
    mayank: Peer,
    /// The content of the share.
    share: BTreeMap<String, Vec<u8>>,
    /// What mayank had at the destination before any download.
    before: BTreeMap<String, Vec<u8>>,
}

impl Replacement {
    fn new(is_folder: bool) -> Self {
        let tracker = AccountTracker::with(&["--interval", "1"]);
        let [mut nik, mayank] = team(&tracker, ["nik", "mayank"]);
        let (shared, destination) = ("nik/data", "mayank/data");
        if is_folder {
            tracker.sandbox.file("nik/data/a", 70_000, 1);
            tracker.sandbox.file("nik/data/sub/b", LENGTH, 2);
            tracker.sandbox.file("mayank/data/a", 70_000, 3);
            tracker.sandbox.file("mayank/data/own/notes", 30_000, 4);
        } else {
            tracker.sandbox.file(shared, LENGTH, 1);
            tracker.sandbox.file(destination, LENGTH, 3);
        }
        let [share, before] =
            [shared, destination].map(|path| contents(&tracker.sandbox.path(path)));
        let path = tracker.sandbox.path(shared);
        nik.run(&format!("upload_file lab {}", quoted(&path)));
        nik.run("logout");
        Self {
            tracker,
            nik,
            mayank,
            share,
            before,
        }
    }

    /// What mayank has at the destination.
    fn at_destination(&self) -> BTreeMap<String, Vec<u8>> {
        contents(&self.tracker.sandbox.path("mayank/data"))
    }

    fn has_part(&self) -> bool {
        self.tracker.sandbox.path("mayank/data.part").exists()
    }

    /// Asserts that a refused, a cancelled and a killed download change nothing, and that a
    /// complete one replaces the old content.
    fn assert_replaced_only_when_complete(mut self) {
        self.mayank
            .assert_refused("download_file lab data", "exists", "--force");
        assert!(self.at_destination() == self.before && !self.has_part());
        self.mayank.run("download_file lab data --force");
        assert!(self.at_destination() == self.before && self.has_part());
        self.mayank.run("cancel data");
        assert!(self.at_destination() == self.before && !self.has_part());
        self.mayank.run("download_file lab data --force");
        self.mayank.process.kill();
        let sandbox = &self.tracker.sandbox;
        self.mayank = sandbox.debug_peer("mayank", &[]);
        self.mayank.wait_for_state("data", "downloading");
        assert!(self.at_destination() == self.before && self.has_part());
        self.nik.run("login nik\npw of nik");
        self.mayank.wait_for_state("data", "complete");
        assert!(self.at_destination() == self.share && !self.has_part());
        // The new content is kept after a restart.
        self.mayank.process.kill();
        self.mayank = self.tracker.sandbox.debug_peer("mayank", &[]);
        self.mayank.wait_for_state("data", "complete");
        assert!(self.at_destination() == self.share && !self.has_part());
    }
}

#[test]
fn a_file_is_replaced_only_by_a_complete_one() {
    Replacement::new(false).assert_replaced_only_when_complete();
}

#[test]
fn a_folder_is_replaced_only_by_a_complete_one() {
    Replacement::new(true).assert_replaced_only_when_complete();
}

#[test]
fn the_old_folder_is_removed_after_a_crash_in_the_middle_of_its_replacement() {
    let mut replacement = Replacement::new(true);
    replacement.mayank.run("download_file lab data --force");
    replacement.mayank.process.kill();
    // The state between the exchange of the two folders and the removal of the old one.
    let path = |name: &str| replacement.tracker.sandbox.path(name);
    fs::remove_dir_all(path("mayank/data.part")).unwrap();
    fs::rename(path("mayank/data"), path("mayank/data.part")).unwrap();
    for (key, content) in &replacement.share {
        let file = path(&format!("mayank/data{key}"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    replacement.mayank = replacement.tracker.sandbox.debug_peer("mayank", &[]);
    replacement.mayank.wait_for_state("data", "complete");
    assert!(replacement.at_destination() == replacement.share && !replacement.has_part());
}

#[test]
fn files_and_folders_never_replace_each_other() {
    for is_folder in [false, true] {
        let mut replacement = Replacement::new(is_folder);
        let destination = replacement.tracker.sandbox.path("mayank/data");
        if is_folder {
            fs::remove_dir_all(&destination).unwrap();
            fs::write(&destination, bytes(LENGTH, 9)).unwrap();
        } else {
            fs::remove_file(&destination).unwrap();
            replacement.tracker.sandbox.file("mayank/data/own", 1000, 9);
        }
        let before = replacement.at_destination();
        for command in ["download_file lab data", "download_file lab data --force"] {
            replacement
                .mayank
                .assert_refused(command, "exists", "neither replaces the other");
            assert!(replacement.at_destination() == before && !replacement.has_part());
        }
    }
}

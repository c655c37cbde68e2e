//! A new version takes the place of the one that is here. Whatever happens meanwhile, one of the
//! two is whole at that place.

use super::team::{join, logged_in_peer, team};
use super::versions::wait_for_holders;
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::bytes;
use crate::common::waiting::wait_until;
use pieceful::storage::{Record, RecordState, Records, RenameSteps, StateFolder};
use pieceful::torrent::Metainfo;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const LENGTH: usize = 2_000_000;

/// The files of a version: path, length, seed of the content.
pub(super) type Files = &'static [(&'static str, usize, u64)];

/// `large` differs in its last bytes only.
pub(super) const VERSIONS: [Files; 2] = [
    &[
        ("large", LENGTH, 1),
        ("gone/old", 30_000, 2),
        ("small", 500, 3),
    ],
    &[
        ("large", LENGTH + 50_000, 1),
        ("new/file", 40_000, 4),
        ("small", 600, 5),
    ],
];
/// Files of mayank in the folder of the share.
pub(super) const OWN: Files = &[("notes", 300, 6), ("gone/mine", 400, 7)];

/// The content of the files below a folder.
pub(super) fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            found.insert(name.to_owned(), fs::read(&path).unwrap());
        }
    }
    found
}

pub(super) fn expected(files: &[Files]) -> BTreeMap<String, Vec<u8>> {
    let files = files.iter().copied().flatten();
    let content =
        |&(name, length, seed): &(&str, usize, u64)| (name.to_owned(), bytes(length, seed));
    files.map(content).collect()
}

/// Waits until the download of a version is in this state, and returns it.
pub(super) fn wait_for_version(peer: &mut Peer, number: u64, state: &str) -> Value {
    let mut found = Value::Null;
    wait_until(&format!("version {number} is {state}"), || {
        let list = peer.run("show_downloads");
        let mut all = list["downloads"].as_array().unwrap().iter();
        let is_meant = |it: &&Value| it["version"] == number && it["state"] == state;
        found = all.find(is_meant).cloned().unwrap_or_default();
        !found.is_null()
    });
    found
}

/// nik publishes versions of the folder `data`, each from a folder of its own. mayank has the first
/// one complete, with files of his own in it.
pub(super) struct Update {
    pub(super) tracker: AccountTracker,
    pub(super) nik: Peer,
    pub(super) mayank: Peer,
}

impl Update {
    pub(super) fn new() -> Self {
        let tracker = AccountTracker::with(&["--interval", "1"]);
        let [nik, mayank] = team(&tracker, ["nik", "mayank"]);
        let mut update = Self {
            tracker,
            nik,
            mayank,
        };
        update.publish(0, "");
        update.mayank.run("download_file lab data");
        update.mayank.run("wait 50");
        update.make(OWN, "mayank/data");
        update
    }

    pub(super) fn make(&self, files: Files, folder: &str) {
        for (name, length, seed) in files {
            self.tracker
                .sandbox
                .file(&format!("{folder}/{name}"), *length, *seed);
        }
    }

    /// Publishes version `at`, from 0.
    pub(super) fn publish(&mut self, at: usize, options: &str) {
        let folder = format!("v{at}/data");
        self.make(VERSIONS[at], &folder);
        let path = self.tracker.sandbox.path(&folder);
        self.nik
            .run(&format!("upload_file lab {} {options}", quoted(&path)));
    }

    pub(super) fn here(&self) -> BTreeMap<String, Vec<u8>> {
        contents(&self.tracker.sandbox.path("mayank/data"))
    }

    /// Asserts that mayank has exactly version `at`, with his own files, and nothing else.
    pub(super) fn assert_has(&mut self, at: usize) {
        assert!(
            self.here() == expected(&[VERSIONS[at], OWN]),
            "{:?}",
            self.here().keys()
        );
        let folder = fs::read_dir(self.tracker.sandbox.path("mayank")).unwrap();
        let names: Vec<_> = folder.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["data"], "something is left beside the share");
        let shares = self.mayank.run("status")["shares"].clone();
        assert_eq!(shares.as_array().unwrap().len(), 1, "{shares}");
        assert_eq!(shares[0]["version"], at + 1, "{shares}");
        assert_eq!(shares[0]["trouble"], Value::Null, "{shares}");
        let records = self.tracker.sandbox.path("mayank.state/records");
        let records = fs::read_dir(records).unwrap();
        let names = records.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // A record that is being written again has another name meanwhile.
        let names: Vec<_> = names.filter(|name| !name.starts_with(".new-")).collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    pub(super) fn wait_until_complete(&mut self, number: u64) -> Value {
        wait_for_version(&mut self.mayank, number, "complete")
    }

    /// Begins the update to the second version, which nobody serves then. Kills the peer.
    pub(super) fn begin_and_kill(&mut self) {
        self.publish(1, "--update");
        wait_for_holders(&mut self.nik, "data@2", 1);
        self.nik.run("logout");
        self.mayank.run("download_file lab data");
        wait_for_version(&mut self.mayank, 2, "downloading");
        self.restart(|_| {});
    }

    /// Kills the peer, and starts it again after `meanwhile`.
    pub(super) fn restart(&mut self, meanwhile: impl FnOnce(&Self)) {
        self.mayank.process.signal("-KILL");
        wait_until("the peer is dead", || self.mayank.process.has_ended());
        meanwhile(self);
        self.mayank = self.tracker.sandbox.debug_peer("mayank", &[]);
    }
}

#[test]
fn the_same_line_again_updates_a_share_in_place() {
    let mut update = Update::new();
    update.assert_has(0);
    let again = update.mayank.run("download_file lab data");
    assert_eq!(
        (&again["already"], &again["version"]),
        (&json!(true), &json!(1))
    );
    update.publish(1, "--update");
    // Wherever the user is now: the place is remembered.
    let started = update.mayank.run("download_file lab data");
    let place = update.tracker.sandbox.path("mayank/data");
    assert_eq!(started["path"], place.to_str().unwrap(), "{started}");
    assert_eq!(
        (&started["version"], &started["replaces"]),
        (&json!(2), &json!(1))
    );
    let again = update.mayank.run("download_file lab data");
    assert_eq!(
        (&again["already"], &again["version"]),
        (&json!(true), &json!(2))
    );
    let download = update.wait_until_complete(2);
    update.assert_has(1);
    // What the files of the former version have is not fetched.
    let from = download["from"].as_object().unwrap();
    assert!(from["disk"].as_u64().unwrap() > 1_500_000, "{download}");
    // Back to a certain version, by the same way.
    update.mayank.run("download_file lab data@1");
    update.wait_until_complete(1);
    update.assert_has(0);
    update.restart(|_| {});
    update.assert_has(0);
}

#[test]
fn a_file_that_was_changed_here_is_not_replaced_without_force() {
    let mut update = Update::new();
    update.publish(1, "--update");
    let path = update.tracker.sandbox.path("mayank/data/gone/old");
    fs::write(&path, "mine now").unwrap();
    let before = update.here();
    for _ in 0..2 {
        let refused = update.mayank.error_of("download_file lab data");
        assert_eq!(refused.0, "exists", "{refused:?}");
        let shown = path.to_str().unwrap();
        assert!(
            refused.1.contains(shown) && refused.1.contains("--force"),
            "{refused:?}"
        );
        assert!(update.here() == before);
        // After a restart the peer knows it too.
        update.restart(|_| {});
    }
    update.mayank.run("download_file lab data --force");
    update.wait_until_complete(2);
    // The new version has no such file, so the changed one stays.
    let mut after = update.here();
    assert_eq!(after.remove("gone/old").unwrap(), b"mine now");
    assert!(after == expected(&[VERSIONS[1], OWN]));
}

#[test]
fn a_file_that_is_changed_during_an_update_stops_the_update() {
    let mut update = Update::new();
    update.begin_and_kill();
    let path = update.tracker.sandbox.path("mayank/data/small");
    fs::write(&path, "mine now").unwrap();
    let before = update.here();
    update.nik.run("login nik\npw of nik");
    let failed = wait_for_version(&mut update.mayank, 2, "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(
        reason.contains(path.to_str().unwrap()) && reason.contains("--force"),
        "{reason}"
    );
    assert!(update.here() == before);
    update.mayank.run("download_file lab data --force");
    update.wait_until_complete(2);
    update.assert_has(1);
}

#[test]
fn an_update_goes_on_after_a_kill_and_the_old_version_is_served_until_it_is_complete() {
    let mut update = Update::new();
    update.begin_and_kill();
    assert!(update.here() == expected(&[VERSIONS[0], OWN]));
    // A new member gets the old version from here.
    let mut uma = logged_in_peer(&update.tracker, "uma", &[]);
    update.nik.run("login nik\npw of nik");
    join(&mut update.nik, &mut uma, "uma");
    update.wait_until_complete(2);
    update.assert_has(1);
    uma.run("download_file lab data@1");
    uma.run("wait 50");
    let copy = contents(&update.tracker.sandbox.path("uma/data"));
    assert!(copy == expected(&[VERSIONS[0]]));
}

/// Changes the recorded update of mayank, as a crash at a later step would leave it. With
/// `keeps_inodes`, the noted inode number is that of the new folder.
pub(super) fn note_exchange(update: &Update, keeps_inodes: bool) {
    let (sandbox, place) = (&update.tracker.sandbox, "mayank/data");
    let (data, part) = (sandbox.path(place), sandbox.path("mayank/data.part"));
    // All pieces have arrived, and the two folders are exchanged.
    fs::remove_dir_all(&part).unwrap();
    fs::rename(&data, &part).unwrap();
    update.make(VERSIONS[1], place);
    let folder = StateFolder::open(&sandbox.state("mayank")).unwrap();
    let records = Records::open(&folder).unwrap();
    let mut all = records.load_all().into_iter().map(Result::unwrap);
    let (mut record, _) = all
        .find(|(it, _)| it.state == RecordState::Partial)
        .unwrap();
    let inode = match keeps_inodes {
        true => fs::metadata(&data).unwrap().ino(),
        false => u64::MAX,
    };
    record.unfinished.steps = Some(RenameSteps::Replace { inode });
    records.update(&record).unwrap();
}

#[test]
fn after_a_crash_in_the_middle_of_the_switch_the_new_version_is_whole() {
    let mut update = Update::new();
    update.begin_and_kill();
    update.restart(|update| note_exchange(update, true));
    update.wait_until_complete(2);
    update.assert_has(1);
    update.restart(|_| {});
    update.assert_has(1);
}

#[test]
fn after_a_crash_right_after_the_switch_the_record_of_the_old_version_ends() {
    let mut update = Update::new();
    let old = recorded(&update);
    update.publish(1, "--update");
    update.mayank.run("download_file lab data");
    update.wait_until_complete(2);
    update.restart(|update| {
        let mut new = recorded(update);
        let superseded = vec![old.0.info_hash];
        new.0.group.as_mut().unwrap().supersedes = superseded;
        let folder = StateFolder::open(&update.tracker.sandbox.state("mayank")).unwrap();
        let records = Records::open(&folder).unwrap();
        for (record, metainfo) in [&old, &new] {
            records.save(record, metainfo).unwrap();
        }
    });
    update.assert_has(1);
}

/// The only record of mayank, with its torrent.
fn recorded(update: &Update) -> (Record, Metainfo) {
    let state = update.tracker.sandbox.state("mayank");
    // The running peer has locked its state folder, so a copy is read.
    let copy = tempfile::tempdir().unwrap();
    for name in ["records", "torrents"] {
        fs::create_dir(copy.path().join(name)).unwrap();
        for entry in fs::read_dir(state.join(name)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(name).join(entry.file_name())).unwrap();
        }
    }
    let folder = StateFolder::open(copy.path()).unwrap();
    let records = Records::open(&folder).unwrap();
    records.load_all().pop().unwrap().unwrap()
}

#[test]
fn a_newer_version_takes_the_place_of_an_unfinished_download() {
    let mut update = Update::new();
    // Begins the update, and goes back before it is complete.
    update.begin_and_kill();
    update.mayank.run("cancel data@2");
    assert!(update.here() == expected(&[VERSIONS[0], OWN]));
    update.mayank.run("download_file lab data");
    // A third version comes while the second one is not complete.
    update.nik.run("login nik\npw of nik");
    let path = update
        .tracker
        .sandbox
        .file("v2/data/large", LENGTH + 90_000, 1);
    let folder = path.parent().unwrap().to_owned();
    let command = format!("upload_file lab {} --update", quoted(&folder));
    let third = update.nik.run(&command);
    assert_eq!(third["version"], 3, "{third}");
    update.mayank.run("download_file lab data");
    update.wait_until_complete(3);
    let mut here = update.here();
    assert!(here.remove("large").unwrap() == bytes(LENGTH + 90_000, 1));
    assert!(here == expected(&[OWN]), "{:?}", here.keys());
    let beside = fs::read_dir(update.tracker.sandbox.path("mayank")).unwrap();
    assert_eq!(beside.count(), 1, "a partial folder is left");
    let list = update.mayank.run("show_downloads");
    assert_eq!(list["downloads"].as_array().unwrap().len(), 1, "{list}");
}

#[test]
fn a_first_download_that_is_not_complete_gives_its_pieces_to_a_newer_version() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    let path = tracker.sandbox.file("v/data", LENGTH, 1);
    nik.run(&format!("upload_file lab {}", quoted(&path)));
    nik.run("stop_share lab data --here");
    mayank.run("download_file lab data copy");
    mayank.wait_for_state("data", "downloading");
    // Two pieces of the file are here: a crash came before more was fetched.
    mayank.process.kill();
    let part = tracker.sandbox.path("mayank/copy.part");
    let mut half = bytes(LENGTH, 1);
    half[1 << 20..].fill(0);
    fs::write(&part, half).unwrap();
    let mut mayank = tracker.sandbox.debug_peer("mayank", &[]);
    tracker.sandbox.file("v/data", LENGTH + 10, 1);
    nik.run(&format!("upload_file lab {} --update", quoted(&path)));
    mayank.run("download_file lab data");
    let done = wait_for_version(&mut mayank, 2, "complete");
    let from = done["from"]["disk"].as_u64().unwrap();
    assert!(from > 500_000, "{done}");
    let copy = fs::read(tracker.sandbox.path("mayank/copy")).unwrap();
    assert!(copy == bytes(LENGTH + 10, 1));
    assert_eq!(
        fs::read_dir(tracker.sandbox.path("mayank"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn another_place_gets_a_copy_and_what_this_peer_publishes_is_never_overwritten() {
    let mut update = Update::new();
    update.publish(1, "--update");
    let sandbox = &update.tracker.sandbox;
    let both = "download_file lab data x --as y";
    update.mayank.assert_refused(both, "arguments", "not both");
    fs::create_dir(sandbox.path("mayank/taken")).unwrap();
    let taken = "download_file lab data --as taken";
    update.mayank.assert_refused(taken, "exists", "taken");
    let started = update.mayank.run("download_file lab data --as copy");
    assert_eq!(started["replaces"], Value::Null, "{started}");
    wait_for_version(&mut update.mayank, 2, "complete");
    assert!(contents(&sandbox.path("mayank/copy")) == expected(&[VERSIONS[1]]));
    assert!(contents(&sandbox.path("mayank/data")) == expected(&[VERSIONS[0], OWN]));
    let list = update.mayank.run("show_downloads");
    assert_eq!(list["downloads"].as_array().unwrap().len(), 2, "{list}");
    // The publisher of both versions withdraws one there, and asks for it.
    update.nik.run("stop_share lab data@1 --here");
    wait_for_holders(&mut update.mayank, "data@1", 1);
    let v1 = sandbox.path("v1/data");
    for line in [
        "download_file lab data@1".to_owned(),
        format!("download_file lab data@1 --as {}", quoted(&v1)),
    ] {
        update.nik.assert_refused(&line, "exists", "--as");
    }
    assert!(contents(&v1) == expected(&[VERSIONS[1]]));
    update.nik.run("download_file lab data@1 --as old");
    update.nik.run("wait 50");
    assert!(contents(&sandbox.path("nik/old")) == expected(&[VERSIONS[0]]));
}

#[test]
fn a_download_of_an_earlier_program_is_updated_in_place_too() {
    let mut update = Update::new();
    update.publish(1, "--update");
    update.restart(|update| {
        let folder = StateFolder::open(&update.tracker.sandbox.state("mayank")).unwrap();
        let records = Records::open(&folder).unwrap();
        let (mut record, _) = records.load_all().pop().unwrap().unwrap();
        record.group.as_mut().unwrap().version = None;
        records.update(&record).unwrap();
    });
    let shown = update.mayank.shown_download("data");
    assert_eq!(shown["version"], Value::Null, "{shown}");
    update.mayank.run("download_file lab data");
    update.wait_until_complete(2);
    update.assert_has(1);
}

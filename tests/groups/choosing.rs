//! The choice of files in shares of groups: which files are listed, fetched and kept, also when the
//! command is repeated with another choice, and when a new version takes the place of the one here.

use super::team::team;
use super::updates::{Files, contents, expected, wait_for_version};
use super::versions::wait_for_holders;
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::bytes;
use crate::common::waiting::wait_until;
use pieceful::storage::{Records, StateFolder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;

const RAW: [Files; 2] = [
    &[
        ("a.raw", 700_000, 1),
        ("sub/b.raw", 300_000, 2),
        ("old.raw", 90_000, 3),
    ],
    &[
        ("a.raw", 700_000, 1),
        ("sub/b.raw", 300_000, 12),
        ("new.raw", 80_000, 4),
    ],
];
const TEXT: [Files; 2] = [&[("c.txt", 500_000, 5)], &[("c.txt", 500_000, 15)]];
const IMAGE: [Files; 2] = [&[("d.img", 900_000, 6)], &[("d.img", 900_000, 16)]];
/// A file of mayank in the folder of the share.
const OWN: Files = &[("notes", 300, 7)];

/// nik publishes versions of the folder `data`; mayank downloads some files of them.
struct Choosing {
    tracker: AccountTracker,
    nik: Peer,
    mayank: Peer,
}

impl Choosing {
    fn new() -> Self {
        let tracker = AccountTracker::with(&["--interval", "1"]);
        let [nik, mayank] = team(&tracker, ["nik", "mayank"]);
        let mut all = Self {
            tracker,
            nik,
            mayank,
        };
        all.publish(0, "");
        all
    }

    fn make(&self, files: Files, folder: &str) {
        for (name, length, seed) in files {
            let path = format!("{folder}/{name}");
            self.tracker.sandbox.file(&path, *length, *seed);
        }
    }

    fn publish(&mut self, at: usize, options: &str) {
        let folder = format!("v{at}/data");
        for files in [RAW[at], TEXT[at], IMAGE[at]] {
            self.make(files, &folder);
        }
        let path = self.tracker.sandbox.path(&folder);
        let command = format!("upload_file lab {} {options}", quoted(&path));
        self.nik.run(&command);
    }

    fn download(&mut self, options: &str) -> Value {
        let command = format!("download_file lab data {options}");
        self.mayank.run(&command)
    }

    /// Asserts that mayank has these files and no others, and beside their folder at most one
    /// parts file.
    fn assert_has(&self, files: &[Files]) {
        let here = contents(&self.tracker.sandbox.path("mayank/data"));
        assert!(here == expected(files), "{:?}", here.keys());
        let folder = fs::read_dir(self.tracker.sandbox.path("mayank")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut other: Vec<String> = names.filter(|name| name != "data").collect();
        other.retain(|name| !name.ends_with(".rest"));
        assert_eq!(other, Vec::<String>::new());
        assert!(self.parts_files() <= 1, "that of an older version is left");
    }

    fn parts_files(&self) -> usize {
        let folder = fs::read_dir(self.tracker.sandbox.path("mayank")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".rest")).count()
    }

    fn restart(&mut self) {
        self.mayank.process.signal("-KILL");
        wait_until("the peer is dead", || self.mayank.process.has_ended());
        self.mayank = self.tracker.sandbox.debug_peer("mayank", &[]);
    }

    /// nik publishes the second version, which nobody serves from then on.
    fn publish_and_leave(&mut self) {
        self.publish(1, "--update");
        wait_for_holders(&mut self.nik, "data@2", 1);
        self.nik.run("logout");
    }
}

/// The number of bytes that came from other peers.
fn fetched(download: &Value) -> u64 {
    let from = download["from"].as_object().unwrap().iter();
    let peers = from.filter(|(source, _)| *source != "disk");
    peers.map(|(_, bytes)| bytes.as_u64().unwrap()).sum()
}

#[test]
fn the_files_of_a_share_are_listed_without_downloading_it() {
    let mut all = Choosing::new();
    let listed = all.mayank.run("list_files lab data");
    assert_eq!(
        (&listed["name"], &listed["version"]),
        (&json!("data"), &json!(1))
    );
    let lengths = |listed: &Value| -> BTreeMap<String, usize> {
        let files = listed["content"].as_array().unwrap().iter();
        let entry = |file: &Value| {
            let length = file["length"].as_u64().unwrap();
            (file["path"].as_str().unwrap().to_owned(), length as usize)
        };
        files.map(entry).collect()
    };
    let of = |files: &[Files]| -> BTreeMap<String, usize> {
        let files = files.iter().copied().flatten();
        files.map(|file| (file.0.to_owned(), file.1)).collect()
    };
    assert_eq!(lengths(&listed), of(&[RAW[0], TEXT[0], IMAGE[0]]));
    let raw = all.mayank.run("list_files lab data@1 --only '*.raw'");
    assert_eq!(lengths(&raw), of(&[RAW[0]]));
    let several = all
        .mayank
        .run("list_files lab data --only c.txt --only '*.raw'");
    assert_eq!(lengths(&several), of(&[RAW[0], TEXT[0]]));
    // A preview counts the same files.
    let preview = all.download("--only '*.raw' --dry-run");
    assert_eq!(preview["new_files"], 3, "{preview}");
    assert!(
        preview["to_fetch"].as_u64().unwrap() < 1_500_000,
        "{preview}"
    );
    for (command, kind, part) in [
        (
            "list_files lab data --only '*.zip'",
            "nothing-chosen",
            "*.zip",
        ),
        (
            "download_file lab data --only '*.zip'",
            "nothing-chosen",
            "*.zip",
        ),
        (
            "download_file lab data --only '*.zip' --dry-run",
            "nothing-chosen",
            "*.zip",
        ),
        ("list_files lab other", "unknown-share", "other"),
        ("list_files lab data --versions", "arguments", "--versions"),
        ("list_files lab --only '*.raw'", "arguments", "NAME"),
    ] {
        all.mayank.assert_refused(command, kind, part);
    }
    assert_eq!(all.mayank.run("show_downloads")["downloads"], json!([]));
    let folder = fs::read_dir(all.tracker.sandbox.path("mayank")).unwrap();
    assert_eq!(folder.count(), 0);
}

#[test]
fn only_chosen_files_are_fetched_and_a_repeated_command_adds_files() {
    let mut all = Choosing::new();
    all.download("--only '*.raw' --sequential");
    let download = all.mayank.wait_for_state("data", "complete");
    all.assert_has(&[RAW[0]]);
    // The chosen files, and at most the rest of the pieces at their edges.
    assert!(fetched(&download) < 1_500_000, "{download}");
    let state = all.tracker.sandbox.state("mayank");
    let again = all.download("--only '*.raw'");
    assert_eq!(again["already"], true, "{again}");
    let elsewhere = all.tracker.sandbox.path("mayank/elsewhere");
    let command = format!("download_file lab data {} --only c.txt", quoted(&elsewhere));
    all.mayank
        .assert_refused(&command, "already", "3 chosen of 5 files");
    all.restart();
    all.assert_has(&[RAW[0]]);
    let added = all.download("--only c.txt");
    assert_eq!(added["already"], false, "{added}");
    all.mayank.run("wait 50");
    all.assert_has(&[RAW[0], TEXT[0]]);
    let shown = all.mayank.shown_download("data");
    assert_eq!(
        (&shown["group"], &shown["version"]),
        (&json!("lab"), &json!(1))
    );
    all.mayank.run("quit");
    wait_until("the peer has ended", || all.mayank.process.has_ended());
    let folder = StateFolder::open(&state).unwrap();
    let records = Records::open(&folder).unwrap();
    let (record, _) = records.load_all().pop().unwrap().unwrap();
    assert_eq!(record.only, ["*.raw", "c.txt"]);
    assert!(record.sequential);
    drop((records, folder));
    all.mayank = all.tracker.sandbox.debug_peer("mayank", &[]);
    all.download("");
    all.mayank.run("wait 50");
    all.assert_has(&[RAW[0], TEXT[0], IMAGE[0]]);
    assert_eq!(all.parts_files(), 0);
}

#[test]
fn a_new_version_is_fetched_as_chosen_and_no_file_is_lost() {
    let mut all = Choosing::new();
    all.download("--only '*.raw'");
    all.mayank.run("wait 50");
    all.make(OWN, "mayank/data");
    all.publish(1, "--update");
    let preview = all.download("--only '*.raw' --dry-run");
    let counts = [
        "unchanged_files",
        "changed_files",
        "new_files",
        "gone_files",
    ];
    assert_eq!(
        counts.map(|key| preview[key].clone()),
        [1, 1, 1, 1],
        "{preview}"
    );
    all.download("--only '*.raw'");
    let download = wait_for_version(&mut all.mayank, 2, "complete");
    all.assert_has(&[RAW[1], OWN]);
    // Not `a.raw`, which is unchanged, and of other files only the bytes in pieces at the edges.
    assert!(fetched(&download) < 800_000, "{download}");
    // Back to the first version, with another choice: the files that are here stay chosen.
    let command = "download_file lab data@1 --only c.txt";
    all.mayank.run(command);
    wait_for_version(&mut all.mayank, 1, "complete");
    all.assert_has(&[RAW[0], TEXT[0], OWN]);
    all.restart();
    // Without a choice, all files of the next version.
    all.download("");
    wait_for_version(&mut all.mayank, 2, "complete");
    all.assert_has(&[RAW[1], TEXT[1], IMAGE[1], OWN]);
    assert_eq!(all.parts_files(), 0);
}

#[test]
fn a_file_of_a_person_at_the_path_of_a_file_that_was_not_chosen_stays() {
    let mut all = Choosing::new();
    all.download("--only '*.raw'");
    all.mayank.run("wait 50");
    let own: Files = &[("c.txt", 400, 77)];
    all.make(own, "mayank/data");
    all.publish(1, "--update");
    all.download("--only '*.raw'");
    wait_for_version(&mut all.mayank, 2, "complete");
    all.assert_has(&[RAW[1], own]);
    // It is where a chosen file must be now.
    for command in [
        "download_file lab data",
        "download_file lab data@1 --only c.txt",
    ] {
        // The first command adds to the version that is here, the second replaces it.
        let kind = match command.contains("@1") {
            true => "exists",
            false => "storage",
        };
        all.mayank.assert_refused(command, kind, "c.txt");
        all.assert_has(&[RAW[1], own]);
    }
}

#[test]
fn files_are_added_to_an_update_that_runs_also_over_a_kill() {
    let mut all = Choosing::new();
    all.download("--only '*.raw'");
    all.mayank.run("wait 50");
    all.publish_and_leave();
    all.download("--only '*.raw'");
    wait_for_version(&mut all.mayank, 2, "downloading");
    let added = all.download("--only c.txt");
    assert_eq!(
        (&added["already"], &added["version"]),
        (&json!(false), &json!(2))
    );
    all.assert_serves_old();
    all.restart();
    all.assert_serves_old();
    all.nik.run("login nik\npw of nik");
    wait_for_version(&mut all.mayank, 2, "complete");
    all.assert_has(&[RAW[1], TEXT[1]]);
    let shares = all.mayank.run("status")["shares"].clone();
    assert_eq!(shares.as_array().unwrap().len(), 1, "{shares}");
}

impl Choosing {
    /// Asserts that the files of the first version are in place while the second one is fetched.
    fn assert_serves_old(&mut self) {
        wait_for_version(&mut self.mayank, 2, "downloading");
        let here = contents(&self.tracker.sandbox.path("mayank/data"));
        assert!(here == expected(&[RAW[0]]), "{:?}", here.keys());
        let whole = bytes(RAW[0][0].1, RAW[0][0].2);
        assert!(here["a.raw"] == whole);
    }
}

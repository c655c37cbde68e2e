//! Versions of shares in the catalogue: who publishes them, what names them, how they are listed
//! and withdrawn.

use super::team::{join, logged_in_peer, share_in_status, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::bytes;
use crate::common::waiting::wait_until;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// Uploads a new file called `name` from a folder of its own, with content that depends on `seed`.
pub(super) fn upload(
    tracker: &AccountTracker,
    peer: &mut Peer,
    name: &str,
    seed: u64,
    options: &str,
) -> (PathBuf, Value) {
    let path = tracker
        .sandbox
        .file(&format!("of {seed}/{name}"), 100_000, seed);
    let uploaded = peer.run(&format!("upload_file lab {} {options}", quoted(&path)));
    (path, uploaded)
}

/// The entries of the catalogue, with their versions: `name, version, versions, note`.
fn listed(peer: &mut Peer, options: &str) -> Vec<Value> {
    let list = peer.run(&format!("list_files lab {options}"));
    let files = list["files"].as_array().unwrap().iter();
    files
        .map(|file| {
            json!([
                file["name"],
                file["version"],
                file["versions"],
                file["note"]
            ])
        })
        .collect()
}

/// Waits until the catalogue says that this number of peers has all of the version `name`.
pub(super) fn wait_for_holders(peer: &mut Peer, name: &str, count: u64) {
    wait_until(&format!("{count} peers have {name}"), || {
        let list = peer.run("list_files lab --versions");
        let files = list["files"].as_array().unwrap();
        let mut found = files.iter().filter(|file| file["name"] == name);
        found.next().is_some_and(|file| file["complete"] == count)
    });
}

#[test]
fn publishers_of_a_share_and_owners_publish_its_versions_and_nobody_else() {
    let tracker = AccountTracker::new();
    let [mut nik, mut mayank, mut uma] = team(&tracker, ["nik", "mayank", "uma"]);
    let (_, first) = upload(&tracker, &mut mayank, "data", 1, "--note 'the first'");
    assert_eq!(
        (&first["version"], &first["unchanged"]),
        (&json!(1), &json!(false))
    );
    // Another publisher of the group is a stranger to this share.
    let path = tracker.sandbox.file("uma/data", 100_000, 2);
    let command = format!("upload_file lab {}", quoted(&path));
    uma.assert_refused(&command, "share-exists", "--update");
    let update = format!("{command} --update");
    uma.assert_refused(&update, "not-the-publisher", "data");
    assert!(share_in_status(&mut uma, "data").is_null());
    let mut eve = logged_in_peer(&tracker, "eve", &[]);
    eve.assert_refused(&update, "not-a-member", "lab");
    // An owner may, and the publisher of any version may go on.
    let (_, second) = upload(&tracker, &mut nik, "data", 3, "--update");
    assert_eq!(
        (&second["version"], &second["again"]),
        (&json!(2), &json!(false))
    );
    let (path, third) = upload(&tracker, &mut mayank, "data", 4, "--update --note=third");
    assert_eq!(third["version"], 3, "{third}");
    let all = [
        json!(["data@1", 1, 3, "the first"]),
        json!(["data@2", 2, 3, null]),
        json!(["data@3", 3, 3, "third"]),
    ];
    assert_eq!(listed(&mut uma, "--versions"), all);
    assert_eq!(listed(&mut uma, ""), [json!(["data", 3, 3, "third"])]);
    // The same content again publishes nothing, and who has the files shares them too.
    let copy = tracker.sandbox.folder("copies").join("data");
    fs::copy(&path, &copy).unwrap();
    let same = nik.run(&format!("upload_file lab {} --update", quoted(&copy)));
    assert_eq!(
        (&same["version"], &same["unchanged"]),
        (&json!(3), &json!(true))
    );
    assert_eq!(listed(&mut uma, "--versions"), all);
    wait_for_holders(&mut uma, "data@3", 2);
    for (line, what) in [
        ("--note ''", "1 to 200 characters"),
        ("--note", "needs a value"),
    ] {
        let command = format!("upload_file lab {} {line}", quoted(&path));
        nik.assert_refused(&command, "arguments", what);
    }
}

#[test]
fn a_name_with_a_number_means_a_version_and_no_new_share_can_have_it() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    for (seed, options) in [(1, ""), (2, "--update"), (3, "--update")] {
        upload(&tracker, &mut nik, "data", seed, options);
    }
    // Version 2 exists, version 9 and `other` do not.
    for name in ["data@2", "data@9", "other@1"] {
        let path = tracker.sandbox.file(&format!("numbered/{name}"), 1000, 4);
        for options in ["", "--update"] {
            let command = format!("upload_file lab {} {options}", quoted(&path));
            nik.assert_refused(&command, "name-taken", "rename the file or folder");
        }
    }
    let shares = nik.run("status")["shares"].clone();
    assert_eq!(shares.as_array().unwrap().len(), 3, "{shares}");
    for (name, place, version) in [("data", "a", 3), ("data@1", "b", 1), ("data@2", "c", 2)] {
        let started = mayank.run(&format!("download_file lab {name} {place}"));
        assert_eq!(started["version"], version, "{name}: {started}");
        mayank.run("wait 50");
        let content = fs::read(tracker.sandbox.path(&format!("mayank/{place}"))).unwrap();
        assert!(content == bytes(100_000, version), "{name}");
    }
    mayank.assert_refused("download_file lab data@4 d", "unknown-share", "data@4");
}

#[test]
fn a_version_that_nobody_has_is_refused_unless_it_is_here() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    let (path, _) = upload(&tracker, &mut nik, "data", 1, "");
    // The files change, and the version that was shared from this path ends here.
    fs::write(&path, bytes(100_000, 2)).unwrap();
    nik.run(&format!("upload_file lab {} --update", quoted(&path)));
    let shares = nik.run("status")["shares"].clone();
    assert_eq!(shares.as_array().unwrap().len(), 1, "{shares}");
    assert_eq!(
        (&shares[0]["version"], &shares[0]["trouble"]),
        (&json!(2), &Value::Null)
    );
    wait_for_holders(&mut mayank, "data@1", 0);
    mayank.assert_refused("download_file lab data@1", "no-holder", "data@1");
    assert!(!tracker.sandbox.path("mayank/data.part").exists());
    // A restart does not bring the ended version back.
    nik.process.kill();
    let mut nik = tracker.sandbox.debug_peer("nik", &[]);
    let shares = nik.run("status")["shares"].clone();
    assert_eq!(shares.as_array().unwrap().len(), 1, "{shares}");
    let whole = tracker.sandbox.file("mayank/data", 100_000, 1);
    mayank.run("download_file lab data@1");
    mayank.wait_for_state("data", "complete");
    assert!(fs::read(whole).unwrap() == bytes(100_000, 1));
    // Other members get it from here, while the publisher has only the newer one.
    let mut uma = logged_in_peer(&tracker, "uma", &[]);
    join(&mut nik, &mut uma, "uma");
    wait_for_holders(&mut uma, "data@1", 1);
    uma.run("download_file lab data@1");
    uma.wait_for_state("data", "complete");
    let content = fs::read(tracker.sandbox.path("uma/data")).unwrap();
    assert!(content == bytes(100_000, 1));
}

#[test]
fn a_version_or_all_versions_of_a_share_are_withdrawn() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    for (seed, options) in [(1, ""), (2, "--update"), (3, "--update"), (4, "--update")] {
        upload(&tracker, &mut nik, "data", seed, options);
    }
    let here = |nik: &mut Peer| {
        let status = nik.run("status");
        let shares = status["shares"].as_array().unwrap().iter();
        let mut versions: Vec<u64> = shares.map(|it| it["version"].as_u64().unwrap()).collect();
        versions.sort_unstable();
        versions
    };
    assert_eq!(here(&mut nik), [1, 2, 3, 4]);
    let stopped = nik.run("stop_share lab data@2");
    assert_eq!(stopped["withdrawn"], true, "{stopped}");
    assert_eq!(here(&mut nik), [1, 3, 4]);
    let left = [1, 3, 4].map(|number| json!([format!("data@{number}"), number, 3, null]));
    assert_eq!(listed(&mut mayank, "--versions"), left);
    nik.run("stop_share lab data@1 --here");
    assert_eq!(here(&mut nik), [3, 4]);
    assert_eq!(listed(&mut mayank, "--versions"), left);
    let stopped = nik.run("stop_share lab data");
    assert_eq!(stopped["withdrawn"], true, "{stopped}");
    assert!(here(&mut nik).is_empty());
    assert!(listed(&mut mayank, "--versions").is_empty());
}

//! Symbolic links inside a folder that is shared: refused all at once, or followed. A link that is
//! changed later never makes the peer serve another file.

use super::team::{share_in_status, team};
use super::updates::{Files, contents, expected, wait_for_version};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::waiting::wait_until;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// What a member gets: `two` and `folder/file` are links to a file and a folder outside.
const LINKED: Files = &[
    ("one", 100_000, 1),
    ("two", 600_000, 2),
    ("folder/file", 50_000, 3),
];

/// Makes the folder, and returns it with the file to which `two` leads.
fn make(tracker: &AccountTracker) -> (PathBuf, PathBuf) {
    let sandbox = &tracker.sandbox;
    sandbox.file("nik/data/one", 100_000, 1);
    let target = sandbox.file("outside/target", 600_000, 2);
    sandbox.file("outside/folder/file", 50_000, 3);
    let data = sandbox.path("nik/data");
    symlink(&target, data.join("two")).unwrap();
    symlink(sandbox.path("outside/folder"), data.join("folder")).unwrap();
    (data, target)
}

fn wait_until_served(peer: &mut Peer, is_served: bool) {
    wait_until("the share is served, or no longer", || {
        let share = share_in_status(peer, "data");
        !share.is_null() && share["trouble"].is_null() == is_served
    });
}

/// Makes a link lead elsewhere.
fn lead(link: &Path, target: &Path) {
    fs::remove_file(link).unwrap();
    symlink(target, link).unwrap();
}

#[test]
fn links_are_refused_all_at_once_or_followed_also_by_an_update() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    let (data, target) = make(&tracker);
    let upload = format!("upload_file lab {}", quoted(&data));
    for line in [upload.clone(), format!("send {}", quoted(&data))] {
        let (kind, message) = nik.error_of(&line);
        assert_eq!(kind, "create", "{message}");
        for name in ["data/two", "data/folder", "--follow-links"] {
            assert!(message.contains(name), "{message}");
        }
    }
    nik.run(&format!("{upload} --follow-links"));
    assert_eq!(nik.run("verify data")["files"], 3);
    mayank.run("download_file lab data");
    mayank.run("wait 50");
    let copy = tracker.sandbox.path("mayank/data");
    assert!(contents(&copy) == expected(&[LINKED]));
    assert!(!copy.join("two").is_symlink());
    // A new version, with another content behind the link.
    fs::write(&target, crate::common::sandbox::bytes(600_000, 22)).unwrap();
    nik.run(&format!("{upload} --follow-links --update"));
    mayank.run("download_file lab data");
    wait_for_version(&mut mayank, 2, "complete");
    let second: Files = &[
        ("one", 100_000, 1),
        ("two", 600_000, 22),
        ("folder/file", 50_000, 3),
    ];
    assert!(contents(&copy) == expected(&[second]));
}

#[test]
fn a_link_that_leads_elsewhere_later_is_not_served_also_after_a_restart() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik] = team(&tracker, ["nik"]);
    let (data, target) = make(&tracker);
    nik.run(&format!("upload_file lab {} --follow-links", quoted(&data)));
    wait_until_served(&mut nik, true);
    // A file that nobody has hashed, with the same length and time.
    let other = tracker.sandbox.file("outside/secret", 600_000, 4);
    let modified = target.metadata().unwrap().modified().unwrap();
    let file = File::options().write(true).open(&other).unwrap();
    file.set_modified(modified).unwrap();
    lead(&data.join("two"), &other);
    wait_until_served(&mut nik, false);
    nik.process.signal("-KILL");
    wait_until("the peer is dead", || nik.process.has_ended());
    nik = tracker.sandbox.debug_peer("nik", &[]);
    wait_until_served(&mut nik, false);
    lead(&data.join("two"), &target);
    wait_until_served(&mut nik, true);
}

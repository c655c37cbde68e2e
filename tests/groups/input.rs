//! Commands about shares that fail, because of the user (not logged in, not a member, not the
//! publisher) or because of an argument. Each case has its own `kind` of error, and one line that
//! says what is wrong.

use super::team::{logged_in_peer, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::bytes;
use crate::common::small_disk::SmallDisk;
use crate::common::waiting::wait_until;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;

#[test]
fn share_commands_have_an_error_of_their_own_for_each_reason_why_a_user_may_not_use_them() {
    let tracker = AccountTracker::new();
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    let mut uma = logged_in_peer(&tracker, "uma", &[]);
    let mut nobody = tracker.sandbox.peer("nobody");
    let file = tracker.sandbox.file("gift", 100_000, 1);
    let upload = format!("upload_file lab {}", quoted(&file));
    nik.run(&upload);
    for typed in [
        &upload,
        "list_files lab",
        "download_file lab gift",
        "stop_share lab gift",
    ] {
        nobody.assert_refused(typed, "not-logged-in", "login USER");
        uma.assert_refused(typed, "not-a-member", "join_group asks");
        let in_unknown_group = typed.replacen(" lab", " none", 1);
        mayank.assert_refused(&in_unknown_group, "unknown-group", "list_groups shows");
        let with_bad_name = typed.replacen(" lab", " 'l b'", 1);
        mayank.assert_refused(&with_bad_name, "bad-name", "letters a to z");
    }
    let long = "n".repeat(2_000);
    for name in [
        "nothing",
        "../gift",
        "'gift\u{202e}'",
        "'gi\tft'",
        "/gift",
        &long,
    ] {
        for command in ["download_file", "stop_share"] {
            let typed = format!("{command} lab {name}");
            let (kind, message) = mayank.error_of(&typed);
            assert_eq!(kind, "unknown-share", "{typed}: {message}");
        }
    }
    mayank.assert_refused("stop_share lab gift", "not-the-publisher", "gift");
    mayank.run("download_file lab gift");
    assert_eq!(mayank.run("download_file lab gift")["already"], true);
    assert_eq!(nik.run("download_file lab gift")["already"], true);
    mayank.assert_refused("download_file lab gift other", "already", "gift");
    nik.assert_refused("download_file lab gift other", "already", "shared");
}

#[test]
fn too_few_or_too_many_arguments_show_the_usage() {
    let tracker = AccountTracker::new();
    let mut peer = tracker.sandbox.peer("nobody");
    for (command, least, most) in [
        ("upload_file", 2, 2),
        ("list_files", 1, 2),
        ("download_file", 2, 3),
        ("stop_share", 2, 2),
    ] {
        for words in ["x ".repeat(most + 1), "x ".repeat(least - 1)] {
            let typed = format!("{command} {words}");
            peer.assert_refused(typed.trim_end(), "arguments", &format!("usage: {command}"));
        }
    }
    peer.assert_refused("upload_file lab x --force", "arguments", "--force");
}

#[test]
fn files_that_cannot_be_shared_are_refused_with_a_reason() {
    let tracker = AccountTracker::new();
    let [mut nik] = team(&tracker, ["nik"]);
    let folder_with_file = |name: &str| {
        let folder = tracker.sandbox.folder(name);
        fs::write(folder.join("file"), b"x").unwrap();
        folder
    };
    let missing = tracker.sandbox.path("missing");
    let empty = tracker.sandbox.folder("empty");
    let folders = tracker.sandbox.folder("folders");
    fs::create_dir_all(folders.join("a/b")).unwrap();
    let linked = folder_with_file("linked");
    symlink("file", linked.join("link")).unwrap();
    let strange = folder_with_file("strange");
    fs::write(strange.join("a\\b"), b"x").unwrap();
    let bell = folder_with_file("bell");
    fs::write(bell.join("a\u{7}b"), b"x").unwrap();
    let drive = folder_with_file("drive");
    fs::write(drive.join("C:x"), b"x").unwrap();
    // A long path does not exist either. Its error has one line too.
    let long = "n".repeat(250);
    let pipe = folder_with_file("pipe");
    nix::unistd::mkfifo(&pipe.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (path, says) in [
        (&missing, "missing"),
        (&empty, "contains no files"),
        (&folders, "contains no files"),
        (&linked, "symbolic link"),
        (&strange, "rename it"),
        (&bell, "rename it"),
        (&drive, "rename it"),
        (&pipe, "neither a file nor a folder"),
        (
            &Path::new("/dev/null").to_owned(),
            "neither a file nor a folder",
        ),
        (&tracker.sandbox.path(&long).join("x"), "cannot read"),
    ] {
        nik.assert_refused(&format!("upload_file lab {}", quoted(path)), "create", says);
    }
    nik.assert_refused("upload_file lab ''", "arguments", "empty");
    assert_eq!(nik.run("list_files lab")["files"], serde_json::json!([]));
    assert_eq!(nik.run("status")["shares"], serde_json::json!([]));
}

#[test]
fn an_unreadable_folder_is_refused_until_it_can_be_read() {
    let tracker = AccountTracker::new();
    let secret = tracker.sandbox.folder("set/secret");
    fs::write(secret.join("file"), b"x").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(&secret).is_ok() {
        return println!("skipped: this user may read everything");
    }
    let [mut nik] = team(&tracker, ["nik"]);
    let upload = format!("upload_file lab {}", quoted(&tracker.sandbox.path("set")));
    nik.assert_refused(&upload, "create", "cannot read");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o755)).unwrap();
    nik.run(&upload);
}

#[test]
fn a_file_that_grows_while_it_is_hashed_is_not_shared() {
    let tracker = AccountTracker::new();
    let [mut nik] = team(&tracker, ["nik"]);
    // Hashing takes so long that the other thread writes during it.
    let path = tracker.sandbox.file("growing", 16 << 20, 1);
    let stop = AtomicBool::new(false);
    let (grows, has_grown) = channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = File::options().append(true).open(&path).unwrap();
            while !stop.load(Ordering::Relaxed) {
                file.write_all(&[1]).unwrap();
                let _ = grows.send(());
            }
        });
        has_grown.recv().unwrap();
        let upload = format!("upload_file lab {}", quoted(&path));
        let object = nik.try_run(&upload);
        stop.store(true, Ordering::Relaxed);
        assert_eq!(object["error"]["kind"], "create", "{object}");
        let message = object["error"]["message"].as_str().unwrap();
        assert!(message.contains("changed while it was hashed"), "{message}");
    });
    assert_eq!(nik.run("list_files lab")["files"], serde_json::json!([]));
}

#[test]
fn impossible_destinations_are_refused_before_anything_is_fetched() {
    let tracker = AccountTracker::new();
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    let file = tracker.sandbox.file("gift", 100_000, 1);
    nik.run(&format!("upload_file lab {}", quoted(&file)));
    for (destination, says) in [
        // Not even root can create a file there.
        ("/sys/kernel", "/sys/kernel/gift"),
        ("/sys/kernel/copy", "/sys/kernel/copy"),
        ("missing/copy", "missing"),
        (&"n".repeat(300), "n"),
    ] {
        mayank.assert_refused(
            &format!("download_file lab gift {destination}"),
            "storage",
            says,
        );
    }
    assert_eq!(
        mayank.run("show_downloads")["downloads"],
        serde_json::json!([])
    );
    mayank.run("download_file lab gift copy");
    mayank.run("wait");
}

/// Returns nik's peer, mayank's peer, and a disk of 1 MiB. nik's peer shares a `gift` of `length`
/// bytes. mayank's peer finds the disk at the folder `small`, and downloads at most 100 KiB per
/// second. If no file system can be mounted here, reports that the test is skipped and returns
/// `None`.
fn gift_for_small_disk(tracker: &AccountTracker, length: usize) -> Option<(Peer, Peer, SmallDisk)> {
    let [mut nik, mayank] = team(tracker, ["nik", "mayank"]);
    let file = tracker.sandbox.file("gift", length, 1);
    nik.run(&format!("upload_file lab {}", quoted(&file)));
    // mayank's peer starts again, in the namespace of the small disk.
    drop(mayank);
    let disk = SmallDisk::mount(&tracker.sandbox.folder("small"), "1m")?;
    let mayank = disk.peer_with(&tracker.sandbox, "mayank", &["--down", "100K"]);
    Some((nik, mayank, disk))
}

#[test]
fn a_download_that_does_not_fit_on_its_disk_is_refused_with_the_reason() {
    let tracker = AccountTracker::new();
    let Some((mut nik, mut mayank, _disk)) = gift_for_small_disk(&tracker, 3 << 20) else {
        return;
    };
    let folder = tracker.sandbox.path("small");
    let download = format!("download_file lab gift {}", quoted(&folder));
    mayank.assert_refused(&download, "storage", "only 1048576 free: make room");
    let downloads = &mayank.run("show_downloads")["downloads"];
    assert_eq!(*downloads, serde_json::json!([]));
    assert_eq!(nik.run("status")["links"], 0);
}

#[test]
fn a_download_of_a_group_leaves_its_swarm_while_its_disk_is_full_and_returns_when_there_is_room() {
    let tracker = AccountTracker::new();
    let Some((mut nik, mut mayank, disk)) = gift_for_small_disk(&tracker, 600_000) else {
        return;
    };
    let folder = tracker.sandbox.path("small");
    mayank.run(&format!("download_file lab gift {}", quoted(&folder)));
    mayank.wait_for_download("gift", |download| download["peers"] == 1);
    disk.fill(0);
    mayank.wait_for_download("gift", |download| {
        let trouble = download["trouble"].as_str().unwrap_or_default();
        trouble.starts_with("waits: the disk") && download["state"] == "downloading"
    });
    wait_until("all links have ended", || nik.run("status")["links"] == 0);
    disk.make_room();
    mayank.wait_for_state("gift", "complete");
    assert!(fs::read(disk.outside_path.join("gift")).unwrap() == bytes(600_000, 1));
}

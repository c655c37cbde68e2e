//! A tracker whose disk is full serves again as soon as there is room, without a restart.

use crate::common::peer::{Peer, quoted};
use crate::common::process::Process;
use crate::common::sandbox::Sandbox;
use crate::common::small_disk::SmallDisk;
use crate::common::waiting::wait_until;
use std::fs;
use std::path::Path;

/// A tracker, and the disk of 400 MiB that has its state folder.
struct TrackerOnSmallDisk {
    tracker: Process,
    disk: SmallDisk,
}

impl TrackerOnSmallDisk {
    /// If no file system can be mounted here, reports that the test is skipped and returns `None`.
    fn new(sandbox: &Sandbox) -> Option<Self> {
        let (home, data) = (sandbox.folder("home"), sandbox.folder("data"));
        let disk = SmallDisk::mount(&data, "400m")?;
        let arguments = ["tracker", "--listen", "127.0.0.1:0", "--data"];
        let arguments = [&arguments[..], &[data.to_str().unwrap()]].concat();
        let tracker = disk.process(&home, &arguments);
        fs::write(sandbox.tracker_info(), format!("{}\n", tracker.address)).unwrap();
        Some(Self { tracker, disk })
    }
}

/// Starts the peer of nik, who has created the group `lab`.
fn peer_of_group_owner(sandbox: &Sandbox) -> Peer {
    let mut nik = sandbox.peer("nik");
    nik.run("create_user nik 'a password'");
    nik.run("login nik 'a password'");
    nik.run("create_group lab");
    nik
}

fn upload_command(path: &Path) -> String {
    format!("upload_file lab {}", quoted(path))
}

#[test]
fn nothing_is_published_while_the_disk_of_the_tracker_is_almost_full() {
    let sandbox = Sandbox::new();
    let Some(TrackerOnSmallDisk { tracker, disk }) = TrackerOnSmallDisk::new(&sandbox) else {
        return;
    };
    let mut nik = peer_of_group_owner(&sandbox);
    let file = sandbox.file("nik/data.bin", 100_000, 1);
    disk.fill(32 << 20);
    let upload = upload_command(&file);
    nik.assert_refused(&upload, "disk-full", "its operator must make room");
    // The tracker still makes other changes.
    nik.run("create_group office");
    disk.make_room();
    nik.run(&upload);
    tracker.signal("-TERM");
    let (status, errors) = tracker.wait();
    assert!(status.success(), "{status}");
    for notice in ["bytes free: make room", "has room again"] {
        assert_eq!(errors.matches(notice).count(), 1, "{errors}");
    }
}

#[test]
fn the_only_tracker_serves_again_when_its_full_disk_has_room() {
    let sandbox = Sandbox::new();
    let Some(TrackerOnSmallDisk { tracker, disk }) = TrackerOnSmallDisk::new(&sandbox) else {
        return;
    };
    let mut nik = peer_of_group_owner(&sandbox);
    disk.fill(0);
    let mut created = 0;
    let refused = loop {
        let answer = nik.try_run(&format!("create_group group{created}"));
        if answer["ok"] == false {
            break answer;
        }
        created += 1;
        assert!(created < 10_000, "the disk is never full");
    };
    let text = refused["error"]["message"].as_str().unwrap();
    assert!(text.contains("cannot write its database"), "{refused}");
    disk.make_room();
    wait_until("the tracker serves again", || {
        nik.try_run("list_groups")["ok"] == true
    });
    // The tracker may have created the refused group when it repeated its commit. Then this request
    // is refused, and otherwise it creates the group.
    let _ = nik.try_run(&format!("create_group group{created}"));
    let listed = nik.run("list_groups");
    assert_eq!(listed["groups"].as_array().unwrap().len(), created + 2);
    tracker.signal("-TERM");
    let (status, errors) = tracker.wait();
    assert!(status.success(), "{status}");
    for notice in [
        "error: accounts and groups are not served until the database can be written",
        "the database can be written again",
    ] {
        assert_eq!(errors.matches(notice).count(), 1, "{errors}");
    }
}

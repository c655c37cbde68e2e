//! A tracker whose disk is full serves again as soon as there is room, without a restart.

use crate::common::peer::{Peer, quoted};
use crate::common::process::Process;
use crate::common::sandbox::Sandbox;
use crate::common::small_disk::SmallDisk;
use crate::common::waiting::wait_until;
use std::fs;
use std::path::Path;

/// A tracker whose state folder is on a disk of 400 MiB, which only its process can see.
struct OnSmallDisk {
    tracker: Process,
    disk: SmallDisk,
}

impl OnSmallDisk {
    /// `None`, and a report, if no file system can be mounted here.
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

fn member(sandbox: &Sandbox) -> Peer {
    let mut nik = sandbox.peer("nik");
    nik.run("create_user nik 'a password'");
    nik.run("login nik 'a password'");
    nik.run("create_group lab");
    nik
}

fn upload(path: &Path) -> String {
    format!("upload_file lab {}", quoted(path))
}

#[test]
fn nothing_is_published_while_the_disk_of_the_tracker_is_almost_full() {
    let sandbox = Sandbox::new();
    let Some(OnSmallDisk { tracker, disk }) = OnSmallDisk::new(&sandbox) else {
        return;
    };
    let mut nik = member(&sandbox);
    let file = sandbox.file("nik/data.bin", 100_000, 1);
    disk.fill(32 << 20);
    nik.assert_refused(&upload(&file), "disk-full", "its operator must make room");
    // Other changes are still made.
    nik.run("create_group office");
    disk.make_room();
    nik.run(&upload(&file));
    tracker.signal("-TERM");
    let (status, errors) = tracker.wait();
    assert!(status.success(), "{status}");
    for notice in ["bytes free: make room", "has room again"] {
        assert_eq!(errors.matches(notice).count(), 1, "{errors}");
    }
}

#[test]
fn a_tracker_alone_goes_on_when_its_full_disk_has_room() {
    let sandbox = Sandbox::new();
    let Some(OnSmallDisk { tracker, disk }) = OnSmallDisk::new(&sandbox) else {
        return;
    };
    let mut nik = member(&sandbox);
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
    // The change that failed may have been made, once.
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

//! A tracker whose disk is full serves again as soon as there is room, without a restart.

use crate::common::odd_disk::report_skipped;
use crate::common::peer::{Peer, quoted};
use crate::common::process::{BINARY, Process, prepared};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_until;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tracker whose state folder is on a disk of 80 MiB, which only its process can see.
struct SmallDisk {
    tracker: Process,
    /// The state folder, as this process sees it.
    folder: PathBuf,
}

impl SmallDisk {
    /// `None`, and a report, if no file system can be mounted here.
    fn new(sandbox: &Sandbox) -> Option<Self> {
        let (home, data) = (sandbox.folder("home"), sandbox.folder("data"));
        let mount = format!("mount -t tmpfs -o size=80m tmpfs {}", quoted(&data));
        let can_mount = Command::new("unshare")
            .args(["--mount", "sh", "-c", &mount])
            .output();
        if !can_mount.is_ok_and(|output| output.status.success()) {
            report_skipped("no file system can be mounted here");
            return None;
        }
        let mut shell = Command::new("unshare");
        let script = format!("{mount} && exec \"$0\" \"$@\"");
        shell.args(["--mount", "sh", "-c", &script, BINARY]);
        let arguments = ["tracker", "--listen", "127.0.0.1:0", "--data"];
        let arguments = [&arguments[..], &[data.to_str().unwrap()]].concat();
        let tracker = Process::spawn(prepared(shell, &home, &arguments));
        fs::write(sandbox.tracker_info(), format!("{}\n", tracker.address)).unwrap();
        let root = PathBuf::from(format!("/proc/{}/root", tracker.id()));
        let folder = root.join(data.strip_prefix("/").unwrap());
        Some(Self { tracker, folder })
    }

    /// Fills the disk until this number of bytes is free.
    fn fill(&self, free: u64) {
        let system = nix::sys::statvfs::statvfs(&self.folder).unwrap();
        let available = system.blocks_available() * system.fragment_size();
        let filler = fs::File::create(self.folder.join("filler")).unwrap();
        let mut filler = std::io::BufWriter::new(filler);
        for _ in 0..(available - free) >> 12 {
            filler.write_all(&[1; 4096]).unwrap();
        }
        filler.flush().unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.folder.join("filler")).unwrap();
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
    let Some(disk) = SmallDisk::new(&sandbox) else {
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
    disk.tracker.signal("-TERM");
    let (status, errors) = disk.tracker.wait();
    assert!(status.success(), "{status}");
    for notice in ["bytes free: make room", "has room again"] {
        assert_eq!(errors.matches(notice).count(), 1, "{errors}");
    }
}

#[test]
fn a_tracker_alone_goes_on_when_its_full_disk_has_room() {
    let sandbox = Sandbox::new();
    let Some(disk) = SmallDisk::new(&sandbox) else {
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
    disk.tracker.signal("-TERM");
    let (status, errors) = disk.tracker.wait();
    assert!(status.success(), "{status}");
    for notice in [
        "error: accounts and groups are not served until the database can be written",
        "the database can be written again",
    ] {
        assert_eq!(errors.matches(notice).count(), 1, "{errors}");
    }
}

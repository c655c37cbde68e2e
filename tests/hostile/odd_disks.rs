//! File systems that lack system calls, as CIFS, sshfs, gocryptfs, FAT and NFS do.

use crate::common::fake_peer::*;
use crate::common::fake_tracker::{set_only_tracker, tracker_naming};
use crate::common::handmade_torrent::Torrent;
use crate::common::log::wait_for_log_line;
use crate::common::odd_disk::OddDisk;
use crate::common::open_swarm::{TORRENT, assert_serves, serve_to};
use crate::common::peer::{Peer, quoted};
use crate::common::process::Output;
use crate::common::sandbox::{Sandbox, bytes};
use nix::errno::Errno;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;

/// An entry of `calls` in [`OddDisk::command`]: `call` fails with `errno`.
fn failing(call: &str, errno: Errno) -> String {
    format!("{call}={}", errno as i32)
}

/// A peer that shares a folder `set` and a file `one`. Their torrents are in its folder.
fn seed(sandbox: &Sandbox) -> Peer {
    sandbox.file("seed/set/sub/tool", 100_000, 1);
    sandbox.file("seed/set/plain", 100_000, 2);
    sandbox.file("seed/one", 100_000, 3);
    let tool = sandbox.path("seed/set/sub/tool");
    fs::set_permissions(tool, fs::Permissions::from_mode(0o755)).unwrap();
    let mut seed = sandbox.peer("seed");
    seed.run("send set");
    seed.run("send one");
    seed
}

/// Downloads both shares to a disk on which `calls` fail.
fn download(sandbox: &Sandbox, disk: &OddDisk, calls: &str) -> Output {
    let _ = fs::remove_dir_all(&disk.folder);
    fs::create_dir(&disk.folder).unwrap();
    let (info, state) = (sandbox.tracker_info(), sandbox.path("state"));
    let _ = fs::remove_dir_all(&state);
    let commands = ["set", "one"].map(|name| {
        let torrent = sandbox.path(&format!("seed/{name}.torrent"));
        format!("download {} {}", quoted(&torrent), quoted(&disk.folder))
    });
    let mut arguments = vec!["peer", "127.0.0.1:0", info.to_str().unwrap()];
    arguments.extend(["--dir", state.to_str().unwrap(), "-c", &commands[0]]);
    arguments.extend(["-c", &commands[1], "-c", "wait 60"]);
    disk.run(&sandbox.path(""), &arguments, calls)
}

#[test]
fn a_download_goes_on_without_the_calls_that_a_file_system_lacks() {
    let sandbox = Sandbox::new();
    let Some(disk) = OddDisk::new(&sandbox, "disk") else {
        return;
    };
    let _tracker = sandbox.tracker(&[]);
    let _seed = seed(&sandbox);
    for (calls, warnings) in [
        (
            failing("sync_folder", Errno::EINVAL),
            &["cannot sync folders"][..],
        ),
        (
            failing("sync_folder", Errno::EOPNOTSUPP),
            &["cannot sync folders"],
        ),
        (failing("fchmod", Errno::EPERM), &["cannot change modes"]),
        (
            [
                failing("sync_file", Errno::ENOSYS),
                failing("fchmod", Errno::EOPNOTSUPP),
                failing("flock", Errno::ENOLCK),
            ]
            .join(","),
            &["cannot sync files", "cannot change modes", "cannot lock"],
        ),
    ] {
        let output = download(&sandbox, &disk, &calls);
        assert_eq!(output.code, Some(0), "{calls}: {output:?}");
        for name in ["set/sub/tool", "set/plain", "one"] {
            let (copy, original) = (disk.folder.join(name), sandbox.path("seed").join(name));
            assert!(
                fs::read(copy).unwrap() == fs::read(original).unwrap(),
                "{name}"
            );
        }
        let log = fs::read_to_string(sandbox.path("state/peer.log")).unwrap();
        for warning in warnings {
            let lines = log.lines().filter(|line| line.contains(warning));
            let lines: Vec<&str> = lines.collect();
            assert!(
                matches!(lines[..], [line] if line.contains("WARN")),
                "{log}"
            );
        }
    }
}

#[test]
fn a_fault_of_the_disk_is_still_an_error() {
    let sandbox = Sandbox::new();
    let Some(disk) = OddDisk::new(&sandbox, "disk") else {
        return;
    };
    let _tracker = sandbox.tracker(&[]);
    let _seed = seed(&sandbox);
    for (call, errno) in [
        ("sync_folder", Errno::EIO),
        ("sync_file", Errno::EIO),
        ("fchmod", Errno::EIO),
        // A download that has begun waits for room (`full_disk_of_peer`). This one does not begin.
        ("sync_folder", Errno::ENOSPC),
    ] {
        let output = download(&sandbox, &disk, &failing(call, errno));
        assert_eq!(output.code, Some(1), "{call}: {output:?}");
    }
}

#[test]
fn a_state_folder_without_locks_or_syncing_is_used_with_a_warning() {
    let sandbox = Sandbox::new();
    let Some(disk) = OddDisk::new(&sandbox, "disk") else {
        return;
    };
    let info = sandbox.tracker_info();
    for (calls, warning) in [
        (failing("sync_folder", Errno::EINVAL), "cannot sync folders"),
        (
            failing("sync_folder", Errno::EOPNOTSUPP),
            "cannot sync folders",
        ),
        (failing("flock", Errno::ENOLCK), "cannot lock files"),
        (failing("flock", Errno::ENOSYS), "cannot lock files"),
    ] {
        let state = disk.folder.join("state");
        let _ = fs::remove_dir_all(&state);
        let arguments = ["peer", "127.0.0.1:0", info.to_str().unwrap(), "--dir"];
        let arguments = [&arguments[..], &[state.to_str().unwrap(), "-c", "status"]].concat();
        let output = disk.run(&sandbox.path(""), &arguments, &calls);
        assert_eq!(output.code, Some(0), "{calls}: {output:?}");
        let log = fs::read_to_string(state.join("peer.log")).unwrap();
        for text in [&output.stderr, &log] {
            assert_eq!(text.matches(warning).count(), 1, "{calls}: {text}");
        }
        assert!(output.stderr.starts_with("warning: "), "{}", output.stderr);
    }
    for call in ["sync_folder", "flock"] {
        let state = disk.folder.join("state");
        let arguments = ["peer", "127.0.0.1:0", info.to_str().unwrap(), "--dir"];
        let arguments = [&arguments[..], &[state.to_str().unwrap(), "-c", "status"]].concat();
        let output = disk.run(&sandbox.path(""), &arguments, &failing(call, Errno::EIO));
        assert_eq!(output.code, Some(1), "{call}: {output:?}");
    }
}

#[test]
fn blocks_are_sent_although_sendfile_fails() {
    let sandbox = Sandbox::new();
    let Some(disk) = OddDisk::new(&sandbox, "disk") else {
        return;
    };
    fs::write(disk.folder.join("share"), &TORRENT.content).unwrap();
    let torrent = TORRENT.write(&sandbox, "share.torrent");
    let mut peer = disk.peer(&sandbox, "peer", &failing("sendfile", Errno::EINVAL));
    let place = quoted(&disk.folder);
    peer.run(&format!("download {} {place}", quoted(&torrent)));
    peer.wait_for_state("share", "complete");
    assert_serves(&peer, &TORRENT);
}

/// Asserts that the peer serves a block to a caller with this id.
fn assert_serves_to(peer: &Peer, id: &str) {
    let mut link = FakePeer::connect(peer.process.address, &TORRENT, EXTENDED_AND_FAST, id);
    assert_eq!(link.fetch(0, 0, BLOCK).unwrap(), TORRENT.block(0, 0, BLOCK));
}

/// The number of lines of the peer's log that contain `text`.
fn count_in_log(peer: &Peer, text: &str) -> usize {
    let log = fs::read_to_string(&peer.log).unwrap();
    log.lines().filter(|line| line.contains(text)).count()
}

#[test]
fn a_share_whose_inode_numbers_change_is_read_once_and_stays_served() {
    let sandbox = Sandbox::new();
    let Some(disk) = OddDisk::new(&sandbox, "disk") else {
        return;
    };
    fs::write(disk.folder.join("share"), &TORRENT.content).unwrap();
    let torrent = TORRENT.write(&sandbox, "share.torrent");
    let start = || disk.peer(&sandbox, "peer", "");
    let mut peer = start();
    let place = quoted(&disk.folder);
    peer.run(&format!("download {} {place}", quoted(&torrent)));
    peer.wait_for_state("share", "complete");
    disk.renumber();
    wait_for_log_line(&peer.log, &["share: the content is unchanged"]);
    assert_serves_to(&peer, "first");
    // From now on, the peer ignores changes of the inode numbers, also after a restart.
    disk.renumber();
    assert_serves_to(&peer, "second");
    peer.end();
    disk.renumber();
    let mut peer = start();
    assert_serves_to(&peer, "third");
    let status = peer.run("status");
    assert_eq!(status["shares"][0]["trouble"], serde_json::Value::Null);
    assert_eq!(count_in_log(&peer, "checking"), 1);
    assert_eq!(count_in_log(&peer, "not served"), 0);
}

#[test]
fn another_file_of_the_same_length_and_time_is_not_served() {
    let sandbox = Sandbox::new();
    let mut peer = sandbox.debug_peer("peer", &[]);
    let path = sandbox.path("peer/share");
    fs::write(&path, &TORRENT.content).unwrap();
    let torrent = TORRENT.write(&sandbox, "share.torrent");
    peer.run(&format!("download {} .", quoted(&torrent)));
    peer.wait_for_state("share", "complete");
    let replace = |content: &[u8]| {
        let time = path.metadata().unwrap().modified().unwrap();
        let new = sandbox.path("new");
        fs::write(&new, content).unwrap();
        let file = fs::File::options().write(true).open(&new).unwrap();
        file.set_modified(time).unwrap();
        fs::rename(&new, &path).unwrap();
    };
    replace(&bytes(TORRENT.content.len(), 99));
    wait_for_log_line(&peer.log, &["share: not served any more", "was changed"]);
    let status = peer.run("status");
    let trouble = status["shares"][0]["trouble"].as_str().unwrap();
    assert!(trouble.contains("was changed"), "{trouble}");
    replace(&TORRENT.content);
    wait_for_log_line(&peer.log, &["share: served again"]);
    assert_serves(&peer, &TORRENT);
}

#[test]
fn a_download_completes_where_inode_numbers_change() {
    let sandbox = Sandbox::new();
    let Some(disk) = OddDisk::new(&sandbox, "disk") else {
        return;
    };
    let _tracker = sandbox.tracker(&[]);
    let _seed = seed(&sandbox);
    disk.renumber();
    let output = download(&sandbox, &disk, "");
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn a_download_waits_for_a_disk_whose_mount_point_may_not_be_opened() {
    let sandbox = Sandbox::new();
    let Some(disk) = OddDisk::new(&sandbox, "disk") else {
        return;
    };
    set_only_tracker(&sandbox, tracker_naming(&[]));
    let shares = ["first", "second"].map(|name| Torrent::new(name, 100_000, 32_768, 1));
    let mount_point = |share: &Torrent| disk.folder.join(format!("of-{}", share.name));
    let mut peer = disk.peer(&sandbox, "peer", "");
    for share in &shares {
        fs::create_dir(mount_point(share)).unwrap();
        let torrent = share.write(&sandbox, &format!("{}.torrent", share.name));
        let place = quoted(&mount_point(share));
        peer.run(&format!("download {} {place}", quoted(&torrent)));
        peer.wait_for_download(&share.name, |download| download["state"] == "downloading");
    }
    peer.kill();
    let set_mode = |share: &Torrent, mode| {
        fs::set_permissions(mount_point(share), fs::Permissions::from_mode(mode)).unwrap();
    };
    // The owner may open neither folder. The group and others may search the first one.
    set_mode(&shares[0], 0o011);
    set_mode(&shares[1], 0);
    let mut peer = disk.peer(&sandbox, "peer", "");
    for share in &shares {
        let waiting = peer.wait_for_download(&share.name, |found| !found["trouble"].is_null());
        assert_eq!(waiting["state"], "downloading", "{waiting}");
        let trouble = waiting["trouble"].as_str().unwrap();
        for part in [
            "cannot use the folder",
            "Permission denied",
            "mount its disk",
        ] {
            assert!(trouble.contains(part), "{trouble}");
        }
    }
    // Each check looks for the files of all waiting downloads. So when the peer finds the files of
    // the second download, it also looks for those of the first one.
    for share in shares.iter().rev() {
        let started = format!("{}: its files are there again", share.name);
        assert_eq!(count_in_log(&peer, &started), 0);
        assert_eq!(count_in_log(&peer, &format!("{}: waits", share.name)), 1);
        set_mode(share, 0o755);
        wait_for_log_line(&peer.log, &[&started]);
        // The files are checked first. A download that is checked has no links.
        peer.wait_for_download(&share.name, |found| {
            let trouble = found["trouble"].as_str().unwrap_or_default();
            found["state"] == "downloading" && !trouble.contains("mount its disk")
        });
        serve_to(&peer, share, &share.name).join().unwrap();
        peer.wait_for_state(&share.name, "complete");
    }
}

#[test]
fn an_extension_that_a_crash_interrupts_between_two_steps_of_a_move_goes_on() {
    let sandbox = Sandbox::new();
    let Some(disk) = OddDisk::new(&sandbox, "disk") else {
        return;
    };
    let _tracker = sandbox.tracker(&[]);
    let _seed = seed(&sandbox);
    let no_rename = failing("renameat2", Errno::EINVAL);
    let no_link = [no_rename.clone(), failing("linkat", Errno::EPERM)].join(",");
    let torrent = quoted(&sandbox.path("seed/set.torrent"));
    let place = quoted(&disk.folder);
    for (number, (calls, killed_at)) in [(&no_link, "renameat=0"), (&no_rename, "unlinkat=0")]
        .into_iter()
        .enumerate()
    {
        let name = format!("peer-{number}");
        let _ = fs::remove_dir_all(disk.folder.join("set"));
        let mut peer = disk.peer(&sandbox, &name, "");
        peer.run(&format!("download {torrent} {place} --only plain"));
        peer.run("wait 30");
        peer.end();
        let mut peer = disk.peer(&sandbox, &name, &format!("{calls},{killed_at}"));
        peer.process
            .write_line(&format!("download {torrent} {place} --only sub/tool"));
        peer.process.write_line("wait 60");
        let (status, _) = peer.process.wait();
        assert_eq!(status.signal(), Some(9), "{killed_at}");
        let mut peer = disk.peer(&sandbox, &name, calls);
        peer.wait_for_state("set", "complete");
        peer.kill();
        assert_eq!(
            fs::read_dir(&disk.folder).unwrap().count(),
            1,
            "{killed_at}"
        );
        for name in ["set/sub/tool", "set/plain"] {
            let (copy, original) = (disk.folder.join(name), sandbox.path("seed").join(name));
            assert!(
                fs::read(copy).unwrap() == fs::read(original).unwrap(),
                "{killed_at}: {name}"
            );
        }
    }
}

/// Starts a download of `share` that replaces the files at its destination (`--force`). The calls
/// `lacking` fail, and the call `killed_at` kills the peer (both as in `ODD_CALLS`, see
/// `tests/common/odd_disk.c`). Then runs the peer again, with `command` only.
fn run_after_crash(
    sandbox: &Sandbox,
    disk: &OddDisk,
    (name, share): (&str, &str),
    (lacking, killed_at): (&str, &str),
    command: &str,
) -> Output {
    let calls = format!("{lacking},{killed_at}");
    let torrent = quoted(&sandbox.path(&format!("seed/{share}.torrent")));
    let place = quoted(&disk.folder);
    let mut peer = disk.peer(sandbox, name, &calls);
    peer.process
        .write_line(&format!("download {torrent} {place} --force"));
    peer.process.write_line("wait 60");
    let (status, _) = peer.process.wait();
    assert_eq!(status.signal(), Some(9), "{calls}: {command}");
    let (info, state) = (sandbox.tracker_info(), sandbox.state(name));
    let mut arguments = vec!["peer", "127.0.0.1:0", info.to_str().unwrap()];
    arguments.extend(["--dir", state.to_str().unwrap(), "-c", command]);
    disk.run(&sandbox.folder(name), &arguments, lacking)
}

/// The names on the disk, sorted.
fn names_on(disk: &OddDisk) -> Vec<String> {
    let entries = fs::read_dir(&disk.folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn a_replacement_that_a_crash_interrupts_at_any_step_is_complete_before_a_command_acts_on_it() {
    let sandbox = Sandbox::new();
    let Some(disk) = OddDisk::new(&sandbox, "disk") else {
        return;
    };
    let _tracker = sandbox.tracker(&[]);
    let _seed = seed(&sandbox);
    let no_exchange = &*failing("renameat2", Errno::EINVAL);
    let mut runs = 0;
    for (share, lacking, killed_at) in [
        ("set", "", "renameat2=0"),
        ("set", "", "exchanged=0"),
        ("set", no_exchange, "renameat=0@1"),
        ("set", no_exchange, "renamed=0@1"),
        ("set", no_exchange, "renameat=0@2"),
        ("set", no_exchange, "renamed=0@2"),
        ("one", "", "renameat=0"),
        ("one", "", "renamed=0"),
    ] {
        for command in ["cancel", "stop_share -"] {
            runs += 1;
            let case = format!("{share}: {lacking},{killed_at}: {command}");
            let _ = fs::remove_dir_all(&disk.folder);
            let (own, copy) = match share {
                "set" => ("set/old", "set/plain"),
                other => (other, other),
            };
            fs::create_dir_all(disk.folder.join(own).parent().unwrap()).unwrap();
            fs::write(disk.folder.join(own), "of the person").unwrap();
            let (name, command) = (format!("peer-{runs}"), format!("{command} {share}"));
            let calls = (lacking, killed_at);
            let ended = run_after_crash(&sandbox, &disk, (&name, share), calls, &command);
            if command.starts_with("cancel") {
                assert_eq!(ended.code, Some(1), "{case}: {ended:?}");
                let refusal = format!("{share} is complete; cancel cannot end it");
                assert!(ended.stderr.contains(&refusal), "{case}: {ended:?}");
            } else {
                assert_eq!(ended.code, Some(0), "{case}: {ended:?}");
            }
            assert_eq!(names_on(&disk), [share], "{case}");
            let copied = fs::read(disk.folder.join(copy)).unwrap();
            let original = fs::read(sandbox.path("seed").join(copy)).unwrap();
            assert!(copied == original, "{case}");
            if share == "set" {
                let kept = fs::read_to_string(disk.folder.join(own)).unwrap();
                assert_eq!(kept, "of the person", "{case}");
            }
        }
    }
}

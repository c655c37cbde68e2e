//! What a share contains, and which commands are refused before hours of hashing.

use crate::common::odd_disk::report_skipped;
use crate::common::peer::{Peer, quoted};
use crate::common::process::{BINARY, Output, command, run, run_command};
use crate::common::sandbox::Sandbox;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file with a length of 4,096 bytes, from which fewer bytes can be read. So hashing it fails,
/// and a test sees whether a refusal came before the hashing.
const CANNOT_BE_HASHED: &str = "/sys/class/net/lo/mtu";

#[test]
fn a_torrent_file_that_cannot_be_written_is_refused_before_the_hashing() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let mut peer = sandbox.peer("peer");
    let here = sandbox.path("peer");
    fs::create_dir(here.join("folder")).unwrap();
    let long = format!("{}.torrent", "l".repeat(250));
    let messages = [
        ("nowhere/x.torrent", "its folder does not exist"),
        ("/proc/x.torrent", "/proc/x.torrent: "),
        ("folder", "folder"),
        ("folder/", "does not name a file"),
        (long.as_str(), "name too long"),
    ];
    let create = |output: &str| {
        let arguments = [
            "torrent",
            "create",
            CANNOT_BE_HASHED,
            "-o",
            output,
            "--force",
        ];
        let ended = run(&here, &arguments, "");
        assert_eq!(ended.code, Some(1), "{ended:?}");
        ended.stderr
    };
    for (output, part) in &messages {
        let (_, message) = peer.error_of(&format!("send {CANNOT_BE_HASHED} {output}"));
        for text in [message, create(output)] {
            assert!(text.to_lowercase().contains(part), "{output}: {text}");
            assert!(
                !text.contains("hashed") && !text.contains(".torrent-"),
                "{text}"
            );
        }
    }
    // Another torrent is in the way.
    sandbox.file("peer/other", 1_000, 1);
    peer.run("send other");
    let (_, message) = peer.error_of(&format!("send {CANNOT_BE_HASHED} other.torrent"));
    assert!(
        message.contains("another file with this name exists"),
        "{message}"
    );
    // Something that is no torrent is in the way.
    fs::write(here.join("thesis"), "my thesis\n").unwrap();
    symlink("nowhere", here.join("link")).unwrap();
    for output in ["thesis", "link", "/dev/null"] {
        let (_, message) = peer.error_of(&format!("send {CANNOT_BE_HASHED} {output}"));
        assert!(
            message.contains("exists and is no torrent; name another file"),
            "{message}"
        );
    }
    assert_eq!(
        fs::read_to_string(here.join("thesis")).unwrap(),
        "my thesis\n"
    );
    // If nothing is in the way, the hashing begins, and fails.
    let (_, message) = peer.error_of(&format!("send {CANNOT_BE_HASHED} x.torrent"));
    assert!(message.contains("changed while it was hashed"), "{message}");
    assert!(create("x.torrent").contains("changed while it was hashed"));
}

/// Runs the binary with a file system of 64 KiB at `small`, of which `filler` bytes are taken.
/// Returns None and reports why if no file system can be mounted here.
fn run_with_small_disk(sandbox: &Sandbox, filler: &str, arguments: &[&str]) -> Option<Output> {
    const NO_MOUNT: i32 = 99;
    let small = quoted(&sandbox.folder("small"));
    let script = format!(
        "mount -t tmpfs -o size=64k tmpfs {small} || exit {NO_MOUNT}
         head -c {filler} /dev/zero > {small}/filler 2> filler.log
         exec \"$0\" \"$@\""
    );
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "sh", "-c", &script, BINARY]);
    shell.args(arguments).current_dir(sandbox.path(""));
    let ended = run_command(shell);
    if ended.code == Some(NO_MOUNT) || ended.stderr.starts_with("unshare: ") {
        report_skipped(&format!("no file system can be mounted: {}", ended.stderr));
        return None;
    }
    assert_eq!(ended.code, Some(1), "{ended:?}");
    Some(ended)
}

#[test]
fn a_full_disk_is_found_before_the_hashing() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let info = sandbox.tracker_info();
    let info = info.to_str().unwrap();
    let full = "the disk or the quota is full (No space left on device): make room and try again\n";
    // The disk for the `.torrent` is full.
    let send = format!("send {CANNOT_BE_HASHED} small/x.torrent");
    let send = ["peer", "127.0.0.1:0", info, "--dir", "state", "-c", &send];
    let create = [
        "torrent",
        "create",
        CANNOT_BE_HASHED,
        "-o",
        "small/x.torrent",
    ];
    for arguments in [&send[..], &create] {
        let Some(ended) = run_with_small_disk(&sandbox, "64K", arguments) else {
            return;
        };
        let expected = format!("small/x.torrent: {full}");
        assert!(ended.stderr.ends_with(&expected), "{ended:?}");
    }
    // The disk of the state folder has room only for a small torrent.
    let image = File::create(sandbox.path("image")).unwrap();
    image.set_len(4 << 30).unwrap();
    let send = [
        "peer",
        "127.0.0.1:0",
        info,
        "--dir",
        "small/state",
        "-c",
        "send image",
    ];
    let ended = run_with_small_disk(&sandbox, "0", &send).unwrap();
    let expected = format!("small/state/torrents: {full}");
    assert!(ended.stderr.ends_with(&expected), "{ended:?}");
}

#[test]
fn a_state_folder_that_cannot_be_written_is_found_before_the_hashing() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let mut peer = sandbox.peer("peer");
    let torrents = sandbox.state("peer").join("torrents");
    fs::remove_dir_all(&torrents).unwrap();
    let (kind, message) = peer.error_of(&format!("send {CANNOT_BE_HASHED} x.torrent"));
    assert_eq!(kind, "record");
    assert!(message.contains("torrents"), "{message}");
}

#[test]
fn a_folder_does_not_share_its_own_torrent() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    sandbox.file("set/a", 1_000, 1);
    sandbox.file("set/sub/b", 1_000, 2);
    let send = |state: &str, command: &str| {
        let (info, state) = (sandbox.tracker_info(), sandbox.state(state));
        let (folder, address) = (sandbox.path("set"), "127.0.0.1:0");
        let mut peer = Peer::start(&folder, address, &info, &state, &[]);
        let sent = peer.run(command);
        assert_eq!(sent["length"], 2_000, "{sent}");
        sent["info_hash"].clone()
    };
    let first = send("first", "send .");
    assert!(sandbox.path("set/set.torrent").exists());
    assert_eq!(send("second", "send ."), first);
    assert_eq!(send("third", "send . sub/named.torrent"), first);
    assert_eq!(send("fourth", "send . sub/named.torrent"), first);
    fs::remove_file(sandbox.path("set/sub/named.torrent")).unwrap();
    let create = ["torrent", "create", "set", "-o", "outside.torrent"];
    let created = run(&sandbox.path(""), &create, "");
    assert!(
        created.stdout.contains(first.as_str().unwrap()),
        "{created:?}"
    );
}

#[test]
fn one_note_names_all_empty_folders_that_are_left_out() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    sandbox.file("set/a", 1_000, 1);
    sandbox.folder("set/logs");
    sandbox.folder("set/run/lock");
    let note = "empty folders were left out: logs, run/lock\n";
    let created = run(&sandbox.path(""), &["torrent", "create", "set"], "");
    assert_eq!(created.stderr, note, "{created:?}");
    let (info, state) = (sandbox.tracker_info(), sandbox.path("state"));
    let arguments = ["peer", "127.0.0.1:0", info.to_str().unwrap(), "--dir"];
    let arguments = [
        &arguments[..],
        &[state.to_str().unwrap(), "-c", "send set new.torrent"],
    ];
    let sent = run(&sandbox.path(""), &arguments.concat(), "");
    assert_eq!(sent.stderr, note, "{sent:?}");
    let mut peer = sandbox.peer("peer");
    let sent = peer.run(&format!("send {}", quoted(&sandbox.path("set"))));
    assert_eq!(sent["empty_folders"], json!(["logs", "run/lock"]));
    fs::remove_dir(sandbox.path("set/logs")).unwrap();
    fs::remove_dir_all(sandbox.path("set/run")).unwrap();
    let created = run(
        &sandbox.path(""),
        &["torrent", "create", "set", "--force"],
        "",
    );
    assert_eq!((created.code, &*created.stderr), (Some(0), ""));
}

/// A command that runs the binary with these arguments and this umask.
fn command_with_umask(umask: &str, folder: &Path, arguments: &[&str]) -> Command {
    let prepared = command(folder, &[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), BINARY]);
    shell.args(arguments).current_dir(folder);
    for (key, value) in prepared.get_envs() {
        match value {
            Some(value) => shell.env(key, value),
            None => shell.env_remove(key),
        };
    }
    shell
}

#[test]
fn new_files_and_folders_have_the_mode_that_the_umask_leaves() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    sandbox.file("seed/set/sub/tool", 5_000, 1);
    sandbox.file("seed/set/plain", 5_000, 2);
    let tool = sandbox.path("seed/set/sub/tool");
    fs::set_permissions(tool, fs::Permissions::from_mode(0o755)).unwrap();
    let mut seed = sandbox.peer("seed");
    seed.run("send set");
    let (torrent, info) = (sandbox.path("seed/set.torrent"), sandbox.tracker_info());
    for umask in ["022", "002", "027", "000", "077", "033"] {
        let folder = sandbox.folder(umask);
        let state = sandbox.path(&format!("{umask}.state"));
        let download = format!("download {} .", quoted(&torrent));
        let mut arguments = vec!["peer", "127.0.0.1:0", info.to_str().unwrap(), "--dir"];
        arguments.extend([state.to_str().unwrap(), "-c", &download, "-c", "wait 60"]);
        arguments.extend(["-c", "send set/plain sent.torrent"]);
        let ended = run_command(command_with_umask(umask, &folder, &arguments));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let create = ["torrent", "create", "set/plain", "-o", "made.torrent"];
        let ended = run_command(command_with_umask(umask, &folder, &create));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let umask = u32::from_str_radix(umask, 8).unwrap();
        for (name, full) in [
            ("set", 0o777),
            ("set/sub", 0o777),
            ("set/sub/tool", 0o777),
            ("set/plain", 0o666),
            ("sent.torrent", 0o666),
            ("made.torrent", 0o666),
        ] {
            let mode = folder.join(name).metadata().unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, full & !umask, "{name}: {mode:o} under {umask:o}");
        }
    }
}

/// Sets the modification time of a file, in nanoseconds since 1970, and returns it.
fn set_time(path: &Path, time: u64) -> SystemTime {
    let time = UNIX_EPOCH + Duration::from_nanos(time);
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
    time
}

fn time_of(path: &Path) -> SystemTime {
    path.metadata().unwrap().modified().unwrap()
}

#[test]
fn a_copy_has_the_times_of_the_original_and_they_do_not_count_as_a_change() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let files = [
        ("set/a", 1_234_567_890_123_456_789),
        ("set/sub/b", 86_400_000_000_000),
    ];
    let times = files
        .map(|(name, time)| set_time(&sandbox.file(&format!("seed/{name}"), 100_000, time), time));
    let mut seed = sandbox.peer("seed");
    let sent = seed.run("send set");
    let torrent = sandbox.path("seed/set.torrent");
    let mut leech = sandbox.debug_peer("leech", &[]);
    leech.run(&format!("download {} .", quoted(&torrent)));
    leech.run("wait 60");
    for ((name, _), time) in files.iter().zip(times) {
        assert_eq!(time_of(&sandbox.path("leech").join(name)), time, "{name}");
    }
    leech.end();
    let mut leech = sandbox.debug_peer("leech", &[]);
    let status = leech.run("status");
    assert_eq!(status["shares"][0]["trouble"], Value::Null, "{status}");
    let log = fs::read_to_string(&leech.log).unwrap();
    assert!(!log.contains("checking it"), "{log}");
    // A magnet link does not contain the times. Peers that have the times send them.
    let mut other = sandbox.peer("other");
    let hash = sent["info_hash"].as_str().unwrap();
    other.run(&format!("download 'magnet:?xt=urn:btih:{hash}'"));
    other.run("wait 60");
    for ((name, _), time) in files.iter().zip(times) {
        assert_eq!(time_of(&sandbox.path("other").join(name)), time, "{name}");
    }
    // The times are not part of the content.
    set_time(&sandbox.path("seed/set/a"), 5);
    let again = sandbox
        .peer("again")
        .run(&format!("send {}", quoted(&sandbox.path("seed/set"))));
    assert_eq!(again["info_hash"], sent["info_hash"]);
}

#[test]
fn a_sparse_file_is_downloaded_sparse() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let length = 64 << 20;
    let original = sandbox.folder("seed").join("disk.img");
    let file = File::create(&original).unwrap();
    file.set_len(length).unwrap();
    file.write_all_at(&[7; 100_000], 20 << 20).unwrap();
    let space = |path: &Path| path.metadata().unwrap().blocks() * 512;
    let mut seed = sandbox.peer("seed");
    seed.run("send disk.img");
    let mut leech = sandbox.peer("leech");
    let torrent = sandbox.path("seed/disk.img.torrent");
    leech.run(&format!("download {} .", quoted(&torrent)));
    leech.run("wait 60");
    let copy = sandbox.path("leech/disk.img");
    assert!(fs::read(&copy).unwrap() == fs::read(&original).unwrap());
    if space(&original) < 1 << 20 {
        assert!(space(&copy) < 1 << 20, "{} bytes", space(&copy));
    }
}

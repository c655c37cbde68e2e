//! Configuration files of a peer and of a tracker.

use super::clients::{attached, hold_start, objects, signal};
use crate::common::process::{KilledOnDrop, Process, command, run};
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_until;
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn log(sandbox: &Sandbox, name: &str) -> String {
    fs::read_to_string(sandbox.path(name)).unwrap()
}

#[test]
fn a_peer_runs_as_its_file_says_and_reads_it_again() {
    let sandbox = Sandbox::new();
    let (folder, config) = (
        sandbox.folder("work"),
        sandbox.folder("config").join("peer.toml"),
    );
    let _tracker = sandbox.tracker(&[]);
    sandbox.file("config/gift", 70_000, 1);
    let write = |more: &str| {
        let text = "listen = \"127.0.0.1:0\"\ntracker_info = \"../tracker_info.txt\"\ndir = \"../nik.state\"\n\
                    stay = true\njson = true\ncommands = [\"send gift\"]\n";
        fs::write(&config, format!("{text}{more}\n")).unwrap();
    };
    write("up = \"1M\"\nthreads = 4\nname = \"Lab 3\"");
    let shown = config.to_str().unwrap();
    let mut peer = Process::start(&folder, &["peer", "--config", shown, "--name", "typed"]);
    // Relative paths belong to the folder of the file.
    let sent: serde_json::Value = serde_json::from_str(&peer.line()).unwrap();
    assert_eq!(sent["ok"], true, "{sent}");
    assert!(sandbox.path("config/gift.torrent").exists());
    let status = attached(&sandbox, "nik", &folder, &["--json", "-c", "status"]);
    assert_eq!(objects(&status)[0]["name"], "typed");
    write("up = \"2M\"\nthreads = 8\nlog = \"debug\"\nname = \"Lab 4\"");
    peer.signal("-USR1");
    let log = || log(&sandbox, "nik.state/peer.log");
    for line in [
        "log is now debug (before: the default)",
        "name is Lab 4 (before: Lab 3), but an option of this process overrides it",
        "threads = 8 needs a restart; until then 4 is in force",
        "up is now 2M (before: 1M)",
    ] {
        wait_until(line, || log().contains(line));
    }
    // The level of the log has changed.
    attached(&sandbox, "nik", &folder, &["-c", "status"]);
    assert!(log().contains("DEBUG"));
    write("up = \"2M\"\nthreds = 8");
    peer.signal("-USR1");
    let wrong = "line 8: there is no setting \"threds\"; the nearest is threads; the settings stay as they were";
    wait_until(wrong, || log().contains(wrong));
    let refused = run(&folder, &["peer", "--config", shown], "");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    // A command that attaches cannot change the configuration.
    write("");
    let refused = run(&folder, &["peer", "--config", shown, "-c", "status"], "");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("--config can only be used when a peer starts")
    );
    peer.signal("-TERM");
    let (status, errors) = peer.wait();
    assert!(
        status.success() && errors.contains("up is now 2M (before: 1M)"),
        "{errors}"
    );
}

/// Makes a folder with the file `gift` and a configuration whose upload limit makes a download of
/// it take 80 s. Returns the folder and the path of the configuration.
fn slow_gift(sandbox: &Sandbox) -> (PathBuf, PathBuf) {
    let folder = sandbox.folder("work");
    sandbox.file("work/gift", 20_000_000, 1);
    let config = folder.join("c.toml");
    fs::write(&config, "up = \"256K\"").unwrap();
    (folder, config)
}

#[test]
fn an_upload_limit_takes_effect_at_once() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let (folder, config) = slow_gift(&sandbox);
    let (state, info) = (sandbox.state("seed"), sandbox.tracker_info());
    let (state, info) = (state.to_str().unwrap(), info.to_str().unwrap());
    let all = [
        "peer",
        "127.0.0.1:0",
        info,
        "--dir",
        state,
        "--config",
        "c.toml",
        "-c",
        "send gift",
        "--stay",
    ];
    let mut seed = Process::start(&folder, &all);
    seed.line();
    let mut leech = sandbox.peer("leech");
    let torrent = folder.join("gift.torrent");
    leech.run(&format!("download {}", torrent.display()));
    // At this rate the download takes 80 s.
    leech.wait_for_download("gift", |download| download["bytes_done"].as_u64() > Some(0));
    fs::write(&config, "# no limit").unwrap();
    seed.signal("-USR1");
    leech.run("wait 30");
}

#[test]
fn a_limit_that_changes_while_the_peer_starts_takes_effect() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let (folder, config) = slow_gift(&sandbox);
    let (state, info) = (sandbox.state("seed"), sandbox.tracker_info());
    let (state, info) = (state.to_str().unwrap(), info.to_str().unwrap());
    let wait_until_held = hold_start(&sandbox, "seed");
    let place = ["peer", "127.0.0.1:0", info, "--dir", state];
    let more = ["--config", "c.toml", "-c", "send gift", "--stay"];
    let mut seed = command(&folder, &[&place[..], &more].concat());
    let seed = KilledOnDrop(seed.stdin(Stdio::null()).spawn().unwrap());
    let held = wait_until_held();
    fs::write(&config, "# no limit").unwrap();
    signal(&seed, "-USR1");
    let line = "up is now the default (before: 256K)";
    wait_until(line, || log(&sandbox, "seed.state/peer.log").contains(line));
    drop(held);
    let torrent = folder.join("gift.torrent");
    wait_until("the peer shares", || torrent.exists());
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download {}", torrent.display()));
    // At the first rate the download would take 80 s.
    leech.run("wait 30");
    drop(seed);
}

#[test]
fn a_printed_file_starts_a_tracker_with_its_defaults() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder("work");
    for mode in ["peer", "tracker"] {
        let printed = run(&folder, &[mode, "--print-config"], "");
        assert!(
            printed.code == Some(0) && printed.stderr.is_empty(),
            "{printed:?}"
        );
        fs::write(folder.join(format!("{mode}.toml")), printed.stdout).unwrap();
    }
    let data = sandbox.path("data");
    let data = data.to_str().unwrap();
    let all = [
        "tracker",
        "--config",
        "tracker.toml",
        "--listen",
        "127.0.0.1:0",
        "--data",
        data,
    ];
    let tracker = Process::start(&folder, &all);
    let config = fs::read_to_string(folder.join("tracker.toml")).unwrap();
    let changed = config.replace("interval = 20", "interval = 5");
    assert_ne!(config, changed);
    fs::write(folder.join("tracker.toml"), changed).unwrap();
    tracker.signal("-USR1");
    let line = "interval = 5 needs a restart; until then 20 is in force";
    wait_until(line, || log(&sandbox, "data/tracker.log").contains(line));
    tracker.signal("-TERM");
    assert!(tracker.wait().0.success());
}

#[test]
fn arguments_keep_their_places_whatever_the_file_sets() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder("work");
    for file in ["t.txt", "u.txt"] {
        fs::write(folder.join(file), "127.0.0.1:0\n127.0.0.1:0\n").unwrap();
    }
    let runs = |mode: &str, text: &str, typed: &[&str]| {
        fs::write(folder.join("c.toml"), text).unwrap();
        let state = sandbox.path(&format!("{mode}.state"));
        let state = state.to_str().unwrap();
        let option = if mode == "peer" { "--dir" } else { "--data" };
        let all = [&[mode, "--config", "c.toml", option, state], typed].concat();
        let process = Process::start(&folder, &all);
        let address = process.address;
        process.signal("-TERM");
        let (status, errors) = process.wait();
        assert!(status.success(), "{text}: {errors}");
        address
    };
    for text in [
        "listen = \"127.0.0.2:0\"",
        "tracker_info = \"u.txt\"",
        "listen = \"127.0.0.2:0\"\ntracker_info = \"u.txt\"",
    ] {
        let address = runs("peer", text, &["127.0.0.1:0", "t.txt"]);
        assert_eq!(address.ip().to_string(), "127.0.0.1", "{text}");
    }
    // TRACKER_INFO alone: the address of the file stays.
    let address = runs("peer", "listen = \"127.0.0.2:0\"", &["t.txt"]);
    assert_eq!(address.ip().to_string(), "127.0.0.2");
    for text in ["tracker_info = \"u.txt\"", "number = 2"] {
        runs("tracker", text, &["t.txt", "1"]);
    }
}

#[test]
fn an_argument_that_conflicts_with_the_file_is_refused() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder("work");
    for (mode, text, typed, shown) in [
        ("tracker", "open = true", &["--dump"][..], "--dump"),
        ("tracker", "open = true", &["--expect", "2"], "--expect"),
        (
            "peer",
            "commands = [\"wait\"]",
            &["--scenario", "s.txt"],
            "--scenario",
        ),
    ] {
        fs::write(folder.join("c.toml"), text).unwrap();
        let all = [&[mode, "--config", "c.toml"], typed].concat();
        let output = run(&folder, &all, "");
        assert_eq!(output.code, Some(2), "{text}: {output:?}");
        let key = text.split(' ').next().unwrap();
        let error = format!("{shown} cannot be used with the setting {key} of ");
        assert!(output.stderr.contains(&error), "{text}: {output:?}");
    }
    // What is not set conflicts with nothing.
    fs::write(folder.join("c.toml"), "open = false").unwrap();
    let output = run(&folder, &["tracker", "--config", "c.toml", "--dump"], "");
    assert_ne!(output.code, Some(2), "{output:?}");
}

#[test]
fn only_a_regular_file_is_read_and_no_reading_stops_the_signals() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder("work");
    let _tracker = sandbox.tracker(&[]);
    let (config, state) = (folder.join("c.toml"), sandbox.state("nik"));
    let info = sandbox.tracker_info();
    let write = |up: &str| {
        let text = format!("listen = \"127.0.0.1:0\"\ntracker_info = {info:?}\nup = {up:?}\n");
        fs::write(&config, text).unwrap();
    };
    write("1M");
    let dir = state.to_str().unwrap();
    let all = ["peer", "--config", "c.toml", "--dir", dir, "--stay"];
    let (errors, _reader) = UnixStream::pair().unwrap();
    let start = |errors: &UnixStream| {
        let errors = OwnedFd::from(errors.try_clone().unwrap());
        let mut command = command(&folder, &all);
        KilledOnDrop(command.stdin(Stdio::null()).stderr(errors).spawn().unwrap())
    };
    let mut peer = start(&errors);
    wait_until("the peer has a socket", || state.join("attach").exists());
    attached(&sandbox, "nik", &folder, &["-c", "status"]);
    // Nobody reads standard error, and it is full.
    errors.set_nonblocking(true).unwrap();
    while (&errors).write(&[b'x'; 1_000]).is_ok() {}
    errors.set_nonblocking(false).unwrap();
    write("2M");
    signal(&peer, "-USR1");
    let line = "up is now 2M (before: 1M)";
    wait_until(line, || log(&sandbox, "nik.state/peer.log").contains(line));
    // A FIFO would make the next reading wait.
    fs::remove_file(&config).unwrap();
    let made = Command::new("mkfifo").arg(&config).status().unwrap();
    assert!(made.success());
    signal(&peer, "-USR1");
    signal(&peer, "-TERM");
    wait_until("the peer ends", || peer.exit_status().is_some());
    let mut refused = start(&UnixStream::pair().unwrap().0);
    wait_until("the start ends", || refused.exit_status().is_some());
    assert_eq!(refused.exit_status().unwrap().code(), Some(2));
}

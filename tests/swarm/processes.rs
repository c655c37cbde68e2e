//! The processes as scripts see them: first lines, exit codes, streams, signals.

use super::downloads::{seeded_swarm, send};
use crate::common::process::{Process, command, run};
use crate::common::sandbox::{Sandbox, bytes};
use nix::pty::openpty;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;

#[test]
fn the_exit_code_shows_whether_all_commands_of_a_script_succeeded() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let info = sandbox.tracker_info();
    let folder = sandbox.folder("work");
    fs::write(folder.join("data"), bytes(100_000, 1)).unwrap();
    let peer = |extra: &[&str], input: &str| {
        let mut all = vec!["peer", "127.0.0.1:0", info.to_str().unwrap()];
        all.extend(extra);
        run(&folder, &all, input)
    };
    let good = peer(&["-c", "send data", "-c", "status"], "");
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(
        good.stdout.starts_with("peer listening on 127.0.0.1:"),
        "{}",
        good.stdout
    );
    assert!(folder.join("data.torrent").exists());
    let bad = peer(&["-c", "send missing", "-c", "status"], "");
    assert_eq!(bad.code, Some(1));
    assert!(
        bad.stderr.starts_with("error: ") && bad.stderr.contains("missing"),
        "{}",
        bad.stderr
    );
    let piped = peer(&[], "help\nfrobnicate\n");
    assert_eq!(piped.code, Some(1));
    assert!(piped.stderr.contains("frobnicate"), "{}", piped.stderr);
    assert_eq!(peer(&["--no-such-option"], "").code, Some(2));
    assert_eq!(run(&folder, &["peer", "nowhere", "x"], "").code, Some(2));
    assert_eq!(
        run(&folder, &["--version"], "").stdout.trim(),
        concat!("pieceful ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn with_json_every_line_is_an_object() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let folder = sandbox.folder("work");
    let info = sandbox.tracker_info();
    let arguments = ["peer", "127.0.0.1:0", info.to_str().unwrap(), "--json"];
    let output = run(
        &folder,
        &arguments,
        "status\nsend nothing\ndownload\n'open\nhelp\nwait\nquit\n",
    );
    let mut objects: Vec<serde_json::Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let first = objects.remove(0);
    let address: SocketAddr = first["address"].as_str().unwrap().parse().unwrap();
    assert!(address.ip().is_loopback() && address.port() > 0, "{first}");
    assert_eq!(first["event"], "listening");
    assert_eq!(first.as_object().unwrap().len(), 2, "{first}");
    let results: Vec<(bool, &str)> = objects
        .iter()
        .map(|object| {
            (
                object["ok"].as_bool().unwrap(),
                object["error"]["kind"].as_str().unwrap_or(""),
            )
        })
        .collect();
    let expected = [
        (true, ""),
        (false, "create"),
        (false, "arguments"),
        (false, "syntax"),
        (true, ""),
        (true, ""),
        (true, ""),
    ];
    assert_eq!(results, expected, "{}", output.stdout);
    assert!(output.stdout.contains(r#"{"command":"status","ok":true,"#));
    assert_eq!(output.code, Some(1));
}

#[test]
fn torrent_set_mode_runs_the_command_that_it_names() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    let file = sandbox.file("f", 200_000, 1);
    let mut seed = sandbox.peer("seed");
    seed.run(&format!("torrent -setMode send '{}'", file.display()));
    seed.run(&format!("torrent -setMode upload '{}'", file.display()));
    let mut leech = sandbox.peer("leech");
    leech.run(&format!(
        "torrent -setMode download '{}'",
        sandbox.path("seed/f.torrent").display()
    ));
    leech.run("wait 60");
    leech.process.write_line("torrent exit");
    let (status, _) = leech.process.wait();
    assert_eq!(status.code(), Some(0));
    seed.process.write_line("torrent -setMode exit");
    assert_eq!(seed.process.wait().0.code(), Some(0));
}

#[test]
fn a_peer_with_stay_shares_until_a_signal_or_quit() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    let file = sandbox.file("f", 300_000, 1);
    let mut seed = sandbox.peer_with("seed", &["--stay"]);
    let torrent = send(&mut seed, &sandbox, &file, "f.torrent");
    seed.process.close_stdin();
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download '{torrent}'"));
    leech.run("wait 60");
    for (process, signal) in [(seed.process, "-INT"), (tracker, "-TERM")] {
        process.signal(signal);
        assert_eq!(process.wait().0.code(), Some(0));
    }
    let mut quits = sandbox.peer_with("quits", &["--stay"]);
    quits.process.write_line("quit");
    assert_eq!(quits.process.wait().0.code(), Some(0));
}

#[test]
fn a_peer_that_ends_names_its_incomplete_download() {
    let (sandbox, _tracker, _file, seed, torrent) = seeded_swarm("f", 300_000, &[]);
    seed.process.kill();
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download '{torrent}'"));
    leech.process.close_stdin();
    let (status, errors) = leech.process.wait();
    assert!(status.success(), "{errors}");
    let lines: Vec<_> = errors.lines().collect();
    assert!(
        matches!(&lines[..], [first, last] if first.starts_with("peer listening on ") && last.starts_with("f: ")),
        "{errors}"
    );
}

#[test]
fn cancel_of_a_complete_download_says_that_it_is_complete() {
    let (sandbox, _tracker, _file, _seed, torrent) = seeded_swarm("f", 300_000, &[]);
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download '{torrent}'"));
    leech.run("wait 60");
    let refused = leech.try_run("cancel f");
    assert_eq!(refused["error"]["kind"], "no-such-download");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("f is complete"), "{message}");
    assert!(sandbox.path("leech/f").exists());
    let unknown = leech.try_run("cancel g");
    let message = unknown["error"]["message"].as_str().unwrap();
    assert!(!message.contains("complete"), "{message}");
}

#[test]
fn a_state_folder_in_use_is_refused() {
    let sandbox = Sandbox::new();
    let _peer = sandbox.peer("one");
    let state = sandbox.path("one.state");
    let arguments = [
        "peer",
        "127.0.0.1:0",
        "--dir",
        state.to_str().unwrap(),
        "-c",
        "status",
    ];
    let second = run(&sandbox.folder("work"), &arguments, "");
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains("one.state"), "{}", second.stderr);
    let data = sandbox.path("data");
    let arguments = [
        "tracker",
        "--listen",
        "127.0.0.1:0",
        "--data",
        data.to_str().unwrap(),
    ];
    let _tracker = Process::start(&sandbox.folder("work"), &arguments);
    let second = run(&sandbox.folder("work"), &arguments, "");
    assert_eq!(second.code, Some(1), "{}", second.stderr);
}

#[test]
fn a_peer_and_a_tracker_refuse_each_others_state_folder_and_leave_it_unchanged() {
    let sandbox = Sandbox::new();
    let peer = sandbox.peer("one");
    let arguments = |words: &'static str, folder: &'static str| {
        let words = words.split(' ');
        words.chain([folder]).collect::<Vec<&str>>()
    };
    let tracker = "tracker --listen 127.0.0.1:0 --data";
    let started = Process::start(&sandbox.path(""), &arguments(tracker, "data"));
    drop((peer, started));
    let names = |folder: &str| {
        let entries = fs::read_dir(sandbox.path(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.collect::<BTreeSet<_>>()
    };
    let before = [names("one.state"), names("data")];
    let run = |words, folder| run(&sandbox.path(""), &arguments(words, folder), "");
    let output = run(tracker, "one.state");
    let expected = "one.state is the state folder of a peer; name another folder with --data";
    assert_eq!((output.code, &*output.stdout), (Some(1), ""), "{output:?}");
    assert!(output.stderr.contains(expected), "{output:?}");
    let expected = "data is the state folder of a tracker; name another folder with --dir";
    let output = run("peer 127.0.0.1:0 --dir", "data");
    assert_eq!((output.code, &*output.stdout), (Some(1), ""), "{output:?}");
    assert!(output.stderr.contains(expected), "{output:?}");
    let output = run("doctor 127.0.0.1:0 --dir", "data");
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stdout.contains(expected), "{output:?}");
    assert_eq!([names("one.state"), names("data")], before);
}

#[test]
fn a_second_download_to_the_same_place_and_a_download_over_a_file_are_refused() {
    let (sandbox, _tracker, _file, seed, torrent) = seeded_swarm("f", 300_000, &[]);
    seed.process.kill();
    let mut leech = sandbox.peer("leech");
    leech.run(&format!("download '{torrent}'"));
    assert_eq!(leech.run(&format!("download '{torrent}'"))["already"], true);
    leech.assert_refused(
        &format!("download '{torrent}' elsewhere"),
        "already",
        "f is",
    );
    let mut other = sandbox.peer("other");
    fs::write(sandbox.path("other/f"), "mine").unwrap();
    let refused = other.try_run(&format!("download '{torrent}'"));
    assert_eq!(refused["error"]["kind"], "exists", "{refused}");
    assert_eq!(fs::read_to_string(sandbox.path("other/f")).unwrap(), "mine");
    other.run(&format!("download '{torrent}' mine.bin"));
}

#[test]
fn lines_pasted_at_the_prompt_all_run() {
    let sandbox = Sandbox::new();
    let folder = sandbox.folder("work");
    let terminal = openpty(None, None).unwrap();
    let (screen, slave) = (terminal.master, terminal.slave);
    let mut command = command(&folder, &["peer", "127.0.0.1:0"]);
    command
        .env("TERM", "xterm")
        .stdin(slave.try_clone().unwrap())
        .stdout(slave.try_clone().unwrap())
        .stderr(slave);
    let mut child = command.spawn().unwrap();
    // The command holds copies of the other end of the terminal. The loop below ends when all
    // copies are closed.
    drop(command);
    let mut screen = fs::File::from(screen);
    let mut output = Vec::new();
    let mut pasted = false;
    let mut buffer = [0; 4096];
    // Reading fails when no process has the other end open.
    while let Ok(read @ 1..) = screen.read(&mut buffer) {
        output.extend(&buffer[..read]);
        let text = String::from_utf8_lossy(&output);
        if !pasted && text.contains("pieceful> ") {
            screen
                .write_all(b"help wait\rhelp cancel\rfrobnicate\rquit\r")
                .unwrap();
            pasted = true;
        } else if text.matches("pieceful> ").count() > 1 && !text.contains("help cancel") {
            // The second line was lost: end the peer, so that the test fails instead of hanging.
            screen.write_all(b"\x04").unwrap();
        }
    }
    let text = String::from_utf8_lossy(&output);
    assert_eq!(child.wait().unwrap().code(), Some(1), "{text}");
    for expected in ["wait [SECONDS]: ", "cancel NAME: ", "frobnicate"] {
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn peers_with_temporary_state_folders_continue_the_same_partial_file() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&[]);
    sandbox.file("seed/f", 300_000, 1);
    for (name, length) in [("set/a", 100_000), ("set/b", 300_000)] {
        sandbox.file(&format!("seed/{name}"), length, 2);
    }
    let mut seed = sandbox.peer("seed");
    seed.run("send f");
    seed.run("send set");
    seed.kill();
    let folder = sandbox.folder("leech");
    let info = sandbox.tracker_info();
    let download = |wait_command: &str| {
        let mut arguments = vec!["peer", "127.0.0.1:0", info.to_str().unwrap()];
        arguments.extend(["-c", "download ../seed/f.torrent"]);
        arguments.extend(["-c", "download ../seed/set.torrent --only b"]);
        arguments.extend(["-c", wait_command]);
        run(&folder, &arguments, "")
    };
    let names = || {
        let entries = fs::read_dir(&folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let mut before = Vec::new();
    for start in 0..3 {
        let output = download("wait 0.1");
        assert!(output.stderr.contains("not complete"), "{output:?}");
        if start == 0 {
            before = names();
            assert_eq!(before.len(), 3, "{before:?}");
        }
        assert_eq!(names(), before);
    }
    let _seed = sandbox.peer("seed");
    let output = download("wait 60");
    assert_eq!(output.code, Some(0), "{output:?}");
    let complete = names();
    assert_eq!(complete.len(), 3, "{complete:?}");
    assert_eq!(complete[1..], ["f", "set"]);
    for name in ["f", "set/b"] {
        let original = sandbox.path("seed").join(name);
        assert!(fs::read(folder.join(name)).unwrap() == fs::read(original).unwrap());
    }
}

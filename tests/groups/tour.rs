//! The same steps in four ways: at the prompt, from a script, as arguments and in JSON. The steps
//! create users and a group, share a file, accept a member, list the catalogue and download the
//! share. The copies equal the shared file.

use super::team::{catalogue_entry, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::quoted;
use crate::common::process::{Process, run};
use crate::common::sandbox::{Sandbox, bytes};
use crate::common::terminal::Terminal;
use crate::common::waiting::wait_until;
use pieceful::torrent::Sha1;
use std::fs;
use std::path::{Path, PathBuf};

const LENGTH: usize = 3 << 20;

/// A tracker and the file that nik shares.
fn set_up() -> (AccountTracker, PathBuf) {
    let tracker = AccountTracker::new();
    let file = tracker.sandbox.file("gift", LENGTH, 1);
    (tracker, file)
}

fn assert_same(original: &Path, copy: &Path) {
    let sha1 = |path: &Path| Sha1::of(&fs::read(path).unwrap());
    assert_eq!(sha1(copy), sha1(original));
    assert_eq!(sha1(copy), Sha1::of(&bytes(LENGTH, 1)));
}

/// Whether a line of `list_files` shows nik's share with one seed. "20" is the start of the year.
fn is_listed(line: &str) -> bool {
    line.starts_with("gift  3.0 MiB  by nik  20") && line.contains("Z  1 complete  0 partial")
}

/// A peer at a terminal, whose user has been created and logged in there.
fn log_in_at_terminal(sandbox: &Sandbox, user: &str) -> Terminal {
    let mut peer = Terminal::peer(sandbox, user);
    for (command, questions) in [("create_user", 2), ("login", 1)] {
        peer.press(&format!("{command} {user}\r"));
        for question in [format!(" {user}: "), "the same password again: ".to_owned()]
            .iter()
            .take(questions)
        {
            peer.wait_for_text(question);
            peer.press("long-secret\r");
        }
        peer.wait_for_text("\n");
        peer.wait_for_text("pieceful> ");
    }
    peer
}

#[test]
fn the_steps_run_at_the_prompt() {
    let (tracker, file) = set_up();
    let [mut nik, mut mayank] =
        ["nik", "mayank"].map(|user| log_in_at_terminal(&tracker.sandbox, user));
    nik.type_line("create_group lab");
    let output = nik.type_line(&format!("upload_file lab {}", quoted(&file)));
    assert!(
        output.contains("sharing gift  3.0 MiB  6 pieces  info-hash "),
        "{output}"
    );
    let output = mayank.type_line("list_files lab");
    assert!(
        output.contains("error: ") && !output.contains("gift"),
        "{output}"
    );
    mayank.type_line("join_group lab");
    let output = nik.type_line("list_requests lab");
    assert!(output.contains("mayank  asked 20"), "{output}");
    nik.type_line("accept_request lab mayank");
    wait_until("the share is listed", || {
        mayank.type_line("list_files lab").lines().any(is_listed)
    });
    let output = mayank.type_line("download_file lab gift copy");
    assert!(output.contains("downloading gift  info-hash "), "{output}");
    let output = mayank.type_line("wait");
    assert!(output.contains("complete gift  3.0 MiB  in "), "{output}");
    let output = mayank.type_line("show_downloads");
    assert!(output.contains("[C] [lab] gift  3.0 MiB  /"), "{output}");
    assert_same(&file, &tracker.sandbox.path("mayank/copy"));
    for mut peer in [nik, mayank] {
        peer.press("\x04");
        peer.wait();
    }
}

/// Runs mayank's peer to its end. The commands are in `arguments` or in `input`. Returns what the
/// peer printed.
fn run_mayank(sandbox: &Sandbox, arguments: &[&str], input: &str) -> String {
    let (state, info) = (sandbox.path("mayank.state"), sandbox.tracker_info());
    let (state, info) = (state.to_str().unwrap(), info.to_str().unwrap());
    let all = ["peer", "127.0.0.1:0", info, "--dir", state];
    let output = run(
        &sandbox.folder("mayank"),
        &[&all[..], arguments].concat(),
        input,
    );
    assert_eq!(output.code, Some(0), "{output:?}");
    output.stdout
}

/// Starts nik's peer, creates the group and shares the file.
fn start_nik(sandbox: &Sandbox, file: &Path) -> Process {
    let (state, info) = (sandbox.path("nik.state"), sandbox.tracker_info());
    let (state, info) = (state.to_str().unwrap(), info.to_str().unwrap());
    let all = ["peer", "127.0.0.1:0", info, "--dir", state];
    let mut nik = Process::start(&sandbox.folder("nik"), &all);
    for (line, start_of_answer) in [
        (
            "create_user nik\nlong-secret",
            "user nik created; to log in, type: login nik",
        ),
        ("login nik\nlong-secret", "logged in as nik"),
        ("create_group lab", "group lab created; you own it"),
        (
            &format!("upload_file lab {}", quoted(file)),
            "sharing gift  3.0 MiB  6 pieces",
        ),
    ] {
        nik.write_line(line);
        let line = nik.line();
        assert!(line.starts_with(start_of_answer), "{line}");
    }
    nik
}

fn accept(nik: &mut Process) {
    nik.write_line("accept_request lab mayank");
    assert_eq!(nik.line(), "mayank is now a member of lab");
}

/// Checks what mayank's second run printed, and the copy. The first line is not checked.
fn assert_downloaded(printed: &str, file: &Path, copy: &Path) {
    let lines: Vec<&str> = printed.lines().collect();
    let [_, listed, started, complete, list_line] = lines[..] else {
        panic!("{printed}")
    };
    assert!(is_listed(listed), "{listed}");
    assert!(
        started.starts_with("downloading gift  info-hash "),
        "{started}"
    );
    assert!(complete.starts_with("complete gift  3.0 MiB"), "{complete}");
    let path = copy.display();
    assert_eq!(list_line, format!("[C] [lab] gift  3.0 MiB  {path}"));
    assert_same(file, copy);
}

/// Waits until the tracker lists nik as a seed.
fn wait_until_listed(nik: &mut Process) {
    wait_until("the share is listed", || {
        nik.write_line("list_files lab");
        // nik's own peer has the share, so the line of the share ends in `here`.
        is_listed(nik.line().trim_end_matches("  here"))
    });
}

#[test]
fn the_steps_run_from_scripts_on_standard_input() {
    let (tracker, file) = set_up();
    let mut nik = start_nik(&tracker.sandbox, &file);
    run_mayank(
        &tracker.sandbox,
        &[],
        "create_user mayank\nlong-secret\nlogin mayank\nlong-secret\njoin_group lab\n",
    );
    accept(&mut nik);
    wait_until_listed(&mut nik);
    let script = "list_files lab\ndownload_file lab gift copy\nwait\nshow_downloads\n";
    let printed = run_mayank(&tracker.sandbox, &[], script);
    assert_downloaded(&printed, &file, &tracker.sandbox.path("mayank/copy"));
}

#[test]
fn the_steps_run_as_arguments() {
    let (tracker, file) = set_up();
    let mut nik = start_nik(&tracker.sandbox, &file);
    let arguments = [
        "-c",
        "create_user mayank long-secret",
        "-c",
        "login mayank",
        "-c",
        "join_group lab",
    ];
    run_mayank(&tracker.sandbox, &arguments, "long-secret\n");
    accept(&mut nik);
    wait_until_listed(&mut nik);
    let arguments = [
        "-c",
        "list_files lab",
        "-c",
        "download_file lab gift copy",
        "-c",
        "wait",
        "-c",
        "show_downloads",
    ];
    let printed = run_mayank(&tracker.sandbox, &arguments, "");
    assert_downloaded(&printed, &file, &tracker.sandbox.path("mayank/copy"));
}

#[test]
fn the_steps_run_in_json_and_downloaders_become_seeds() {
    let (tracker, file) = set_up();
    let [mut nik, mut mayank, mut uma] = team(&tracker, ["nik", "mayank", "uma"]);
    let uploaded = nik.run(&format!("upload_file lab {}", quoted(&file)));
    assert_eq!(
        (&uploaded["command"], &uploaded["name"], &uploaded["length"]),
        (&"upload_file".into(), &"gift".into(), &LENGTH.into())
    );
    // `again` is true if the group already had this share.
    assert_eq!(
        (&uploaded["pieces"], &uploaded["again"]),
        (&6.into(), &false.into())
    );
    wait_until("the share has a seed", || {
        catalogue_entry(&mut mayank, "gift")["complete"] == 1
    });
    let listed = catalogue_entry(&mut mayank, "gift");
    assert_eq!(
        (&listed["publisher"], &listed["partial"], &listed["here"]),
        (&"nik".into(), &0.into(), &false.into())
    );
    assert_eq!(listed["info_hash"], uploaded["info_hash"]);
    let started = mayank.run("download_file lab gift copy");
    assert_eq!(started["info_hash"], uploaded["info_hash"]);
    mayank.run("wait");
    let download = mayank.shown_download("gift");
    assert_eq!(
        (
            &download["state"],
            &download["group"],
            &download["bytes_done"]
        ),
        (&"complete".into(), &"lab".into(), &LENGTH.into())
    );
    assert_eq!(download["from"][nik.process.address.to_string()], LENGTH);
    wait_until("the share has a second seed", || {
        catalogue_entry(&mut uma, "gift")["complete"] == 2
    });
    // The second seed is enough when the first is gone.
    nik.process.kill();
    uma.run("download_file lab gift");
    uma.run("wait");
    let from = &uma.shown_download("gift")["from"];
    assert_eq!(from[mayank.process.address.to_string()], LENGTH, "{from}");
    assert_same(&file, &tracker.sandbox.path("mayank/copy"));
    assert_same(&file, &tracker.sandbox.path("uma/gift"));
}

#[test]
fn a_folder_and_an_empty_file_arrive_whole() {
    let tracker = AccountTracker::new();
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    let folder = tracker.sandbox.folder("set");
    for (name, length) in [("a", 700_000), ("sub/b", 1), ("sub/deep/c", 0)] {
        tracker
            .sandbox
            .file(&format!("set/{name}"), length, length as u64);
    }
    nik.run(&format!("upload_file lab {}", quoted(&folder)));
    nik.run(&format!(
        "upload_file lab {}",
        quoted(&tracker.sandbox.file("empty", 0, 0))
    ));
    mayank.run("download_file lab set");
    mayank.run("download_file lab empty");
    mayank.run("wait");
    for name in ["set/a", "set/sub/b", "set/sub/deep/c", "empty"] {
        let copy = tracker.sandbox.path(&format!("mayank/{name}"));
        let original = tracker.sandbox.path(name);
        assert!(
            fs::read(copy).unwrap() == fs::read(original).unwrap(),
            "{name}"
        );
    }
}

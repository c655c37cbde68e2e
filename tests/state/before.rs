//! A tracker and two peers continue with the state that the previous version wrote.

use super::fixture::{PreviousState, STATES, files, sandbox_with_state, stored};
use crate::common::http_client::stats;
use crate::common::peer::Peer;
use crate::common::process::run;
use crate::common::sandbox::Sandbox;
use crate::common::waiting::PATIENCE;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Instant;

/// The files of Mayank that Nik has in the end, and their numbers of lines.
const FETCHED: [(&str, u32); 12] = [
    ("handed.txt", 600),
    ("late.txt", 600),
    ("sought.txt", 600),
    ("done.txt", 600),
    ("part.txt", 1500),
    ("forced.txt", 900),
    ("failed.txt", 900),
    ("chosen/a.txt", 700),
    ("chosen/b.txt", 1500),
    ("chosen/sub/c.txt", 700),
    ("extended/a.txt", 700),
    ("extended/b.txt", 1500),
];

#[test]
fn a_tracker_keeps_its_accounts_groups_shares_and_swarms() {
    for state in STATES {
        assert_tracker_keeps(state);
    }
}

fn assert_tracker_keeps(state: &str) {
    let sandbox = sandbox_with_state(state);
    let data = sandbox.path("data");
    let arguments = ["tracker", "--data", data.to_str().unwrap(), "--dump"];
    let dumped = run(&sandbox.folder("dump"), &arguments, "");
    assert_eq!(dumped.code, Some(0), "{dumped:?}");
    let expected = fs::read_to_string(stored(state, "dump.json")).unwrap();
    assert!(dumped.stdout == expected, "{}", dumped.stdout);

    let previous = PreviousState::start(state);
    assert_eq!(previous.fingerprint, known_fingerprint(state));
    let counts = stats(previous.tracker.address);
    for name in ["swarms", "peers", "seeds"] {
        assert_eq!(counts[name], 1, "{name} of {counts}");
    }
    for (name, roles) in [
        ("nik", ["owner", "stranger"]),
        ("mayank", ["member", "owner"]),
        ("vera", ["requester", "stranger"]),
        ("otto", ["stranger", "stranger"]),
        ("tina", ["stranger", "stranger"]),
    ] {
        let mut peer = previous.sandbox.peer(&format!("new-{name}"));
        if name == "nik" {
            // The password before the last change.
            let refused = log_in(&mut peer, name, "first of nik");
            assert_eq!(refused["error"]["kind"], "login-refused", "{refused}");
        }
        let logged_in = log_in(&mut peer, name, &format!("pw of {name}"));
        assert_eq!(logged_in["ok"], true, "{logged_in}");
        let found = column(&mut peer, "list_groups", "groups", "standing");
        assert_eq!(found, roles, "{name}");
        if name == "mayank" {
            // Before there were roles, every member could publish.
            let groups = peer.run("list_groups");
            assert_eq!(groups["groups"][0]["own_role"], "publisher", "{groups}");
            assert_eq!(groups["groups"][1]["own_role"], "owner", "{groups}");
        }
    }
}

#[test]
fn a_peer_refuses_a_cluster_other_than_the_one_it_knew() {
    let sandbox = Sandbox::new();
    let _other = sandbox.tracker(&[]);
    let state = sandbox.folder("nik.state");
    fs::copy(
        stored(STATES[0], "nik.state/cluster_fingerprint"),
        state.join("cluster_fingerprint"),
    )
    .unwrap();
    let refused = log_in(&mut sandbox.peer("nik"), "nik", "pw of nik");
    assert_eq!(refused["error"]["kind"], "untrusted", "{refused}");
}

#[test]
fn peers_go_on_with_their_logins_shares_and_downloads() {
    for state in STATES {
        assert_peers_go_on(PreviousState::start(state));
    }
}

fn assert_peers_go_on(previous: PreviousState) {
    let sandbox = &previous.sandbox;
    let mut nik = sandbox.peer("nik");
    assert_downloads_and_shares_are_kept(&mut nik);
    assert_group_is_kept(&mut nik);
    // `--force` keeps the former file until the download is complete.
    assert_lines(&sandbox.path("nik"), "forced.txt", 5);
    assert_serves_a_new_member(sandbox, &mut nik);

    let missing_bytes = [("part.txt", 30_000), ("extended", 40_960)].map(|(name, total)| {
        let done = nik.shown_download(name)["bytes_done"].as_u64().unwrap();
        (name, total - done)
    });
    let mut mayank = sandbox.peer("mayank");
    for name in [
        "part.txt",
        "extended",
        "late.txt",
        "forced.txt",
        "sought.txt",
    ] {
        nik.wait_for_state(name, "complete");
    }
    let address = mayank.process.address.to_string();
    for (name, missing) in missing_bytes {
        let from = nik.shown_download(name)["from"].clone();
        assert_eq!(from[&address], missing, "{name}: {from}");
    }
    assert!(files(&sandbox.path("nik.state/magnets")).is_empty());
    let status = mayank.run("status");
    assert_eq!(status["user"], "mayank", "{status}");
    let failed = nik.shown_download("failed.txt");
    assert_eq!(failed["state"], "failed", "{failed}");

    // Both versions have now written the state folder. It must open again. The file that has the
    // name of the download `failed.txt` is removed first, so that this download can complete.
    nik.process.kill();
    fs::remove_file(sandbox.path("nik/failed.txt")).unwrap();
    let mut nik = sandbox.peer("nik");
    nik.wait_for_state("failed.txt", "complete");
    extend_the_choice_to_all_files(&mut nik, &address);
    for (name, lines) in FETCHED {
        assert_lines(&sandbox.path("nik"), name, lines);
    }
    assert!(!sandbox.path("nik/extended/sub").exists());
    assert_no_partial_file_is_left(&sandbox.path("nik"));
    assert_its_login_is_listed(&mut nik);
    nik.run("logout");
    let again = log_in(&mut nik, "nik", "pw of nik");
    assert_eq!(again["ok"], true, "{again}");
    nik.wait_for_state("late.txt", "complete");
}

/// Asserts that the list of logins has the one that the previous version began, and that the list
/// does not say where it began.
fn assert_its_login_is_listed(nik: &mut Peer) {
    let list = nik.run("list_logins");
    let logins = list["logins"].as_array().unwrap();
    assert_eq!(logins.len(), 1, "{list}");
    assert_eq!(logins[0]["here"], true, "{list}");
    assert_eq!(logins[0]["host"], Value::Null, "{list}");
    assert_eq!(logins[0]["from"], "127.0.0.1", "{list}");
}

/// Asserts that the folder has no partial files and no hidden ones, except the parts file of
/// `extended`.
fn assert_no_partial_file_is_left(folder: &Path) {
    for file in files(folder) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let is_parts_file = name.starts_with(".extended.") && name.ends_with(".rest");
        assert!(is_parts_file || !name.starts_with('.'), "{name}");
        assert!(!name.ends_with(".part"), "{name}");
    }
}

/// Asserts that Nik's downloads and shares are as stored, while no other peer runs.
fn assert_downloads_and_shares_are_kept(nik: &mut Peer) {
    for (name, group, total) in [
        ("handed.txt", json!("lab"), 13_200),
        ("done.txt", Value::Null, 12_000),
        ("chosen", Value::Null, 12_288),
    ] {
        let download = nik.wait_for_state(name, "complete");
        assert_eq!(download["group"], group, "{download}");
        assert_eq!(download["bytes_total"], total, "{download}");
        assert_eq!(download["bytes_done"], total, "{download}");
    }
    // `part.txt` has verified pieces, `extended` has more than its first choice, the others have
    // nothing.
    for (name, least, total) in [
        ("part.txt", 4_096, 30_000),
        ("extended", 12_288 + 4_096, 40_960),
        ("late.txt", 0, 12_000),
        ("forced.txt", 0, 19_800),
        ("sought.txt", 0, 0),
    ] {
        let download = nik.wait_for_download(name, |download| {
            download["state"] == "downloading" && download["bytes_done"].as_u64() >= Some(least)
        });
        let done = download["bytes_done"].as_u64().unwrap();
        assert_eq!(download["bytes_total"], total, "{download}");
        assert!(done < total || total == 0, "{download}");
    }
    let failed = nik.wait_for_state("failed.txt", "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(
        reason.contains("failed.txt exists and is not what this download fetches"),
        "{failed}"
    );
    for name in ["open.txt", "shared.txt", "handed.txt", "done.txt", "chosen"] {
        wait_until_served(nik, name);
    }
    let status = nik.run("status");
    assert_eq!(status["user"], "nik", "{status}");
}

/// Waits until the share has been checked, and returns it from `status`.
fn wait_until_served(peer: &mut Peer, name: &str) -> Value {
    let start = Instant::now();
    loop {
        let share = share(&peer.run("status"), name);
        let trouble = share["trouble"].as_str().unwrap_or_default();
        if !trouble.starts_with("being checked") {
            assert_eq!(share["name"], name);
            assert_eq!(share["trouble"], Value::Null, "{share}");
            return share;
        }
        assert!(start.elapsed() < PATIENCE, "{share}");
        let _ = peer.try_run("wait 0.05");
    }
}

/// Asserts that Nik's stored login still shows the group as it was.
fn assert_group_is_kept(nik: &mut Peer) {
    let mut assert_column = |command: &str, list: &str, key: &str, expected: &[&str]| {
        assert_eq!(column(nik, command, list, key), expected, "{command}");
    };
    assert_column("list_groups", "groups", "name", &["lab", "other"]);
    assert_column("list_members lab", "members", "name", &["mayank", "nik"]);
    assert_column("list_requests lab", "requests", "name", &["vera"]);
    let names = ["handed.txt", "late.txt", "shared.txt"];
    assert_column("list_files lab", "files", "name", &names);
    let publishers = ["mayank", "mayank", "nik"];
    assert_column("list_files lab", "files", "publisher", &publishers);
}

/// Asserts that a new member can download files that only Nik has.
fn assert_serves_a_new_member(sandbox: &Sandbox, nik: &mut Peer) {
    let mut vera = sandbox.peer("vera");
    let logged_in = log_in(&mut vera, "vera", "pw of vera");
    assert_eq!(logged_in["ok"], true, "{logged_in}");
    nik.run("accept_request lab vera");
    vera.run("download_file lab shared.txt");
    let open = wait_until_served(nik, "open.txt");
    vera.run(&format!("download {}", magnet_link(&open)));
    vera.run("wait 60");
    for name in ["open.txt", "shared.txt"] {
        assert_lines(&sandbox.path("vera"), name, 500);
    }
}

/// Adds all other files to a complete download of chosen files. Only the missing bytes are fetched.
fn extend_the_choice_to_all_files(nik: &mut Peer, from: &str) {
    let chosen = nik.wait_for_state("chosen", "complete");
    nik.run(&format!("download {}", magnet_link(&chosen)));
    let whole = nik.wait_for_download("chosen", |download| {
        download["state"] == "complete" && download["bytes_total"] == 49_300
    });
    assert_eq!(whole["from"][from], 49_300 - 12_288, "{whole}");
}

/// Asserts that a file has the numbered lines that `write.sh` writes.
fn assert_lines(folder: &Path, name: &str, lines: u32) {
    let path = folder.join(name);
    let file = path.file_name().unwrap().to_str().unwrap();
    let expected: String = (1..=lines)
        .map(|line| format!("{line:07} of {file}\n"))
        .collect();
    assert!(fs::read_to_string(&path).unwrap() == expected, "{name}");
}

fn known_fingerprint(state: &str) -> String {
    let known = fs::read_to_string(stored(state, "nik.state/cluster_fingerprint")).unwrap();
    format!("fingerprint {}", known.trim_end())
}

/// The values of `key` in the list `list` of a command's object.
fn column(peer: &mut Peer, command: &str, list: &str, key: &str) -> Vec<String> {
    let object = peer.run(command);
    let entries = object[list].as_array().unwrap();
    let values = entries.iter().map(|entry| entry[key].as_str().unwrap());
    values.map(str::to_owned).collect()
}

fn share(status: &Value, name: &str) -> Value {
    let shares = status["shares"].as_array().unwrap();
    let found = shares.iter().find(|share| share["name"] == name);
    found.cloned().unwrap_or(Value::Null)
}

fn log_in(peer: &mut Peer, user: &str, password: &str) -> Value {
    peer.try_run(&format!("login {user}\n{password}"))
}

/// The magnet link of a share or download, from its object.
fn magnet_link(object: &Value) -> String {
    format!(
        "magnet:?xt=urn:btih:{}",
        object["info_hash"].as_str().unwrap()
    )
}

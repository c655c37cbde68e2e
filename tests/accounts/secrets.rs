//! Secrets: eavesdroppers and other users of the machine see no password, no token and no group
//! name.

use crate::common::account_tracker::AccountTracker;
use crate::common::peer::Peer;
use crate::common::recorder::Recording;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

/// Peers whose users are logged in.
fn logged_in_peers(tracker: &AccountTracker, names: [&str; 2]) -> [Peer; 2] {
    names.map(|name| {
        let mut peer = tracker.sandbox.peer(name);
        peer.run(&format!("create_user {name} password-of-{name}"));
        peer.run(&format!("login {name} password-of-{name}"));
        peer
    })
}

#[test]
fn recorded_control_connections_contain_no_password_no_token_and_no_group_name() {
    let tracker = AccountTracker::new();
    let (recording, listener) = (
        Recording::default(),
        TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let address = listener.local_addr().unwrap();
    fs::write(tracker.sandbox.tracker_info(), format!("{address}\n")).unwrap();
    recording.record(listener, tracker.address());
    let [mut nik, mut mayank] = logged_in_peers(&tracker, ["nik", "mayank"]);
    nik.run("create_group laboratory");
    mayank.run("join_group laboratory");
    nik.run("list_requests laboratory");
    nik.run("accept_request laboratory mayank");
    mayank.run("list_groups");
    mayank.run("list_members laboratory");
    let mut secrets = vec![tracker.token("nik"), tracker.token("mayank")];
    nik.run("change_password password-of-nik password-new");
    nik.run("remove_member laboratory mayank");
    secrets.push(tracker.token("nik"));
    nik.run("leave_group laboratory --yes");
    mayank.run("logout");
    let words = [
        "password-of-nik",
        "password-of-mayank",
        "password-new",
        "laboratory",
        "mayank",
        "accept_request",
    ];
    secrets.extend(words.map(|word| word.as_bytes().to_vec()));
    let directions = recording.directions();
    assert!(directions.len() >= 4, "both peers, both directions");
    for bytes in &directions {
        assert!(
            bytes.len() > 500 && bytes[0] == 0x16,
            "TLS from the first byte"
        );
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|part| part == secret);
            assert!(!found, "{:?} was recorded", String::from_utf8_lossy(secret));
        }
    }
}

#[test]
fn a_file_with_secrets_can_be_read_by_its_owner_alone() {
    let tracker = AccountTracker::new();
    let mut peer = tracker.sandbox.peer("nik");
    peer.run("create_user nik pw-of-nik");
    peer.run("login nik pw-of-nik");
    let data = tracker.sandbox.path("data");
    let files = fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let databases = files
        .filter(|path| path.extension().is_some_and(|ending| ending == "redb"))
        .collect::<Vec<_>>();
    assert_eq!(databases.len(), 1, "{databases:?}");
    for path in [
        data.join("cluster.pem"),
        tracker.sandbox.path("nik.state/session"),
        databases[0].clone(),
    ] {
        let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
}

#[test]
fn the_tracker_log_says_who_did_what_from_where() {
    let tracker = AccountTracker::new();
    let [mut nik, mut uma] = logged_in_peers(&tracker, ["nik", "uma"]);
    nik.run("create_group lab");
    uma.run("join_group lab");
    nik.run("reject_request lab uma");
    uma.run("join_group lab");
    nik.run("accept_request lab uma");
    nik.run("remove_member lab uma");
    nik.run("change_password password-of-nik another-one");
    nik.run("leave_group lab --yes");
    nik.run("logout");
    let log = tracker.sandbox.path("data/tracker.log");
    let log = fs::read_to_string(log).unwrap();
    for ending in [
        "user nik is created from 127.0.0.1",
        "nik at 127.0.0.1 logs in",
        "nik at 127.0.0.1 makes group lab",
        "uma at 127.0.0.1 asks to join lab",
        "nik at 127.0.0.1 rejects uma for lab",
        "nik at 127.0.0.1 accepts uma into lab",
        "nik at 127.0.0.1 removes uma from lab",
        "nik at 127.0.0.1 changes the password",
        "nik at 127.0.0.1 leaves lab",
        "nik at 127.0.0.1 logs out",
    ] {
        assert!(
            log.lines().any(|line| line.ends_with(ending)),
            "{ending}: {log}"
        );
    }
}

//! Logins that go on while they are used, whatever happens to trackers, and what a peer says when
//! its login is about to end and when it has ended.

use super::log_outs::{HOUR, token_at};
use crate::common::account_tracker::AccountTracker;
use crate::common::process::{KilledOnDrop, command};
use pieceful::storage::{LoginFile, StoredLogin, TokenTimes};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 24 * HOUR;

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// The login file of nik's peer, who has logged in. The peer has ended.
fn stored_login(tracker: &AccountTracker) -> (LoginFile, StoredLogin) {
    let mut peer = tracker.sandbox.peer("nik");
    peer.run("create_user nik pw-of-nik");
    peer.run("login nik pw-of-nik");
    peer.run("create_group lab");
    peer.end();
    let file = LoginFile::new(&tracker.sandbox.state("nik"));
    let stored = file.load().unwrap().unwrap();
    (file, stored)
}

/// Whether a time is `days` days and three hours after now, to a minute.
fn is_in_days(time: u64, days: u64) -> bool {
    time.abs_diff(now() + days * DAY + 3 * HOUR) < 60_000
}

#[test]
fn a_login_lives_as_long_as_the_option_says() {
    for (arguments, days) in [
        (&[][..], 30),
        (&["--login-life", "1"], 1),
        (&["--login-life", "90"], 90),
    ] {
        let tracker = AccountTracker::with(arguments);
        let (file, mut stored) = stored_login(&tracker);
        assert!(is_in_days(stored.times.unwrap().expires, days), "{days}");
        // A tracker with another option made the token, and it was used last on the day before it
        // ends.
        let token = stored.token.take().unwrap();
        let age = 89 * DAY;
        let old = token_at(
            &tracker,
            &token,
            0u64.wrapping_sub(age),
            90 * DAY + 3 * HOUR,
        );
        stored.token = Some(old.clone());
        file.store(&stored).unwrap();
        let mut peer = tracker.sandbox.peer("nik");
        peer.run("list_groups");
        let status = peer.run("status");
        assert_eq!(status["user"], "nik");
        assert!(status["login_expires"].is_string(), "{status}");
        peer.end();
        let renewed = file.load().unwrap().unwrap();
        assert_ne!(renewed.token, Some(old));
        assert!(is_in_days(renewed.times.unwrap().expires, days), "{days}");
    }
}

#[test]
fn a_peer_that_stays_says_once_that_its_login_is_about_to_end_and_that_it_has_ended() {
    let tracker = AccountTracker::new();
    let (file, mut stored) = stored_login(&tracker);
    let address = tracker.address().to_string();
    let sandbox = tracker.kill();
    let info = sandbox.path("info");
    std::fs::write(&info, address).unwrap();
    let state = sandbox.state("nik");
    let arguments = ["peer", "127.0.0.1:0", info.to_str().unwrap(), "--stay"];
    let arguments = [
        &arguments[..],
        &["--dir", state.to_str().unwrap(), "-c", "help"],
    ]
    .concat();
    // Seconds before the end, nobody can be reached: first the peer says when the login ends, and
    // then that it has ended.
    let end = now() + 3_000;
    stored.times = Some(TokenTimes {
        received: end - 30 * DAY,
        expires: end,
    });
    file.store(&stored).unwrap();
    let mut command = command(&sandbox.folder("nik"), &arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::piped());
    let mut child = KilledOnDrop(command.spawn().unwrap());
    let lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
    let lines = lines.map(Result::unwrap);
    let mut lines = lines.filter(|line| line.contains("the login of nik"));
    let near = lines.next().unwrap();
    assert!(near.contains("ends at 20"), "{near}");
    let over = lines.next().unwrap();
    assert!(
        over.contains("has ended") && over.contains("login nik"),
        "{over}"
    );
    child.0.kill().unwrap();
    assert_eq!(lines.next(), None, "each is said once");
}

#[test]
fn a_peer_whose_login_the_trackers_have_ended_says_so() {
    let mut tracker = AccountTracker::new();
    let (file, stored) = stored_login(&tracker);
    assert!(!stored.was_ended);
    tracker.console("end_sessions nik");
    let mut peer = tracker.sandbox.peer("nik");
    peer.assert_refused("list_groups", "session-ended", "log in again");
    let status = peer.run("status");
    assert_eq!(status["user"], serde_json::Value::Null);
    let trouble = status["login_trouble"].as_str().unwrap();
    assert!(trouble.contains("the login of nik has ended"), "{trouble}");
    peer.run("login nik pw-of-nik");
    let status = peer.run("status");
    assert_eq!(status["login_trouble"], serde_json::Value::Null);
    peer.run("logout");
    assert_eq!(peer.run("status")["login_trouble"], serde_json::Value::Null);
    assert!(!file.load().unwrap().unwrap().was_ended);
}

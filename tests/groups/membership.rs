//! Changes of membership: groups that end and are created again, members who are removed and
//! accepted again, logouts, and shares that take the name of another share.

use super::fake_member::{FakeLeech, call_tls, certify};
use super::team::{catalogue_entry, join, logged_in_peer, second_login, share_in_status, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::bytes;
use crate::common::waiting::wait_until;
use std::fs;
use std::path::PathBuf;

const LENGTH: usize = 700_000;

/// Creates a file with this name. Its folder and its content depend on `seed`.
fn create_file(tracker: &AccountTracker, name: &str, seed: u64) -> PathBuf {
    tracker
        .sandbox
        .file(&format!("source-{seed}/{name}"), LENGTH, seed)
}

fn upload(tracker: &AccountTracker, peer: &mut Peer, name: &str, seed: u64) -> String {
    let path = create_file(tracker, name, seed);
    let uploaded = peer.run(&format!("upload_file lab {}", quoted(&path)));
    uploaded["info_hash"].as_str().unwrap().to_owned()
}

/// Downloads a share into the peer's own folder and checks the copy.
fn download(tracker: &AccountTracker, peer: &mut Peer, user: &str, name: &str, seed: u64) {
    peer.run(&format!("download_file lab {name}"));
    peer.wait_for_state(name, "complete");
    let path = tracker.sandbox.path(&format!("{user}/{name}"));
    assert!(fs::read(path).unwrap() == bytes(LENGTH, seed), "{name}");
}

/// If `expected`, waits until `status` shows no trouble with the share. Otherwise waits until the
/// trouble is that the share is not shared any more.
fn wait_until_shared_is(peer: &mut Peer, name: &str, expected: bool) {
    wait_until(&format!("{name} is shared: {expected}"), || {
        let trouble = share_in_status(peer, name)["trouble"].clone();
        match trouble.as_str() {
            Some(trouble) => !expected && trouble.contains("not shared any more"),
            None => expected,
        }
    });
}

#[test]
fn a_new_group_with_the_name_of_an_ended_one_works_like_any_group() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut kim] = team(&tracker, ["nik", "kim"]);
    let mut mayank = logged_in_peer(&tracker, "mayank", &[]);
    upload(&tracker, &mut nik, "first", 1);
    download(&tracker, &mut kim, "kim", "first", 1);
    kim.run("leave_group lab");
    nik.run("leave_group lab --yes");
    mayank.run("create_group lab");
    join(&mut mayank, &mut nik, "nik");
    upload(&tracker, &mut mayank, "second", 2);
    download(&tracker, &mut nik, "nik", "second", 2);
    upload(&tracker, &mut nik, "third", 3);
    download(&tracker, &mut mayank, "mayank", "third", 3);
    // Shares of the earlier group are not shared any more and hinder no new share.
    wait_until_shared_is(&mut nik, "first", false);
    // nik is removed and then accepted into the next group of that name.
    mayank.run("remove_member lab nik");
    wait_until_shared_is(&mut nik, "second", false);
    mayank.run("leave_group lab --yes");
    kim.run("create_group lab");
    join(&mut kim, &mut nik, "nik");
    upload(&tracker, &mut kim, "fourth", 4);
    download(&tracker, &mut nik, "nik", "fourth", 4);
    nik.run("stop_share lab fourth");
    upload(&tracker, &mut nik, "first", 1);
    join(&mut kim, &mut mayank, "mayank");
    download(&tracker, &mut mayank, "mayank", "first", 1);
}

#[test]
fn a_member_who_is_accepted_again_shares_again() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut mayank, mut kim] = team(&tracker, ["nik", "mayank", "kim"]);
    upload(&tracker, &mut nik, "data", 1);
    upload(&tracker, &mut mayank, "own", 2);
    download(&tracker, &mut mayank, "mayank", "data", 1);
    let remove = |nik: &mut Peer, mayank: &mut Peer| {
        nik.run("remove_member lab mayank");
        wait_until_shared_is(mayank, "data", false);
        wait_until_shared_is(mayank, "own", false);
        mayank.assert_refused("list_files lab", "not-a-member", "");
        assert_eq!(mayank.shown_download("data")["state"], "complete");
    };
    remove(&mut nik, &mut mayank);
    join(&mut nik, &mut mayank, "mayank");
    // With `list_groups` the peer receives the news that the request was accepted.
    mayank.run("list_groups");
    for name in ["data", "own"] {
        wait_until_shared_is(&mut mayank, name, true);
        assert_eq!(catalogue_entry(&mut mayank, name)["here"], true);
    }
    remove(&mut nik, &mut mayank);
    join(&mut nik, &mut mayank, "mayank");
    mayank.run("download_file lab data");
    assert_eq!(catalogue_entry(&mut mayank, "data")["here"], true);
    let again = mayank.run("download_file lab data");
    assert_eq!(again["already"], true, "{again}");
    // mayank is the only seed now.
    nik.process.kill();
    kim.run("download_file lab data");
    let done = kim.wait_for_state("data", "complete");
    assert_eq!(done["from"].as_object().unwrap().len(), 1, "{done}");
    assert_served_after_login(&tracker, &mut mayank);
}

#[test]
fn a_member_who_is_accepted_again_is_served_at_once() {
    let tracker = AccountTracker::with(&["--interval", "600"]);
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    for (name, seed) in [("one", 1), ("two", 2)] {
        upload(&tracker, &mut nik, name, seed);
    }
    download(&tracker, &mut mayank, "mayank", "one", 1);
    nik.run("remove_member lab mayank");
    wait_until_shared_is(&mut mayank, "one", false);
    join(&mut nik, &mut mayank, "mayank");
    download(&tracker, &mut mayank, "mayank", "two", 2);
}

/// Asserts that mayank's shares are served again after a logout and a login.
fn assert_served_after_login(tracker: &AccountTracker, mayank: &mut Peer) {
    mayank.run("logout");
    mayank.run("login mayank\npw of mayank");
    assert_eq!(catalogue_entry(mayank, "data")["here"], true);
    let mut user = second_login(tracker, "mayank");
    wait_until("a member is served after the login", || {
        let (identity, _) = certify(&mut user, "lab");
        let info_hash = share_in_status(mayank, "data")["info_hash"].clone();
        let info_hash = info_hash.as_str().unwrap();
        let connection = call_tls(mayank.process.address, info_hash, Some(&identity));
        FakeLeech::greet(connection, info_hash, "member").is_some()
    });
}

#[test]
fn a_logout_and_leaving_a_group_take_effect_at_once() {
    // The interval is so long that the tracker drops no silent peer during the test.
    let tracker = AccountTracker::with(&["--interval", "600"]);
    let [mut nik, mut mayank] = team(&tracker, ["nik", "mayank"]);
    let info_hash = upload(&tracker, &mut nik, "data", 1);
    download(&tracker, &mut mayank, "mayank", "data", 1);
    let seeds = |peer: &mut Peer| catalogue_entry(peer, "data")["complete"].as_u64().unwrap();
    wait_until("the share has two seeds", || seeds(&mut mayank) == 2);
    nik.run("logout");
    assert_eq!(seeds(&mut mayank), 1);
    nik.run("login nik\npw of nik");
    wait_until("the share has two seeds again", || seeds(&mut nik) == 2);
    let mut user = second_login(&tracker, "nik");
    let (identity, _) = certify(&mut user, "lab");
    let address = mayank.process.address;
    let is_served = || {
        let connection = call_tls(address, &info_hash, Some(&identity));
        FakeLeech::greet(connection, &info_hash, "member").is_some()
    };
    assert!(is_served());
    mayank.run("leave_group lab");
    assert!(!is_served(), "a user who left still serves");
    assert_eq!(seeds(&mut nik), 1);
    // A refused command changes nothing.
    nik.assert_refused("leave_group lab", "last-member", "");
    wait_until("nik is still a seed", || seeds(&mut nik) == 1);
}

#[test]
fn stop_share_ends_a_withdrawn_share_although_another_share_has_its_name() {
    let tracker = AccountTracker::with(&["--interval", "600"]);
    let [mut nik, mut mayank, mut kim] = team(&tracker, ["nik", "mayank", "kim"]);
    upload(&tracker, &mut mayank, "data", 1);
    download(&tracker, &mut kim, "kim", "data", 1);
    mayank.run("stop_share lab data");
    let niks_share = upload(&tracker, &mut nik, "data", 2);
    assert!(!share_in_status(&mut kim, "data").is_null());
    let stopped = kim.run("stop_share lab data");
    assert!(share_in_status(&mut kim, "data").is_null(), "{stopped}");
    kim.assert_refused("stop_share lab data", "not-the-publisher", "");
    assert_eq!(catalogue_entry(&mut kim, "data")["info_hash"], *niks_share);
}

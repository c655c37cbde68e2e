//! Who comes and goes: groups that end and are made anew, members put out and let in again, log-outs; and shares that take
//! the name of another.

use super::fake_member::{FakeLeech, call_tls, certify};
use super::team::{entry, join, logged_in, refuses, session, share, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::bytes;
use crate::common::waiting::{wait_for, wait_until};
use std::fs;
use std::path::PathBuf;

const LENGTH: usize = 700_000;

/// A file of that name, in a folder of its own; its content depends on `seed`.
fn file(service: &AccountTracker, name: &str, seed: u64) -> PathBuf {
    service
        .sandbox
        .file(&format!("source-{seed}/{name}"), LENGTH, seed)
}

fn upload(service: &AccountTracker, peer: &mut Peer, name: &str, seed: u64) -> String {
    let path = file(service, name, seed);
    let uploaded = peer.run(&format!("upload_file lab {}", quoted(&path)));
    uploaded["info_hash"].as_str().unwrap().to_owned()
}

/// Downloads it into the peer's own folder, and looks at what came.
fn download(service: &AccountTracker, peer: &mut Peer, who: &str, name: &str, seed: u64) {
    peer.run(&format!("download_file lab {name}"));
    peer.wait_for_state(name, "complete");
    let path = service.sandbox.path(&format!("{who}/{name}"));
    assert!(fs::read(path).unwrap() == bytes(LENGTH, seed), "{name}");
}

/// Waits until `status` says that it is not shared, or that it is.
fn until_shared(peer: &mut Peer, name: &str, shared: bool) {
    let mut last = String::new();
    wait_for(
        || {
            ({
                let trouble = share(peer, name)["trouble"].clone();
                last = trouble.to_string();
                match trouble.as_str() {
                    Some(told) => !shared && told.contains("not shared any more"),
                    None => shared,
                }
            })
            .then_some(())
        },
        || format!("{name} is not {shared} shared"),
    );
}

#[test]
fn a_namesake_of_a_group_that_ended_is_as_good_as_any_group() {
    let service = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut kim] = team(&service, ["nik", "kim"]);
    let mut mayank = logged_in(&service, "mayank", &[]);
    upload(&service, &mut nik, "first", 1);
    download(&service, &mut kim, "kim", "first", 1);
    kim.run("leave_group lab");
    nik.run("leave_group lab --yes");
    mayank.run("create_group lab");
    join(&mut mayank, &mut nik, "nik");
    upload(&service, &mut mayank, "second", 2);
    download(&service, &mut nik, "nik", "second", 2);
    upload(&service, &mut nik, "third", 3);
    download(&service, &mut mayank, "mayank", "third", 3);
    // What was of the earlier group is nobody's any more, and stands in nobody's way.
    until_shared(&mut nik, "first", false);
    // Put out, and let into the next one of the name.
    mayank.run("remove_member lab nik");
    until_shared(&mut nik, "second", false);
    mayank.run("leave_group lab --yes");
    kim.run("create_group lab");
    join(&mut kim, &mut nik, "nik");
    upload(&service, &mut kim, "fourth", 4);
    download(&service, &mut nik, "nik", "fourth", 4);
    nik.run("stop_share lab fourth");
    upload(&service, &mut nik, "first", 1);
    download(
        &service,
        &mut mayank_joins(kim, mayank),
        "mayank",
        "first",
        1,
    );
}

/// mayank becomes a member of kim's group; kim's peer stays.
fn mayank_joins(mut kim: Peer, mut mayank: Peer) -> Peer {
    join(&mut kim, &mut mayank, "mayank");
    mayank
}

#[test]
fn who_is_let_in_again_shares_again_what_is_here() {
    let service = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut mayank, mut kim] = team(&service, ["nik", "mayank", "kim"]);
    upload(&service, &mut nik, "data", 1);
    upload(&service, &mut mayank, "own", 2);
    download(&service, &mut mayank, "mayank", "data", 1);
    let put_out = |nik: &mut Peer, mayank: &mut Peer| {
        nik.run("remove_member lab mayank");
        until_shared(mayank, "data", false);
        until_shared(mayank, "own", false);
        refuses(mayank, "list_files lab", "not-a-member", "");
        assert_eq!(mayank.download("data")["state"], "complete");
    };
    put_out(&mut nik, &mut mayank);
    join(&mut nik, &mut mayank, "mayank");
    // The news that the request was accepted.
    mayank.run("list_groups");
    for name in ["data", "own"] {
        until_shared(&mut mayank, name, true);
        assert_eq!(entry(&mut mayank, name)["here"], true);
    }
    put_out(&mut nik, &mut mayank);
    join(&mut nik, &mut mayank, "mayank");
    mayank.run("download_file lab data");
    assert_eq!(entry(&mut mayank, "data")["here"], true);
    refuses(
        &mut mayank,
        "download_file lab data",
        "already",
        "shared here",
    );
    // Of nobody else.
    nik.process.kill();
    kim.run("download_file lab data");
    let done = kim.wait_for_state("data", "complete");
    assert_eq!(done["from"].as_object().unwrap().len(), 1, "{done}");
    put_in_by_log_in(&service, &mut mayank);
}

/// A log-out takes it away, a log-in gives it back.
fn put_in_by_log_in(service: &AccountTracker, mayank: &mut Peer) {
    mayank.run("logout");
    mayank.run("login mayank\npw of mayank");
    assert_eq!(entry(mayank, "data")["here"], true);
    let mut user = session(service, "mayank");
    wait_until("a member is not answered after the log-in", || {
        let (shown, _) = certify(&mut user, "lab");
        let info_hash = share(mayank, "data")["info_hash"].clone();
        let info_hash = info_hash.as_str().unwrap();
        let line = call_tls(mayank.process.address, info_hash, Some(&shown));
        FakeLeech::greet(line, info_hash, "eve").is_some()
    });
}

#[test]
fn a_log_out_and_leaving_are_seen_at_once() {
    // Nobody is dropped for silence while the test runs.
    let service = AccountTracker::with(&["--interval", "600"]);
    let [mut nik, mut mayank] = team(&service, ["nik", "mayank"]);
    let info_hash = upload(&service, &mut nik, "data", 1);
    download(&service, &mut mayank, "mayank", "data", 1);
    let owners = |peer: &mut Peer| entry(peer, "data")["complete"].as_u64().unwrap();
    wait_until("two owners", || owners(&mut mayank) == 2);
    nik.run("logout");
    assert_eq!(owners(&mut mayank), 1);
    nik.run("login nik\npw of nik");
    wait_until("two owners again", || owners(&mut nik) == 2);
    let mut user = session(&service, "nik");
    let (shown, _) = certify(&mut user, "lab");
    let address = mayank.process.address;
    let call = || {
        let line = call_tls(address, &info_hash, Some(&shown));
        FakeLeech::greet(line, &info_hash, "eve").is_some()
    };
    assert!(call());
    mayank.run("leave_group lab");
    assert!(!call(), "served by one who has left");
    assert_eq!(owners(&mut nik), 1);
    // A refusal leaves everything as it was.
    refuses(&mut nik, "leave_group lab", "last-member", "");
    wait_until("it goes on", || owners(&mut nik) == 1);
}

#[test]
fn stop_share_ends_what_is_here_though_another_bears_the_name_now() {
    let service = AccountTracker::with(&["--interval", "600"]);
    let [mut nik, mut mayank, mut kim] = team(&service, ["nik", "mayank", "kim"]);
    upload(&service, &mut mayank, "data", 1);
    download(&service, &mut kim, "kim", "data", 1);
    mayank.run("stop_share lab data");
    let other = upload(&service, &mut nik, "data", 2);
    assert!(!share(&mut kim, "data").is_null());
    let stopped = kim.run("stop_share lab data");
    assert!(share(&mut kim, "data").is_null(), "{stopped}");
    refuses(&mut kim, "stop_share lab data", "not-the-publisher", "");
    assert_eq!(entry(&mut kim, "data")["info_hash"], *other);
}

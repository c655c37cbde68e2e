//! A group that gets another name while its members' peers run, and while one is away: shares,
//! downloads and records follow the new name, also if another group gets the old one.

use super::team::{logged_in_peer, second_login, share_in_status, team};
use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::group_request;
use crate::common::log::wait_for_log_line;
use crate::common::peer::{Peer, quoted};
use crate::common::sandbox::bytes;
use crate::common::waiting::{wait_for, wait_until};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

const LENGTH: usize = 200_000;

/// Publishes a new file in a group.
fn publish(tracker: &AccountTracker, peer: &mut Peer, group: &str, name: &str) -> Vec<u8> {
    let content = bytes(LENGTH, name.len() as u64);
    let path = tracker.sandbox.path(name);
    fs::write(&path, &content).unwrap();
    peer.run(&format!("upload_file {group} {}", path.display()));
    content
}

/// Downloads a share of a group, and compares it.
fn fetch(tracker: &AccountTracker, peer: &mut Peer, group: &str, name: &str, content: &[u8]) {
    let folder = tracker.sandbox.folder(&format!("{name} of {group}"));
    peer.run(&format!(
        "download_file {group} {name} '{}'",
        folder.display()
    ));
    peer.wait_for_state(name, "complete");
    assert!(fs::read(folder.join(name)).unwrap() == content);
}

/// Waits until `status` shows the share in this group, without trouble.
fn wait_for_group(peer: &mut Peer, name: &str, group: &str) {
    wait_until(&format!("{name} is a share of {group}"), || {
        let share = share_in_status(peer, name);
        share["group"] == group && share["trouble"] == Value::Null
    });
}

/// Ends a peer, some of whose commands may have failed.
fn stop(peer: Peer) {
    let _ = peer.process.wait();
}

#[test]
fn shares_and_downloads_follow_the_new_name_of_their_group() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut mayank, uma] = team(&tracker, ["nik", "mayank", "uma"]);
    let data = publish(&tracker, &mut mayank, "lab", "plan");
    // Uma's peer is away when the group gets its new name.
    let mut uma = uma;
    fetch(&tracker, &mut uma, "lab", "plan", &data);
    stop(uma);

    nik.run("rename_group lab hall");
    wait_for_group(&mut mayank, "plan", "hall");
    let mut eve = logged_in_peer(&tracker, "eve", &[]);
    eve.assert_refused("join_group lab", "unknown-group", "there is no group lab");
    // Another group gets the old name, and has other members and shares.
    eve.run("create_group lab");
    let other = publish(&tracker, &mut eve, "lab", "other");
    mayank.run("join_group lab");
    eve.run("accept_request lab mayank");
    fetch(&tracker, &mut mayank, "lab", "other", &other);
    wait_for_group(&mut mayank, "other", "lab");
    wait_for_group(&mut mayank, "plan", "hall");

    // A new download gets its bytes from a share that was published under the old name.
    fetch(&tracker, &mut nik, "hall", "plan", &data);
    stop(nik);
    stop(mayank);
    // After a restart, the records have the new name; Uma's peer learns it now.
    let mut mayank = tracker.sandbox.peer("mayank");
    let found = || Some(share_in_status(&mut mayank, "plan")).filter(|it| *it != Value::Null);
    let share = wait_for(found, || "the share is lost".to_owned());
    assert_eq!(share["group"], "hall", "from the record");
    let mut uma = tracker.sandbox.peer("uma");
    wait_for_group(&mut uma, "plan", "hall");
    stop(mayank);
    // The only peer with the share is Uma's.
    eve.run("join_group hall");
    let mut nik = tracker.sandbox.peer("nik");
    nik.run("accept_request hall eve");
    nik.run("stop_share hall plan --here");
    fetch(&tracker, &mut eve, "hall", "plan", &data);
    assert_eq!(uma.run("stop_share hall plan --here")["withdrawn"], false);
    assert_eq!(share_in_status(&mut uma, "plan"), Value::Null);
}

#[test]
fn a_share_whose_group_is_renamed_while_it_is_hashed_is_published_under_the_new_name() {
    let tracker = AccountTracker::new();
    let [mut nik, mut mayank, mut uma] = team(&tracker, ["nik", "mayank", "uma"]);
    // The file is sparse, so it takes little space. A piece that is only a hole is not read, so
    // each piece has a byte.
    let path = tracker.sandbox.path("plan");
    let file = File::create(&path).unwrap();
    for part in 1..=2048 {
        file.write_all_at(b"x", part * (256 << 10) - 1).unwrap();
    }
    let upload = format!("upload_file lab {}", quoted(&path));
    mayank.process.write_line(&upload);
    // The peer hashes after it has received this certificate.
    wait_for_log_line(&mayank.log, &["received a certificate of the group lab"]);
    mayank.process.signal("-STOP");
    nik.run("rename_group lab hall");
    // Mayank becomes a member of another group, which gets the former name.
    nik.run("create_group lab");
    let mut second = second_login(&tracker, "mayank");
    second.perform(group_request("join_group lab"));
    nik.run("accept_request lab mayank");
    mayank.process.signal("-CONT");
    let uploaded: Value = serde_json::from_str(&mayank.process.line()).unwrap();
    assert_eq!(uploaded["ok"], true, "{uploaded}");
    wait_for_group(&mut mayank, "plan", "hall");
    assert_eq!(nik.run("list_files lab")["files"], Value::Array(Vec::new()));
    assert_eq!(uma.run("list_files hall")["files"][0]["name"], "plan");
}

#[test]
fn a_reader_fetches_and_serves_and_cannot_publish_until_the_role_changes() {
    let tracker = AccountTracker::with(&["--interval", "1"]);
    let [mut nik, mut mayank, mut uma] = team(&tracker, ["nik", "mayank", "uma"]);
    let data = publish(&tracker, &mut nik, "lab", "plan");
    nik.run("set_role lab mayank reader");
    let groups = mayank.run("list_groups");
    assert_eq!(groups["groups"][0]["own_role"], "reader", "{groups}");
    assert_eq!(groups["groups"][0]["standing"], "member", "{groups}");
    fetch(&tracker, &mut mayank, "lab", "plan", &data);
    let path = tracker.sandbox.path("new");
    fs::write(&path, "new").unwrap();
    let upload = format!("upload_file lab {}", path.display());
    mayank.assert_refused(&upload, "not-a-publisher", "you are a reader of lab");
    // The refusal comes before the files are read.
    let unread = format!("upload_file lab {}", path.with_extension("none").display());
    mayank.assert_refused(&unread, "not-a-publisher", "you are a reader of lab");
    for typed in ["set_role lab uma reader", "rename_group lab hall"] {
        mayank.assert_refused(typed, "not-the-owner", "only an owner of lab");
    }
    nik.assert_refused("set_role lab nik reader", "last-owner", "set_role");
    nik.assert_refused(
        "set_role lab nik boss",
        "arguments",
        "reader, publisher, owner",
    );
    // The reader serves what it has fetched.
    nik.run("stop_share lab plan --here");
    fetch(&tracker, &mut uma, "lab", "plan", &data);

    nik.run("set_role lab mayank owner");
    mayank.run(&upload);
    mayank.run("set_role lab nik publisher");
    nik.assert_refused(
        "remove_member lab uma",
        "not-the-owner",
        "only an owner of lab",
    );
    let members = uma.run("list_members lab");
    let roles = members["members"].as_array().unwrap().iter();
    let roles: Vec<_> = roles
        .map(|it| (&it["name"], &it["role"], &it["owner"]))
        .collect();
    assert_eq!(
        format!("{roles:?}"),
        r#"[(String("mayank"), String("owner"), Bool(true)), (String("nik"), String("publisher"), Bool(false)), (String("uma"), String("publisher"), Bool(false))]"#
    );
}

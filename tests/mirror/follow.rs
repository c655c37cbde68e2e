//! A mirror fetches what a group has, and follows it.

use super::fleet::{Fleet, LENGTH, mirror, publish};
use crate::common::peer::quoted;
use crate::common::sandbox::bytes;
use crate::common::waiting::wait_until;
use crate::team::{join, logged_in_peer};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[test]
fn a_mirror_fetches_all_shares_and_follows_each_new_version_within_five_seconds() {
    let mut fleet = Fleet::new();
    for (name, seed) in [("a", 1), ("b", 2), ("c.img", 3)] {
        fleet.publish(name, seed, "");
    }
    let begun = fleet.mirror("");
    assert_eq!(begun["group"], "lab");
    assert_eq!(begun["shares"], 3);
    let begun = Instant::now();
    fleet.wait_for_complete(3);
    assert!(begun.elapsed() < Duration::from_secs(20));
    for (name, seed, options) in [("a", 4, "--update"), ("new", 5, ""), ("a", 6, "--update")] {
        fleet.publish(name, seed, options);
        let published = Instant::now();
        fleet.wait_for_copy(name, seed);
        let took = published.elapsed();
        assert!(took < Duration::from_secs(5), "{name}: {took:?}");
    }
    fleet.wait_for_complete(4);
    // The former versions have ended, and nothing else is in the folder.
    assert_eq!(fleet.names(), ["a", "b", "c.img", "new"]);
    wait_until("only the newest versions are served", || {
        let shares = fleet.mayank.run("status")["shares"].clone();
        shares.as_array().unwrap().len() == 4
    });
    let status = fleet.status();
    assert_eq!(status["trouble"], Value::Null, "{status}");
    assert_eq!(status["failures"], Value::Array(Vec::new()), "{status}");
}

#[test]
fn a_mirror_goes_on_after_a_kill() {
    let mut fleet = Fleet::new();
    fleet.publish("a", 1, "");
    fleet.mirror("");
    fleet.wait_for_complete(1);
    let mut fleet = fleet.restart_after(|tracker, nik| {
        publish(tracker, nik, "a", 2, "--update");
        publish(tracker, nik, "b", 3, "");
    });
    fleet.wait_for_copy("a", 2);
    fleet.wait_for_copy("b", 3);
    fleet.publish("c", 4, "");
    fleet.wait_for_copy("c", 4);
    // A renamed group is the same group.
    fleet.nik.run("rename_group lab hall");
    let path = fleet.make("nik.5/d", 5);
    fleet
        .nik
        .run(&format!("upload_file hall {}", quoted(&path)));
    fleet.wait_for_copy("d", 5);
    fleet.wait_for_status("the mirror has the new name", |mirror| {
        mirror["group"] == "hall"
    });
}

#[test]
fn only_shares_that_match_a_pattern_are_mirrored() {
    let mut fleet = Fleet::new();
    for (name, seed) in [("a.img", 1), ("b.txt", 2), ("c1", 3), ("c22", 4)] {
        fleet.publish(name, seed, "");
    }
    fleet.mirror("--share '*.img' --share 'c?'");
    fleet.wait_for_complete(2);
    assert_eq!(fleet.names(), ["a.img", "c1"]);
    // The same command changes the mirror. The folder is known.
    fleet.mirror_again("--share '*.txt'");
    fleet.wait_for_copy("b.txt", 2);
    fleet.wait_for_complete(1);
    assert_eq!(fleet.names(), ["a.img", "b.txt", "c1"]);
}

#[test]
fn the_end_of_a_mirror_removes_nothing() {
    let mut fleet = Fleet::new();
    fleet.publish("a", 1, "");
    fleet.mirror("");
    fleet.wait_for_complete(1);
    fleet.mayank.run("unmirror lab");
    assert_eq!(
        fleet.mayank.run("status")["mirrors"],
        Value::Array(Vec::new())
    );
    fleet.publish("b", 2, "");
    let mut fleet = fleet.restart();
    fleet.mayank.run("download_file lab b");
    fleet.mayank.run("wait 50");
    // The share that was mirrored is served like other ones.
    let shares = fleet.mayank.run("status")["shares"].clone();
    assert_eq!(shares.as_array().unwrap().len(), 2, "{shares}");
    assert_eq!(fleet.names(), ["a"]);
    fleet
        .mayank
        .assert_refused("unmirror lab", "not-mirrored", "lab");
}

#[test]
fn another_mirror_catches_up_while_the_publisher_is_off() {
    let mut fleet = Fleet::new();
    fleet.publish("a", 1, "");
    fleet.publish("b", 2, "");
    fleet.publish("a", 3, "--update");
    fleet.mirror("");
    fleet.wait_for_complete(2);
    let mut uma = logged_in_peer(&fleet.tracker, "uma", &[]);
    join(&mut fleet.nik, &mut uma, "uma");
    let Fleet { nik, mayank, .. } = fleet;
    nik.kill();
    let begun = mirror(&mut uma, "mirror lab");
    // Without a folder, it is one with the name of the group in the current folder.
    let folder = PathBuf::from(begun["folder"].as_str().unwrap());
    assert!(folder.ends_with("lab"), "{begun}");
    for (name, seed) in [("a", 3), ("b", 2)] {
        wait_until("the other mirror has the share", || {
            fs::read(folder.join(name)).is_ok_and(|content| content == bytes(LENGTH, seed))
        });
    }
    // A member who leaves keeps what the mirror has.
    uma.run("leave_group lab");
    let status = uma.run("status");
    assert_eq!(status["mirrors"][0]["group"], "lab", "{status}");
    assert!(folder.join("a").exists() && folder.join("b").exists());
    drop(mayank);
}

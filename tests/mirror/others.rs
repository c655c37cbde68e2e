//! What a mirror leaves alone, and what it names.

use super::fleet::{Fleet, LENGTH};
use crate::common::peer::quoted;
use crate::common::sandbox::bytes;
use std::fs;

#[test]
fn two_mirrors_never_share_a_folder() {
    let mut fleet = Fleet::new();
    fleet.mayank.run("create_group club");
    fleet.mirror("");
    let copy = fleet.tracker.sandbox.path("copy");
    let inside = copy.join("x/y");
    for folder in [
        &copy,
        &inside,
        copy.parent().unwrap(),
        &copy.join("../copy"),
    ] {
        let command = format!("mirror club {}", quoted(folder));
        fleet.mayank.assert_refused(&command, "mirrored", "lab");
    }
    assert!(!inside.exists());
    // A mirror does not move.
    let other = fleet.tracker.sandbox.path("other");
    let command = format!("mirror lab {}", quoted(&other));
    fleet
        .mayank
        .assert_refused(&command, "mirrored", "unmirror lab");
    assert!(!other.exists());
    fleet.mayank.run(&format!("mirror club {}", quoted(&other)));
    let mirrors = fleet.mayank.run("status")["mirrors"].clone();
    assert_eq!(mirrors.as_array().unwrap().len(), 2, "{mirrors}");
}

#[test]
fn a_share_that_fails_is_named_and_tried_again_and_files_of_persons_stay() {
    let mut fleet = Fleet::new();
    fleet.publish("a", 1, "");
    fleet.publish("b", 2, "");
    fleet.publish("same", 3, "");
    // These are in the folder already.
    fleet.make("copy/a", 7);
    fleet.make("copy/same", 3);
    fleet.mirror("");
    fleet.wait_for_copy("b", 2);
    let status = fleet.wait_for_status("the failure is named twice", |mirror| {
        mirror["failures"][0]["attempts"] == 2
    });
    let failure = &status["failures"][0];
    assert_eq!(failure["name"], "a", "{status}");
    let reason = failure["reason"].as_str().unwrap();
    assert!(reason.contains("exists already"), "{reason}");
    assert_eq!(status["failures"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!(fs::read(fleet.copy("a")).unwrap(), bytes(LENGTH, 7));
    // The file is moved away. The next attempt succeeds.
    fs::rename(fleet.copy("a"), fleet.tracker.sandbox.path("mine")).unwrap();
    fleet.wait_for_copy("a", 1);
    fleet.wait_for_complete(3);
    let status = fleet.wait_for_status("no failure is left", |mirror| {
        mirror["failures"].as_array().unwrap().is_empty()
    });
    assert_eq!(status["complete"], 3);
    // The mirror has not fetched this file, so it does not replace it either.
    fleet.publish("same", 8, "--update");
    let status = fleet.wait_for_status("the share is named", |mirror| {
        !mirror["waits"].as_array().unwrap().is_empty()
    });
    let text = status["waits"][0].as_str().unwrap();
    assert!(text.contains("same"), "{text}");
    assert_eq!(fs::read(fleet.copy("same")).unwrap(), bytes(LENGTH, 3));
}

#[test]
fn what_a_person_has_ended_is_not_fetched_again() {
    let mut fleet = Fleet::new();
    fleet.publish("a", 1, "");
    fleet.mirror("");
    fleet.wait_for_complete(1);
    fleet.mayank.run("stop_share lab a --here");
    fs::remove_file(fleet.copy("a")).unwrap();
    fleet.publish("b", 2, "");
    fleet.wait_for_copy("b", 2);
    assert_eq!(fleet.names(), ["b"]);
    // A restart does not change that, and the command itself does.
    let mut fleet = fleet.restart();
    fleet.publish("c", 3, "");
    fleet.wait_for_copy("c", 3);
    assert_eq!(fleet.names(), ["b", "c"]);
    fleet.mirror_again("");
    fleet.wait_for_copy("a", 1);
}

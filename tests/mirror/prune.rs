//! What a mirror removes: only what was withdrawn, and what does not fit into `--keep`.

use super::fleet::{Fleet, LENGTH};
use crate::common::log::wait_for_log_line;
use crate::common::peer::quoted;
use crate::common::sandbox::bytes;
use crate::common::waiting::wait_until;
use serde_json::{Value, json};
use std::fs;

/// A fleet whose mirror has these shares and prunes at once.
fn pruning(names: &[&str]) -> Fleet {
    let mut fleet = Fleet::new();
    for (name, seed) in names.iter().zip(1..) {
        fleet.publish(name, seed, "");
    }
    fleet.mirror("--prune-after 0");
    fleet.wait_for_complete(names.len());
    fleet
}

/// Waits until a tracker has answered how many of the missing shares were withdrawn.
fn wait_for_answer(fleet: &Fleet, withdrawn: usize, missing: usize) {
    let line = format!("lab: {withdrawn} of {missing} missing shares were withdrawn");
    wait_for_log_line(&fleet.mayank.log, &[&line]);
}

/// The number of withdrawals that trackers have reported.
fn reported(fleet: &Fleet) -> usize {
    let log = fs::read_to_string(&fleet.mayank.log).unwrap();
    let lines = log.lines().filter_map(|line| {
        let (_, answer) = line.split_once("mirror of lab: ")?;
        answer.split_once(" of ")?.0.parse::<usize>().ok()
    });
    lines.sum()
}

/// Asserts that the mirror still has everything, also after a restart.
fn assert_nothing_goes(fleet: Fleet, names: &[&str]) {
    assert_eq!(fleet.names(), names);
    let mut fleet = fleet.restart();
    fleet.wait_for_status("the mirror is there", |mirror| !mirror.is_null());
    assert_eq!(fleet.names(), names);
}

#[test]
fn a_withdrawn_share_is_removed_and_a_changed_file_stays() {
    let mut fleet = pruning(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
    fleet.nik.run("stop_share lab a");
    wait_until("the share is removed", || !fleet.copy("a").exists());
    fleet.wait_for_complete(9);
    let shares = fleet.mayank.run("status")["shares"].clone();
    assert_eq!(shares.as_array().unwrap().len(), 9, "{shares}");
    // A person has changed this one.
    fs::write(fleet.copy("b"), "mine now").unwrap();
    fleet.nik.run("stop_share lab b");
    let status = fleet.wait_for_status("the changed share is named", |mirror| {
        !mirror["left"].as_array().unwrap().is_empty()
    });
    let left = status["left"][0].as_str().unwrap();
    assert!(left.ends_with("copy/b"), "{status}");
    assert_eq!(fs::read(fleet.copy("b")).unwrap(), b"mine now");
    assert_eq!(fleet.names().len(), 9);
}

#[test]
fn what_a_person_offers_to_others_from_the_folder_of_the_mirror_stays() {
    let mut fleet = pruning(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]);
    fleet.mayank.run("create_group own");
    let path = quoted(&fleet.copy("a"));
    fleet.mayank.run(&format!("upload_file own {path}"));
    fleet.nik.run("stop_share lab a");
    fleet.wait_for_complete(10);
    // This one is removed after the mirror has looked at the other one.
    fleet.nik.run("stop_share lab b");
    wait_until("the share is removed", || !fleet.copy("b").exists());
    assert_eq!(fs::read(fleet.copy("a")).unwrap(), bytes(LENGTH, 1));
    let shares = fleet.mayank.run("status")["shares"].clone();
    let own = shares
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["group"] == "own");
    assert_eq!(own.unwrap()["trouble"], Value::Null, "{shares}");
}

#[test]
fn without_prune_and_before_its_time_nothing_is_removed() {
    let mut fleet = pruning(&["a", "b"]);
    fleet.mirror_again("");
    fleet.nik.run("stop_share lab a");
    fleet.wait_for_complete(1);
    // A day, by default.
    fleet.mirror_again("--prune");
    wait_for_answer(&fleet, 1, 1);
    assert_nothing_goes(fleet, &["a", "b"]);
}

#[test]
fn the_removal_of_an_account_removes_nothing() {
    let mut fleet = pruning(&["a", "b"]);
    fleet.tracker.console("remove_user nik --yes");
    wait_for_answer(&fleet, 0, 2);
    assert_nothing_goes(fleet, &["a", "b"]);
}

#[test]
fn an_ended_group_and_a_lost_membership_remove_nothing() {
    for end in ["remove_member lab mayank", "remove_group lab --yes"] {
        let mut fleet = pruning(&["a", "b"]);
        match end.starts_with("remove_group") {
            true => drop(fleet.tracker.console(end)),
            false => drop(fleet.nik.run(end)),
        }
        wait_until("the shares are not served any more", || {
            let shares = fleet.mayank.run("status")["shares"].clone();
            let mut shares = shares.as_array().unwrap().iter();
            shares.all(|share| share["trouble"] != Value::Null)
        });
        assert_nothing_goes(fleet, &["a", "b"]);
    }
}

#[test]
fn more_than_a_fifth_waits_for_the_confirmation_of_what_was_shown() {
    let mut fleet = pruning(&["a", "b", "c", "d", "e", "f"]);
    let (refused, kind) = ("confirm_prune lab", "nothing-to-confirm");
    fleet.mayank.assert_refused(refused, kind, "lab");
    // One alone would go at once.
    fleet.mirror_again("");
    for name in ["a", "b"] {
        fleet.nik.run(&format!("stop_share lab {name}"));
    }
    fleet.mirror_again("--prune-after 0");
    wait_for_answer(&fleet, 2, 2);
    fleet.wait_for_status("two shares wait", |mirror| {
        mirror["to_confirm"] == json!(["a", "b"])
    });
    assert_eq!(fleet.names().len(), 6);
    // These are withdrawn after the list was shown.
    for name in ["c", "d"] {
        fleet.nik.run(&format!("stop_share lab {name}"));
    }
    wait_until("a tracker has reported all four", || reported(&fleet) == 4);
    let confirmed = fleet.mayank.run("confirm_prune lab");
    assert_eq!(confirmed["removed"], json!(["a", "b"]));
    wait_until("two shares are removed", || fleet.names().len() == 4);
    let status = fleet.wait_for_status("two other shares wait", |mirror| {
        mirror["to_confirm"] == json!(["c", "d"])
    });
    let text = status["waits"][0].as_str().unwrap();
    assert!(text.contains("confirm_prune lab"), "{text}");
    assert_eq!(fleet.names(), ["c", "d", "e", "f"]);
}

#[test]
fn what_a_person_has_asked_for_and_a_superseded_version_are_not_pruned() {
    let mut fleet = pruning(&["a", "b", "c"]);
    let asked = format!("download_file lab a {}", quoted(&fleet.copy("a")));
    assert_eq!(fleet.mayank.run(&asked)["already"], true);
    fleet.nik.run("stop_share lab a");
    fleet.publish("b", 7, "--update");
    fleet.wait_for_copy("b", 7);
    fleet.wait_for_complete(2);
    // The withdrawal of another share is noticed later than that of `a`.
    fleet.nik.run("stop_share lab c");
    wait_until("the share is removed", || !fleet.copy("c").exists());
    assert_nothing_goes(fleet, &["a", "b"]);
}

#[test]
fn the_download_of_a_withdrawn_share_is_removed_too() {
    let mut fleet = Fleet::new();
    let path = fleet.make("nik.1/a", 1);
    fleet.publish("a", 1, "");
    // Nobody has the share now.
    fs::remove_file(path).unwrap();
    wait_until("the publisher does not serve it", || {
        fleet.nik.run("status")["shares"][0]["trouble"] != Value::Null
    });
    fleet.mirror("--prune-after 0");
    wait_until("the download is under way", || fleet.names() == ["a.part"]);
    fleet.nik.run("stop_share lab a");
    wait_until("the partial file is removed", || fleet.names().is_empty());
}

#[test]
fn the_oldest_shares_go_when_there_is_no_room() {
    const LARGE: usize = 400_000;
    let mut fleet = Fleet::new();
    let publish = |fleet: &mut Fleet, name: &str, seed: u64| {
        let path = format!("nik.{seed}/{name}");
        let path = fleet.tracker.sandbox.file(&path, LARGE, seed);
        let command = format!("upload_file lab {}", quoted(&path));
        fleet.nik.run(&command);
    };
    for (name, seed) in [("a", 1), ("b", 2), ("c", 3)] {
        publish(&mut fleet, name, seed);
    }
    fleet.mirror("");
    fleet.wait_for_complete(3);
    fleet.mirror_again("--keep 1M");
    wait_until("the oldest share is removed", || {
        fleet.names() == ["b", "c"]
    });
    let status = fleet.wait_for_status("the reason is named", |mirror| {
        !mirror["waits"].as_array().unwrap().is_empty()
    });
    let text = status["waits"][0].as_str().unwrap();
    assert!(
        text.contains("--keep") && text.contains("1 share"),
        "{text}"
    );
    // What a person has asked for stays.
    let asked = format!("download_file lab b {}", quoted(&fleet.copy("b")));
    fleet.mayank.run(&asked);
    for (name, seed) in [("d", 4), ("e", 5)] {
        publish(&mut fleet, name, seed);
        wait_until(name, || fleet.names().contains(&name.to_owned()));
    }
    wait_until("two shares are kept", || fleet.names() == ["b", "d", "e"]);
    assert_eq!(fs::read(fleet.copy("b")).unwrap(), bytes(LARGE, 2));
}

#[test]
fn nothing_begins_while_too_little_is_free() {
    let mut fleet = Fleet::new();
    fleet.publish("a", 1, "");
    fleet.mirror("--min-free 99");
    let status = fleet.wait_for_status("the reason is named", |mirror| {
        !mirror["waits"].as_array().unwrap().is_empty()
    });
    let text = status["waits"][0].as_str().unwrap();
    assert!(text.contains("99%") && text.contains("1 share"), "{text}");
    assert!(fleet.names().is_empty());
    fleet.mirror_again("--min-free 0");
    fleet.wait_for_copy("a", 1);
    assert_eq!(fs::read(fleet.copy("a")).unwrap(), bytes(LENGTH, 1));
}

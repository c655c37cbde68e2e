//! Copies of a state folder, and crashes that must not look like copies.

use super::machine::{
    copy_folder, end, has_link_with, join_and_run, join_line, join_only, listed, owner, start,
    starts, wait_for_machine, wait_for_news,
};
use crate::common::account_tracker::AccountTracker;
use crate::common::waiting::wait_until;

#[test]
fn a_copied_state_folder_is_suspended_and_the_maker_decides() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let line = join_line(&mut ann, "");
    let mut original = join_and_run(sandbox, "m1", &line);
    wait_for_machine(&mut original, "logged-in");
    original.run("download_file lab gift copy");
    original.wait_for_state("gift", "complete");
    original.kill();
    copy_folder(&sandbox.state("m1"), &sandbox.state("clone"));
    let mut original = start(sandbox, "m1");
    wait_for_machine(&mut original, "logged-in");
    // The copy starts with the number that the original has used.
    let mut clone = start(sandbox, "clone");
    let machine = wait_for_machine(&mut clone, "suspended");
    assert_eq!(machine["name"], "ann/m1", "{machine}");
    clone.assert_refused("list_files lab", "machine-suspended", "");
    wait_for_news(&mut ann, "machine-suspended", "ann/m1");
    assert_eq!(listed(&mut ann, "ann/m1")["state"], "suspended");
    // Nobody knows which of the two is the original: both get nothing more.
    wait_for_machine(&mut original, "suspended");
    wait_until("links end", || !has_link_with(&mut ann, "ann/m1"));
    let errors = end(clone);
    assert!(errors.contains("ann/m1 is suspended"), "{errors}");
    assert!(errors.contains("allow_machine ann/m1"), "{errors}");
    ann.run("allow_machine ann/m1");
    wait_for_machine(&mut original, "logged-in");
    original.run("list_files lab");
}

#[test]
fn a_machine_that_is_killed_before_its_start_arrives_is_not_taken_for_a_copy() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let line = join_line(&mut ann, "");
    let joined = join_only(sandbox, "m1", &line);
    assert_eq!(joined.code, Some(0), "{joined:?}");
    let state = sandbox.state("m1");
    let mut before = starts(&state);
    for round in 0..3 {
        // The tracker receives the start, but does not answer it.
        tracker.process.signal("-STOP");
        let machine = start(sandbox, "m1");
        wait_until("the counter is on the disk", || starts(&state) > before);
        machine.kill();
        tracker.process.signal("-CONT");
        let mut machine = start(sandbox, "m1");
        wait_for_machine(&mut machine, "logged-in");
        let after = starts(&state);
        assert!(after >= before + 2, "round {round}: {before} {after}");
        before = after;
        machine.kill();
    }
    assert_eq!(listed(&mut ann, "ann/m1")["state"], "started");
}

//! A state folder belongs either to a machine or to persons.

use super::machine::{end, join_and_run, join_line, join_only, owner, wait_for_machine};
use crate::common::account_tracker::AccountTracker;
use crate::common::process::run;
use std::fs;

#[test]
fn a_person_cannot_log_in_with_the_folder_of_a_machine() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let line = join_line(&mut ann, "");
    let mut machine = join_and_run(sandbox, "m1", &line);
    wait_for_machine(&mut machine, "logged-in");
    for command in [
        "login ann\npw of ann",
        "logout",
        "change_password\npassword1\npassword2",
        "leave_group lab",
        "list_logins",
        "end_login 00000000",
    ] {
        machine.assert_refused(command, "of-a-machine", "another --dir");
    }
    assert_eq!(machine.run("status")["machine"]["state"], "logged-in");
    end(machine);
    assert!(!sandbox.state("m1").join("session").exists());
}

#[test]
fn a_machine_refuses_the_folder_of_a_person_and_changes_nothing() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let line = join_line(&mut ann, "");
    let text = ann.run("create_token lab")["text"]
        .as_str()
        .unwrap()
        .to_owned();
    ann.run("logout");
    ann.end();
    let file = sandbox.path("token");
    fs::write(&file, text).unwrap();
    let state = sandbox.state("ann");
    let joined = join_only(sandbox, "ann", &line);
    assert_eq!(joined.code, Some(1), "{joined:?}");
    assert!(
        joined.stdout.contains("state folder of a person"),
        "{joined:?}"
    );
    let dir = state.to_str().unwrap();
    let arguments = [
        "peer",
        "127.0.0.1:0",
        "--dir",
        dir,
        "--token",
        file.to_str().unwrap(),
    ];
    let started = run(&sandbox.folder("ann"), &arguments, "");
    assert_eq!(started.code, Some(1), "{started:?}");
    assert!(
        started.stderr.contains("state folder of a person"),
        "{started:?}"
    );
    for file in ["machine", "token", "tracker_info.txt"] {
        assert!(!state.join(file).exists(), "{file}");
    }
}

#[test]
fn a_join_keeps_a_tracker_info_that_says_the_same_and_refuses_another_one() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let line = join_line(&mut ann, "");
    let state = sandbox.folder("m1.state");
    let info = state.join("tracker_info.txt");
    fs::write(&info, "127.0.0.1:1\n").unwrap();
    let refused = join_only(sandbox, "m1", &line);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stdout.contains("has other contents"), "{refused:?}");
    assert_eq!(fs::read_to_string(&info).unwrap(), "127.0.0.1:1\n");
    fs::remove_file(&info).unwrap();
    let joined = join_only(sandbox, "m1", &line);
    assert_eq!(joined.code, Some(0), "{joined:?}");
}

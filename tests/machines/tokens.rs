//! Tokens in files, and what ends with their maker.

use super::machine::{end, join_and_run, join_line, listed_in, owner, wait_for_machine};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::Peer;
use crate::common::waiting::wait_until;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

/// Starts a peer with the token in the file `token`.
fn with_token(tracker: &AccountTracker, name: &str, arguments: &[&str]) -> Peer {
    let file = tracker.sandbox.path("token");
    let arguments = [&["--token", file.to_str().unwrap(), "--stay"], arguments].concat();
    tracker.sandbox.peer_with(name, &arguments)
}

#[test]
fn a_token_in_a_file_enrols_machines_at_their_first_start_in_all_its_groups() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    ann.run("create_group club");
    let options = "--role publisher --machines 2 --days 3 --name gpus";
    let created = ann.run(&format!("create_token lab club {options}"));
    assert_eq!(created["token"], "ann/gpus", "{created}");
    let file = sandbox.path("token");
    fs::write(&file, format!("{}\n", created["text"].as_str().unwrap())).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let mut machines = ["m1", "m2"].map(|name| with_token(&tracker, name, &[]));
    for (machine, name) in machines.iter_mut().zip(["m1", "m2"]) {
        let status = wait_for_machine(machine, "logged-in");
        assert_eq!(status["name"], format!("ann/{name}"));
        let groups = status["groups"].as_array().unwrap();
        let names: Vec<&Value> = groups.iter().map(|group| &group["group"]).collect();
        assert!(names.contains(&&"lab".into()) && names.contains(&&"club".into()));
    }
    let tokens = ann.run("list_tokens lab");
    let token = &tokens["tokens"][0];
    assert_eq!(
        (&token["enrolled"], &token["state"]),
        (&2.into(), &"spent".into()),
        "{token}"
    );
    // Machines publish in both groups, and fetch from each other.
    let [m1, m2] = &mut machines;
    let own = sandbox.file("own", 70_000, 3);
    m1.run(&format!("upload_file club '{}'", own.display()));
    m2.run("download_file club own copy");
    m2.wait_for_state("own", "complete");
    // A third machine finds no use left, and says so.
    let third = with_token(&tracker, "m3", &[]);
    let (status, errors) = third.process.wait();
    assert_eq!(status.code(), Some(3), "{errors}");
    assert!(errors.contains("refused for good"), "{errors}");
    // After the first start, the folder alone is enough. Others can read the file now.
    let [m1, m2] = machines;
    drop(m2);
    end(m1);
    let mut m1 = sandbox.peer_with("m1", &["--stay"]);
    wait_for_machine(&mut m1, "logged-in");
    end(m1);
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let m1 = with_token(&tracker, "m1", &[]);
    let errors = end(m1);
    assert!(errors.contains("chmod 600"), "{errors}");
}

#[test]
fn commands_of_a_machine_wait_for_the_tracker() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let text = ann.run("create_token lab")["text"]
        .as_str()
        .unwrap()
        .to_owned();
    fs::write(sandbox.path("token"), text).unwrap();
    // TRACKER_INFO comes later than the machine.
    let info = sandbox.tracker_info();
    let away = sandbox.path("away.txt");
    fs::rename(&info, &away).unwrap();
    let mut machine = with_token(&tracker, "m1", &["-c", "download_file lab gift copy"]);
    fs::rename(&away, &info).unwrap();
    let done: Value = serde_json::from_str(&machine.process.line()).unwrap();
    assert_eq!(done["ok"], true, "{done}");
    let copy = sandbox.path("m1/copy");
    wait_until("the download is complete", || {
        fs::read(&copy).is_ok_and(|copy| copy == fs::read(sandbox.path("gift")).unwrap())
    });
}

#[test]
fn the_machines_of_a_maker_who_leaves_the_group_get_nothing_more() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let mut bob = sandbox.peer("bob");
    bob.run("create_user bob\npw of bob");
    bob.run("login bob\npw of bob");
    bob.run("join_group lab");
    ann.run("accept_request lab bob");
    bob.run("download_file lab gift copy");
    bob.wait_for_state("gift", "complete");
    let line = join_line(&mut ann, "--uses 2");
    let mut machine = join_and_run(sandbox, "m1", &line);
    wait_for_machine(&mut machine, "logged-in");
    machine.run("download_file lab gift copy");
    machine.wait_for_state("gift", "complete");
    ann.run("leave_group lab");
    machine.assert_refused("list_files lab", "token-ended", "");
    let status = wait_for_machine(&mut machine, "token-ended");
    assert!(status["trouble"].is_string(), "{status}");
    assert_eq!(listed_in(&mut bob, "lab", "ann/m1")["state"], "token-ended");
    // The login of a machine is never on its disk.
    assert!(!sandbox.state("m1").join("session").exists());
    // If the maker comes back, the machine stays out.
    ann.run("join_group lab");
    bob.run("accept_request lab ann");
    machine.assert_refused("list_files lab", "token-ended", "");
}

#[test]
fn a_token_is_never_sent_to_trackers_of_another_cluster() {
    let (tracker, other) = (AccountTracker::new(), AccountTracker::new());
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let created = ann.run("create_token lab");
    fs::write(sandbox.path("token"), created["text"].as_str().unwrap()).unwrap();
    // This TRACKER_INFO pins no cluster, and the folder is new.
    let info = sandbox.tracker_info();
    let right = fs::read(&info).unwrap();
    fs::write(&info, format!("{}\n", other.address())).unwrap();
    let mut machine = with_token(&tracker, "m1", &[]);
    let status = wait_for_machine(&mut machine, "waiting");
    wait_until("the peer says why it does not log in", || {
        let trouble = machine.run("status")["machine"]["trouble"].clone();
        trouble
            .as_str()
            .is_some_and(|text| text.contains("has the fingerprint"))
    });
    assert_eq!(status["name"], Value::Null, "{status}");
    machine.assert_refused("list_files lab", "untrusted", "fingerprint");
    fs::write(&info, right).unwrap();
    wait_for_machine(&mut machine, "logged-in");
    // A TRACKER_INFO that pins another cluster is an error, even if it lists the right tracker.
    let pin = format!("fingerprint sha256:{}\n", "00".repeat(32));
    fs::write(
        &info,
        [&fs::read(&info).unwrap()[..], pin.as_bytes()].concat(),
    )
    .unwrap();
    machine.assert_refused("list_files lab", "untrusted", "is of the cluster");
}

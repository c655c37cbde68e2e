//! Tokens in files, and what ends with their maker.

use super::machine::{end, join_and_run, join_line, listed_in, owner, start, wait_for_machine};
use crate::common::account_tracker::AccountTracker;
use crate::common::peer::Peer;
use crate::common::process::run;
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
    let (status, errors) = machine.process.wait();
    assert_eq!(status.code(), Some(3), "{errors}");
    assert!(errors.contains("its maker has left its groups"), "{errors}");
    assert_eq!(listed_in(&mut bob, "lab", "ann/m1")["state"], "token-ended");
    // The login of a machine is never on its disk.
    assert!(!sandbox.state("m1").join("session").exists());
    // If the maker comes back, the machine stays out.
    ann.run("join_group lab");
    bob.run("accept_request lab ann");
    let (status, errors) = start(sandbox, "m1").process.wait();
    assert_eq!(status.code(), Some(3), "{errors}");
}

#[test]
fn a_peer_whose_token_or_machine_is_revoked_ends_by_itself_with_its_own_exit_code() {
    let tracker = AccountTracker::new();
    let sandbox = &tracker.sandbox;
    let mut ann = owner(sandbox);
    let created = ann.run("create_join lab --uses 2");
    let line = created["line"].as_str().unwrap();
    let machines = ["m1", "m2"].map(|name| {
        let mut machine = join_and_run(sandbox, name, line);
        wait_for_machine(&mut machine, "logged-in");
        machine
    });
    let [m1, m2] = machines;
    // Nobody asks anything of the peers, and they share nothing.
    ann.run("revoke_machine ann/m1");
    let (status, errors) = m1.process.wait();
    assert_eq!(status.code(), Some(3), "{errors}");
    let token = created["token"].as_str().unwrap();
    ann.run(&format!("revoke_token {token}"));
    let (status, errors) = m2.process.wait();
    assert_eq!(status.code(), Some(3), "{errors}");
    assert!(errors.contains("the token was revoked"), "{errors}");
    // The kind of a failed command says why.
    for (name, kind) in [("m1", "machine-revoked"), ("m2", "token-ended")] {
        let state = sandbox.state(name);
        let info = state.join("tracker_info.txt");
        let (info, dir) = (info.to_str().unwrap(), state.to_str().unwrap());
        let command = ["-c", "list_files lab", "--json"];
        let arguments = [&["peer", "127.0.0.1:0", info, "--dir", dir], &command[..]].concat();
        let output = run(&sandbox.folder(name), &arguments, "");
        assert_eq!(output.code, Some(3), "{output:?}");
        let kind = format!("\"kind\":\"{kind}\"");
        assert!(output.stdout.contains(&kind), "{output:?}");
    }
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

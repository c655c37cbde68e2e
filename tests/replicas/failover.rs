//! Failover: when a tracker is killed or its disk is full, peers go on with the other one and lose
//! no acknowledged write.

use super::pair::{Pair, create_and_log_in};
use crate::common::peer::Peer;
use crate::common::process::Process;
use crate::common::sandbox::{Sandbox, bytes};
use crate::common::waiting::wait_until;
use serde_json::Value;
use std::fs;

/// The state of each tracker in `status`.
fn states(status: &Value) -> Vec<&str> {
    let trackers = status["trackers"].as_array().unwrap();
    let states = trackers
        .iter()
        .map(|tracker| tracker["state"].as_str().unwrap());
    states.collect()
}

#[test]
fn a_login_goes_on_at_the_other_tracker_and_then_at_the_restarted_one() {
    let mut pair = Pair::new();
    let mut nik = pair.peer("nik", 1);
    create_and_log_in(&mut nik, "nik");
    let created = nik.run("create_group lab");
    assert_eq!(created.get("copies"), None, "both have it: {created}");
    let status = nik.run("status");
    assert_eq!(states(&status), ["serving", "serving"]);
    pair.kill(1);
    // The person need not do anything, and no acknowledged write is missing.
    let groups = nik.run("list_groups");
    assert_eq!(groups["groups"][0]["name"], "lab");
    let created = nik.run("create_group second");
    assert_eq!(created["copies"], 1, "{created}");
    let status = nik.run("status");
    assert_eq!(states(&status), ["unreachable", "serving"], "{status}");
    assert_eq!(status["trackers"][0]["lag"], 1, "{status}");
    assert_eq!(status["trackers"][1]["lag"], 0, "{status}");
    let output = pair.run_as_person("nik2", 1, &["create_user olga pw-of-olga", "status"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(
        output
            .stderr
            .contains("only one tracker has stored this so far"),
        "{output:?}"
    );
    for part in ["unreachable  2 writes behind", "serving  up to date"] {
        assert!(output.stdout.contains(part), "{part}: {output:?}");
    }
    pair.start(1, &[]);
    pair.wait_until_in_sync();
    pair.kill(2);
    // The first tracker has the missed writes and accepts the same login.
    let groups = nik.run("list_groups");
    assert_eq!(groups["groups"].as_array().unwrap().len(), 2);
    nik.run("create_group third");
    pair.start(2, &[]);
    pair.wait_until_in_sync();
    let dump = pair.stop_and_assert_same();
    assert_eq!(dump["groups"].as_array().unwrap().len(), 3);
}

#[test]
fn downloads_go_on_without_a_tracker_and_each_tracker_knows_the_swarms() {
    const LENGTH: usize = 20 << 20;
    let mut pair = Pair::new();
    let mut peers: Vec<Peer> = ["nik", "mayank", "olga"]
        .iter()
        .map(|name| {
            let mut peer = pair.peer(name, 1);
            create_and_log_in(&mut peer, name);
            peer
        })
        .collect();
    peers[0].run("create_group lab");
    for (at, name) in [(1, "mayank"), (2, "olga")] {
        peers[at].run("join_group lab");
        peers[0].run(&format!("accept_request lab {name}"));
    }
    let file = pair.sandbox.file("nik/data.bin", LENGTH, 7);
    peers[0].run(&format!("upload_file lab '{}'", file.display()));
    let has_seed = |peer: &mut Peer| {
        let listed = peer.run("list_files lab");
        listed["files"][0]["complete"] == 1
    };
    wait_until("the seed is announced", || has_seed(&mut peers[1]));
    // The second tracker knows the seed too, so the first may be killed.
    pair.kill(1);
    peers[1].run("download_file lab data.bin");
    peers[1].wait_for_download("data.bin", |download| download["bytes_done"] != 0);
    pair.kill(2);
    let done = peers[1].wait_for_state("data.bin", "complete");
    assert_eq!(done["bytes_done"], LENGTH);
    let copy = pair.sandbox.path("mayank/data.bin");
    assert!(fs::read(copy).unwrap() == bytes(LENGTH, 7));
    let error = peers[1].try_run("list_groups");
    assert_eq!(error["error"]["kind"], "unreachable", "{error}");
    // When one tracker is back, everything goes on by itself.
    pair.start(2, &[]);
    peers[2].run("download_file lab data.bin");
    peers[2].wait_for_state("data.bin", "complete");
}

#[test]
fn a_tracker_whose_disk_is_full_leaves_its_peers_to_the_other_and_goes_on_when_there_is_room() {
    let mut pair = Pair::new();
    let mut nik = pair.peer("nik", 1);
    create_and_log_in(&mut nik, "nik");
    pair.quit(1);
    let database = pair.sandbox.path("data1/registry.redb");
    let length = database.metadata().unwrap().len();
    pair.start_with_file_limit(1, length.div_ceil(1024));
    pair.wait_until_in_sync();
    // Every command succeeds, even the one during which the disk of the first tracker fills up.
    let mut created = 0;
    while !pair
        .log(1)
        .contains("accounts and groups are not served until the database can be written")
    {
        nik.run(&format!("create_group group{created}"));
        created += 1;
        assert!(created < 10_000, "the disk is never full");
    }
    let status = nik.run("status");
    assert_ne!(states(&status)[0], "serving", "{status}");
    nik.run("create_group last");
    let listed = nik.run("list_groups");
    assert_eq!(listed["groups"].as_array().unwrap().len(), created + 1);
    // With room on the disk, the first tracker serves again by itself.
    pair.remove_file_limit(1);
    pair.wait_until_in_sync();
    nik.run("create_group after");
    pair.assert_same();
}

#[test]
fn a_command_whose_answer_is_lost_takes_effect_once() {
    let mut pair = Pair::new();
    let (peer_proxy, mut nik, mut olga) = pair.peers_behind_proxy();
    let code = pair.invite_code();
    let invited = format!("create_user guest pw-of-guest --invite {code}");
    let steps = [
        (
            true,
            "create_user extra pw-of-extra",
            "user extra is created",
        ),
        (true, invited.as_str(), "user guest is created"),
        (true, "create_group lab", "nik at 127.0.0.1 makes group lab"),
        (
            false,
            "join_group lab",
            "olga at 127.0.0.1 asks to join lab",
        ),
        (true, "accept_request lab olga", "accepts olga into lab"),
        (true, "remove_member lab olga", "removes olga from lab"),
        (
            true,
            "change_password pw-of-nik other-pw",
            "nik at 127.0.0.1 changes the password",
        ),
        (true, "leave_group lab --yes", "nik at 127.0.0.1 leaves lab"),
        (true, "logout", "nik at 127.0.0.1 logs out"),
    ];
    for (is_nik, command, logged) in steps {
        let peer = if is_nik { &mut nik } else { &mut olga };
        pair.run_without_first_answer(peer, &peer_proxy, command, logged);
        // The two logs together have the line once.
        let times: usize = [1, 2]
            .map(|number| pair.log(number).matches(logged).count())
            .iter()
            .sum();
        assert_eq!(times, 1, "{command}");
    }
    nik.run("login nik other-pw");
    pair.assert_same();
}

/// Starts the tracker with this number in the TRACKER_INFO of the sandbox.
fn start_tracker(sandbox: &Sandbox, number: &str) -> Process {
    let (info, data) = (
        sandbox.tracker_info(),
        sandbox.path(&format!("data{number}")),
    );
    let arguments = [
        "tracker",
        info.to_str().unwrap(),
        number,
        "--data",
        data.to_str().unwrap(),
    ];
    Process::start(&sandbox.folder("work"), &arguments)
}

#[test]
fn trackers_find_each_other_when_their_ports_are_added_to_tracker_info_later() {
    let sandbox = Sandbox::new();
    let info = sandbox.tracker_info();
    fs::write(&info, "127.0.0.1:0\n127.0.0.1:0\n127.0.0.1:0\n").unwrap();
    let trackers = ["1", "2", "3"].map(|number| start_tracker(&sandbox, number));
    let lines: Vec<String> = trackers
        .iter()
        .map(|tracker| format!("{}\n", tracker.address))
        .collect();
    fs::write(&info, lines.concat()).unwrap();
    let mut peer = sandbox.peer("nik");
    let all_serve = |peer: &mut Peer| {
        let status = peer.run("status");
        let trackers = status["trackers"].as_array().unwrap().clone();
        trackers
            .iter()
            .all(|tracker| tracker["state"] == "serving" && tracker["lag"] == 0)
    };
    wait_until("all three are in sync", || all_serve(&mut peer));
    create_and_log_in(&mut peer, "nik");
    // The write waited for one other tracker only.
    wait_until("all three have the user", || all_serve(&mut peer));
    let mut trackers = trackers.into_iter();
    trackers.next().unwrap().kill();
    assert_eq!(
        peer.run("create_group lab").get("copies"),
        None,
        "two are left"
    );
    trackers.next().unwrap().kill();
    assert_eq!(peer.run("create_group second")["copies"], 1);
    assert_eq!(
        peer.run("list_groups")["groups"].as_array().unwrap().len(),
        2
    );
}

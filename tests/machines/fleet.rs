//! Six machines of one owner at two trackers: they join by one command each, download and serve, a
//! seventh is a copy of one of them, and one of them is revoked.

use super::machine::{
    copy_folder, has_link_with, join_and_run, join_from_input, join_line, listed, listed_in,
    make_owner, start, wait_for_machine, wait_for_news,
};
use crate::common::peer::Peer;
use crate::common::process::run;
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_until;
use crate::pair::Pair;
use serde_json::Value;
use std::fs;

const NAMES: [&str; 6] = ["m1", "m2", "m3", "m4", "m5", "m6"];

/// The TRACKER_INFO of the sandbox lists both trackers.
fn list_trackers(pair: &Pair) {
    let (one, two) = (pair.address(1), pair.address(2));
    fs::write(pair.sandbox.tracker_info(), format!("{one}\n{two}\n")).unwrap();
}

/// How many peers have the whole of `gift`.
fn complete(owner: &mut Peer) -> Value {
    let listed = owner.run("list_files lab");
    listed["files"][0]["complete"].clone()
}

#[test]
fn six_machines_join_by_one_command_each_and_a_revoked_one_gets_nothing_more() {
    let pair = Pair::new();
    list_trackers(&pair);
    let sandbox = &pair.sandbox;
    // The big share takes more than a minute.
    let ann = sandbox.debug_peer("ann", &["--up", "900K"]);
    let mut ann = make_owner(ann, sandbox);
    let line = join_line(&mut ann, "--uses 6");
    let join = |name| match name {
        "m1" | "m2" => join_from_input(sandbox, name, &line),
        _ => join_and_run(sandbox, name, &line),
    };
    let mut machines: Vec<Peer> = NAMES.map(join).into();
    all_download_and_serve(sandbox, &mut ann, &mut machines);
    a_download_comes_from_machines_alone(&mut ann);
    a_reader_publishes_nothing(sandbox, &mut machines[0]);
    all_answer_attached_commands_while_they_download(sandbox, &mut ann, &mut machines);
    copied_state_folder_is_suspended(&pair, &mut ann, machines.pop().unwrap());
    let m3 = machines.remove(2);
    revoked_machine_gets_nothing_more(sandbox, &mut ann, m3, &mut machines[2]);
    // The others go on.
    for machine in &mut machines {
        assert_eq!(machine.run("status")["machine"]["state"], "logged-in");
    }
}

fn all_download_and_serve(sandbox: &Sandbox, ann: &mut Peer, machines: &mut [Peer]) {
    for (machine, name) in machines.iter_mut().zip(NAMES) {
        let status = wait_for_machine(machine, "logged-in");
        assert_eq!(status["name"], format!("ann/{name}"), "{status}");
        let groups = serde_json::json!([{ "group": "lab", "role": "reader" }]);
        assert_eq!(status["groups"], groups, "{status}");
        machine.run("download_file lab gift copy");
    }
    for (machine, name) in machines.iter_mut().zip(NAMES) {
        machine.wait_for_state("gift", "complete");
        let copy = sandbox.path(&format!("{name}/copy"));
        assert!(fs::read(copy).unwrap() == fs::read(sandbox.path("gift")).unwrap());
        assert_eq!(machine.run("status")["user"], format!("ann/{name}"));
    }
    wait_until("all machines serve", || complete(ann) == 7);
    for name in NAMES {
        let machine = listed_in(ann, "lab", &format!("ann/{name}"));
        assert_eq!(machine["state"], "started", "{machine}");
        assert_eq!(machine["role"], "reader", "{machine}");
    }
}

fn a_download_comes_from_machines_alone(ann: &mut Peer) {
    // The maker's file is gone.
    ann.run("stop_share --here lab gift");
    ann.run("download_file lab gift from-machines");
    ann.wait_for_state("gift", "complete");
}

fn a_reader_publishes_nothing(sandbox: &Sandbox, machine: &mut Peer) {
    let own = sandbox.file("own", 1000, 3);
    let upload = format!("upload_file lab '{}'", own.display());
    machine.assert_refused(&upload, "not-a-publisher", "");
}

fn all_answer_attached_commands_while_they_download(
    sandbox: &Sandbox,
    ann: &mut Peer,
    machines: &mut [Peer],
) {
    let big = sandbox.file("big", 60 << 20, 5);
    ann.run(&format!("upload_file lab '{}'", big.display()));
    for machine in machines {
        machine.run("download_file lab big big");
    }
    for name in NAMES {
        let status = wait_for_download(sandbox, name);
        assert_eq!(status["user"], format!("ann/{name}"), "{status}");
        assert_eq!(status["machine"]["state"], "logged-in", "{status}");
    }
}

/// Revokes m3 while it downloads. `other` is another machine that downloads.
fn revoked_machine_gets_nothing_more(
    sandbox: &Sandbox,
    ann: &mut Peer,
    m3: Peer,
    other: &mut Peer,
) {
    // Links stay open while the share is being fetched.
    wait_until("m3 has a link with its maker", || {
        has_link_with(ann, "ann/m3")
    });
    ann.run("revoke_machine ann/m3");
    wait_until("the links with m3 end", || {
        !has_link_with(ann, "ann/m3") && !has_link_with(other, "ann/m3")
    });
    assert_eq!(listed(ann, "ann/m3")["state"], "revoked");
    let (status, errors) = m3.process.wait();
    assert_eq!(status.code(), Some(3), "{errors}");
    assert!(errors.contains("ann/m3 is refused for good"), "{errors}");
    assert!(errors.contains("this peer ends"), "{errors}");
    // Another start changes nothing, and the download gets no further.
    let again = start(sandbox, "m3");
    let (status, errors) = again.process.wait();
    assert_eq!(status.code(), Some(3), "{errors}");
    assert!(!sandbox.path("m3/big").exists());
}

/// Waits until the machine downloads, and returns the answer to `status --json` of a command that
/// attaches to its peer.
fn wait_for_download(sandbox: &Sandbox, name: &str) -> Value {
    let state = sandbox.state(name);
    let arguments = [
        "peer",
        "--dir",
        state.to_str().unwrap(),
        "--json",
        "-c",
        "status",
    ];
    let mut status = Value::Null;
    wait_until("the machine downloads", || {
        let output = run(&sandbox.folder("client"), &arguments, "");
        assert_eq!(output.code, Some(0), "{output:?}");
        status = serde_json::from_str(output.stdout.lines().last().unwrap()).unwrap();
        let downloads = status["downloads"].as_array().unwrap();
        downloads
            .iter()
            .any(|it| it["name"] == "big" && it["state"] == "downloading")
    });
    status
}

/// Starts the machine m6 and a copy of its state folder. The trackers suspend it, and tell its
/// owner.
fn copied_state_folder_is_suspended(pair: &Pair, ann: &mut Peer, m6: Peer) {
    let sandbox = &pair.sandbox;
    m6.kill();
    copy_folder(&sandbox.state("m6"), &sandbox.state("m7"));
    let mut m6 = start(sandbox, "m6");
    wait_for_machine(&mut m6, "logged-in");
    pair.wait_until_in_sync();
    let mut m7 = start(sandbox, "m7");
    wait_for_machine(&mut m7, "suspended");
    wait_for_news(ann, "machine-suspended", "ann/m6");
    wait_for_machine(&mut m6, "suspended");
    assert_eq!(listed(ann, "ann/m6")["state"], "suspended");
}

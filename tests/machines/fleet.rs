//! Six machines of one owner at two trackers: they join by one command each, download, serve, and
//! one of them is revoked.

use super::machine::{
    has_link_with, join_and_run, join_from_input, join_line, listed, listed_in, owner, start,
    wait_for_machine,
};
use crate::common::peer::Peer;
use crate::common::waiting::wait_until;
use crate::pair::Pair;
use serde_json::Value;
use std::fs;

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
    let mut ann = owner(sandbox);
    let line = join_line(&mut ann, "--uses 6");
    let names = ["m1", "m2", "m3", "m4", "m5", "m6"];
    let join = |name| match name {
        "m1" | "m2" => join_from_input(sandbox, name, &line),
        _ => join_and_run(sandbox, name, &line),
    };
    let mut machines: Vec<Peer> = names.map(join).into();
    for (machine, name) in machines.iter_mut().zip(names) {
        let status = wait_for_machine(machine, "logged-in");
        assert_eq!(status["name"], format!("ann/{name}"), "{status}");
        let groups = serde_json::json!([{ "group": "lab", "role": "reader" }]);
        assert_eq!(status["groups"], groups, "{status}");
        machine.run("download_file lab gift copy");
    }
    for (machine, name) in machines.iter_mut().zip(names) {
        machine.wait_for_state("gift", "complete");
        let copy = sandbox.path(&format!("{name}/copy"));
        assert!(fs::read(copy).unwrap() == fs::read(sandbox.path("gift")).unwrap());
        assert_eq!(machine.run("status")["user"], format!("ann/{name}"));
    }
    wait_until("all machines serve", || complete(&mut ann) == 7);
    for name in names {
        let machine = listed_in(&mut ann, "lab", &format!("ann/{name}"));
        assert_eq!(machine["state"], "started", "{machine}");
        assert_eq!(machine["role"], "reader", "{machine}");
    }
    // The maker's file is gone: a new download comes from machines only.
    ann.run("stop_share --here lab gift");
    ann.run("download_file lab gift from-machines");
    ann.wait_for_state("gift", "complete");

    // A machine is a reader: it publishes nothing.
    let own = sandbox.file("own", 1000, 3);
    let upload = format!("upload_file lab '{}'", own.display());
    machines[0].assert_refused(&upload, "not-a-publisher", "");

    // A share that is still being fetched keeps links open.
    let big = sandbox.file("big", 60 << 20, 5);
    ann.run(&format!("upload_file lab '{}'", big.display()));
    let mut m3 = machines.remove(2);
    m3.run("download_file lab big big");
    wait_until("m3 has a link with its maker", || {
        has_link_with(&mut ann, "ann/m3")
    });
    ann.run("revoke_machine ann/m3");
    wait_until("the links with m3 end", || {
        !has_link_with(&mut ann, "ann/m3") && !has_link_with(&mut machines[2], "ann/m3")
    });
    assert!(listed(&mut ann, "ann/m3").is_null());
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

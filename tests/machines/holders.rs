//! A machine in the list of holders.

use super::machine::{join_and_run, join_line, owner, start, wait_for_machine};
use crate::common::peer::Peer;
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_until;
use serde_json::Value;

/// The holders of `gift` that are machines.
fn machines(owner: &mut Peer) -> Vec<Value> {
    let listed = owner.run("list_holders lab gift");
    let holders = listed["holders"].as_array().unwrap().iter();
    holders
        .filter(|holder| holder["user"] == "ann/m1")
        .cloned()
        .collect()
}

#[test]
fn a_machine_that_starts_again_is_the_same_holder() {
    let sandbox = Sandbox::new();
    let _tracker = sandbox.tracker(&["--interval", "1"]);
    let mut ann = owner(&sandbox);
    let line = join_line(&mut ann, "");
    let mut machine = join_and_run(&sandbox, "m1", &line);
    wait_for_machine(&mut machine, "logged-in");
    machine.run("download_file lab gift copy");
    ann.run("wait_for lab gift --on 2");
    let first = machines(&mut ann);
    assert_eq!(
        first[0]["host"],
        Value::Null,
        "its user names it: {first:?}"
    );
    machine.kill();
    wait_until("the machine is silent", || {
        machines(&mut ann)[0]["stale"] == true
    });
    let _machine = start(&sandbox, "m1");
    wait_until("the machine announces again", || {
        machines(&mut ann)[0]["stale"] == false
    });
    let again = machines(&mut ann);
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!(again[0]["id"], first[0]["id"]);
}

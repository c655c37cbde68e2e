//! Holders and mirrors at two trackers, of which each knows what it has heard itself.

use super::pair::{Pair, create_and_log_in};
use crate::common::control_connection::{ControlConnection, User, group_request};
use crate::common::peer::Peer;
use crate::common::waiting::wait_until;
use pieceful::wire::access::{AccessAnswer, AccessRequest, HolderRequest};
use serde_json::Value;
use std::path::Path;

const NO_MIRROR: &str = "no machine mirrors lab; --on N";

/// nik owns `lab`, shares `gift` there, and asks tracker 1 first.
fn owner(pair: &Pair) -> Peer {
    let mut nik = pair.peer("nik", 1);
    create_and_log_in(&mut nik, "nik");
    nik.run("create_group lab");
    let gift = pair.sandbox.file("gift", 100, 7);
    nik.run(&format!("upload_file lab '{}'", gift.display()));
    nik
}

/// Reports over this connection whether the login mirrors `lab`.
fn report(connection: &mut ControlConnection, user: &User, on: bool) {
    let group = "lab".parse().unwrap();
    let ask = AccessRequest::Holders(HolderRequest::Mirroring { group, on });
    assert_eq!(
        connection.ask(Some(&user.token), ask),
        Ok(AccessAnswer::Done)
    );
}

#[test]
fn the_later_report_of_a_mirror_counts_although_a_tracker_was_away() {
    let mut pair = Pair::new();
    let mut nik = owner(&pair);
    let mut ann = pair.user(1, "ann");
    ann.perform(group_request("join_group lab"));
    nik.run("accept_request lab ann");
    pair.wait_until_in_sync();
    // Only the first tracker knows of the begin.
    report(&mut pair.connect(1), &ann, true);
    nik.assert_refused(
        "wait_for lab gift 0.1",
        "not-complete",
        "not complete: ann nothing",
    );
    let file = Path::new(&pair.data(1)).join("mirrors");
    wait_until("the tracker has written the report down", || file.exists());
    pair.kill(1);
    nik.assert_refused("wait_for lab gift", "no-mirror", NO_MIRROR);
    // Only the second tracker knows of the end.
    report(&mut pair.connect(2), &ann, false);
    pair.start(1, &[]);
    pair.wait_until_in_sync();
    wait_until("the peer uses both trackers again", || {
        let status = nik.run("status");
        let trackers = status["trackers"].as_array().unwrap();
        trackers.iter().all(|tracker| tracker["state"] == "serving")
    });
    nik.assert_refused("wait_for lab gift", "no-mirror", NO_MIRROR);
    pair.kill(2);
    nik.assert_refused(
        "wait_for lab gift 0.1",
        "not-complete",
        "not complete: ann nothing",
    );
}

#[test]
fn a_wait_goes_on_when_a_tracker_dies() {
    let mut pair = Pair::new();
    let mut nik = owner(&pair);
    let mut olga = pair.peer("olga", 2);
    create_and_log_in(&mut olga, "olga");
    olga.run("join_group lab");
    nik.run("accept_request lab olga");
    nik.run("wait_for lab gift --on 1");
    nik.process.write_line("wait_for lab gift --on 2");
    pair.kill(1);
    olga.run("download_file lab gift copy");
    let line: Value = serde_json::from_str(&nik.process.line()).unwrap();
    assert_eq!(line["ok"], true, "{line}");
    assert_eq!(olga.shown_download("gift")["state"], "complete");
}

//! A group that gets another name at one tracker, while the other one lags behind.

use super::pair::{Pair, create_and_log_in};
use crate::common::peer::{Peer, quoted};
use crate::common::waiting::wait_until;
use std::fs;

/// Waits until `status` shows `plan` in the list `kind` as a share of this group.
fn wait_for_group(peer: &mut Peer, kind: &str, group: &str) {
    wait_until(&format!("plan is a share of {group}"), || {
        let status = peer.run("status");
        let mut listed = status[kind].as_array().unwrap().iter();
        listed.any(|it| it["name"] == "plan" && it["group"] == group)
    });
}

#[test]
fn shares_and_downloads_of_a_renamed_group_go_on_while_a_tracker_lags_behind() {
    let mut pair = Pair::stopped();
    for number in [1, 2] {
        pair.start(number, &["--interval", "1"]);
    }
    pair.wait_until_in_sync();
    // The peers of Mayank and Uma first ask the tracker that will lag behind.
    let [mut nik, mut mayank, mut uma] = [("nik", 1), ("mayank", 2), ("uma", 2)].map(|peer| {
        let (name, first) = peer;
        let mut peer = pair.peer(name, first);
        create_and_log_in(&mut peer, name);
        peer
    });
    nik.run("create_group lab");
    pair.wait_until_in_sync();
    for (peer, name) in [(&mut mayank, "mayank"), (&mut uma, "uma")] {
        peer.run("join_group lab");
        pair.wait_until_in_sync();
        nik.run(&format!("accept_request lab {name}"));
        pair.wait_until_in_sync();
    }
    let path = pair.sandbox.file("plan", 200_000, 7);
    mayank.run(&format!("upload_file lab {}", quoted(&path)));
    pair.wait_until_in_sync();
    let folder = |name: &str| quoted(&pair.sandbox.folder(name));
    // Uma's download waits for a peer that has the share.
    mayank.end();
    uma.run(&format!("download_file lab plan {}", folder("late")));

    pair.split();
    nik.run("rename_group lab hall");
    wait_for_group(&mut uma, "downloads", "hall");
    // After a restart, Uma's peer needs a certificate of the group with the new name. The tracker
    // that it asks first does not know this name.
    uma.kill();
    let mut uma = pair.peer("uma", 2);
    wait_until("a tracker refuses the certificate", || {
        let trouble = uma.shown_download("plan")["trouble"].to_string();
        trouble.contains("there is no group hall")
    });
    // The record of Mayank's peer has the former name.
    let mut mayank = pair.peer("mayank", 2);
    wait_for_group(&mut mayank, "shares", "hall");
    pair.proxy.mend();
    pair.wait_until_in_sync();
    uma.wait_for_state("plan", "complete");
    nik.run(&format!("download_file hall plan {}", folder("new")));
    nik.wait_for_state("plan", "complete");
    for copy in ["late/plan", "new/plan"] {
        assert!(fs::read(pair.sandbox.path(copy)).unwrap() == fs::read(&path).unwrap());
    }
    mayank.end();
}

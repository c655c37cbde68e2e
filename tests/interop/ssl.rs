//! Shares of groups and libtorrent, as an SSL torrent: with what `export_torrent` writes,
//! libtorrent downloads from a peer and seeds to a peer, as long as its user is a member.

use super::contents::assert_same;
use super::exchange::OtherClient;
use super::libtorrent::Libtorrent;
use super::programs::{Program, are_installed};
use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{User, group_request};
use crate::common::log::wait_for_log_line;
use crate::common::peer::{Peer, quoted};
use crate::common::waiting::wait_until;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Length of the share. Not a multiple of a block.
const LENGTH: usize = 3_000_001;

/// nik's peer shares `gift` in the group `lab`. mayank and kim are members.
struct Lab {
    tracker: AccountTracker,
    gift: PathBuf,
    nik: Peer,
    mayank: Peer,
    kim: Peer,
}

impl Lab {
    /// kim's peer has these options.
    fn new(options: &[&str]) -> Self {
        let tracker = AccountTracker::with(&["--interval", "1"]);
        let [mut nik, mayank, kim] = ["nik", "mayank", "kim"].map(|name| {
            let options = if name == "kim" { options } else { &[] };
            let mut peer = tracker.sandbox.debug_peer(name, options);
            peer.run(&format!("create_user {name}\npw of {name}"));
            peer.run(&format!("login {name}\npw of {name}"));
            peer
        });
        nik.run("create_group lab");
        let mut lab = Self {
            gift: tracker.sandbox.file("gift", LENGTH, 1),
            tracker,
            nik,
            mayank,
            kim,
        };
        for (peer, name) in [(&mut lab.mayank, "mayank"), (&mut lab.kim, "kim")] {
            peer.run("join_group lab");
            lab.nik.run(&format!("accept_request lab {name}"));
        }
        lab.nik
            .run(&format!("upload_file lab {}", quoted(&lab.gift)));
        // An export names the peers that the trackers know.
        wait_until("the share has a seed", || {
            lab.mayank.run("list_files lab")["files"][0]["complete"] == 1
        });
        lab
    }

    /// What mayank's peer exports.
    fn export(&mut self) -> Value {
        let folder = self.tracker.sandbox.folder("exported");
        self.mayank
            .run(&format!("export_torrent lab gift {}", quoted(&folder)))
    }

    /// libtorrent with the exported torrent.
    fn libtorrent(&self, exported: &Value, folder: &str) -> Libtorrent {
        let sandbox = &self.tracker.sandbox;
        let settings = json!({"listen_interfaces": "127.0.0.1:0s"});
        let mut libtorrent = Libtorrent::start_in(sandbox, &settings);
        libtorrent.ask(&json!({
            "do": "add",
            "torrent": exported["torrent"],
            "certificate": exported["certificate"],
            "key": exported["key"],
            "dh": exported["dh"],
            "folder": sandbox.folder(folder),
        }));
        libtorrent
    }
}

fn connect(libtorrent: &mut Libtorrent, to: SocketAddr) {
    libtorrent.ask(&json!({"do": "connect", "ip": to.ip(), "port": to.port()}));
}

#[test]
fn libtorrent_fetches_an_exported_torrent_from_a_peer_and_seeds_it_to_another() {
    if !are_installed(&[Program::Libtorrent]) {
        return;
    }
    let mut lab = Lab::new(&[]);
    let exported = lab.export();
    let peer = exported["peers"][0].as_str().unwrap().parse().unwrap();
    assert_eq!(peer, lab.nik.process.address, "{exported}");
    let mut libtorrent = lab.libtorrent(&exported, "copies");
    connect(&mut libtorrent, peer);
    libtorrent.wait_until_complete();
    assert_same(&lab.gift, &lab.tracker.sandbox.path("copies/gift"));
    // libtorrent is the only seed now.
    lab.nik.process.kill();
    lab.kim.run("download_file lab gift");
    connect(&mut libtorrent, lab.kim.process.address);
    lab.kim.wait_for_state("gift", "complete");
    assert_same(&lab.gift, &lab.tracker.sandbox.path("kim/gift"));
    assert_eq!(libtorrent.complaints(), Vec::<String>::new());
}

#[test]
fn a_link_with_libtorrent_ends_when_its_user_is_removed_and_none_is_made_again() {
    if !are_installed(&[Program::Libtorrent]) {
        return;
    }
    let mut lab = Lab::new(&["--down", "20K"]);
    let exported = lab.export();
    let copies = lab.tracker.sandbox.folder("copies");
    fs::copy(&lab.gift, copies.join("gift")).unwrap();
    let mut libtorrent = lab.libtorrent(&exported, "copies");
    libtorrent.wait_until_complete();
    lab.nik.process.kill();
    lab.kim.run("download_file lab gift");
    connect(&mut libtorrent, lab.kim.process.address);
    lab.kim
        .wait_for_download("gift", |download| download["bytes_done"] != 0);
    let mut nik = User::log_in(lab.tracker.connect(), "nik");
    nik.perform(group_request("remove_member lab mayank"));
    let log = lab.tracker.sandbox.log("kim");
    wait_for_log_line(&log, &["ended: mayank is no longer a member of the group"]);
    connect(&mut libtorrent, lab.kim.process.address);
    wait_for_log_line(&log, &["refused: mayank is no member any more"]);
    let download = lab.kim.shown_download("gift");
    assert_ne!(download["state"], "complete", "{download}");
}

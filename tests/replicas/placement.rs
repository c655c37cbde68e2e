//! More than two trackers: each group is announced at two of them.

use super::pair::create_and_log_in;
use crate::common::control_connection::{ControlConnection, User, password_of};
use crate::common::peer::{Peer, quoted};
use crate::common::process::Process;
use crate::common::sandbox::Sandbox;
use crate::common::waiting::wait_until;
use pieceful::torrent::InfoHash;
use pieceful::wire::PeerId;
use pieceful::wire::access::{
    AccessAnswer, AccessRequest, AnnounceBatch, FileEntry, Placement, SwarmAnnounce,
};
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU16;

/// Four trackers of one cluster, numbered from 1, in a sandbox whose TRACKER_INFO lists them.
struct FourTrackers {
    sandbox: Sandbox,
    trackers: Vec<Option<Process>>,
    addresses: Vec<SocketAddr>,
}

impl FourTrackers {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let info = sandbox.tracker_info();
        fs::write(&info, "127.0.0.1:0\n".repeat(4)).unwrap();
        let trackers = [1, 2, 3, 4].map(|number| {
            let (number, data) = (number.to_string(), sandbox.path(&format!("data{number}")));
            let mut all = vec!["tracker", info.to_str().unwrap(), &number];
            all.extend(["--data", data.to_str().unwrap(), "--interval", "1"]);
            Process::start(&sandbox.folder("work"), &all)
        });
        let addresses: Vec<SocketAddr> = trackers.iter().map(|it| it.address).collect();
        let lines = addresses.iter().map(|address| format!("{address}\n"));
        fs::write(&info, lines.collect::<String>()).unwrap();
        Self {
            sandbox,
            trackers: trackers.map(Some).into(),
            addresses,
        }
    }

    fn wait_until_in_sync(&self, peer: &mut Peer) {
        wait_until("all trackers are in sync", || {
            let status = peer.run("status");
            let trackers = status["trackers"].as_array().unwrap();
            trackers
                .iter()
                .all(|tracker| tracker["state"] == "serving" && tracker["lag"] == 0)
        });
    }

    fn kill(&mut self, number: u32) {
        let tracker = &mut self.trackers[number as usize - 1];
        tracker.take().expect("the tracker runs").kill();
    }

    /// Logs a user in at a running tracker.
    fn log_in(&self, number: u32, name: &str) -> User {
        let connection = ControlConnection::open(self.addresses[number as usize - 1]);
        User::log_in(connection.expect("the tracker listens"), name)
    }

    /// The number of each running tracker, and its catalogue entry of the only share of `lab`.
    fn catalogue_entries(&self) -> Vec<(u32, FileEntry)> {
        let running = (1..).zip(&self.trackers).filter(|(_, it)| it.is_some());
        let entries = running.map(|(number, _)| {
            let group = "lab".parse().unwrap();
            let ask = AccessRequest::ListFiles {
                group,
                versions: false,
                after: None,
            };
            match self.log_in(number, "nik").ask(ask) {
                Ok(AccessAnswer::Files { page, .. }) => (number, page.entries[0].clone()),
                other => panic!("{other:?}"),
            }
        });
        entries.collect()
    }

    /// The trackers whose catalogue shows this number of seeds of the share.
    fn trackers_with_seeds(&self, seeds: u32) -> BTreeSet<u32> {
        let entries = self.catalogue_entries().into_iter();
        let entries = entries.filter(|(_, entry)| entry.complete == seeds);
        entries.map(|(number, _)| number).collect()
    }
}

/// Announces a leech of a share. Returns the placement of the share's group from the answer.
fn announce_leech(user: &mut User, info_hash: InfoHash) -> Placement {
    let swarm = SwarmAnnounce {
        info_hash,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: None,
    };
    let announces = AnnounceBatch::new(PeerId([7; 20]), NonZeroU16::MIN, vec![swarm]);
    match user.ask(AccessRequest::Announce(announces.unwrap())) {
        Ok(AccessAnswer::Peers(peers)) => peers.placement.expect("more than two trackers"),
        other => panic!("{other:?}"),
    }
}

/// The peer of nik, who shares a file with the group `lab`.
fn sharing_peer(four: &FourTrackers) -> (Peer, InfoHash) {
    let mut nik = four.sandbox.peer("nik");
    four.wait_until_in_sync(&mut nik);
    let password = password_of("nik");
    nik.run(&format!("create_user nik\n{}", password.expose()));
    nik.run(&format!("login nik\n{}", password.expose()));
    nik.run("create_group lab");
    let path = four.sandbox.file("files/data", 100_000, 7);
    let uploaded = nik.run(&format!("upload_file lab {}", quoted(&path)));
    let info_hash = uploaded["info_hash"].as_str().unwrap().parse().unwrap();
    (nik, info_hash)
}

#[test]
fn a_group_is_announced_at_two_of_four_trackers_and_moves_if_one_of_them_dies() {
    let mut four = FourTrackers::new();
    let (mut nik, info_hash) = sharing_peer(&four);
    wait_until("two trackers know the seed", || {
        four.trackers_with_seeds(1).len() == 2
    });
    let first = four.trackers_with_seeds(1);
    four.wait_until_in_sync(&mut nik);
    for number in 1..=4 {
        let placement = announce_leech(&mut four.log_in(number, "nik"), info_hash);
        assert_eq!(placement.tracker, number);
        let trackers_of_group: BTreeSet<u32> = placement.trackers_of_group.into_iter().collect();
        assert_eq!(trackers_of_group, first, "tracker {number}");
    }
    let listed = nik.run("list_files lab");
    assert_eq!(listed["files"][0]["complete"], 1, "{listed}");
    let dead = *first.first().unwrap();
    four.kill(dead);
    wait_until("two of the other trackers know the seed", || {
        let second = four.trackers_with_seeds(1);
        second.len() == 2 && !second.contains(&dead)
    });
    let stayed = first.difference(&BTreeSet::from([dead])).copied().next();
    assert!(four.trackers_with_seeds(1).contains(&stayed.unwrap()));
}

#[test]
fn a_peer_whose_tracker_info_has_another_order_finds_the_trackers_of_the_group() {
    let four = FourTrackers::new();
    let (mut nik, _) = sharing_peer(&four);
    wait_until("two trackers know the seed", || {
        four.trackers_with_seeds(1).len() == 2
    });
    four.wait_until_in_sync(&mut nik);
    let first = four.trackers_with_seeds(1);
    assert_eq!(first, BTreeSet::from([1, 4]));
    // The group prefers the numbers 4 and 1. The file of olga's peer lists the trackers as 2, 3, 4,
    // 1. If the peer took the positions in this file as numbers, it would announce at the trackers
    // 1 and 2.
    let (tracker_1, other_trackers) = four.addresses.split_first().unwrap();
    let lines = other_trackers.iter().chain([tracker_1]);
    let lines = lines.map(|address| format!("{address}\n"));
    let rotated = four.sandbox.path("rotated.txt");
    fs::write(&rotated, lines.collect::<String>()).unwrap();
    let (folder, state) = (four.sandbox.folder("olga"), four.sandbox.state("olga"));
    let arguments = ["--name", "olga"];
    let mut olga = Peer::start(&folder, "127.0.0.1:0", &rotated, &state, &arguments);
    create_and_log_in(&mut olga, "olga");
    olga.run("join_group lab");
    nik.run("accept_request lab olga");
    olga.run("download_file lab data");
    olga.run("wait 60");
    wait_until("the trackers of the group know both seeds", || {
        four.trackers_with_seeds(2) == first
    });
}

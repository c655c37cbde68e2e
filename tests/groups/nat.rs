//! Peers behind one NAT, with a tracker outside. The network namespace of a test has the addresses
//! of both sides. The test forwards connections from the private side to the tracker, which sees
//! all of them at the public address. Nothing listens at the public address, as behind a NAT that
//! forwards no ports.

use super::team::join;
use crate::common::account_tracker::AccountTracker;
use crate::common::control_connection::{
    ControlConnection, User, connect_from_address, create_user_request, group_request,
};
use crate::common::log::wait_for_log_line;
use crate::common::network_namespace::in_own_network;
use crate::common::peer::{Peer, quoted};
use crate::common::waiting::PATIENCE;
use pieceful::torrent::InfoHash;
use pieceful::wire::PeerId;
use pieceful::wire::access::{
    AccessAnswer, AccessRequest, AnnounceBatch, GroupAnnounceEvent, PrivateAddresses, SwarmAnnounce,
};
use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

/// The public address of the NAT.
const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The address of the NAT in the private network.
const GATEWAY: &str = "10.0.0.1";
/// The addresses of the machines behind the NAT.
const MACHINES: [&str; 3] = ["10.0.0.2", "10.0.0.3", "10.0.0.4"];
/// Every address of the namespace, except the loopback addresses.
const ADDRESSES: [&str; 5] = ["203.0.113.1", GATEWAY, "10.0.0.2", "10.0.0.3", "10.0.0.4"];

/// Forwards connections from the private network to the tracker. The threads end with the process,
/// which runs one test.
fn start_nat(tracker: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((GATEWAY, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    };
    thread::spawn(move || {
        for inside in listener.incoming() {
            let (inside, outside) = (inside.unwrap(), connect_from_address(PUBLIC, tracker));
            copy(inside.try_clone().unwrap(), outside.try_clone().unwrap());
            copy(outside, inside);
        }
    });
    address
}

/// A tracker, and a TRACKER_INFO with which peers reach it through the NAT.
fn tracker_behind_nat() -> (AccountTracker, PathBuf) {
    let tracker = AccountTracker::new();
    let info = tracker.sandbox.path("info_inside.txt");
    fs::write(&info, format!("{}\n", start_nat(tracker.address()))).unwrap();
    (tracker, info)
}

/// Starts a peer on this machine behind the NAT, and logs a new user in.
fn peer_inside(tracker: &AccountTracker, info: &Path, machine: &str, name: &str) -> Peer {
    let (folder, state) = (tracker.sandbox.folder(name), tracker.sandbox.state(name));
    let arguments = ["--name", name, "--log", "debug"];
    let mut peer = Peer::start(&folder, &format!("{machine}:0"), info, &state, &arguments);
    peer.run(&format!("create_user {name}\npw of {name}"));
    peer.run(&format!("login {name}\npw of {name}"));
    peer
}

fn upload(tracker: &AccountTracker, peer: &mut Peer, name: &str) -> InfoHash {
    let path = tracker.sandbox.file(name, 100_000, 1);
    let uploaded = peer.run(&format!("upload_file lab {}", quoted(&path)));
    uploaded["info_hash"].as_str().unwrap().parse().unwrap()
}

#[test]
fn two_peers_behind_one_nat_reach_each_other_by_their_private_addresses() {
    in_own_network(&ADDRESSES, || {
        let (tracker, info) = tracker_behind_nat();
        let mut nik = peer_inside(&tracker, &info, MACHINES[0], "nik");
        let mut uma = peer_inside(&tracker, &info, MACHINES[1], "uma");
        nik.run("create_group lab");
        join(&mut nik, &mut uma, "uma");
        upload(&tracker, &mut nik, "letter");
        uma.run("download_file lab letter");
        // Nothing listens at the public address, so the link uses a private address of one side.
        uma.wait_for_state("letter", "complete");
    });
}

/// A device that accepts connections, reads what a caller sends first, and closes its side.
fn start_device(machine: &str) -> (NonZeroU16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind((machine, 0)).unwrap();
    let port = NonZeroU16::new(listener.local_addr().unwrap().port()).unwrap();
    let calls: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let seen = Arc::clone(&calls);
    thread::spawn(move || {
        for caller in listener.incoming() {
            let mut caller = caller.unwrap();
            caller.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut bytes = vec![0; 5];
            caller.read_exact(&mut bytes).unwrap();
            caller.shutdown(Shutdown::Write).unwrap();
            let _ = caller.read_to_end(&mut bytes);
            seen.lock().unwrap().push(bytes);
        }
    });
    (port, calls)
}

/// A member behind the NAT announces these swarms as a peer that listens at this private address.
fn announce_device(user: &mut User, swarms: &[InfoHash], machine: &str, port: NonZeroU16) {
    let swarms = swarms.iter().map(|info_hash| SwarmAnnounce {
        info_hash: *info_hash,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: Some(GroupAnnounceEvent::Started),
    });
    let batch = AnnounceBatch::new(PeerId([7; 20]), port, swarms.collect()).unwrap();
    let batch = batch.with_private(PrivateAddresses::choose(machine.parse().ok()));
    match user.ask(AccessRequest::Announce(batch)) {
        Ok(AccessAnswer::Peers(answer)) => assert!(answer.swarms.iter().all(Result::is_ok)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_device_that_is_no_member_gets_one_client_hello_for_all_swarms() {
    in_own_network(&ADDRESSES, || {
        let (tracker, info) = tracker_behind_nat();
        let mut nik = tracker.sandbox.debug_peer("nik", &[]);
        nik.run("create_user nik\npw of nik");
        nik.run("login nik\npw of nik");
        nik.run("create_group lab");
        let names = ["one", "two", "three", "four", "five"];
        let swarms = names.map(|name| upload(&tracker, &mut nik, name));
        let socket = connect_from_address(PUBLIC, tracker.address());
        let mut connection = ControlConnection::over(socket).unwrap();
        connection.ask(None, create_user_request("eve")).unwrap();
        let mut eve = User::log_in(connection, "eve");
        eve.perform(group_request("join_group lab"));
        nik.run("accept_request lab eve");
        let (port, calls) = start_device(MACHINES[2]);
        announce_device(&mut eve, &swarms, MACHINES[2], port);
        let mut uma = peer_inside(&tracker, &info, MACHINES[1], "uma");
        join(&mut nik, &mut uma, "uma");
        for name in names {
            uma.run(&format!("download_file lab {name}"));
        }
        // The call has failed, so each swarm waits for the rest of the ten minutes.
        let waits = format!(
            ": the private address {}:{port} is not called for 59",
            MACHINES[2]
        );
        for name in names {
            wait_for_log_line(&uma.log, &[&format!("{name}{waits}")]);
        }
        let calls = calls.lock().unwrap();
        let [call] = &calls[..] else {
            panic!("{} calls", calls.len())
        };
        assert_is_only_client_hello(call);
    });
}

/// Asserts that these bytes are one TLS record with a ClientHello, and nothing after it but a TLS
/// alert, which says that the handshake has failed.
fn assert_is_only_client_hello(bytes: &[u8]) {
    let length = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
    let (hello, rest) = bytes.split_at(5 + length);
    assert_eq!(
        (hello[0], hello[5]),
        (22, 1),
        "a handshake record, a ClientHello"
    );
    assert!(
        rest.is_empty() || rest[0] == 21 && rest.len() == 7,
        "{rest:?}"
    );
}

//! Limits on swarms and peers: the tracker refuses announces above the limits with a reason, and
//! these announces cost no memory.

use crate::common::http_client::{HttpClient, INFO_HASH, announce_target, stats};
use crate::common::process::resident_kib;
use crate::common::sandbox::Sandbox;
use crate::common::udp_client::UdpClient;
use pieceful::tracker::{AnnouncePolicy, SwarmLimits, Tracker, TrackerOptions, bind_with_udp};
use pieceful::wire::AnnounceResponse;
use pieceful::wire::udp_tracker::{UdpRequest, UdpResponse};
use std::net::{IpAddr, SocketAddr};

/// The request target that announces a leech in swarm `number`.
fn announce_in_swarm(number: u32) -> String {
    let hash = format!("{number:020}");
    announce_target('b', 1001, "").replace(INFO_HASH, &format!("info_hash={hash}"))
}

/// Announces a peer over UDP. Returns the reason for a refusal, or None if the peer is accepted.
fn refusal_over_udp(udp: &mut UdpClient, id: u8) -> Option<String> {
    let connection = udp.connect();
    let request = |transaction| {
        let datagram = UdpClient::announce_bytes(connection, id, 1001);
        match UdpRequest::parse(&datagram).unwrap() {
            UdpRequest::Announce { announce, .. } => UdpRequest::Announce {
                connection,
                transaction,
                announce,
                url_data: Vec::new(),
            },
            other => panic!("{other:?}"),
        }
    };
    match udp.ask(request) {
        UdpResponse::Announce { .. } => None,
        UdpResponse::Error { message, .. } => Some(message),
        other => panic!("{other:?}"),
    }
}

fn start_with_limits(limits: SwarmLimits) -> Tracker {
    let (listener, udp) = bind_with_udp(&"127.0.0.1:0".parse().unwrap()).unwrap();
    Tracker::start(TrackerOptions {
        access: AnnouncePolicy::Open,
        udp: Some(udp),
        limits,
        ..TrackerOptions::new(listener)
    })
    .unwrap()
}

#[test]
fn one_address_cannot_fill_a_tracker_with_swarms() {
    const MAX_SWARMS: u32 = 10_000;
    const BATCH: u32 = 200;
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&["--data", sandbox.folder("data").to_str().unwrap()]);
    let mut client = HttpClient::new(tracker.address);
    for first in (0..MAX_SWARMS).step_by(BATCH as usize) {
        let batch = (first..first + BATCH).map(|number| {
            let target = announce_in_swarm(number);
            format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        });
        client.send(batch.collect::<String>());
        for number in first..first + BATCH {
            let answer = AnnounceResponse::parse(&client.response().body);
            assert!(answer.is_ok(), "swarm {number}: {answer:?}");
        }
    }
    let refused = "too many swarms or peers from your address; try again later";
    for number in MAX_SWARMS..MAX_SWARMS + BATCH {
        assert_eq!(client.get(&announce_in_swarm(number)).refusal(), refused);
    }
    // The peer stays in its swarms, and announces from other addresses are accepted.
    assert!(AnnounceResponse::parse(&client.get(&announce_in_swarm(0)).body).is_ok());
    let mut other = UdpClient::bound_to("127.0.0.2:0", tracker.address);
    assert_eq!(refusal_over_udp(&mut other, b'c'), None);
    let stats = stats(tracker.address);
    assert_eq!(stats["swarms"], MAX_SWARMS + 1, "{stats}");
    let kibibytes = resident_kib(tracker.id());
    assert!(kibibytes < 64 << 10, "{kibibytes} KiB");
}

#[test]
fn full_swarms_and_full_trackers_refuse_over_both_protocols_with_a_reason() {
    let one_peer_per_swarm = SwarmLimits {
        peers_per_swarm: 1,
        ..SwarmLimits::default()
    };
    let no_peers = SwarmLimits {
        peers: 0,
        ..SwarmLimits::default()
    };
    let no_swarms = SwarmLimits {
        swarms: 0,
        ..SwarmLimits::default()
    };
    let rows = [
        (one_peer_per_swarm, "this swarm is full; try again later"),
        (no_peers, "this tracker is full; try again later"),
        (no_swarms, "this tracker is full; try again later"),
    ];
    for (limits, reason) in rows {
        let tracker = start_with_limits(limits);
        let mut http = HttpClient::new(tracker.address());
        let mut udp = UdpClient::new(tracker.address());
        // The first peer is accepted only with the limit of one peer per swarm.
        let first = refusal_over_udp(&mut udp, b'a');
        assert_eq!(
            first.is_none(),
            limits == one_peer_per_swarm,
            "{limits:?}: {first:?}"
        );
        assert_eq!(refusal_over_udp(&mut udp, b'b').as_deref(), Some(reason));
        assert_eq!(http.get(&announce_target('c', 1003, "")).refusal(), reason);
        tracker.stop();
    }
}

/// Announces a peer from the address `from`. Returns the peers in the answer, or the refusal.
fn announce_from(from: &str, tracker: SocketAddr, number: u16) -> Result<Vec<SocketAddr>, String> {
    let mut udp = UdpClient::bound_to(&format!("{from}:0"), tracker);
    let connection = udp.connect();
    let (id, port) = ((number % 256) as u8, 1_000 + number);
    let request = |transaction| {
        let datagram = UdpClient::announce_bytes(connection, id, port);
        match UdpRequest::parse(&datagram).unwrap() {
            UdpRequest::Announce { mut announce, .. } => {
                announce.peer_id.0[..2].copy_from_slice(&number.to_be_bytes());
                UdpRequest::Announce {
                    connection,
                    transaction,
                    announce,
                    url_data: Vec::new(),
                }
            }
            other => panic!("{other:?}"),
        }
    };
    match udp.ask(request) {
        UdpResponse::Announce { announced, .. } => Ok(announced.peers),
        UdpResponse::Error { message, .. } => Err(message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_address_fills_neither_a_swarm_nor_its_answers() {
    let sandbox = Sandbox::new();
    let data = sandbox.folder("data");
    let options = ["--max-swarm-peers", "60", "--max-address-peers", "50"];
    let options = [&["--data", data.to_str().unwrap()], &options[..]].concat();
    let tracker = sandbox.tracker(&options);
    let address = tracker.address;
    for number in 0..50 {
        assert!(announce_from("127.0.0.2", address, number).is_ok());
    }
    let refused = "too many swarms or peers from your address; try again later";
    let refusal = announce_from("127.0.0.2", address, 50).unwrap_err();
    assert_eq!(refusal, refused);
    let peers = announce_from("127.0.0.2", address, 49).unwrap();
    assert_eq!(peers.len(), 49, "peers behind one address see each other");
    // Each newcomer from another address is accepted, although ten newcomers fill the swarm.
    for number in 100..130 {
        let from = format!("127.0.1.{}", number - 99);
        let peers = announce_from(&from, address, number).unwrap();
        let is_in_crowd = |peer: &&SocketAddr| peer.ip() == IpAddr::from([127, 0, 0, 2]);
        let crowd = peers.iter().filter(is_in_crowd).count();
        assert_eq!(crowd, 4, "{peers:?}");
        assert_eq!(peers.len(), 4 + usize::from(number - 100), "all others");
    }
    let stats = stats(address);
    assert!(stats["peers"].as_u64().unwrap() <= 60, "{stats}");
}

//! Announces and scrapes over UDP (BEP 15), datagrams that are not valid, and the UDP port.

use super::trackers::{start_tracker, start_udp_tracker};
use crate::common::http_client::{HttpClient, INFO_HASH, announce_target, peer_addresses};
use crate::common::process::Process;
use crate::common::sandbox::Sandbox;
use crate::common::udp_client::UdpClient;
use pieceful::torrent::InfoHash;
use pieceful::tracker::bind_with_udp;
use pieceful::wire::udp_tracker::{
    ConnectionId, NO_CONNECTION, TransactionId, UdpRequest, UdpResponse,
};
use pieceful::wire::{ScrapeRequest, SwarmCounts};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

#[test]
fn swarms_over_http_and_udp_are_the_same_in_both_address_families() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let tracker = start_udp_tracker(address);
        let at = |port| SocketAddr::new(tracker.address().ip(), port);
        let (mut http, mut udp) = (
            HttpClient::new(tracker.address()),
            UdpClient::new(tracker.address()),
        );
        http.announce('b', 1001, "");
        let answer = udp.announce(b'c', 1002);
        assert_eq!(
            (answer.peers, answer.leechers, answer.seeders),
            (vec![at(1001)], 2, 0)
        );
        assert_eq!(answer.interval, 120);
        assert_eq!(peer_addresses(&http.announce('b', 1001, "")), [at(1002)]);
        let connection = udp.connect();
        let scrape = ScrapeRequest::new(vec![InfoHash([0; 20]), InfoHash([b'a'; 20])]).unwrap();
        let answer = udp.ask(|transaction| UdpRequest::Scrape {
            connection,
            transaction,
            scrape: scrape.clone(),
        });
        let announced = SwarmCounts {
            incomplete: 2,
            ..SwarmCounts::default()
        };
        assert!(
            matches!(&answer, UdpResponse::Scrape { counts, .. } if *counts == [SwarmCounts::default(), announced]),
            "{answer:?}"
        );
        tracker.stop();
    }
}

#[test]
fn a_socket_of_both_families_lists_peers_of_the_client_s_family() {
    let tracker = start_udp_tracker("[::]:0");
    let port = tracker.address().port();
    let mut v4 = UdpClient::new(([127, 0, 0, 1], port).into());
    let mut v6 = UdpClient::new(("::1".parse::<std::net::IpAddr>().unwrap(), port).into());
    v4.announce(b'b', 1001);
    let answer = v6.announce(b'c', 1002);
    assert_eq!((answer.peers.len(), answer.leechers), (0, 2));
    let answer = v4.announce(b'd', 1003);
    assert_eq!(answer.peers, ["127.0.0.1:1001".parse().unwrap()]);
    let answer = v6.announce(b'e', 1004);
    assert_eq!(answer.peers, ["[::1]:1002".parse().unwrap()]);
}

#[test]
fn datagrams_without_a_valid_connection_id_get_no_answer() {
    let tracker = start_udp_tracker("127.0.0.1:0");
    let mut honest = UdpClient::new(tracker.address());
    let stolen = honest.connect();
    let elsewhere = UdpClient::bound_to("127.0.0.2:0", tracker.address());
    let datagram = UdpClient::announce_bytes(stolen, b'b', 1001);
    elsewhere.socket.send(&datagram).unwrap();
    let stranger = UdpClient::new(tracker.address());
    for forged in [NO_CONNECTION, ConnectionId([0; 8]), ConnectionId([0xff; 8])] {
        let datagram = UdpClient::announce_bytes(forged, b'b', 1001);
        for cut in 0..=datagram.len() {
            // None of these is a connect request: that has action 0, and an announce has action 1.
            stranger.socket.send(&datagram[..cut]).unwrap();
        }
        stranger
            .socket
            .send(&[datagram, vec![0; 5_000]].concat())
            .unwrap();
    }
    for length in [0, 1, 15, 17, 100, 2_000, 60_000] {
        let mut connect = UdpRequest::Connect {
            transaction: TransactionId(*b"long"),
        }
        .encode();
        connect.resize(length, 0);
        stranger.socket.send(&connect).unwrap();
    }
    // After this answer and the stop, the tracker has read everything that was sent before.
    assert_eq!(honest.announce(b'c', 1002).leechers, 1);
    tracker.stop();
    for socket in [stranger.socket, elsewhere.socket] {
        socket.set_nonblocking(true).unwrap();
        let mut answer = [0; 2_000];
        assert!(socket.recv(&mut answer).is_err(), "an answer came");
    }
}

#[test]
fn a_cut_announce_with_a_valid_connection_id_gets_an_error() {
    let tracker = start_udp_tracker("127.0.0.1:0");
    let mut client = UdpClient::new(tracker.address());
    let connection = client.connect();
    let datagram = UdpClient::announce_bytes(connection, b'b', 1001);
    for cut in 16..datagram.len() {
        client.socket.send(&datagram[..cut]).unwrap();
        let answer = client.receive();
        assert!(
            matches!(&answer, UdpResponse::Error { message, .. } if message.contains("wrong length")),
            "cut at {cut}: {answer:?}"
        );
    }
    // The options after an announce (BEP 41) may be cut.
    let with_options = [datagram, b"\x02\x09/announce\x02\xffcut".to_vec()].concat();
    client.socket.send(&with_options).unwrap();
    assert!(matches!(client.receive(), UdpResponse::Announce { .. }));
}

#[test]
fn a_flood_of_garbage_does_not_disturb_others() {
    let tracker = start_udp_tracker("127.0.0.1:0");
    let flood = UdpClient::new(tracker.address());
    let mut random = fastrand::Rng::with_seed(7);
    let mut honest = UdpClient::new(tracker.address());
    let connection = honest.connect();
    let datagram = UdpClient::announce_bytes(connection, b'b', 1001);
    for round in 0..20_000 {
        let mut garbage = match round % 3 {
            0 => datagram.clone(),
            1 => UdpClient::announce_bytes(ConnectionId([7; 8]), b'x', 7),
            _ => vec![0; random.usize(..300)],
        };
        match round % 3 {
            0 => garbage[random.usize(8..98)] ^= 1 << random.u32(..8),
            1 => garbage[random.usize(..16)] = random.u8(..),
            _ => random.fill(&mut garbage),
        }
        // A full buffer drops datagrams. That is not an error of the test.
        let _ = flood.socket.send(&garbage);
    }
    let answer = honest.announce(b'c', 1002);
    assert!(answer.leechers >= 1);
    let mut http = HttpClient::new(tracker.address());
    assert!(http.get(&announce_target('d', 1003, "")).has_status("200"));
}

#[test]
fn a_stop_frees_the_udp_port_at_once() {
    let tracker = start_udp_tracker("127.0.0.1:0");
    let address = tracker.address();
    assert!(
        UdpSocket::bind(address).is_err(),
        "the tracker holds the port"
    );
    let answer = bind_with_udp(&address.to_string().parse().unwrap());
    assert!(answer.is_err());
    let start_of_stop = Instant::now();
    tracker.stop();
    assert!(
        start_of_stop.elapsed() < Duration::from_secs(1),
        "the stop waits for no timeout"
    );
    drop(tracker);
    UdpSocket::bind(address).unwrap();
}

#[test]
fn the_error_of_a_udp_port_in_use_names_the_address() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = bind_with_udp(&address.to_string().parse().unwrap()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with(&format!("cannot listen on {address} for UDP: ")),
        "{error}"
    );
}

#[test]
fn udp_is_served_only_with_open() {
    let sandbox = Sandbox::new();
    let open = sandbox.tracker(&[]);
    let mut client = UdpClient::new(open.address);
    client.announce(b'b', 1001);
    let not_open = Process::start(
        &sandbox.folder("shut"),
        &["tracker", "--listen", "127.0.0.1:0"],
    );
    UdpSocket::bind(not_open.address).expect("without --open nothing listens");
    let without_udp = start_tracker();
    UdpSocket::bind(without_udp.address()).unwrap();
    assert!(
        HttpClient::new(without_udp.address())
            .get(&format!("/scrape?{INFO_HASH}"))
            .has_status("200")
    );
}

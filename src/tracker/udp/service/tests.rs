//! Answers to UDP datagrams.

use super::*;
use crate::torrent::InfoHash;
use crate::tracker::quotas::SwarmLimits;
use crate::tracker::service::AnnouncePolicy;
use crate::tracker::swarms::Swarms;
use crate::wire::udp_tracker::{AddressFamily, ConnectionId, NO_CONNECTION, TransactionId};
use crate::wire::{AnnounceRequest, PeerId, ScrapeRequest, SwarmCounts};
use proptest::prelude::*;
use std::num::NonZeroU16;

const TRANSACTION: TransactionId = TransactionId(*b"tran");
const NOW: Duration = Duration::from_secs(1_000);

fn udp(access: AnnouncePolicy) -> UdpService {
    let swarms = Swarms::new(Duration::from_secs(20), SwarmLimits::default());
    let service = Arc::new(Service {
        swarms,
        access,
        store: None,
        names: Arc::default(),
    });
    UdpService::new(service, hmac::Key::new(hmac::HMAC_SHA256, b"key"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn encode_announce(connection: ConnectionId, peer: u8, left: u64) -> Vec<u8> {
    let announce = AnnounceRequest {
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId([peer; 20]),
        port: NonZeroU16::new(1_000 + u16::from(peer)).unwrap(),
        uploaded: 0,
        downloaded: 0,
        left,
        event: None,
        num_want: None,
        compact: true,
        no_peer_id: true,
        key: None,
        pieceful: false,
    };
    UdpRequest::Announce {
        connection,
        transaction: TRANSACTION,
        announce,
        url_data: Vec::new(),
    }
    .encode()
}

fn encode_scrape(connection: ConnectionId, swarms: &[u8]) -> Vec<u8> {
    let hashes = swarms.iter().map(|swarm| InfoHash([*swarm; 20]));
    UdpRequest::Scrape {
        connection,
        transaction: TRANSACTION,
        scrape: ScrapeRequest::new(hashes.collect()).unwrap(),
    }
    .encode()
}

fn connect(udp: &UdpService, from: &str) -> ConnectionId {
    let request = UdpRequest::Connect {
        transaction: TRANSACTION,
    };
    match udp.answer(&request.encode(), ip(from), NOW) {
        Some(UdpResponse::Connect { connection, .. }) => connection,
        other => panic!("{other:?}"),
    }
}

fn send_announce(udp: &UdpService, from: &str, peer: u8, left: u64) -> UdpAnnounceResponse {
    let connection = connect(udp, from);
    match udp.answer(&encode_announce(connection, peer, left), ip(from), NOW) {
        Some(UdpResponse::Announce {
            announced: response,
            ..
        }) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_announce_returns_peers_of_one_family_and_a_scrape_counts_both_families() {
    let udp = udp(AnnouncePolicy::Open);
    assert_eq!(send_announce(&udp, "10.0.0.1", 1, 0).peers, []);
    let second = send_announce(&udp, "10.0.0.2", 2, 5);
    assert_eq!(second.peers, ["10.0.0.1:1001".parse().unwrap()]);
    assert_eq!(
        (second.seeders, second.leechers, second.interval),
        (1, 1, 120)
    );
    let third = send_announce(&udp, "2001:db8::3", 3, 5);
    assert_eq!((third.peers.len(), third.leechers), (0, 2));
    let mapped = send_announce(&udp, "::ffff:10.0.0.4", 4, 5);
    assert_eq!(mapped.peers.len(), 2);
    let request = encode_scrape(connect(&udp, "10.0.0.2"), &[9, 1, 9]);
    let counts = SwarmCounts {
        complete: 1,
        downloaded: 0,
        incomplete: 3,
    };
    let response = udp.answer(&request, ip("10.0.0.2"), NOW);
    let none = SwarmCounts::default();
    assert!(
        matches!(&response, Some(UdpResponse::Scrape { counts: all, .. }) if *all == [none, counts, none]),
        "{response:?}"
    );
}

#[test]
fn an_announce_or_scrape_without_a_valid_connection_id_gets_no_answer() {
    let udp = udp(AnnouncePolicy::Open);
    let of_another_address = connect(&udp, "10.0.0.9");
    let expired = udp.connection_ids.issue(ip("10.0.0.1"), Duration::ZERO);
    for connection in [
        of_another_address,
        expired,
        NO_CONNECTION,
        ConnectionId([0; 8]),
    ] {
        let whole = encode_announce(connection, 1, 5);
        for datagram in [
            &whole[..],
            &whole[..97],
            &whole[..16],
            &whole[..15],
            &encode_scrape(connection, &[1]),
            b"",
        ] {
            let response = udp.answer(datagram, ip("10.0.0.1"), NOW);
            assert_eq!(response, None, "{connection:?} {datagram:?}");
        }
    }
    assert_eq!(udp.service.swarms.peers(), 0);
}

#[test]
fn a_connect_request_that_is_too_long_gets_no_answer() {
    let udp = udp(AnnouncePolicy::Open);
    let request = UdpRequest::Connect {
        transaction: TRANSACTION,
    };
    let long = [request.encode(), vec![0; 100]].concat();
    assert_eq!(udp.answer(&long, ip("10.0.0.1"), NOW), None);
}

#[test]
fn a_bad_or_refused_request_with_a_valid_connection_id_is_answered_with_an_error() {
    for access in [AnnouncePolicy::Open, AnnouncePolicy::NotOpen] {
        let udp = udp(access);
        let cut = &encode_announce(connect(&udp, "::1"), 1, 5)[..97];
        let response = udp.answer(cut, ip("::1"), NOW);
        assert!(
            matches!(&response, Some(UdpResponse::Error { message, transaction })
                if message.starts_with("a request of 97 bytes") && *transaction == TRANSACTION),
            "{response:?}"
        );
    }
    let not_open = udp(AnnouncePolicy::NotOpen);
    let whole = encode_announce(connect(&not_open, "::1"), 1, 5);
    let response = not_open.answer(&whole, ip("::1"), NOW);
    assert!(
        matches!(&response, Some(UdpResponse::Error { message, .. }) if message.contains("--open")),
        "{response:?}"
    );
}

#[test]
fn an_answer_contains_as_many_peers_as_fit_into_a_datagram() {
    let udp = udp(AnnouncePolicy::Open);
    for peer in 0..=255 {
        let from = format!("2001:db8:{peer:x}::1");
        send_announce(&udp, &from, peer, 5);
    }
    let connection = connect(&udp, "::1");
    let mut datagram = encode_announce(connection, 7, 5);
    // The field `num_want`.
    datagram[92..96].copy_from_slice(&200u32.to_be_bytes());
    // The peer id.
    datagram[36..56].fill(0xaa);
    let response = udp.answer(&datagram, ip("::1"), NOW).unwrap();
    let mut out = Vec::new();
    response.encode_into(AddressFamily::V6, &mut out);
    // A header of 20 bytes, and 67 peers of 18 bytes: the most that fit into `MAX_DATAGRAM`.
    assert_eq!(out.len(), 20 + 67 * 18);
}

proptest! {
    #[test]
    fn no_datagram_causes_a_panic(body: Vec<u8>, has_valid_id: bool, action in 0u8..5) {
        let udp = udp(AnnouncePolicy::Open);
        let connection = if has_valid_id { connect(&udp, "10.0.0.1") } else { NO_CONNECTION };
        let datagram = encode_datagram(connection, action, &body);
        if let Some(response) = udp.answer(&datagram, ip("10.0.0.1"), NOW) {
            response.encode_into(AddressFamily::V4, &mut Vec::new());
        }
        // Random bytes are no connect request, and contain no valid connection id.
        prop_assert!(udp.answer(&body, ip("10.0.0.1"), NOW).is_none());
    }

    #[test]
    fn without_a_valid_connection_id_no_answer_is_longer_than_its_request(
        body: Vec<u8>,
        action in 0u8..5
    ) {
        let udp = udp(AnnouncePolicy::Open);
        let datagram = encode_datagram(NO_CONNECTION, action, &body);
        let mut out = Vec::new();
        if let Some(response) = udp.answer(&datagram, ip("10.0.0.1"), NOW) {
            response.encode_into(AddressFamily::V4, &mut out);
        }
        prop_assert!(out.len() <= datagram.len());
    }
}

fn encode_datagram(connection: ConnectionId, action: u8, body: &[u8]) -> Vec<u8> {
    [&connection.0[..], &[0, 0, 0, action], b"tran", body].concat()
}

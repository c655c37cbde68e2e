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
        cluster: None,
    });
    UdpService::new(service, hmac::Key::new(hmac::HMAC_SHA256, b"key"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn announce(connection: ConnectionId, peer: u8, left: u64) -> Vec<u8> {
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

fn scrape(connection: ConnectionId, swarms: &[u8]) -> Vec<u8> {
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

fn announced(udp: &UdpService, from: &str, peer: u8, left: u64) -> UdpAnnounceResponse {
    let connection = connect(udp, from);
    match udp.answer(&announce(connection, peer, left), ip(from), NOW) {
        Some(UdpResponse::Announce { announced, .. }) => announced,
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_contain_peers_of_one_family_and_a_scrape_counts_all() {
    let udp = udp(AnnouncePolicy::Open);
    assert_eq!(announced(&udp, "10.0.0.1", 1, 0).peers, []);
    let second = announced(&udp, "10.0.0.2", 2, 5);
    assert_eq!(second.peers, ["10.0.0.1:1001".parse().unwrap()]);
    assert_eq!(
        (second.seeders, second.leechers, second.interval),
        (1, 1, 120)
    );
    let third = announced(&udp, "2001:db8::3", 3, 5);
    assert_eq!((third.peers.len(), third.leechers), (0, 2));
    let mapped = announced(&udp, "::ffff:10.0.0.4", 4, 5);
    assert_eq!(mapped.peers.len(), 2);
    let asked = scrape(connect(&udp, "10.0.0.2"), &[9, 1, 9]);
    let counts = SwarmCounts {
        complete: 1,
        downloaded: 0,
        incomplete: 3,
    };
    let response = udp.answer(&asked, ip("10.0.0.2"), NOW);
    let none = SwarmCounts::default();
    assert!(
        matches!(&response, Some(UdpResponse::Scrape { counts: all, .. }) if *all == [none, counts, none]),
        "{response:?}"
    );
}

#[test]
fn a_client_without_a_valid_id_gets_no_answer() {
    let udp = udp(AnnouncePolicy::Open);
    let theirs = connect(&udp, "10.0.0.9");
    let old = udp.connection_ids.issue(ip("10.0.0.1"), Duration::ZERO);
    for connection in [theirs, old, NO_CONNECTION, ConnectionId([0; 8])] {
        let whole = announce(connection, 1, 5);
        for datagram in [
            &whole[..],
            &whole[..97],
            &whole[..16],
            &whole[..15],
            &scrape(connection, &[1]),
            b"",
        ] {
            let response = udp.answer(datagram, ip("10.0.0.1"), NOW);
            assert_eq!(response, None, "{connection:?} {datagram:?}");
        }
    }
    assert_eq!(udp.service.swarms.peers(), 0);
    let request = UdpRequest::Connect {
        transaction: TRANSACTION,
    };
    let long = [request.encode(), vec![0; 100]].concat();
    assert_eq!(udp.answer(&long, ip("10.0.0.1"), NOW), None);
}

#[test]
fn a_client_with_a_valid_id_gets_an_error() {
    for (access, start) in [
        (AnnouncePolicy::Open, "a request of 97 bytes"),
        (AnnouncePolicy::NotOpen, "a request of 97 bytes"),
    ] {
        let udp = udp(access);
        let cut = &announce(connect(&udp, "::1"), 1, 5)[..97];
        let response = udp.answer(cut, ip("::1"), NOW);
        assert!(
            matches!(&response, Some(UdpResponse::Error { message, transaction })
                if message.starts_with(start) && *transaction == TRANSACTION),
            "{response:?}"
        );
    }
    let shut = udp(AnnouncePolicy::NotOpen);
    let whole = announce(connect(&shut, "::1"), 1, 5);
    let response = shut.answer(&whole, ip("::1"), NOW);
    assert!(
        matches!(&response, Some(UdpResponse::Error { message, .. }) if message.contains("--open")),
        "{response:?}"
    );
}

#[test]
fn an_answer_contains_as_many_peers_as_fit_into_a_datagram() {
    let udp = udp(AnnouncePolicy::Open);
    for peer in 0..=255 {
        let from = format!("2001:db8::{peer:x}");
        announced(&udp, &from, peer, 5);
    }
    let connection = connect(&udp, "::1");
    let mut datagram = announce(connection, 7, 5);
    datagram[92..96].copy_from_slice(&200u32.to_be_bytes());
    datagram[36..56].fill(0xaa);
    let response = udp.answer(&datagram, ip("::1"), NOW).unwrap();
    let mut out = Vec::new();
    response.encode_into(AddressFamily::V6, &mut out);
    assert_eq!(out.len(), 20 + 67 * 18);
}

proptest! {
    #[test]
    fn no_datagram_causes_a_panic_or_a_longer_answer_without_a_valid_id(body: Vec<u8>, proven: bool, action in 0u8..5) {
        let udp = udp(AnnouncePolicy::Open);
        let connection = if proven { connect(&udp, "10.0.0.1") } else { NO_CONNECTION };
        let datagram = [&connection.0[..], &[0, 0, 0, action], b"tran", &body].concat();
        let mut out = Vec::new();
        if let Some(response) = udp.answer(&datagram, ip("10.0.0.1"), NOW) {
            response.encode_into(AddressFamily::V4, &mut out);
        }
        prop_assert!(proven || out.len() <= datagram.len());
        prop_assert!(udp.answer(&body, ip("10.0.0.1"), NOW).is_none());
    }
}

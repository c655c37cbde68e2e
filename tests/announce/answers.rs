//! Announces and scrapes over HTTP: what a tracker answers to peers of both address families and to
//! bad requests.

use super::trackers::{open_options, start_tracker};
use crate::common::http_client::{HttpClient, INFO_HASH, announce_target, peer_addresses};
use pieceful::bencode::{KeyOrder, Value};
use pieceful::tracker::{AnnouncePolicy, Tracker, TrackerOptions};
use pieceful::wire::{AnnounceResponse, ScrapeResponse};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

#[test]
fn two_peers_see_each_other_over_ipv4_and_over_ipv6() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let tracker = Tracker::start(open_options(address)).unwrap();
        let mut client = HttpClient::new(tracker.address());
        let at = |port| SocketAddr::new(tracker.address().ip(), port);
        let first = client.announce('b', 1001, "&event=started");
        assert_eq!(
            (peer_addresses(&first), first.incomplete),
            (vec![], Some(1))
        );
        assert_eq!(first.interval, Duration::from_secs(120));
        assert_eq!(first.external_ip, Some(tracker.address().ip()));
        let second = client.announce('c', 1002, "&pieceful=1");
        assert_eq!(
            (peer_addresses(&second), second.incomplete),
            (vec![at(1001)], Some(2))
        );
        assert_eq!(second.interval, Duration::from_secs(20));
        assert_eq!(peer_addresses(&client.announce('b', 1001, "")), [at(1002)]);
        tracker.stop();
    }
}

#[test]
fn a_socket_of_both_families_lists_peers_by_the_addresses_they_announced_from() {
    let tracker = Tracker::start(open_options("[::]:0")).unwrap();
    let port = tracker.address().port();
    let (v4, v6) = (
        IpAddr::from([127, 0, 0, 1]),
        "::1".parse::<IpAddr>().unwrap(),
    );
    HttpClient::new((v4, port).into()).announce('b', 1001, "");
    let answer = HttpClient::new((v6, port).into()).announce('c', 1002, "");
    assert_eq!(peer_addresses(&answer), [SocketAddr::new(v4, 1001)]);
    let answer = HttpClient::new((v4, port).into()).get(&announce_target('b', 1001, ""));
    let answer = Value::parse(&answer.body, KeyOrder::Sorted).unwrap();
    let peers6 = answer.dictionary().unwrap().value("peers6");
    assert_eq!(peers6.and_then(Value::bytes).map(<[u8]>::len), Some(18));
}

#[test]
fn a_list_that_is_not_compact_contains_peer_ids() {
    let tracker = start_tracker();
    let mut client = HttpClient::new(tracker.address());
    client.announce('b', 1001, "");
    let listed = client.announce('c', 1002, "&compact=0");
    assert_eq!(listed.peers[0].id.unwrap().0, [b'b'; 20]);
    let bare = client.announce('c', 1002, "&compact=0&no_peer_id=1");
    assert_eq!((bare.peers[0].id, bare.peers.len()), (None, 1));
}

#[test]
fn a_peer_that_stops_leaves_at_once_and_a_scrape_counts_the_others() {
    let tracker = start_tracker();
    let mut client = HttpClient::new(tracker.address());
    client.announce('b', 1001, "&event=started");
    client.announce('c', 1002, "");
    let mut scrape = || {
        let response = client.get(&format!(
            "/scrape?{INFO_HASH}&info_hash={}",
            "%00".repeat(20)
        ));
        let response = ScrapeResponse::parse(&response.body).unwrap();
        let counts = response.files.values();
        counts
            .map(|swarm| (swarm.complete, swarm.downloaded, swarm.incomplete))
            .collect::<Vec<_>>()
    };
    assert_eq!(scrape(), [(0, 0, 2)]);
    let mut other = HttpClient::new(tracker.address());
    let query = announce_target('c', 1002, "&event=completed").replace("left=1", "left=0");
    other.get(&query);
    assert_eq!(scrape(), [(1, 1, 1)]);
    let answer = other.announce('c', 1002, "&event=stopped");
    assert_eq!(
        (peer_addresses(&answer), answer.complete),
        (vec![], Some(0))
    );
    assert_eq!(scrape(), [(0, 1, 1)]);
    assert_eq!(peer_addresses(&other.announce('d', 1003, "")).len(), 1);
    other.announce('b', 1001, "&event=stopped");
    other.announce('d', 1003, "&event=stopped");
    assert_eq!(scrape(), [], "an empty swarm is forgotten");
    assert_eq!(
        client.get("/scrape").refusal(),
        "a scrape must name an info_hash"
    );
}

#[test]
fn stats_and_metrics_are_public_and_name_no_peer() {
    let closed = Tracker::start(TrackerOptions {
        access: AnnouncePolicy::NotOpen,
        ..open_options("127.0.0.1:0")
    });
    let (open, closed) = (start_tracker(), closed.unwrap());
    HttpClient::new(open.address()).announce('b', 1001, "&uploaded=5");
    HttpClient::new(open.address()).announce('b', 1001, "&uploaded=12");
    for (tracker, peers, announces) in [(&open, 1, 2), (&closed, 0, 0)] {
        let mut client = HttpClient::new(tracker.address());
        let stats = client.get("/stats");
        assert!(
            stats.has_status("200") && stats.head.contains("Content-Type: application/json\r\n")
        );
        let values: serde_json::Value = serde_json::from_slice(&stats.body).unwrap();
        assert_eq!(
            (&values["peers"], &values["announces"]),
            (&peers.into(), &announces.into())
        );
        assert_eq!(values["version"], env!("CARGO_PKG_VERSION"));
        let metrics = client.get("/metrics");
        assert!(
            metrics
                .head
                .contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n")
        );
        let text = String::from_utf8(metrics.body).unwrap();
        assert!(
            text.contains(&format!("\npieceful_announces_total {announces}\n")),
            "{text}"
        );
        assert!(
            text.contains(&format!("\npieceful_peers{{kind=\"leech\"}} {peers}\n")),
            "{text}"
        );
        for text in [&text, &values.to_string()] {
            assert!(!text.contains("aaaa") && !text.contains("6161") && !text.contains("127.0"));
        }
    }
}

#[test]
fn silent_peers_are_removed_although_nobody_announces() {
    let quick = TrackerOptions {
        interval: Duration::from_millis(40),
        ..open_options("127.0.0.1:0")
    };
    let tracker = Tracker::start(quick).unwrap();
    let mut client = HttpClient::new(tracker.address());
    client.announce('b', 1001, "&pieceful=1");
    let started = Instant::now();
    while client.get(&format!("/scrape?{INFO_HASH}")).body != b"d5:filesdee" {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "the silent peer is still there"
        );
    }
}

#[test]
fn an_address_in_the_query_is_ignored() {
    let tracker = start_tracker();
    let mut client = HttpClient::new(tracker.address());
    client.announce('b', 1001, "&ip=192.0.2.1&ipv6=2001:db8::1&ipv4=192.0.2.1");
    let answer = client
        .send(format!(
            "GET {} HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
            announce_target('c', 1002, "")
        ))
        .response();
    let answer = AnnounceResponse::parse(&answer.body).unwrap();
    assert_eq!(peer_addresses(&answer), ["127.0.0.1:1001".parse().unwrap()]);
    assert_eq!(answer.external_ip, Some([127, 0, 0, 1].into()));
}

#[test]
fn bad_announces_get_a_reason_and_the_connection_stays_open() {
    let tracker = start_tracker();
    let mut client = HttpClient::new(tracker.address());
    let id = format!("peer_id={}", "b".repeat(20));
    let (short, long) = ("a".repeat(19), "a".repeat(21));
    for (query, reason) in [
        (format!("{INFO_HASH}&{id}&port=0"), "port must be"),
        (format!("{INFO_HASH}&{id}&port=65536"), "port must be"),
        (
            format!("info_hash={short}&{id}&port=1"),
            "info_hash must be 20 bytes",
        ),
        (
            format!("info_hash={long}&{id}&port=1"),
            "info_hash must be 20 bytes",
        ),
        (
            format!("info_hash=%zz&{id}&port=1"),
            "the query has a malformed %-escape",
        ),
        (
            format!("{INFO_HASH}&info_hash={}&{id}&port=1", "z".repeat(20)),
            "the announce has info_hash twice",
        ),
        (format!("{INFO_HASH}&{id}&port"), "port must be"),
        (
            format!("{INFO_HASH}&{id}&port=1&left=all"),
            "left must be a number",
        ),
        (
            format!("{INFO_HASH}&{id}&port=1&numwant=all"),
            "numwant must be a number",
        ),
        (String::new(), "the announce lacks info_hash"),
    ] {
        let refusal = client.get(&format!("/announce?{query}")).refusal();
        assert!(refusal.starts_with(reason), "{query}: {refusal}");
    }
}

#[test]
fn numwant_is_50_by_default_and_at_most_200() {
    let tracker = start_tracker();
    let mut client = HttpClient::new(tracker.address());
    for number in 0..=250 {
        let query = format!("{INFO_HASH}&peer_id={number:020}&port={}", 2000 + number);
        assert!(client.get(&format!("/announce?{query}")).has_status("200"));
    }
    for (want, expected) in [
        ("-1", 50),
        ("", 50),
        ("0", 0),
        ("99999999999999999999", 200),
    ] {
        let more = if want.is_empty() {
            String::new()
        } else {
            format!("&numwant={want}")
        };
        assert_eq!(
            client.announce('b', 1001, &more).peers.len(),
            expected,
            "{want}"
        );
    }
}

#[test]
fn odd_announces_of_other_clients_are_answered_and_do_not_count_as_seeds() {
    let tracker = start_tracker();
    let mut client = HttpClient::new(tracker.address());
    let base = format!("{INFO_HASH}&peer_id={}&port=1", "b".repeat(20));
    for odd in [
        "left=-1",
        "left&",
        "left=",
        "left=18446744073709551616",
        "uploaded=99999999999999999999&downloaded=-1",
        "supportcrypto&compact&no_peer_id&numwant=",
        "left=5&key=a&left=5&key=a",
        "user=100%",
        "event=&ip=&trackerid=",
    ] {
        let answer = client.get(&format!("/announce?{base}&{odd}"));
        let answer = AnnounceResponse::parse(&answer.body);
        let answer = answer.unwrap_or_else(|error| panic!("{odd}: {error}"));
        assert_eq!(
            (answer.complete, answer.incomplete),
            (Some(0), Some(1)),
            "{odd}"
        );
    }
}

#[test]
fn a_peer_id_in_use_is_refused_from_another_address_without_its_key() {
    let tracker = Tracker::start(open_options("[::]:0")).unwrap();
    let port = tracker.address().port();
    let mut victim = HttpClient::new(([127, 0, 0, 1], port).into());
    victim.announce('b', 1001, "&key=secret");
    let mut thief = HttpClient::new(("::1".parse::<IpAddr>().unwrap(), port).into());
    for more in ["&event=stopped", "&event=stopped&key=guess", ""] {
        let refusal = thief.get(&announce_target('b', 1001, more)).refusal();
        assert!(
            refusal.starts_with("another peer uses this peer_id"),
            "{refusal}"
        );
    }
    assert_eq!(peer_addresses(&victim.announce('c', 1002, "")).len(), 1);
    assert_eq!(thief.announce('b', 1001, "&key=secret").incomplete, Some(2));
}

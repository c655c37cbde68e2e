//! The figures of a tracker: `/stats` and `/metrics`.

use crate::common::http_client::{HttpClient, stats};
use crate::common::sandbox::Sandbox;
use crate::common::udp_client::UdpClient;
use std::collections::HashMap;

/// The query of an announce: swarm, peer, bytes left, and bytes uploaded and downloaded.
fn query(swarm: char, peer: char, left: u64, (up, down): (u64, u64), event: &str) -> String {
    let twenty = |letter: char| String::from(letter).repeat(20);
    format!(
        "info_hash={}&peer_id={}&port={}&left={left}&uploaded={up}&downloaded={down}{event}",
        twenty(swarm),
        twenty(peer),
        u32::from(peer)
    )
}

/// The samples of `/metrics` that are whole numbers, by name.
fn metrics(http: &mut HttpClient) -> HashMap<String, u64> {
    let metrics = String::from_utf8(http.get("/metrics").body).unwrap();
    metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect()
}

#[test]
fn stats_and_metrics_count_announces_over_http_and_udp_alike() {
    let sandbox = Sandbox::new();
    let tracker = sandbox.tracker(&[]);
    let (mut http, mut udp) = (
        HttpClient::new(tracker.address),
        UdpClient::new(tracker.address),
    );
    let mut over_http = |query: String| {
        assert!(http.get(&format!("/announce?{query}")).has_status("200"));
    };
    let mut over_udp = |query: String| drop(udp.announce_query(&query));
    // Two swarms, one of them with peers over both protocols. A third swarm begins and ends.
    over_http(query('a', 'p', 9, (100, 50), "&event=started"));
    over_udp(query('a', 'q', 9, (7, 7), "&event=started"));
    over_udp(query('b', 'r', 0, (0, 0), ""));
    over_http(query('c', 's', 9, (0, 0), "&event=started"));
    // Bytes before the first announce are not counted, and a second `started` begins a new count.
    over_http(query('a', 'p', 5, (1_100, 550), ""));
    over_http(query('a', 'p', 0, (1_101, 1_050), "&event=completed"));
    over_udp(query('a', 'q', 9, (70_007, 30_007), ""));
    over_udp(query('a', 'q', 9, (3, 3), "&event=started"));
    over_udp(query('b', 'r', 0, (5_000, 0), ""));
    over_http(query('c', 's', 9, (8, 0), "&event=stopped"));
    let bytes = [1_000 + 1 + 70_000 + 5_000 + 8, 500 + 500 + 30_000];
    assert!(
        http.get("/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa")
            .has_status("200")
    );
    let stats = stats(tracker.address);
    let metrics = metrics(&mut http);
    for (name, sample, value) in [
        ("swarms", "swarms", 2),
        ("seeds", "peers{kind=\"seed\"}", 2),
        ("leeches", "peers{kind=\"leech\"}", 1),
        ("announces", "announces_total", 10),
        ("scrapes", "scrapes_total", 1),
        ("uploaded_bytes", "uploaded_bytes_total", bytes[0]),
        ("downloaded_bytes", "downloaded_bytes_total", bytes[1]),
    ] {
        let sample = format!("pieceful_{sample}");
        assert_eq!(stats[name], value, "{name}: {stats}");
        assert_eq!(metrics.get(sample.as_str()), Some(&value), "{sample}");
    }
    assert_eq!(stats["peers"], 3);
}

//! Announces on loopback to trackers that answer, lie, refuse or are silent.

use super::*;
use crate::peer::announce::testing::request;
use crate::wire::udp_tracker::UdpAnnounceResponse;
use std::thread;

/// Starts a tracker that sends the datagrams of `answers` for each request, and ends after the
/// first announce. Returns its URL, and its thread, which returns the requests.
fn start_tracker(
    address: &str,
    answers: impl Fn(&UdpRequest) -> Vec<Vec<u8>> + Send + 'static,
) -> (String, thread::JoinHandle<Vec<UdpRequest>>) {
    let socket = UdpSocket::bind(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let url = format!("udp://{}/announce?a=b", socket.local_addr().unwrap());
    let requests = thread::spawn(move || {
        let (mut requests, mut datagram) = (Vec::new(), [0; 2_000]);
        loop {
            let (length, from) = socket.recv_from(&mut datagram).unwrap();
            let request = UdpRequest::parse(&datagram[..length]).unwrap();
            for answer in answers(&request) {
                socket.send_to(&answer, from).unwrap();
            }
            requests.push(request);
            if matches!(requests.last(), Some(UdpRequest::Announce { .. })) {
                return requests;
            }
        }
    });
    (url, requests)
}

fn encode(response: &UdpResponse, family: AddressFamily) -> Vec<u8> {
    let mut out = Vec::new();
    response.encode_into(family, &mut out);
    out
}

/// The answer of an honest tracker that knows one peer.
fn honest(request: &UdpRequest, peer: &str) -> UdpResponse {
    let transaction = request.transaction();
    match request {
        UdpRequest::Announce { .. } => UdpResponse::Announce {
            transaction,
            announced: UdpAnnounceResponse {
                interval: 5,
                leechers: 2,
                seeders: 1,
                peers: vec![peer.parse().unwrap()],
            },
        },
        _ => UdpResponse::Connect {
            transaction,
            connection: ConnectionId(*b"identity"),
        },
    }
}

fn ask(url: &str, limit: Duration) -> Result<AnnounceResponse, AnnounceFailure> {
    UdpTrackers::new(AnnounceSource::new([0, 0, 0, 0].into())).announce(
        url,
        &request(),
        limit,
        &|| false,
    )
}

#[test]
fn an_announce_over_either_family_returns_peers() {
    for (address, peer, family) in [
        ("127.0.0.1:0", "10.0.0.1:6881", AddressFamily::V4),
        ("[::1]:0", "[2001:db8::1]:6881", AddressFamily::V6),
    ] {
        let (url, requests) = start_tracker(address, move |request| {
            let answer = encode(&honest(request, peer), family);
            // Wrong datagrams come first: truncated, not of BEP 15, of another transaction or kind.
            let mut other_transaction = answer.clone();
            other_transaction[4] ^= 1;
            let mut other_kind = answer.clone();
            other_kind[3] = 2;
            other_kind.truncate(8);
            vec![
                vec![],
                answer[..7].to_vec(),
                b"noise".to_vec(),
                other_transaction,
                other_kind,
                answer,
            ]
        });
        let answer = ask(&url, ANNOUNCE_LIMIT).unwrap();
        assert_eq!(answer.peers.len(), 1);
        assert_eq!(answer.peers[0].address, peer.parse().unwrap());
        assert_eq!(
            answer.interval,
            Duration::from_secs(60),
            "the interval has a lower limit"
        );
        let requests = requests.join().unwrap();
        assert!(
            matches!(&requests[..], [UdpRequest::Connect { .. }, UdpRequest::Announce { connection, url_data, .. }]
                if connection.0 == *b"identity" && url_data == b"/announce?a=b"),
            "{requests:?}"
        );
        assert_ne!(requests[0].transaction(), requests[1].transaction());
    }
}

#[test]
fn a_refusal_is_an_error_with_its_message() {
    let (url, requests) = start_tracker("127.0.0.1:0", |request| {
        let transaction = request.transaction();
        let response = match request {
            UdpRequest::Announce { .. } => UdpResponse::Error {
                transaction,
                message: "not here".to_owned(),
            },
            _ => honest(request, "10.0.0.1:1"),
        };
        vec![encode(&response, AddressFamily::V4)]
    });
    assert_eq!(
        ask(&url, ANNOUNCE_LIMIT),
        Err(AnnounceFailure::Refused(Refusal {
            reason: "the tracker refuses: not here".to_owned(),
            retry: None,
        }))
    );
    requests.join().unwrap();
}

#[test]
fn a_silent_tracker_is_left_alone_for_longer_each_time() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("udp://{}", silent.local_addr().unwrap());
    let trackers = UdpTrackers::new(AnnounceSource::new([0, 0, 0, 0].into()));
    let ask = || trackers.announce(&url, &request(), Duration::from_millis(1), &|| false);
    let failure = || ask().unwrap_err().to_string();
    assert!(failure().ends_with("does not answer over UDP"));
    assert!(failure().ends_with("does not answer over UDP"));
    silent
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut datagram = [0; 100];
    assert_eq!(silent.recv(&mut datagram).unwrap(), 16);
    silent.set_nonblocking(true).unwrap();
    assert!(
        silent.recv(&mut datagram).is_err(),
        "nothing was sent the second time"
    );
    let pauses: Vec<u64> = (0..6).map(|before| pause_after(before).as_secs()).collect();
    assert_eq!(pauses, [15, 30, 60, 120, 120, 120]);
    assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
}

#[test]
fn a_wait_ends_when_the_peer_stops() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("udp://{}", silent.local_addr().unwrap());
    let begun = Instant::now();
    let answer = UdpTrackers::new(AnnounceSource::new([0, 0, 0, 0].into())).announce(
        &url,
        &request(),
        ANNOUNCE_LIMIT,
        &|| true,
    );
    assert_eq!(
        answer,
        Err(AnnounceFailure::Final("the peer stops".to_owned()))
    );
    assert!(begun.elapsed() < WAIT);
}

#[test]
fn a_closed_port_is_reported_at_once() {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("udp://{}", free.local_addr().unwrap());
    drop(free);
    let begun = Instant::now();
    assert!(
        ask(&url, ANNOUNCE_LIMIT)
            .unwrap_err()
            .to_string()
            .contains("refused")
    );
    assert!(begun.elapsed() < WAIT);
}

#[test]
fn urls_are_parsed() {
    for (url, host, url_data) in [
        ("udp://a:1", "a:1", ""),
        ("udp://a.example:6969/", "a.example:6969", ""),
        ("udp://[::1]:80/announce", "[::1]:80", "/announce"),
        ("udp://1.2.3.4:5?x=/y", "1.2.3.4:5", "?x=/y"),
        ("udp://user:pw@a:1/x@y", "a:1", "/x@y"),
    ] {
        let (found, data) = parse_url(url).unwrap();
        assert_eq!((found.to_string().as_str(), data), (host, url_data));
    }
    for url in [
        "udp://a",
        "udp://a/announce",
        "udp://:1",
        "udp://a:0",
        "udp://",
    ] {
        assert!(parse_url(url).is_err(), "{url}");
    }
}

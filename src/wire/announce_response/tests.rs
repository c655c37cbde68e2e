use super::peers::MAX_NAMED;
use super::*;
use crate::bencode;
use crate::wire::PeerId;
use proptest::prelude::*;

fn response() -> AnnounceResponse {
    AnnounceResponse {
        interval: Duration::from_secs(120),
        min_interval: None,
        complete: None,
        incomplete: None,
        peers: vec![],
        named_peers: vec![],
        external_ip: None,
        pieceful: false,
        tracker_id: None,
        warning: None,
    }
}

fn peer(address: &str) -> SwarmPeer {
    SwarmPeer {
        address: address.parse().unwrap(),
        id: None,
    }
}

/// Responses. For each: the format of its peer list, and the encoded response.
fn table() -> Vec<(AnnounceResponse, PeerListFormat, &'static [u8])> {
    let full = AnnounceResponse {
        interval: Duration::from_secs(20),
        min_interval: Some(Duration::from_secs(10)),
        complete: Some(2),
        incomplete: Some(0),
        peers: vec![peer("1.2.3.4:258"), peer("[::1]:6881")],
        named_peers: vec![],
        external_ip: Some([9, 8, 7, 6].into()),
        pieceful: true,
        tracker_id: Some(b"\xff&".to_vec()),
        warning: Some("soon".into()),
    };
    let mut with_id = peer("[::1]:6881");
    with_id.id = Some(PeerId([b'a'; 20]));
    let listed = AnnounceResponse {
        peers: vec![with_id, peer("1.2.3.4:258")],
        ..response()
    };
    vec![
        (response(), PeerListFormat::Compact, b"d8:intervali120e5:peers0:e"),
        (
            full,
            PeerListFormat::Compact,
            b"d8:completei2e11:external ip4:\x09\x08\x07\x0610:incompletei0e8:intervali20e12:min intervali10e\
              5:peers6:\x01\x02\x03\x04\x01\x026:peers618:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1\
              8:piecefuli1e10:tracker id2:\xff&15:warning message4:soone",
        ),
        (
            listed,
            PeerListFormat::Dictionaries,
            b"d8:intervali120e5:peersld2:ip3:::17:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti6881ee\
              d2:ip7:1.2.3.44:porti258eeee",
        ),
    ]
}

#[test]
fn each_response_is_encoded_and_parsed_again() {
    for (response, format, bytes) in table() {
        assert_eq!(
            response.encode(format).escape_ascii().to_string(),
            bytes.escape_ascii().to_string()
        );
        assert_eq!(AnnounceResponse::parse(bytes), Ok(response));
    }
}

#[test]
fn odd_values_of_other_trackers_are_limited_or_left_out() {
    let interval = |bytes: &str| {
        AnnounceResponse::parse(bytes.as_bytes())
            .unwrap()
            .interval
            .as_secs()
    };
    assert_eq!(interval("d8:intervali0e5:peers0:e"), 60);
    assert_eq!(interval("d8:intervali-5e5:peers0:e"), 60);
    assert_eq!(interval("d8:intervali2147483648e5:peers0:e"), 86_400);
    assert_eq!(interval("d8:intervali5e8:piecefuli1e5:peers0:e"), 5);
    assert_eq!(interval("d8:intervali0e8:piecefuli1e5:peers0:e"), 1);
    assert_eq!(interval("de"), 1_800);

    let odd = b"d5:peersld2:ip11:example.com4:porti1eed2:ip7:1.2.3.44:porti65536eed2:ip7:1.2.3.44:porti0ee\
        d2:ip7:0.0.0.04:porti1eei5ed2:ip14:::ffff:1.2.3.44:porti9eee8:completei-1ee";
    let odd = AnnounceResponse::parse(odd).unwrap();
    assert_eq!((odd.complete, odd.peers), (None, vec![peer("1.2.3.4:9")]));
    let named: Vec<String> = odd.named_peers.iter().map(HostPort::to_string).collect();
    assert_eq!(named, ["example.com:1"]);

    let read = |bytes: &str| AnnounceResponse::parse(bytes.as_bytes()).unwrap();
    let response = read("d15:warning message9:a\x1b[2J\u{202e}be");
    assert_eq!(response.warning.as_deref(), Some("a\\u{1b}[2J\\u{202e}b"));
    let long = "x".repeat(301);
    let response = read(&format!(
        "d10:tracker id201:{}15:warning message301:{long}e",
        &long[..201]
    ));
    let warning = response.warning.unwrap();
    assert_eq!((response.tracker_id, warning.len()), (None, 300));
    let response = read("d10:tracker id0:15:warning messagei5ee");
    assert_eq!((response.tracker_id, response.warning), (None, None));

    let impossible = b"d5:peers24:\0\0\0\0\x01\x01\x01\x01\x01\x01\0\0\xff\xff\xff\xff\x01\x01\xe0\0\0\x01\x01\x016:peers60:e";
    assert_eq!(AnnounceResponse::parse(impossible).unwrap().peers, []);

    let mut many = format!("d5:peers{}:", 6 * (MAX_PEERS + 1)).into_bytes();
    many.extend([1, 2, 3, 4, 5, 6].repeat(MAX_PEERS + 1));
    many.push(b'e');
    assert_eq!(
        AnnounceResponse::parse(&many).unwrap().peers.len(),
        MAX_PEERS
    );
}

#[test]
fn each_kind_of_bad_response_has_its_own_error() {
    let long = [b"d1:a1048570:".as_slice(), &vec![b'x'; MAX_RESPONSE]].concat();
    let table: &[(&[u8], ResponseError)] = &[
        (b"", ResponseError::Bencode(bencode::Error::Truncated(0))),
        (
            b"<html>",
            ResponseError::Bencode(bencode::Error::Unexpected(0)),
        ),
        (b"le", ResponseError::NotDictionary),
        (b"d5:peersi5ee", ResponseError::Malformed("peers")),
        (&long, ResponseError::TooLong),
    ];
    for (bytes, error) in table {
        assert_eq!(AnnounceResponse::parse(bytes).as_ref(), Err(error));
    }
}

#[test]
fn a_refusal_has_its_reason_and_the_time_of_the_next_request() {
    let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
    for (bytes, reason, retry) in [
        (&b"d14:failure reason2:noe"[..], "no", None),
        (&encode_failure("no"), "no", None),
        (b"d14:failure reasoni5ee", "i5e", None),
        (
            b"d14:failure reason6:a\x1bb\xe2\x80\xaee",
            r"a\u{1b}b\u{202e}",
            None,
        ),
        (b"d14:failure reason1:x8:intervali7200ee", "x", minutes(120)),
        (b"d14:failure reason1:x8:intervali5ee", "x", minutes(1)),
        (
            b"d14:failure reason1:x12:min interval3:120e",
            "x",
            minutes(2),
        ),
        (
            b"d14:failure reason1:x8:intervali60e8:retry in2:30e",
            "x",
            minutes(30),
        ),
        (b"d14:failure reason1:x8:retry ini30ee", "x", minutes(30)),
        (
            b"d14:failure reason1:x8:retry in5:nevere",
            "x",
            minutes(24 * 60),
        ),
        (b"d14:failure reason1:x8:retry in4:soone", "x", None),
        (
            b"d14:failure reason1:x8:retry ini9223372036854775807ee",
            "x",
            minutes(24 * 60),
        ),
    ] {
        let reason = reason.to_owned();
        let refusal = ResponseError::Refused(Refusal { reason, retry });
        assert_eq!(AnnounceResponse::parse(bytes), Err(refusal));
    }
}

#[test]
fn an_odd_part_of_a_response_does_not_hide_the_rest() {
    let head = "d5:peers6:\u{1}\u{2}\u{3}\u{4}\u{0}\u{9}";
    for (odd, interval) in [
        ("8:interval4:1200", 1_200),
        ("8:intervalle", 1_800),
        ("8:interval4:soon8:complete1:x10:incompletele", 1_800),
        ("12:min interval0:", 1_800),
        ("6:peers6le", 1_800),
        ("6:peers63:abc", 1_800),
        ("14:failure reason0:", 1_800),
        ("8:pieceful3:yes", 1_800),
        ("15:warning messagei5e10:tracker idle", 1_800),
    ] {
        for (before, after) in [("", "e"), ("\r\n", "e\r\n"), ("", "e<!-- proxy -->")] {
            let bytes = format!("{before}{head}{odd}{after}");
            let response = AnnounceResponse::parse(bytes.as_bytes());
            let response = response.unwrap_or_else(|error| panic!("{bytes:?}: {error}"));
            assert_eq!(response.peers, [peer("1.2.3.4:9")], "{bytes:?}");
            assert_eq!(response.interval.as_secs(), interval, "{bytes:?}");
        }
    }
    let cut = AnnounceResponse::parse(b"d5:peers9:\x01\x02\x03\x04\0\x09\x01\x02\x03e");
    assert_eq!(cut.unwrap().peers, [peer("1.2.3.4:9")]);
    let text = AnnounceResponse::parse(b"d5:peersld2:ip9:127.0.0.14:port2:80eee");
    assert_eq!(text.unwrap().peers, [peer("127.0.0.1:80")]);
}

#[test]
fn at_most_8_host_names_are_read_and_malformed_ones_are_ignored() {
    let peers = (0..20).map(|at| format!("d2:ip4:h-{at:02}4:porti1ee"));
    let names = format!("d5:peersl{}ee", peers.collect::<String>());
    let response = AnnounceResponse::parse(names.as_bytes()).unwrap();
    assert_eq!(response.named_peers.len(), MAX_NAMED);
    for host in ["a b", "http://x", "", "x/", "a..b"] {
        let peers = format!("d5:peersld2:ip{}:{host}4:porti1eeee", host.len());
        let response = AnnounceResponse::parse(peers.as_bytes()).unwrap();
        assert_eq!(response.named_peers, [], "{host}");
    }
}

proptest! {
    #[test]
    fn parsing_any_bytes_never_panics(bytes: Vec<u8>) {
        let peers = [format!("d5:peers{}:", bytes.len()).as_bytes(), &bytes, b"e"].concat();
        prop_assert!(AnnounceResponse::parse(&peers).is_ok());
        let _ = AnnounceResponse::parse(&bytes);
    }
}

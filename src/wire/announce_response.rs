//! The response to an announce (BEP 3, "trackers"; BEP 23 compact peers; BEP 7 `peers6`; BEP 24
//! `external ip`; `tracker id` and `warning message` as in the specification of wiki.theory.org,
//! "tracker response").
//!
//! In scope: response to bytes and back. Responses of other trackers are read as far as they can
//! be: a value of the wrong type counts as missing, and bytes after the dictionary are ignored. The
//! number of peers, the interval and the length of texts are bounded here. Out of scope: HTTP.

use super::compact::{octets, read_canonical, read_ip, write_compact};
use super::{HostPort, PeerId};
use crate::bencode::{self, Dictionary, Item, KeyOrder, MAX_VALUES, Value};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The longest response that is read, in bytes.
pub const MAX_RESPONSE: usize = 1 << 20;
/// The most peers that are read from one response. The rest is ignored.
pub const MAX_PEERS: usize = 2_000;

/// The most peers with host names that are read from one response.
const MAX_NAMED: usize = 8;
/// The interval if a response has none.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30 * 60);
/// The shortest interval that is accepted from a tracker of another program.
const MIN_INTERVAL: Duration = Duration::from_secs(60);
/// The shortest interval that is accepted from a pieceful tracker.
const MIN_OWN_INTERVAL: Duration = Duration::from_secs(1);
/// The longest interval that is accepted from any tracker.
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// The most characters of a failure reason or a warning. The rest is cut.
const MAX_REASON_CHARS: usize = 300;
/// The longest `tracker id` that is accepted, in bytes. It becomes part of a URL.
const MAX_TRACKER_ID: usize = 200;

/// The response to an announce that the tracker accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceResponse {
    /// Time until the next announce, in whole seconds. After parsing it is at least a minute (a
    /// second for a pieceful tracker) and at most a day.
    pub interval: Duration,
    /// The shortest time that the tracker accepts until the next announce, in whole seconds.
    pub min_interval: Option<Duration>,
    /// The number of seeds in the swarm.
    pub complete: Option<u32>,
    /// The number of peers in the swarm that are not seeds.
    pub incomplete: Option<u32>,
    /// Other peers of the swarm. After parsing only addresses that can be connected to, IPv4 before
    /// IPv6.
    pub peers: Vec<SwarmPeer>,
    /// Other peers by host name (BEP 3). A pieceful tracker returns none.
    pub named_peers: Vec<HostPort>,
    /// The address that the announce came from (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// Whether the tracker is a pieceful tracker and knows that the peer is a pieceful peer. The
    /// key `pieceful` is an extension of this program.
    pub pieceful: bool,
    /// The peer must repeat this as `trackerid` in later announces. After parsing 1 to 200 bytes.
    pub tracker_id: Option<Vec<u8>>,
    /// A warning for the user of the peer. After parsing, unprintable characters are escaped.
    pub warning: Option<String>,
}

/// A peer in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwarmPeer {
    /// The address that the peer listens on.
    pub address: SocketAddr,
    /// The id of the peer, if the response has it.
    pub id: Option<PeerId>,
}

/// The format of the peers in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerListFormat {
    /// 6 bytes each under `peers`, 18 under `peers6` (BEP 23, BEP 7).
    Compact,
    /// A list of dictionaries under `peers` (BEP 3).
    Dictionaries,
}

/// Why a response cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The tracker refused the request.
    #[error("the tracker refuses: {0}")]
    Refused(Refusal),
    /// More than [`MAX_RESPONSE`] bytes.
    #[error("the tracker's answer is longer than {MAX_RESPONSE} bytes")]
    TooLong,
    /// Not bencode.
    #[error("the tracker's answer is not bencode")]
    Bencode(#[from] bencode::Error),
    /// Bencode, but not a dictionary.
    #[error("the tracker's answer is not a dictionary")]
    NotDictionary,
    /// A value of the wrong type or length.
    #[error("{0} in the tracker's answer is malformed")]
    Malformed(&'static str),
}

/// Why a tracker refuses, and when it may be asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason. Unprintable characters are escaped.
    pub reason: String,
    /// The pause before the next request: `retry in` (BEP 31) or the interval, from a minute to a
    /// day. `None` leaves it to the peer.
    pub retry: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl AnnounceResponse {
    /// The bencoded response.
    pub fn encode(&self, format: PeerListFormat) -> Vec<u8> {
        let mut entries = vec![("interval", self.interval.as_secs().into())];
        let optional = [
            (
                "min interval",
                self.min_interval.map(|min| min.as_secs().into()),
            ),
            ("complete", self.complete.map(Item::from)),
            ("incomplete", self.incomplete.map(Item::from)),
            ("external ip", self.external_ip.map(|ip| octets(ip).into())),
            ("pieceful", self.pieceful.then_some(Item::Integer(1))),
            ("tracker id", self.tracker_id.as_deref().map(<&[u8]>::into)),
            ("warning message", self.warning.as_deref().map(<&str>::into)),
        ];
        entries.extend(
            optional
                .into_iter()
                .filter_map(|(key, item)| Some((key, item?))),
        );
        match format {
            PeerListFormat::Compact => {
                let (mut v4, mut v6) = (Vec::with_capacity(6 * self.peers.len()), Vec::new());
                for peer in &self.peers {
                    let out = if peer.address.is_ipv4() {
                        &mut v4
                    } else {
                        &mut v6
                    };
                    write_compact(peer.address, out);
                }
                entries.push(("peers", v4.into()));
                if !v6.is_empty() {
                    entries.push(("peers6", v6.into()));
                }
            }
            PeerListFormat::Dictionaries => {
                let peers = self.peers.iter().map(|peer| {
                    let mut entries = vec![
                        ("ip", peer.address.ip().to_string().into()),
                        ("port", u32::from(peer.address.port()).into()),
                    ];
                    entries.extend(
                        peer.id
                            .as_ref()
                            .map(|id| ("peer id", id.0.as_slice().into())),
                    );
                    Item::dictionary(entries)
                });
                entries.push(("peers", Item::List(peers.collect())));
            }
        }
        Item::dictionary(entries).encode()
    }

    /// Reads a response. Addresses that no peer can have (port 0, 0.0.0.0, multicast) are dropped.
    ///
    /// # Errors
    /// See [`ResponseError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ResponseError> {
        let value = parse_response(bytes)?;
        let dictionary = value.dictionary().ok_or(ResponseError::NotDictionary)?;
        let pieceful = number(dictionary, "pieceful") == Some(1);
        let min_interval = if pieceful {
            MIN_OWN_INTERVAL
        } else {
            MIN_INTERVAL
        };
        let seconds = |number| seconds(number).clamp(min_interval, MAX_INTERVAL);
        let count = |key| number(dictionary, key).and_then(|number| u32::try_from(number).ok());
        let (peers, named_peers) = peers(dictionary)?;
        Ok(Self {
            interval: number(dictionary, "interval").map_or(DEFAULT_INTERVAL, seconds),
            min_interval: number(dictionary, "min interval").map(seconds),
            complete: count("complete"),
            incomplete: count("incomplete"),
            peers,
            named_peers,
            external_ip: dictionary
                .value("external ip")
                .and_then(Value::bytes)
                .and_then(read_ip)
                .map(|ip| ip.to_canonical()),
            pieceful,
            tracker_id: dictionary
                .value("tracker id")
                .and_then(Value::bytes)
                .filter(|id| (1..=MAX_TRACKER_ID).contains(&id.len()))
                .map(<[u8]>::to_vec),
            warning: dictionary
                .value("warning message")
                .and_then(Value::bytes)
                .filter(|warning| !warning.is_empty())
                .map(|warning| printable(&String::from_utf8_lossy(warning))),
        })
    }
}

/// The response that refuses an announce or a scrape (BEP 3, "failure reason").
pub fn encode_failure(reason: &str) -> Vec<u8> {
    Item::dictionary([("failure reason", reason.into())]).encode()
}

/// The interval that is used if a tracker of another program asks for `interval`.
pub fn bounded_interval(interval: Duration) -> Duration {
    interval.clamp(MIN_INTERVAL, MAX_INTERVAL)
}

/// Reads the bencode of any response, and ignores bytes around it. A response with a failure reason
/// is an error.
pub(super) fn parse_response(bytes: &[u8]) -> Result<Value<'_>, ResponseError> {
    if bytes.len() > MAX_RESPONSE {
        return Err(ResponseError::TooLong);
    }
    let bytes = bytes.trim_ascii_start();
    let (value, _) = Value::parse_prefix(bytes, KeyOrder::Any, MAX_VALUES)?;
    match value.dictionary().and_then(refusal) {
        Some(refusal) => Err(ResponseError::Refused(refusal)),
        None => Ok(value),
    }
}

/// The refusal in a response. A response with an empty reason is no refusal: some trackers always
/// send the key.
fn refusal(dictionary: &Dictionary<'_>) -> Option<Refusal> {
    let reason = dictionary.value("failure reason")?;
    let reason = match reason.bytes() {
        Some(reason) => String::from_utf8_lossy(reason),
        None => String::from_utf8_lossy(reason.raw()),
    };
    let minutes = |minutes| seconds(minutes).saturating_mul(60);
    let retry = match dictionary.value("retry in").and_then(Value::bytes) {
        Some(b"never") => Some(MAX_INTERVAL),
        _ => number(dictionary, "retry in").map(minutes),
    };
    let interval = ["interval", "min interval"];
    let interval = interval.into_iter().find_map(|key| number(dictionary, key));
    let retry = retry.or_else(|| interval.map(seconds));
    (!reason.trim().is_empty()).then(|| Refusal {
        reason: printable(reason.trim()),
        retry: retry.map(bounded_interval),
    })
}

/// A number, which may be written as text. `None` if it is missing or something else.
pub(super) fn number(dictionary: &Dictionary<'_>, key: &str) -> Option<i64> {
    as_number(dictionary.value(key)?)
}

fn as_number(value: &Value<'_>) -> Option<i64> {
    let text = || value.text()?.trim().parse().ok();
    value.integer().or_else(text)
}

/// A number of seconds. A negative one is 0.
fn seconds(number: i64) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

/// Text that is safe to show: cut to `MAX_REASON_CHARS`, with control characters and invisible
/// characters escaped.
pub fn printable(text: &str) -> String {
    text.chars().take(MAX_REASON_CHARS).fold(String::new(), |mut out, letter| {
        // Formatting characters, such as bidirectional ones, can hide text just as control
        // characters can.
        if letter.is_control() || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}') {
            out.extend(letter.escape_unicode());
        } else {
            out.push(letter);
        }
        out
    })
}

/// The peers with an IP address, and the peers with a host name.
fn peers(dictionary: &Dictionary<'_>) -> Result<(Vec<SwarmPeer>, Vec<HostPort>), ResponseError> {
    let (mut peers, mut named) = (Vec::new(), Vec::new());
    match dictionary.value("peers") {
        None => {}
        Some(value) => match (value.bytes(), value.list()) {
            (Some(compact), _) => compact_peers(compact, 4, &mut peers),
            (_, Some(list)) => {
                for peer in list {
                    dictionary_peer(peer, &mut peers, &mut named);
                }
            }
            _ => return Err(ResponseError::Malformed("peers")),
        },
    }
    if let Some(compact) = dictionary.value("peers6").and_then(Value::bytes) {
        compact_peers(compact, 16, &mut peers);
    }
    peers.retain(|peer| is_reachable(peer.address));
    peers.truncate(MAX_PEERS);
    Ok((peers, named))
}

/// Reads compact peers: `length` bytes of IP address and two bytes of port for each peer. If the
/// last peer is cut off, it is ignored.
fn compact_peers(bytes: &[u8], length: usize, peers: &mut Vec<SwarmPeer>) {
    let entries = bytes.chunks_exact(length + 2);
    peers.extend(entries.filter_map(|entry| {
        let address = read_canonical(entry)?;
        Some(SwarmPeer { address, id: None })
    }));
}

/// Reads a peer of the list of dictionaries (BEP 3). Its `ip` may be a host name. The caller looks
/// it up, because this module does no I/O. Other peers are ignored.
fn dictionary_peer(value: &Value<'_>, peers: &mut Vec<SwarmPeer>, named: &mut Vec<HostPort>) {
    let Some(entries) = value.dictionary() else {
        return;
    };
    let host = entries.value("ip").and_then(Value::text);
    let port = entries.value("port").and_then(as_number);
    let port = port.and_then(|port| u16::try_from(port).ok());
    let (Some(host), Some(port @ 1..)) = (host.map(str::trim), port) else {
        return;
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        let id = entries.value("peer id").and_then(Value::bytes);
        peers.push(SwarmPeer {
            address: SocketAddr::new(ip.to_canonical(), port),
            id: id.and_then(|id| id.try_into().ok()).map(PeerId),
        });
    } else if let Ok(host) = format!("{host}:{port}").parse()
        && named.len() < MAX_NAMED
        && !named.contains(&host)
    {
        named.push(host);
    }
}

/// Whether a peer can have this address.
pub(super) fn is_reachable(address: SocketAddr) -> bool {
    let ip = address.ip();
    address.port() != 0
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
}

#[cfg(test)]
mod tests {
    use super::*;
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

    /// Responses, the format of each, and its bytes.
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
        let mut named = peer("[::1]:6881");
        named.id = Some(PeerId([b'a'; 20]));
        let listed = AnnounceResponse {
            peers: vec![named, peer("1.2.3.4:258")],
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
    fn responses_of_other_trackers_are_accepted_within_bounds() {
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

        let unreachable = b"d5:peers24:\0\0\0\0\x01\x01\x01\x01\x01\x01\0\0\xff\xff\xff\xff\x01\x01\xe0\0\0\x01\x01\x016:peers60:e";
        assert_eq!(AnnounceResponse::parse(unreachable).unwrap().peers, []);

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
        for (rest, interval) in [
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
                let bytes = format!("{before}{head}{rest}{after}");
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
    fn the_number_of_host_names_is_bounded() {
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
}

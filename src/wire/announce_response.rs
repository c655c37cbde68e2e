//! The response to an announce (BEP 3, "trackers"; BEP 23 compact peers; BEP 7 `peers6`; BEP 24
//! `external ip`; `tracker id` and `warning message` as in the specification of wiki.theory.org,
//! "tracker response").
//!
//! In scope: response to bytes and back. Responses of other tracker programs are read as far as
//! possible: a value of the wrong type counts as missing (but a wrong `peers` is an error), and
//! bytes after the dictionary are ignored. The number of peers, the interval and the length of
//! texts are bounded here. Out of scope: HTTP.

mod peers;
mod refusal;
#[cfg(test)]
mod tests;
mod values;

pub use peers::{MAX_PEERS, SwarmPeer};
pub use refusal::{MAX_RESPONSE, Refusal, ResponseError, encode_failure};
pub use values::{bounded_interval, printable};

use super::HostPort;
use super::compact::{octets, read_ip, write_compact};
use crate::bencode::{Item, Value};
pub(super) use peers::is_peer_address;
use peers::peers;
pub(super) use refusal::parse_response;
use std::net::IpAddr;
use std::time::Duration;
pub(super) use values::number;
use values::{MAX_INTERVAL, MIN_INTERVAL, seconds};

/// The interval if a response has none.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30 * 60);
/// The shortest interval that is accepted from a pieceful tracker.
const MIN_OWN_INTERVAL: Duration = Duration::from_secs(1);
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
    /// Other peers of the swarm. Parsing drops addresses that no peer can have, and puts the peers
    /// of `peers` before those of `peers6`.
    pub peers: Vec<SwarmPeer>,
    /// Other peers by host name (BEP 3). A pieceful tracker returns none.
    pub named_peers: Vec<HostPort>,
    /// The address that the announce came from (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// Whether the tracker is a pieceful tracker and knows that the peer is a pieceful peer. The
    /// key `pieceful` is an extension of this program.
    pub pieceful: bool,
    /// The peer must repeat this as `trackerid` in later announces. After parsing, it has 1 to 200
    /// bytes.
    pub tracker_id: Option<Vec<u8>>,
    /// A warning for the user of the peer. After parsing, unprintable characters are escaped.
    pub warning: Option<String>,
}

/// The format of the peers in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerListFormat {
    /// 6 bytes for each IPv4 peer under `peers` (BEP 23), 18 for each IPv6 peer under `peers6`
    /// (BEP 7).
    Compact,
    /// A list of dictionaries under `peers` (BEP 3).
    Dictionaries,
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
        let shortest = if pieceful {
            MIN_OWN_INTERVAL
        } else {
            MIN_INTERVAL
        };
        let seconds = |number| seconds(number).clamp(shortest, MAX_INTERVAL);
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

/// The fuzz function of the parser: what is written is read back. Encoding leaves out the peers
/// with host names. The compact format also leaves out the ids of peers, and puts IPv4 peers first.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(bytes: &[u8]) {
    let Ok(mut response) = AnnounceResponse::parse(bytes) else {
        return;
    };
    response.named_peers.clear();
    let again = AnnounceResponse::parse(&response.encode(PeerListFormat::Dictionaries));
    // `printable` cuts a text, and then escapes it, which may make it longer. So the second parse
    // may cut it once more.
    let again = again.map(|again| AnnounceResponse {
        warning: response.warning.clone(),
        ..again
    });
    assert_eq!(again.as_ref(), Ok(&response));
    let compact = AnnounceResponse::parse(&response.encode(PeerListFormat::Compact));
    let (v4, v6): (Vec<_>, Vec<_>) = response
        .peers
        .iter()
        .map(|peer| peer.address)
        .partition(|address| address.is_ipv4());
    let addresses = compact
        .expect("a response")
        .peers
        .into_iter()
        .map(|peer| peer.address);
    assert_eq!(addresses.collect::<Vec<_>>(), [v4, v6].concat());
}

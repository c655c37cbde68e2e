//! The responses of a tracker.

use super::fields::DatagramFields;
use super::ids::{AddressFamily, ConnectionId, TransactionId, action};
use crate::wire::announce_response::{bounded_interval, is_peer_address, printable};
use crate::wire::{AnnounceResponse, SwarmCounts, SwarmPeer};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The longest datagram that is sent, in bytes. Every IPv6 network carries 1280 bytes without
/// fragmentation (RFC 8200, section 5); the headers of IPv6 and UDP take 48 of them.
pub const MAX_DATAGRAM: usize = 1_232;

/// A response of a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UdpResponse {
    /// Assigns a connection id.
    Connect {
        /// Repeated from the request.
        transaction: TransactionId,
        /// The client sends it in later requests.
        connection: ConnectionId,
    },
    /// The tracker has accepted the announce.
    Announce {
        /// Repeated from the request.
        transaction: TransactionId,
        /// The contents of the response.
        announced: UdpAnnounceResponse,
    },
    /// The counts of swarms.
    Scrape {
        /// Repeated from the request.
        transaction: TransactionId,
        /// In the order of the request. All counts of an unknown swarm are zero.
        counts: Vec<SwarmCounts>,
    },
    /// The tracker refuses the request.
    Error {
        /// Repeated from the request.
        transaction: TransactionId,
        /// The reason. After parsing, unprintable characters are escaped.
        message: String,
    },
}

/// The contents of an announce response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpAnnounceResponse {
    /// Seconds until the next announce.
    pub interval: u32,
    /// The number of peers in the swarm that are not seeds.
    pub leechers: u32,
    /// The number of seeds in the swarm.
    pub seeders: u32,
    /// Other peers of the swarm. Encoding drops peers whose address family is not that of the
    /// socket, and peers that do not fit into the datagram.
    pub peers: Vec<SocketAddr>,
}

/// Why a datagram is not a valid response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UdpResponseError {
    /// The length does not fit the action.
    #[error("the tracker's datagram of {0} bytes has the wrong length")]
    Length(usize),
    /// The action is not a response of BEP 15.
    #[error("the tracker's datagram has the unknown action {0}")]
    Action(u32),
}

impl UdpResponse {
    /// The transaction id of the request.
    pub fn transaction(&self) -> TransactionId {
        match self {
            Self::Connect { transaction, .. }
            | Self::Announce { transaction, .. }
            | Self::Scrape { transaction, .. }
            | Self::Error { transaction, .. } => *transaction,
        }
    }

    /// Reads a datagram that came over a socket of `family`.
    ///
    /// # Errors
    /// See [`UdpResponseError`].
    pub fn parse(datagram: &[u8], family: AddressFamily) -> Result<Self, UdpResponseError> {
        let wrong = UdpResponseError::Length(datagram.len());
        let mut fields = DatagramFields(datagram);
        let action = fields.u32().ok_or(wrong)?;
        let transaction = TransactionId(fields.bytes().ok_or(wrong)?);
        let response = match action {
            action::CONNECT => fields.bytes().map(|connection| Self::Connect {
                transaction,
                connection: ConnectionId(connection),
            }),
            action::ANNOUNCE => {
                read_announced(&mut fields, family).map(|announced| Self::Announce {
                    transaction,
                    announced,
                })
            }
            action::SCRAPE => {
                let mut counts = Vec::new();
                while let Some(swarm) = read_swarm_counts(&mut fields) {
                    counts.push(swarm);
                }
                Some(Self::Scrape {
                    transaction,
                    counts,
                })
            }
            action::ERROR => {
                let message = printable(&String::from_utf8_lossy(fields.0));
                fields.0 = &[];
                Some(Self::Error {
                    transaction,
                    message,
                })
            }
            other => return Err(UdpResponseError::Action(other)),
        };
        response.filter(|_| fields.0.is_empty()).ok_or(wrong)
    }

    /// Replaces the contents of `out` with the datagram of this response, for a socket of `family`.
    /// The datagram has at most [`MAX_DATAGRAM`] bytes. The counts of a scrape always fit, because
    /// a request names at most [`MAX_UDP_SCRAPE`](super::MAX_UDP_SCRAPE) swarms.
    pub fn encode_into(&self, family: AddressFamily, out: &mut Vec<u8>) {
        out.clear();
        let action = match self {
            Self::Connect { .. } => action::CONNECT,
            Self::Announce { .. } => action::ANNOUNCE,
            Self::Scrape { .. } => action::SCRAPE,
            Self::Error { .. } => action::ERROR,
        };
        out.extend(action.to_be_bytes());
        out.extend(self.transaction().0);
        match self {
            Self::Connect { connection, .. } => out.extend(connection.0),
            Self::Announce { announced, .. } => {
                let UdpAnnounceResponse {
                    interval,
                    leechers,
                    seeders,
                    peers,
                } = announced;
                for number in [interval, leechers, seeders] {
                    out.extend(number.to_be_bytes());
                }
                for peer in peers {
                    if out.len() + family.entry_length() > MAX_DATAGRAM {
                        break;
                    }
                    match (family, peer.ip()) {
                        (AddressFamily::V4, IpAddr::V4(ip)) => out.extend(ip.octets()),
                        (AddressFamily::V6, IpAddr::V6(ip)) => out.extend(ip.octets()),
                        _ => continue,
                    }
                    out.extend(peer.port().to_be_bytes());
                }
            }
            Self::Scrape { counts, .. } => {
                for swarm in counts {
                    for number in [swarm.complete, swarm.downloaded, swarm.incomplete] {
                        out.extend(number.to_be_bytes());
                    }
                }
            }
            Self::Error { message, .. } => {
                out.extend(message.bytes().take(MAX_DATAGRAM - out.len()));
            }
        }
    }
}

impl UdpAnnounceResponse {
    /// The same response in the form of an HTTP response. The same limits apply: the interval is
    /// bounded, and addresses that no peer can have are dropped.
    pub fn into_response(self) -> AnnounceResponse {
        let peers = self.peers.into_iter();
        let peers = peers.filter(|peer| is_peer_address(*peer));
        AnnounceResponse {
            interval: bounded_interval(Duration::from_secs(self.interval.into())),
            min_interval: None,
            complete: Some(self.seeders),
            incomplete: Some(self.leechers),
            peers: peers
                .map(|address| SwarmPeer { address, id: None })
                .collect(),
            named_peers: Vec::new(),
            external_ip: None,
            pieceful: false,
            tracker_id: None,
            warning: None,
        }
    }
}

fn read_announced(
    fields: &mut DatagramFields<'_>,
    family: AddressFamily,
) -> Option<UdpAnnounceResponse> {
    let (interval, leechers, seeders) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let mut peers = Vec::with_capacity(fields.0.len() / family.entry_length());
    while !fields.0.is_empty() {
        let ip: IpAddr = match family {
            AddressFamily::V4 => fields.bytes::<4>()?.into(),
            AddressFamily::V6 => fields.bytes::<16>().map(IpAddr::from)?.to_canonical(),
        };
        peers.push(SocketAddr::new(ip, fields.u16()?));
    }
    Some(UdpAnnounceResponse {
        interval,
        leechers,
        seeders,
        peers,
    })
}

/// Reads the counts of the next swarm. If too few bytes are left, it reads nothing.
fn read_swarm_counts(fields: &mut DatagramFields<'_>) -> Option<SwarmCounts> {
    let mut rest = *fields;
    let counts = SwarmCounts {
        complete: rest.u32()?,
        downloaded: rest.u32()?,
        incomplete: rest.u32()?,
    };
    *fields = rest;
    Some(counts)
}

/// The fuzz function of the parser, for both address families. What is written is read back, if it
/// fits into a datagram and needs no escapes.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(datagram: &[u8]) {
    for family in [AddressFamily::V4, AddressFamily::V6] {
        let Ok(response) = UdpResponse::parse(datagram, family) else {
            continue;
        };
        if let UdpResponse::Announce { announced, .. } = &response {
            assert!(announced.clone().into_response().peers.len() <= announced.peers.len());
        }
        let mut again = Vec::new();
        response.encode_into(family, &mut again);
        if again == datagram {
            assert_eq!(UdpResponse::parse(&again, family), Ok(response));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRANSACTION: TransactionId = TransactionId(*b"tran");

    fn announce_response(peers: &[&str]) -> UdpResponse {
        UdpResponse::Announce {
            transaction: TRANSACTION,
            announced: UdpAnnounceResponse {
                interval: 1_800,
                leechers: 2,
                seeders: 1,
                peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
            },
        }
    }

    /// The interval, leechers and seeders of [`announce_response`].
    const NUMBERS: &[u8] = b"\0\0\x07\x08\0\0\0\x02\0\0\0\x01";

    /// Each kind of response, the family of the socket, and the datagram.
    fn table() -> Vec<(UdpResponse, AddressFamily, Vec<u8>)> {
        let transaction = TRANSACTION;
        let counts = SwarmCounts {
            complete: 1,
            downloaded: 2,
            incomplete: 3,
        };
        let start = |action: u8| [&[0, 0, 0, action], b"tran".as_slice()].concat();
        let with = |action, rest: &[u8]| [start(action), rest.to_vec()].concat();
        vec![
            (
                UdpResponse::Connect {
                    transaction,
                    connection: ConnectionId(*b"connecti"),
                },
                AddressFamily::V4,
                with(0, b"connecti"),
            ),
            (announce_response(&[]), AddressFamily::V4, with(1, NUMBERS)),
            (
                announce_response(&["10.0.0.1:6881", "10.0.0.2:80"]),
                AddressFamily::V4,
                with(
                    1,
                    &[NUMBERS, b"\x0a\0\0\x01\x1a\xe1\x0a\0\0\x02\0\x50"].concat(),
                ),
            ),
            (
                announce_response(&["[2001:db8::1]:6881"]),
                AddressFamily::V6,
                with(
                    1,
                    &[
                        NUMBERS,
                        b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1",
                    ]
                    .concat(),
                ),
            ),
            (
                UdpResponse::Scrape {
                    transaction,
                    counts: vec![counts, SwarmCounts::default()],
                },
                AddressFamily::V6,
                with(
                    2,
                    &[b"\0\0\0\x01\0\0\0\x02\0\0\0\x03".as_slice(), &[0; 12]].concat(),
                ),
            ),
            (
                UdpResponse::Error {
                    transaction,
                    message: "no".into(),
                },
                AddressFamily::V4,
                with(3, b"no"),
            ),
        ]
    }

    #[test]
    fn each_response_is_encoded_and_parsed_again() {
        let mut out = b"old bytes".to_vec();
        for (response, family, datagram) in table() {
            response.encode_into(family, &mut out);
            assert_eq!(out, datagram, "{response:?}");
            assert_eq!(UdpResponse::parse(&datagram, family), Ok(response));
        }
    }

    #[test]
    fn each_kind_of_bad_datagram_has_its_own_error() {
        let start = |action: u8| [&[0, 0, 0, action], b"tran".as_slice()].concat();
        for (datagram, error) in [
            (vec![], UdpResponseError::Length(0)),
            (start(0)[..7].to_vec(), UdpResponseError::Length(7)),
            (start(0), UdpResponseError::Length(8)),
            (
                [start(0), vec![0; 9]].concat(),
                UdpResponseError::Length(17),
            ),
            (
                [start(1), vec![0; 11]].concat(),
                UdpResponseError::Length(19),
            ),
            (
                [start(1), vec![0; 17]].concat(),
                UdpResponseError::Length(25),
            ),
            (
                [start(2), vec![0; 13]].concat(),
                UdpResponseError::Length(21),
            ),
            (start(4), UdpResponseError::Action(4)),
        ] {
            assert_eq!(
                UdpResponse::parse(&datagram, AddressFamily::V6),
                Err(error),
                "{datagram:?}"
            );
        }
        let one_v4_peer = [start(1), vec![0; 12 + 6]].concat();
        assert!(UdpResponse::parse(&one_v4_peer, AddressFamily::V4).is_ok());
        assert_eq!(
            UdpResponse::parse(&one_v4_peer, AddressFamily::V6),
            Err(UdpResponseError::Length(26))
        );
    }

    #[test]
    fn a_datagram_is_never_longer_than_the_limit() {
        let mut out = Vec::new();
        for (peer, family, length) in [
            ("10.0.0.1:1", AddressFamily::V4, 1_232),
            ("[2001:db8::1]:1", AddressFamily::V6, 1_226),
        ] {
            announce_response(&[peer; 500]).encode_into(family, &mut out);
            assert_eq!(out.len(), length);
            let mixed = announce_response(&["10.0.0.1:1", "[2001:db8::1]:1"]);
            mixed.encode_into(family, &mut out);
            assert_eq!(out.len(), 20 + family.entry_length());
        }
        let error = UdpResponse::Error {
            transaction: TRANSACTION,
            message: "x".repeat(5_000),
        };
        error.encode_into(AddressFamily::V4, &mut out);
        assert_eq!(out.len(), MAX_DATAGRAM);
    }

    #[test]
    fn the_interval_is_bounded_and_impossible_peers_are_dropped_and_messages_are_escaped() {
        let converted = |interval, peer: &str| {
            let announced = UdpAnnounceResponse {
                interval,
                leechers: 0,
                seeders: 0,
                peers: vec![peer.parse().unwrap()],
            };
            let response = announced.into_response();
            (response.interval.as_secs(), response.peers.len())
        };
        assert_eq!(converted(0, "0.0.0.0:1"), (60, 0));
        assert_eq!(converted(1_800, "10.0.0.1:0"), (1_800, 0));
        assert_eq!(converted(u32::MAX, "10.0.0.1:1"), (86_400, 1));
        let odd = [b"\0\0\0\x03tran\x1b[0m\xff".as_slice()].concat();
        let read = UdpResponse::parse(&odd, AddressFamily::V4);
        assert!(
            matches!(&read, Ok(UdpResponse::Error { message, .. }) if !message.contains('\x1b')),
            "{read:?}"
        );
    }

    proptest! {
        #[test]
        fn parsing_any_bytes_never_panics(action in 0u8..5, body: Vec<u8>) {
            let datagram = [&[0, 0, 0, action], b"tran".as_slice(), &body].concat();
            for family in [AddressFamily::V4, AddressFamily::V6] {
                let _ = UdpResponse::parse(&body, family);
                if let Ok(UdpResponse::Announce { announced, .. }) = UdpResponse::parse(&datagram, family) {
                    let _ = announced.into_response();
                }
            }
        }
    }
}

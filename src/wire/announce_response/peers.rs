//! The peers in a response: compact ones (BEP 23, BEP 7), and dictionaries (BEP 3).

use super::refusal::ResponseError;
use super::values::as_number;
use crate::bencode::{Dictionary, Value};
use crate::wire::compact::read_canonical;
use crate::wire::{HostPort, PeerId};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The most peers that are read from one response. The rest is ignored.
pub const MAX_PEERS: usize = 2_000;

/// The most peers with host names that are read from one response.
pub(super) const MAX_NAMED: usize = 8;

/// A peer in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwarmPeer {
    /// The address that the peer listens on.
    pub address: SocketAddr,
    /// The id of the peer, if the response has it.
    pub id: Option<PeerId>,
}

/// The peers with an IP address, and the peers with a host name.
pub(super) fn peers(
    dictionary: &Dictionary<'_>,
) -> Result<(Vec<SwarmPeer>, Vec<HostPort>), ResponseError> {
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
    peers.retain(|peer| is_peer_address(peer.address));
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

/// Reads a peer of the list of dictionaries (BEP 3), unless it is malformed. Its `ip` may be a host
/// name. The caller looks the name up, because this module does no I/O.
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
pub(in crate::wire) fn is_peer_address(address: SocketAddr) -> bool {
    let ip = address.ip();
    address.port() != 0
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
}

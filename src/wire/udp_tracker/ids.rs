//! Ids and numbers in the datagrams: connections, transactions, actions, address families.

use std::net::IpAddr;

/// Takes the place of a connection id in a connect request (BEP 15, "connect": the magic number of
/// the protocol).
pub const NO_CONNECTION: ConnectionId = ConnectionId(0x0417_2710_1980_u64.to_be_bytes());

/// Proves that the client received a datagram at its address (BEP 15, "UDP connections /
/// spoofing").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub [u8; 8]);

/// A random number that the client chooses for each request. The response repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 4]);

/// The address family of the peers in an announce response: the same as that of the socket (BEP 15,
/// "IPv6").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFamily {
    /// IPv4: 4 bytes of address and 2 of port for each peer.
    V4,
    /// IPv6: 16 bytes of address and 2 of port for each peer.
    V6,
}

impl AddressFamily {
    /// The family of a peer that announces from `ip`. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn of(ip: IpAddr) -> Self {
        if ip.to_canonical().is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    /// Bytes of one peer in a response.
    pub(super) fn entry_length(self) -> usize {
        match self {
            Self::V4 => 6,
            Self::V6 => 18,
        }
    }
}

/// The `action` numbers, which name the kind of a datagram.
pub(super) mod action {
    pub(in super::super) const CONNECT: u32 = 0;
    pub(in super::super) const ANNOUNCE: u32 = 1;
    pub(in super::super) const SCRAPE: u32 = 2;
    pub(in super::super) const ERROR: u32 = 3;
}

//! Ids and numbers in the packets: connections, transactions, actions, families of addresses.

use std::net::IpAddr;

/// What a client has for a connection id before it has one (BEP 15, "connect": the protocol's magic number).
pub const NO_CONNECTION: ConnectionId = ConnectionId(0x0417_2710_1980_u64.to_be_bytes());

/// Proves that the client has received a datagram at its address (BEP 15, "UDP connections / spoofing").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub [u8; 8]);

/// Chosen at random by the client for each request; the response repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 4]);

/// Which kind of addresses a response to an announce holds: that of the socket it goes over (BEP 15, "IPv6").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 4 bytes of address and 2 of port for each peer.
    V4,
    /// 16 bytes of address and 2 of port for each peer.
    V6,
}

impl Family {
    /// The family of a peer that announces from `ip`; an IPv4 address mapped into IPv6 is one of IPv4.
    pub fn of(ip: IpAddr) -> Self {
        if ip.to_canonical().is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    /// Bytes that a peer takes.
    pub(super) fn entry(self) -> usize {
        match self {
            Self::V4 => 6,
            Self::V6 => 18,
        }
    }
}

/// The numbers that name what a datagram is.
pub(super) mod action {
    pub(in super::super) const CONNECT: u32 = 0;
    pub(in super::super) const ANNOUNCE: u32 = 1;
    pub(in super::super) const SCRAPE: u32 = 2;
    pub(in super::super) const ERROR: u32 = 3;
}

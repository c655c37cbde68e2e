//! Compact addresses (BEP 23, BEP 7): 4 or 16 bytes of IP address, then 2 bytes of port,
//! big-endian.

use std::net::{IpAddr, SocketAddr};

pub(super) fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

pub(super) fn compact(address: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(18);
    write_compact(address, &mut bytes);
    bytes
}

/// Appends an address to `out`. A tracker's answer has many addresses, so this allocates nothing.
pub(super) fn write_compact(address: SocketAddr, out: &mut Vec<u8>) {
    match address.ip() {
        IpAddr::V4(ip) => out.extend(ip.octets()),
        IpAddr::V6(ip) => out.extend(ip.octets()),
    }
    out.extend(address.port().to_be_bytes());
}

pub(super) fn read_ip(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

pub(super) fn read_address(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_last_chunk::<2>()?;
    Some(SocketAddr::new(read_ip(ip)?, u16::from_be_bytes(*port)))
}

/// Like [`read_address`], but returns an IPv4-mapped IPv6 address as an IPv4 address.
pub(super) fn read_canonical(bytes: &[u8]) -> Option<SocketAddr> {
    let address = read_address(bytes)?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

//! Compact addresses (BEP 23, BEP 7): 4 or 16 bytes of IP address, then 2 bytes of port,
//! big-endian.

use std::net::{IpAddr, SocketAddr};

/// Bytes of a compact address over IPv4 and over IPv6.
const LENGTHS: (usize, usize) = (6, 18);

/// A list of addresses, kept in compact form: one allocation for each address family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactAddresses {
    v4: Vec<u8>,
    v6: Vec<u8>,
}

impl CompactAddresses {
    /// The addresses, those over IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> {
        let (v4, v6) = (
            self.v4.chunks_exact(LENGTHS.0),
            self.v6.chunks_exact(LENGTHS.1),
        );
        v4.chain(v6).filter_map(read_address)
    }

    /// An empty list with memory for `count` addresses over IPv4.
    pub fn with_capacity(count: usize) -> Self {
        Self {
            v4: Vec::with_capacity(count * LENGTHS.0),
            v6: Vec::new(),
        }
    }

    /// Adds an address.
    pub fn push(&mut self, address: SocketAddr) {
        let family = match address.is_ipv4() {
            true => &mut self.v4,
            false => &mut self.v6,
        };
        write_compact(address, family);
    }

    /// The number of addresses.
    pub fn len(&self) -> usize {
        self.v4.len() / LENGTHS.0 + self.v6.len() / LENGTHS.1
    }

    /// Whether there is no address.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The addresses over IPv4 and those over IPv6, as bytes.
    pub(super) fn as_bytes(&self) -> (&[u8], &[u8]) {
        (&self.v4, &self.v6)
    }

    /// Reads the bytes of both families. `None` if an address is cut off or has port 0.
    pub(super) fn read(v4: &[u8], v6: &[u8]) -> Option<Self> {
        let is_whole = v4.len().is_multiple_of(LENGTHS.0) && v6.len().is_multiple_of(LENGTHS.1);
        let addresses = Self {
            v4: v4.to_vec(),
            v6: v6.to_vec(),
        };
        let have_ports = addresses.iter().all(|address| address.port() != 0);
        (is_whole && have_ports).then_some(addresses)
    }
}

impl FromIterator<SocketAddr> for CompactAddresses {
    fn from_iter<T: IntoIterator<Item = SocketAddr>>(addresses: T) -> Self {
        let addresses = addresses.into_iter();
        let mut compact = Self::default();
        compact.v4.reserve(addresses.size_hint().0 * LENGTHS.0);
        addresses.for_each(|address| compact.push(address));
        compact
    }
}

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

/// Appends an address to `out`. A tracker's answer has many addresses, so this makes no `Vec` for
/// each.
pub(super) fn write_compact(address: SocketAddr, out: &mut Vec<u8>) {
    let [high, low] = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            out.extend_from_slice(&[a, b, c, d, high, low]);
        }
        IpAddr::V6(ip) => {
            out.extend_from_slice(&ip.octets());
            out.extend_from_slice(&[high, low]);
        }
    }
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

//! Address prefixes: which addresses count as one host, and which as one network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 address, or the first 64 bits of an IPv6 address. One subscriber usually has all
/// addresses with the same 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressPrefix(IpAddr);

impl AddressPrefix {
    /// The prefix of `ip`. An IPv4 address in IPv6 form counts as IPv4. The IPv6 loopback address
    /// is kept whole.
    pub fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V6(ip) if !ip.is_loopback() => {
                Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into()
            }
            ip => ip,
        })
    }

    /// The prefix as a number: the bits of an IPv4 address, or the first 64 bits of an IPv6
    /// address. Two prefixes that hosts really use never have the same number: the numbers of IPv4
    /// addresses are below 2^32. Of the IPv6 addresses of hosts, only the loopback address has such
    /// a small number: 1. No host has the IPv4 address 0.0.0.1, whose number is 1 too.
    pub fn number(self) -> u64 {
        match self.0 {
            IpAddr::V4(ip) => ip.to_bits().into(),
            IpAddr::V6(ip) if ip.is_loopback() => 1,
            IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
        }
    }

    /// The first address with the prefix.
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// The network of the prefix.
    pub fn network(self) -> AddressNetwork {
        AddressNetwork(match self.0 {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() >> 16 << 16).into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 96 << 96).into(),
        })
    }
}

/// The first 16 bits of an IPv4 address, or the first 32 bits of an IPv6 address. It is easy to get
/// many addresses of one network, and hard to get addresses of many networks: a provider usually
/// has whole networks of this size, and a customer has a part of one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressNetwork(IpAddr);

impl fmt::Display for AddressPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_a_subscriber_have_one_prefix() {
        let of = |text: &str| AddressPrefix::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.2"), of("192.0.2.1"));
        let numbers = ["192.0.2.1", "::1", "2001:db8:0:1::1"].map(|text| of(text).number());
        assert_eq!(numbers, [0xc000_0201, 1, 0x2001_0db8_0000_0001]);
        assert!(of("::1").ip().is_loopback() && of("127.0.0.1").ip().is_loopback());
        assert_eq!(of("2001:db8::1").ip().to_string(), "2001:db8::");
        let network = |text| of(text).network();
        assert_eq!(network("192.0.2.1"), network("192.0.255.9"));
        assert_ne!(network("192.0.2.1"), network("192.1.2.1"));
        assert_eq!(network("2001:db8::1"), network("2001:db8:ffff:1::1"));
        assert_ne!(network("2001:db8::1"), network("2001:db9::1"));
    }
}

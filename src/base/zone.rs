//! How near an address is: on the Internet, in a private network, on this machine.
//!
//! A service on this machine or in a private network may trust all requests that come from there.
//! So this program connects to an address that it got from others only if the zone of the address
//! is far enough. An IPv6 address that leads to an IPv4 address has the zone of this IPv4 address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How near an address is, from far to near. [`Self::LinkLocal`] and [`Self::CloudMetadata`] are
/// not nearer than [`Self::ThisMachine`]. These two zones come last, so that a caller that allows
/// all zones up to `ThisMachine` does not allow them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Zone {
    /// An address in none of the other zones.
    Internet,
    /// In a private network (RFC 1918, 4193, 6598; RFC 3879 for the old site-local addresses).
    PrivateNetwork,
    /// The loopback addresses.
    ThisMachine,
    /// On the local link only (RFC 3927, 4291); also addresses that name no host.
    LinkLocal,
    /// A service of a cloud provider, which returns secrets of the machine to every program on it.
    /// This program sends nothing to such an address.
    CloudMetadata,
}

/// The addresses of [`Zone::CloudMetadata`], as the providers document them.
const CLOUD_METADATA: [IpAddr; 12] = [
    // Amazon, Google, Microsoft, Oracle, OpenStack and others; then the DNS server of Amazon.
    v4([169, 254, 169, 254]),
    v4([169, 254, 169, 253]),
    // Containers at Amazon: ECS and EKS.
    v4([169, 254, 170, 2]),
    v4([169, 254, 170, 23]),
    // Scaleway, Tencent, Alibaba.
    v4([169, 254, 42, 42]),
    v4([169, 254, 0, 23]),
    v4([100, 100, 100, 200]),
    // The agents of Microsoft and Oracle.
    v4([168, 63, 129, 16]),
    v4([192, 0, 0, 192]),
    // Amazon over IPv6, for machines and containers; Google over IPv6.
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23]),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]),
];

const fn v4([a, b, c, d]: [u8; 4]) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h))
}

impl Zone {
    /// All zones, from far to near.
    #[cfg(test)]
    const ALL: [Self; 5] = [
        Self::Internet,
        Self::PrivateNetwork,
        Self::ThisMachine,
        Self::LinkLocal,
        Self::CloudMetadata,
    ];

    /// Returns the zone of an address.
    pub fn of(address: IpAddr) -> Self {
        let address = match address.to_canonical() {
            IpAddr::V6(address) if is_local_nat64(address) => {
                // The length of the prefix is unknown, so there are several candidates. An address
                // that begins with 0 names no host, so it is skipped.
                let candidates = possible_nat64_addresses(address).into_iter();
                let candidates = candidates.filter(|candidate| candidate.octets()[0] != 0);
                let zones = candidates.map(|candidate| Self::of(candidate.into()));
                // The last of their zones counts, in the order of `Zone`.
                return zones.fold(Self::PrivateNetwork, Ord::max);
            }
            IpAddr::V6(address) => destination(address),
            address => address,
        };
        match address {
            address if CLOUD_METADATA.contains(&address) => Self::CloudMetadata,
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) if address.is_loopback() => Self::ThisMachine,
            IpAddr::V6(address) if is_ipv4_compatible(address) => Self::LinkLocal,
            IpAddr::V6(address) if address.is_unspecified() || address.is_unicast_link_local() => {
                Self::LinkLocal
            }
            IpAddr::V6(address) if address.is_unique_local() || is_site_local(address) => {
                Self::PrivateNetwork
            }
            IpAddr::V6(_) => Self::Internet,
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [first, second, ..] = address.octets();
        if address.is_loopback() {
            Self::ThisMachine
        } else if first == 0 || address.is_link_local() || address.is_broadcast() {
            Self::LinkLocal
        } else if address.is_private() || first == 100 && second & 0xc0 == 64 {
            Self::PrivateNetwork
        } else {
            Self::Internet
        }
    }
}

/// The address at which packets to `address` arrive in the end. If `address` contains an IPv4
/// address, by NAT64 (RFC 6052), 6to4 (RFC 3056) or Teredo (RFC 4380), this is the IPv4 address.
/// Otherwise it is `address` itself.
fn destination(address: Ipv6Addr) -> IpAddr {
    let [a, b, c, _, _, _, g, h] = address.segments();
    let bits = address.to_bits();
    let inner = match (a, b, c) {
        (0x64, 0xff9b, 0) => bits as u32,
        (0x2002, ..) => (bits >> 80) as u32,
        (0x2001, 0, _) => !(u32::from(g) << 16 | u32::from(h)),
        _ => return address.into(),
    };
    Ipv4Addr::from_bits(inner).into()
}

/// Whether the address has the prefix `64:ff9b:1::/48` (RFC 8215). A network that uses this prefix
/// chooses which bits of an IPv6 address contain the IPv4 address.
fn is_local_nat64(address: Ipv6Addr) -> bool {
    address.segments().starts_with(&[0x64, 0xff9b, 1])
}

/// The IPv4 addresses that an address of NAT64 may contain: one for each possible length of the
/// prefix, which is 48, 56, 64 or 96 bits (RFC 6052, section 2.2).
fn possible_nat64_addresses(address: Ipv6Addr) -> [Ipv4Addr; 4] {
    let [_, _, _, _, _, _, g, h, _, j, k, l, m, n, o, p] = address.octets();
    [[g, h, j, k], [h, j, k, l], [j, k, l, m], [m, n, o, p]].map(Ipv4Addr::from)
}

/// Whether the address is a deprecated IPv4-compatible address (`::a.b.c.d`), which names no host.
fn is_ipv4_compatible(address: Ipv6Addr) -> bool {
    address.segments().starts_with(&[0; 6])
}

/// Whether the address is a deprecated site-local address (`fec0::/10`).
fn is_site_local(address: Ipv6Addr) -> bool {
    let [first, ..] = address.segments();
    first & 0xffc0 == 0xfec0
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Internet => "on the Internet",
            Self::PrivateNetwork => "in a private network",
            Self::ThisMachine => "on this machine",
            Self::LinkLocal => "a link-local address",
            Self::CloudMetadata => "the metadata service of a cloud provider",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_zone() {
        let table = [
            (
                Zone::Internet,
                "8.8.8.8 100.128.0.1 172.32.0.1 2001:db8::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 \
                 2002:808:808::1 2001:0:1:2:3:4:f7f7:f7f7",
            ),
            (
                Zone::PrivateNetwork,
                "10.0.0.1 192.168.1.1 172.16.0.1 100.64.0.1 fd00::1 ::ffff:10.0.0.1 \
                 64:ff9b::10.0.0.1 64:ff9b:1::192.168.1.1 2002:a00:1::1 \
                 2001:0:1:2:3:4:f5ff:fffe fec0::1 feff::1",
            ),
            (
                Zone::ThisMachine,
                "127.0.0.1 127.255.0.1 ::1 ::ffff:127.0.0.1 64:ff9b::127.0.0.1 2002:7f00:1::",
            ),
            (
                Zone::LinkLocal,
                "0.0.0.0 0.1.2.3 169.254.1.1 255.255.255.255 :: fe80::1 ::127.0.0.1 \
                 ::ffff:0.0.0.0 64:ff9b::0.0.0.0",
            ),
            (
                Zone::CloudMetadata,
                "169.254.169.254 ::ffff:169.254.169.254 64:ff9b::169.254.169.254 fd00:ec2::254 \
                 64:ff9b:1:a9fe:a9:fe00:808:808 \
                 100.100.100.200 168.63.129.16",
            ),
        ];
        assert_eq!(table.each_ref().map(|(zone, _)| *zone), Zone::ALL);
        for (zone, addresses) in table {
            for address in addresses.split_whitespace() {
                assert_eq!(Zone::of(address.parse().unwrap()), zone, "{address}");
            }
        }
    }
}

//! How near the machines are that others have this peer ask over HTTP: a torrent, a magnet link or
//! a redirect names URLs, and what answers on this machine, or in its network alone, may take a
//! request as an order.
//!
//! In scope: the zones of addresses, and a resolver that gives an HTTP client no others than it may
//! have; what counts is the address that is called, however its name is spelled. Out of scope:
//! which zone is allowed for what (`web`, `announce`).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Where an address is, from afar to near.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Zone {
    /// Anywhere.
    Internet,
    /// In a private network (RFC 1918, 4193, 6598).
    PrivateNetwork,
    /// On this machine.
    ThisMachine,
    /// On this link alone (RFC 3927, 4291), where clouds keep what only the machine itself may
    /// know; or no address of anything.
    LinkLocal,
}

impl Zone {
    /// All of them.
    #[cfg(test)]
    const ALL: [Self; 4] = [
        Self::Internet,
        Self::PrivateNetwork,
        Self::ThisMachine,
        Self::LinkLocal,
    ];

    /// The zone of an address.
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
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
            IpAddr::V6(address) if address.is_loopback() => Self::ThisMachine,
            IpAddr::V6(address) if is_ipv4_compatible(address) => Self::LinkLocal,
            IpAddr::V6(address) if address.is_unspecified() || address.is_unicast_link_local() => {
                Self::LinkLocal
            }
            IpAddr::V6(address) if address.is_unique_local() => Self::PrivateNetwork,
            IpAddr::V6(_) => Self::Internet,
        }
    }
}

/// `::a.b.c.d`, which was given up, and names no machine.
fn is_ipv4_compatible(address: Ipv6Addr) -> bool {
    address.segments().starts_with(&[0; 6])
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Internet => "anywhere",
            Self::PrivateNetwork => "in a private network",
            Self::ThisMachine => "on this machine",
            Self::LinkLocal => "on this link alone",
        })
    }
}

/// A host has no address that may be asked.
#[derive(Debug, thiserror::Error)]
#[error("{host} is {zone}, where nothing is asked for this at another's word")]
pub(super) struct ForbiddenZone {
    host: String,
    /// Where it is.
    pub(super) zone: Zone,
}

impl ForbiddenZone {
    /// What a failed request was refused for, if it was.
    pub(super) fn from_error(error: &Error) -> Option<&Self> {
        match error {
            Error::Other(other) => other.downcast_ref(),
            _ => None,
        }
    }
}

/// A resolver that gives no address outside what is allowed for a URL.
#[derive(Debug)]
pub(super) struct ZoneResolver {
    allows: fn(&Uri, Zone) -> bool,
    inner: DefaultResolver,
}

impl ZoneResolver {
    /// Gives only addresses of which `allows` says so.
    pub(super) fn new(allows: fn(&Uri, Zone) -> bool) -> Self {
        Self {
            allows,
            inner: DefaultResolver::default(),
        }
    }
}

impl Resolver for ZoneResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        let mut refused = None;
        for address in found.iter() {
            let zone = Zone::of(address.ip());
            match (self.allows)(uri, zone) {
                true => allowed.push(*address),
                false => refused = refused.max(Some(zone)),
            }
        }
        match refused {
            Some(zone) if allowed.is_empty() => Err(Error::Other(Box::new(ForbiddenZone {
                host: uri.host().unwrap_or_default().to_owned(),
                zone,
            }))),
            _ => Ok(allowed),
        }
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
                "8.8.8.8 100.128.0.1 172.32.0.1 2001:db8::1 ::ffff:8.8.8.8",
            ),
            (
                Zone::PrivateNetwork,
                "10.0.0.1 192.168.1.1 172.16.0.1 100.64.0.1 fd00::1 ::ffff:10.0.0.1",
            ),
            (
                Zone::ThisMachine,
                "127.0.0.1 127.255.0.1 ::1 ::ffff:127.0.0.1",
            ),
            (
                Zone::LinkLocal,
                "0.0.0.0 0.1.2.3 169.254.169.254 255.255.255.255 :: fe80::1 ::127.0.0.1 ::ffff:0.0.0.0",
            ),
        ];
        assert_eq!(table.map(|(zone, _)| zone), Zone::ALL);
        for (zone, addresses) in table {
            for address in addresses.split(' ') {
                assert_eq!(Zone::of(address.parse().unwrap()), zone, "{address}");
            }
        }
    }
}

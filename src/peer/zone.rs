//! Limits which machines a peer contacts over HTTP when a torrent, a magnet link or a redirect
//! names a URL. A service on this machine or in a private network may trust all requests that come
//! from there (server-side request forgery).
//!
//! In scope: the zones of addresses, and a resolver that returns only addresses of allowed zones to
//! the HTTP client. The check uses the address to which the client connects, not the text of the
//! host name. Out of scope: which zones are allowed (see `web_seed` and `announce`).

use std::fmt;
use std::iter;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How near an address is, from far to near. Link-local addresses come last, so that a caller that
/// allows all zones up to [`Self::ThisMachine`] does not allow them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Zone {
    /// An address in none of the other zones.
    Internet,
    /// In a private network (RFC 1918, 4193, 6598).
    PrivateNetwork,
    /// The loopback addresses.
    ThisMachine,
    /// On the local link only (RFC 3927, 4291), where cloud providers publish secrets of the
    /// machine; also addresses that name no host.
    LinkLocal,
}

impl Zone {
    /// All zones, from far to near.
    #[cfg(test)]
    const ALL: [Self; 4] = [
        Self::Internet,
        Self::PrivateNetwork,
        Self::ThisMachine,
        Self::LinkLocal,
    ];

    /// Returns the zone of an address.
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

/// Whether the address is a deprecated IPv4-compatible address (`::a.b.c.d`), which names no host.
fn is_ipv4_compatible(address: Ipv6Addr) -> bool {
    address.segments().starts_with(&[0; 6])
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Internet => "anywhere",
            Self::PrivateNetwork => "in a private network",
            Self::ThisMachine => "on this machine",
            Self::LinkLocal => "a link-local address",
        })
    }
}

/// A host has no address in an allowed zone.
#[derive(Debug, thiserror::Error)]
#[error("{host} is {zone}, and this URL may not lead there")]
pub(super) struct ForbiddenZone {
    host: String,
    /// The nearest zone of its addresses.
    pub(super) zone: Zone,
}

impl ForbiddenZone {
    /// The `ForbiddenZone` in the error of a failed request, if there is one.
    pub(super) fn from_error(error: &Error) -> Option<&Self> {
        match error {
            Error::Other(other) => other.downcast_ref(),
            _ => None,
        }
    }
}

/// A resolver that returns only addresses that are allowed for a URL.
#[derive(Debug)]
pub(super) struct ZoneResolver {
    allows: fn(&Uri, Zone) -> bool,
    inner: DefaultResolver,
}

impl ZoneResolver {
    /// A resolver that returns only addresses for which `allows` returns `true`.
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
        let found = match address_of(uri) {
            Some(address) => config
                .ip_family()
                .keep_wanted(iter::once(address))
                .collect(),
            None => self.inner.resolve(uri, config, timeout)?.to_vec(),
        };
        if found.is_empty() {
            return Err(Error::HostNotFound);
        }
        let mut allowed = self.empty();
        let mut nearest_refused = None;
        for address in &found {
            let zone = Zone::of(address.ip());
            match (self.allows)(uri, zone) {
                true => allowed.push(*address),
                false => nearest_refused = nearest_refused.max(Some(zone)),
            }
        }
        match nearest_refused {
            Some(zone) if allowed.is_empty() => Err(Error::Other(Box::new(ForbiddenZone {
                host: uri.host().unwrap_or_default().to_owned(),
                zone,
            }))),
            _ => Ok(allowed),
        }
    }
}

/// The address of a URL whose host is an IP address. `None` for other URLs. For an IP address, the
/// inner resolver would start a thread at each request, although there is nothing to look up.
fn address_of(uri: &Uri) -> Option<SocketAddr> {
    let port = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return None,
    };
    let host = uri.host()?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let address: IpAddr = host.parse().ok()?;
    Some(SocketAddr::new(address, uri.port_u16().unwrap_or(port)))
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

    #[test]
    fn an_ip_address_needs_no_look_up() {
        let address = |url: &str| {
            let address = address_of(&url.parse().unwrap());
            address.map(|address| address.to_string())
        };
        for (url, expected) in [
            ("http://127.0.0.1:5000/announce", Some("127.0.0.1:5000")),
            ("http://127.0.0.1/announce", Some("127.0.0.1:80")),
            ("https://[::1]/announce", Some("[::1]:443")),
            ("https://[::1]:1/", Some("[::1]:1")),
            ("http://localhost:5000/announce", None),
            ("http://2130706433/", None),
            ("ftp://127.0.0.1/", None),
        ] {
            assert_eq!(address(url).as_deref(), expected, "{url}");
        }
    }
}

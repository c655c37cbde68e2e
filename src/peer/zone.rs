//! Limits which machines a peer contacts over HTTP when a torrent, a magnet link or a redirect
//! names a URL. A service on this machine or in a private network may trust all requests that come
//! from there (server-side request forgery).
//!
//! In scope: a resolver that returns only addresses of allowed zones to the HTTP client. The check
//! uses the address to which the client connects, not the text of the host name. Out of scope:
//! which zones are allowed (see `web_seed` and `announce`).

use crate::base::Zone;
use std::iter;
use std::net::{IpAddr, SocketAddr};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

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
    /// A resolver that returns only addresses for which `allows` returns `true`. It never returns
    /// an address of a metadata service.
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
            match zone != Zone::CloudMetadata && (self.allows)(uri, zone) {
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
    fn no_url_leads_to_a_metadata_service() {
        let resolver = ZoneResolver::new(|_, _| true);
        let resolve = |url: &str| {
            let config = ureq::Agent::config_builder().build();
            let timeout = NextTimeout {
                after: ureq::unversioned::transport::time::Duration::NotHappening,
                reason: ureq::Timeout::Resolve,
                per_read: None,
                per_write: None,
            };
            resolver.resolve(&url.parse().unwrap(), &config, timeout)
        };
        assert!(resolve("http://169.254.1.1/announce").is_ok());
        for url in [
            "http://169.254.169.254/announce",
            "http://[fd00:ec2::254]/announce",
            "http://[64:ff9b::a9fe:a9fe]/",
        ] {
            let error = resolve(url).unwrap_err();
            let zone = ForbiddenZone::from_error(&error).map(|error| error.zone);
            assert_eq!(zone, Some(Zone::CloudMetadata), "{url}");
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

//! Announces over HTTP and HTTPS (BEP 3).

use super::{AnnounceFailure, AnnounceSource, bound::BoundConnector};
use crate::base::Zone;
use crate::peer::{ForbiddenZone, ZoneResolver};
use crate::system::cause;
use crate::wire::udp_tracker::AddressFamily;
use crate::wire::{
    AnnounceRequest, AnnounceResponse, MAX_RESPONSE, Refusal, ResponseError, bounded_interval,
    printable,
};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use ureq::config::{Config, IpFamily};
use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::unversioned::transport::{Connector, DefaultConnector, RustlsConnector};

/// How long a tracker may take to answer.
pub(super) const ANNOUNCE_LIMIT: Duration = Duration::from_secs(10);
/// The minimum time for an announce over one address family. So the second family has time, even if
/// the first one has used up the limit for both.
const MIN_FAMILY_LIMIT: Duration = Duration::from_secs(1);
/// The maximum number of connections kept open between announces.
const MAX_IDLE: usize = 16;
/// The environment variable that names the file of trusted certificate authorities. Other programs
/// use the same one.
pub(crate) const AUTHORITIES_VARIABLE: &str = "SSL_CERT_FILE";
/// Default locations of that file: Debian, Arch and Alpine; Fedora; openSUSE; others.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The maximum number of bytes read of such a file.
const MAX_AUTHORITIES: u64 = 16 << 20;

/// An HTTP client that keeps connections open between announces.
#[derive(Debug)]
pub(super) struct HttpTrackers {
    source: AnnounceSource,
    client: OnceLock<Client>,
}

#[derive(Debug)]
struct Client {
    /// There is one agent for each address family, because a single agent would reuse an open
    /// connection of the other family.
    v4: ureq::Agent,
    v6: ureq::Agent,
    /// Whether at least one certificate authority is trusted.
    has_authorities: bool,
}

impl HttpTrackers {
    /// A client that announces from `source`.
    pub(super) fn new(source: AnnounceSource) -> Self {
        Self {
            source,
            client: OnceLock::new(),
        }
    }

    /// Announces, within `limit`. `tracker_id` is the id that the tracker returned before.
    pub(super) fn announce(
        &self,
        url: &str,
        request: &AnnounceRequest,
        tracker_id: Option<&[u8]>,
        limit: Duration,
    ) -> Result<AnnounceResponse, AnnounceFailure> {
        let client = self.client.get_or_init(|| {
            Client::new(
                self.source,
                authorities(std::env::var_os(AUTHORITIES_VARIABLE)),
            )
        });
        if url.starts_with("https://") && !client.has_authorities {
            return Err(AnnounceFailure::Final(format!(
                "no file with this system's certificate authorities is found; name one in {AUTHORITIES_VARIABLE}"
            )));
        }
        let (url, deadline) = (request.url(url, tracker_id), Instant::now() + limit);
        self.source.announce(|family| {
            let agent = match family {
                AddressFamily::V4 => &client.v4,
                AddressFamily::V6 => &client.v6,
            };
            let remaining = deadline.saturating_duration_since(Instant::now());
            exchange(agent, &url, remaining.max(MIN_FAMILY_LIMIT))
        })
    }
}

/// Sends the request and parses the answer.
fn exchange(
    agent: &ureq::Agent,
    url: &str,
    limit: Duration,
) -> Result<AnnounceResponse, AnnounceFailure> {
    let call = agent.get(url).config().timeout_global(Some(limit)).build();
    let mut response = call.call().map_err(|error| failure(&error))?;
    let body = response.body_mut().with_config().limit(MAX_RESPONSE as u64);
    let body = body.read_to_vec();
    if !response.status().is_success() {
        return Err(failure_of_status(&response, &body.unwrap_or_default()));
    }
    let body = body.map_err(|error| match error {
        ureq::Error::BodyExceedsLimit(_) => AnnounceFailure::useless(error.to_string()),
        error => failure(&error),
    })?;
    AnnounceResponse::parse(&body).map_err(|error| match error {
        ResponseError::Refused(Refusal { reason, retry }) => {
            let reason = format!("the tracker refuses: {reason}");
            AnnounceFailure::Refused(Refusal { reason, retry })
        }
        ResponseError::Bencode(_) if let Some(coding) = coding(&response, &body) => {
            AnnounceFailure::useless(format!(
                "the tracker's answer is compressed ({coding}), but was requested without compression"
            ))
        }
        error => AnnounceFailure::useless(error.to_string()),
    })
}

/// The failure for an HTTP status that is not a success. The body may have a reason, as a
/// dictionary or as plain text. A server error with neither a reason nor a time for the next
/// request may come from a proxy in front of the tracker, which may work again soon. So it does not
/// count as `Refused` by the tracker, but as `Final`: no other address of the tracker in this
/// family is worth an attempt now.
fn failure_of_status(response: &Response<ureq::Body>, body: &[u8]) -> AnnounceFailure {
    let status = response.status();
    let wait = header(response, "retry-after").and_then(|seconds| seconds.parse().ok());
    let wait = wait.map(Duration::from_secs).map(bounded_interval);
    let plain = || {
        let is_plain =
            header(response, "content-type").is_some_and(|kind| kind.starts_with("text/plain"));
        let text = String::from_utf8_lossy(body);
        let line = text.trim().lines().next().filter(|_| is_plain)?;
        Some(Refusal {
            reason: printable(line),
            retry: None,
        })
    };
    let refusal = match AnnounceResponse::parse(body) {
        Err(ResponseError::Refused(refusal)) => Some(refusal),
        _ => plain(),
    };
    let reason = match &refusal {
        Some(refusal) => format!("HTTP status {status}: {refusal}"),
        None => format!("HTTP status {status}"),
    };
    let retry = refusal.as_ref().and_then(|refusal| refusal.retry).or(wait);
    match status.is_server_error() && refusal.is_none() && retry.is_none() {
        true => AnnounceFailure::Final(reason),
        false => AnnounceFailure::Refused(Refusal { reason, retry }),
    }
}

/// The coding of a compressed body: as the header says, or as its first bytes show. `None` if
/// neither of them says that the body is compressed.
fn coding(response: &Response<ureq::Body>, body: &[u8]) -> Option<String> {
    let named = header(response, "content-encoding").filter(|coding| *coding != "identity");
    let shown = body.starts_with(&[0x1f, 0x8b]).then_some("gzip");
    let coding = named.or(shown)?;
    Some(coding.chars().take(80).collect())
}

fn header<'a>(response: &'a Response<ureq::Body>, name: &str) -> Option<&'a str> {
    let value = response.headers().get(name)?.to_str().ok()?.trim();
    Some(value).filter(|value| !value.is_empty())
}

impl Client {
    fn new(source: AnnounceSource, authorities: Vec<Certificate<'static>>) -> Self {
        let (tls, has_authorities) = tls(authorities);
        let agent = |family| {
            let config = Self::config(tls.clone(), family);
            match source.is_single() {
                true => {
                    let connector = BoundConnector(source).chain(RustlsConnector::default());
                    ureq::Agent::with_parts(config, connector, ZoneResolver::new(may_announce))
                }
                false => guarded(config, may_announce),
            }
        };
        Self {
            v4: agent(IpFamily::Ipv4Only),
            v6: agent(IpFamily::Ipv6Only),
            has_authorities,
        }
    }

    fn config(tls: TlsConfig, family: IpFamily) -> Config {
        ureq::Agent::config_builder()
            .timeout_global(Some(ANNOUNCE_LIMIT))
            .timeout_connect(Some(ANNOUNCE_LIMIT / 2))
            .http_status_as_error(false)
            .max_redirects(3)
            .max_idle_connections(MAX_IDLE)
            .max_idle_connections_per_host(MAX_IDLE)
            .proxy(None)
            .tls_config(tls)
            .user_agent(concat!("pieceful/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .ip_family(family)
            .build()
    }
}

/// A client that connects only to addresses that `allows` accepts, also after name look-ups and
/// redirects.
pub(crate) fn guarded(config: Config, allows: fn(&Uri, Zone) -> bool) -> ureq::Agent {
    ureq::Agent::with_parts(
        config,
        DefaultConnector::default(),
        ZoneResolver::new(allows),
    )
}

/// Whether a tracker may be at this URL. On this machine and in its link-local network, only URLs
/// with the path of a tracker are requested, because a torrent or a redirect may name any URL. The
/// URLs of TRACKER_INFO have such a path.
fn may_announce(url: &Uri, zone: Zone) -> bool {
    let path = url.path();
    zone < Zone::ThisMachine || path.ends_with("/announce") || path.ends_with("/scrape")
}

fn failure(error: &ureq::Error) -> AnnounceFailure {
    match (ForbiddenZone::from_error(error), error) {
        // Another address may be allowed.
        (Some(refused), _) => AnnounceFailure::NoAnswer(refused.to_string()),
        (None, ureq::Error::HostNotFound) => AnnounceFailure::NoAddress(error.to_string()),
        (None, ureq::Error::Io(error)) => AnnounceFailure::NoAnswer(cause(error)),
        (None, ureq::Error::Timeout(_)) => {
            let limit = ANNOUNCE_LIMIT.as_secs();
            AnnounceFailure::NoAnswer(format!("no answer within {limit} s"))
        }
        (None, error) => AnnounceFailure::NoAnswer(error.to_string()),
    }
}

/// TLS that trusts this system's certificate authorities, and whether there are any.
pub(crate) fn trusted_tls() -> (TlsConfig, bool) {
    tls(authorities(std::env::var_os(AUTHORITIES_VARIABLE)))
}

fn tls(authorities: Vec<Certificate<'static>>) -> (TlsConfig, bool) {
    let has_authorities = !authorities.is_empty();
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(authorities)))
        .build();
    (tls, has_authorities)
}

/// The certificate authorities in the file `named`. If `named` is `None` or empty: those in the
/// first file of `AUTHORITIES` that can be read. Empty if no file can be read. Other content of the
/// file is ignored.
fn authorities(named: Option<OsString>) -> Vec<Certificate<'static>> {
    let places = match named.filter(|name| !name.is_empty()) {
        Some(name) => vec![PathBuf::from(name)],
        None => AUTHORITIES.iter().map(PathBuf::from).collect(),
    };
    for place in places {
        let mut text = Vec::new();
        let file = File::open(&place);
        let read = file.and_then(|file| file.take(MAX_AUTHORITIES).read_to_end(&mut text));
        if read.is_ok() {
            let certificates = parse_pem(&text).filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            });
            return certificates.collect();
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Authority;
    use crate::net::TlsServer;
    use crate::peer::announce::testing::request;
    use crate::wire::encode_failure;
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;
    use std::time::Instant;

    fn trackers(named: Option<OsString>, listen: &str) -> HttpTrackers {
        let source = AnnounceSource::new(listen.parse().unwrap());
        HttpTrackers {
            source,
            client: OnceLock::from(Client::new(source, authorities(named))),
        }
    }

    /// The answer to an announce to a TLS tracker whose certificate is for `name`. The peer trusts
    /// the authority that signed the certificate or, with `trusts_other`, only another authority.
    fn announce(name: &str, trusts_other: bool, listen: &str) -> AnnounceFailure {
        let authority = Authority::generate("test").unwrap();
        let server = TlsServer::new(authority.issue(name).unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let limit = Duration::from_secs(20);
        let serving = thread::spawn(move || {
            let stream = Arc::new(listener.accept().unwrap().0);
            let Ok(stream) = server.accept(stream, limit) else {
                return;
            };
            let (mut head, soon) = ([0; 2_000], Instant::now() + limit);
            let Ok(1..) = stream.read_until(&mut head, soon) else {
                return;
            };
            assert!(head.starts_with(b"GET /announce?info_hash=%01"));
            let body = encode_failure("not here");
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream
                .write_all_until(&[head.as_bytes(), &body].concat(), soon)
                .unwrap();
        });
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let trusted = match trusts_other {
            true => Authority::generate("other").unwrap(),
            false => authority,
        };
        write!(file, "# trusted\n{}", trusted.to_pem()).unwrap();
        let trackers = trackers(Some(file.path().as_os_str().to_owned()), listen);
        let url = format!("https://localhost:{port}/announce");
        let answer = trackers.announce(&url, &request(), None, limit);
        drop(trackers);
        serving.join().unwrap();
        answer.unwrap_err()
    }

    #[test]
    fn an_https_tracker_is_accepted_if_its_certificate_is_valid() {
        for listen in ["0.0.0.0", "127.0.0.2", "::"] {
            let answer = announce("localhost", false, listen);
            assert_eq!(answer.to_string(), "the tracker refuses: not here");
            for (name, trusts_other) in [("localhost", true), ("elsewhere", false)] {
                let answer = announce(name, trusts_other, listen).to_string();
                assert!(answer.contains("certificate"), "{answer}");
            }
        }
    }

    #[test]
    fn a_url_on_this_machine_is_requested_only_if_its_path_is_that_of_a_tracker() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // Without a chosen local address, and with one.
        let all = ["0.0.0.0", "127.0.0.2"].map(|listen| trackers(None, listen));
        let announce = |url: &str| {
            let [any, bound] = all.each_ref().map(|trackers| {
                let answer = trackers.announce(url, &request(), None, ANNOUNCE_LIMIT);
                answer.unwrap_err().to_string()
            });
            assert_eq!(any, bound);
            any
        };
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "localhost",
            "0.0.0.0",
            "[::ffff:127.0.0.1]",
        ] {
            for path in [
                "",
                "/",
                "/admin",
                "/announce/x",
                "/x?/announce",
                "/xannounce",
            ] {
                let answer = announce(&format!("http://{host}:{port}{path}"));
                assert!(
                    answer.contains("may not lead there"),
                    "{host}{path}: {answer}"
                );
            }
        }
        // Also after a redirect.
        for trackers in all {
            let listener = listener.try_clone().unwrap();
            let serving = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 2_000];
                let length = std::io::Read::read(&mut stream, &mut head).unwrap();
                let answer =
                    "HTTP/1.1 302 Found\r\nLocation: /admin?x\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer.as_bytes()).unwrap();
                // The next request on the connection, or its end.
                let more = std::io::Read::read(&mut stream, &mut [0; 2_000]);
                assert!(head[..length].starts_with(b"GET /key/announce?info_hash=%01"));
                more.unwrap_or(0)
            });
            let url = format!("http://127.0.0.1:{port}/key/announce");
            let answer = trackers.announce(&url, &request(), None, ANNOUNCE_LIMIT);
            let answer = answer.unwrap_err().to_string();
            assert!(answer.contains("may not lead there"), "{answer}");
            drop(trackers);
            assert_eq!(serving.join().unwrap(), 0, "/admin was asked for");
        }
    }

    #[test]
    fn without_authorities_https_fails_with_advice() {
        let nowhere = tempfile::tempdir().unwrap().path().join("none");
        let answer = trackers(Some(nowhere.into()), "0.0.0.0").announce(
            "https://localhost:1/announce",
            &request(),
            None,
            ANNOUNCE_LIMIT,
        );
        assert!(answer.unwrap_err().to_string().contains("SSL_CERT_FILE"));
    }
}

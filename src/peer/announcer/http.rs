//! Announces over HTTP and HTTPS (BEP 3).

use crate::wire::{AnnounceRequest, AnnounceResponse, MAX_RESPONSE};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

/// How long a tracker may take to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// Names the file with the certificate authorities that are trusted; as other programs have it.
const AUTHORITIES_VARIABLE: &str = "SSL_CERT_FILE";
/// Where systems keep that file otherwise: Debian, Arch and Alpine; Fedora; openSUSE; others.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The longest such file that is read, in bytes.
const MAX_AUTHORITIES: u64 = 16 << 20;

/// A client that keeps connections open between announces.
#[derive(Debug, Default)]
pub(super) struct HttpTrackers {
    client: OnceLock<Client>,
}

#[derive(Debug)]
struct Client {
    agent: ureq::Agent,
    has_authorities: bool,
}

impl HttpTrackers {
    /// Announces, within `limit`.
    pub(super) fn announce(
        &self,
        url: &str,
        request: &AnnounceRequest,
        limit: Duration,
    ) -> Result<AnnounceResponse, String> {
        let client = self.client.get_or_init(Client::new);
        if url.starts_with("https://") && !client.has_authorities {
            return Err(format!(
                "no file with this system's certificate authorities is found; name one in {AUTHORITIES_VARIABLE}"
            ));
        }
        let call = client
            .agent
            .get(request.url(url))
            .config()
            .timeout_global(Some(limit))
            .build();
        let mut response = call.call().map_err(|error| error.to_string())?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("HTTP status {status}"));
        }
        let body = response.body_mut().with_config().limit(MAX_RESPONSE as u64);
        let body = body.read_to_vec().map_err(|error| error.to_string())?;
        AnnounceResponse::parse(&body).map_err(|error| error.to_string())
    }
}

impl Client {
    fn new() -> Self {
        let authorities = authorities();
        let has_authorities = !authorities.is_empty();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(authorities)))
            .build();
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER))
            .timeout_connect(Some(ANSWER / 2))
            .http_status_as_error(false)
            .max_redirects(3)
            .max_idle_connections(16)
            .proxy(None)
            .tls_config(tls)
            .user_agent(concat!("pieceful/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.into(),
            has_authorities,
        }
    }
}

/// The certificate authorities that this system trusts; none if their file is nowhere. What in it is no certificate is
/// passed over.
fn authorities() -> Vec<Certificate<'static>> {
    let named = std::env::var_os(AUTHORITIES_VARIABLE).filter(|name| !name.is_empty());
    let places = match named {
        Some(name) => vec![PathBuf::from(name)],
        None => AUTHORITIES.iter().map(PathBuf::from).collect(),
    };
    for place in places {
        let mut text = Vec::new();
        let read =
            File::open(&place).and_then(|file| file.take(MAX_AUTHORITIES).read_to_end(&mut text));
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

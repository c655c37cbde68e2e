//! The client side of a connection to a tracker. It checks the certificate of the tracker by the
//! fingerprint of its cluster. Dates and addresses do not matter: the certificates of trackers
//! never expire, and all have the same name.

use super::error::TlsError;
use super::inbound::Inbound;
use super::stream::TlsStream;
use crate::certificate::Fingerprint;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, PeerIncompatible,
    RootCertStore, SignatureScheme, version,
};
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The name in the leaf certificates of trackers.
pub const TRACKER_NAME: &str = "tracker";

/// Does the handshake with a tracker within `limit`. The tracker must belong to the cluster
/// `expected`, or to any cluster if that is `None`. Also returns the fingerprint of the tracker's
/// cluster.
///
/// # Errors
/// [`TlsError::OtherCluster`] if the tracker belongs to another cluster; no data has been sent
/// then. Otherwise see [`TlsError`].
pub fn connect_tls(
    socket: Arc<TcpStream>,
    expected: Option<Fingerprint>,
    limit: Duration,
) -> Result<(TlsStream, Fingerprint), TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(ClusterVerifier::new(expected, Arc::clone(&provider)));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(TlsError::Certificate)?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let invalid = |_| TlsError::Certificate(rustls::Error::General("invalid name".to_owned()));
    let name = ServerName::try_from(TRACKER_NAME).map_err(invalid)?;
    let connection = ClientConnection::new(Arc::new(config), name);
    let connection = connection.map_err(TlsError::Certificate)?;
    let handshake = TlsStream::handshake(socket, connection.into(), Inbound::default(), limit);
    match (handshake, verifier.found.get(), expected) {
        (_, Some(&found), Some(expected)) if found != expected => {
            Err(TlsError::OtherCluster { expected, found })
        }
        (Ok(stream), Some(&found), _) => Ok((stream, found)),
        (Ok(_), None, _) => Err(TlsError::Certificate(
            rustls::Error::NoCertificatesPresented,
        )),
        (Err(error), ..) => Err(TlsError::Handshake(error)),
    }
}

/// Accepts a leaf named [`TRACKER_NAME`] that is signed by the authority in its chain, if that
/// authority is the expected one.
#[derive(Debug)]
pub(super) struct ClusterVerifier {
    expected: Option<Fingerprint>,
    found: OnceLock<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl ClusterVerifier {
    pub(super) fn new(expected: Option<Fingerprint>, provider: Arc<CryptoProvider>) -> Self {
        Self {
            expected,
            found: OnceLock::new(),
            provider,
        }
    }

    /// The cluster of the other side's certificate, or `None` if the certificate has not arrived.
    pub(super) fn found(&self) -> Option<Fingerprint> {
        self.found.get().copied()
    }
}

impl ServerCertVerifier for ClusterVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let [authority] = intermediates else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        let found = *self.found.get_or_init(|| Fingerprint::of(authority));
        if self.expected.is_some_and(|expected| expected != found) {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let provider = Arc::clone(&self.provider);
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

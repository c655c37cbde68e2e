//! Replica connections and operator connections. Both sides hold the key of the cluster and show a
//! leaf certificate named [`TRACKER_NAME`] that the cluster's authority signed.
//!
//! The caller names its purpose by ALPN (RFC 7301). The same port serves peers, which send no ALPN
//! and show no certificate. A caller that names a purpose but shows no leaf of this cluster is
//! refused in the handshake.

use super::client::{ClusterVerifier, TRACKER_NAME};
use super::error::TlsError;
use super::inbound::Inbound;
use super::stream::TlsStream;
use crate::certificate::{Fingerprint, Identity};
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig,
    version,
};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// What a connection to a tracker is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionPurpose {
    /// A control connection of a peer.
    Peer,
    /// A replica connection from another tracker of the cluster.
    Replica,
    /// An operator connection. The operator holds the key of the cluster.
    Operator,
}

/// The ALPN names of the purposes that need the key of the cluster.
const PROTOCOLS: [(ConnectionPurpose, &[u8]); 2] = [
    (ConnectionPurpose::Replica, b"pieceful-twin"),
    (ConnectionPurpose::Operator, b"pieceful-operator"),
];

/// The certificates and the key for connections between two holders of the cluster's key. Clones
/// share them.
#[derive(Clone, Debug)]
pub struct ClusterTls {
    certified_key: Arc<SingleCertAndKey>,
    authority: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ClusterTls {
    /// Shows `identity` in handshakes. Its chain must be a leaf and the authority of the cluster.
    ///
    /// # Errors
    /// [`TlsError::Certificate`] if the chain has no authority or the key cannot be used.
    pub fn new(identity: &Identity) -> Result<Self, TlsError> {
        let provider = rustls::crypto::ring::default_provider();
        let authority = identity.chain.get(1).cloned();
        let authority = authority.ok_or(TlsError::Certificate(
            rustls::Error::NoCertificatesPresented,
        ))?;
        let (chain, key) = (identity.chain.clone(), identity.key.clone_key());
        let certified_key = CertifiedKey::from_der(chain, key, &provider);
        Ok(Self {
            certified_key: Arc::new(certified_key.map_err(TlsError::Certificate)?.into()),
            authority,
            provider: Arc::new(provider),
        })
    }

    /// Does the handshake with a tracker of the same cluster within `limit`. If the tracker refuses
    /// our leaf, the first read reports it.
    ///
    /// # Errors
    /// [`TlsError::OtherCluster`] if the tracker is of another cluster. No data was sent then. For
    /// other failures see [`TlsError`].
    pub fn connect(
        &self,
        socket: Arc<TcpStream>,
        purpose: ConnectionPurpose,
        limit: Duration,
    ) -> Result<TlsStream, TlsError> {
        let expected = Fingerprint::of(&self.authority);
        let verifier = Arc::new(ClusterVerifier::new(
            Some(expected),
            Arc::clone(&self.provider),
        ));
        let certified_key = Arc::clone(&self.certified_key);
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(TlsError::Certificate)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
            .with_client_cert_resolver(certified_key);
        config.resumption = Resumption::disabled();
        let protocols = PROTOCOLS.iter().filter(|(named, _)| *named == purpose);
        config.alpn_protocols = protocols.map(|(_, name)| name.to_vec()).collect();
        let connection = ClientConnection::new(Arc::new(config), tracker_name()?);
        let connection = connection.map_err(TlsError::Certificate)?;
        let stream = TlsStream::handshake(socket, connection.into(), Inbound::default(), limit);
        stream.map_err(|error| match verifier.found() {
            Some(found) if found != expected => TlsError::OtherCluster { expected, found },
            _ => TlsError::Handshake(error),
        })
    }

    /// The configuration with which a tracker accepts connections that need the key.
    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let mut roots = RootCertStore::empty();
        let added = roots.add(self.authority.clone());
        added.map_err(TlsError::Certificate)?;
        let provider = Arc::clone(&self.provider);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| {
                    TlsError::Certificate(rustls::Error::General(error.to_string()))
                })?;
        let certified_key = Arc::clone(&self.certified_key);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .map_err(TlsError::Certificate)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certified_key);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = PROTOCOLS.iter().map(|(_, name)| name.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// Whether a caller names a purpose that needs the key of the cluster.
pub(super) fn needs_key(hello: &ClientHello<'_>) -> bool {
    let mut protocols = hello.alpn().into_iter().flatten();
    protocols.any(|protocol| PROTOCOLS.iter().any(|(_, name)| *name == protocol))
}

/// The purpose of a connection whose handshake needed the key of the cluster.
pub(super) fn purpose(connection: &Connection) -> Result<ConnectionPurpose, TlsError> {
    let refused = || TlsError::Certificate(CertificateError::NotValidForName.into());
    let leaf = connection
        .peer_certificates()
        .and_then(|chain| chain.first())
        .ok_or_else(refused)?;
    let leaf = ParsedCertificate::try_from(leaf).map_err(TlsError::Certificate)?;
    verify_server_name(&leaf, &tracker_name()?).map_err(TlsError::Certificate)?;
    let protocol = connection.alpn_protocol();
    let found = PROTOCOLS.iter().find(|(_, name)| Some(*name) == protocol);
    found.map(|(purpose, _)| *purpose).ok_or_else(refused)
}

fn tracker_name() -> Result<ServerName<'static>, TlsError> {
    let invalid = |_| TlsError::Certificate(rustls::Error::General("the name".to_owned()));
    ServerName::try_from(TRACKER_NAME).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{Authority, CLUSTER_AUTHORITY};
    use crate::net::tls_testing::accept_any;
    use crate::net::{TlsServer, connect_tls};
    use std::net::TcpListener;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(60);

    fn authority() -> Authority {
        Authority::generate(CLUSTER_AUTHORITY).unwrap()
    }

    fn tls(authority: &Authority, name: &str) -> ClusterTls {
        ClusterTls::new(&authority.issue(name).unwrap()).unwrap()
    }

    /// Lets a tracker accept the connection of `call`. Returns the purpose that the tracker found,
    /// and what `call` returned.
    fn accept_call<T: Send>(
        authority: &Authority,
        call: impl FnOnce(Arc<TcpStream>) -> T + Send,
    ) -> (Result<ConnectionPurpose, TlsError>, T) {
        let identity = authority.issue(TRACKER_NAME).unwrap();
        let cluster = ClusterTls::new(&identity).unwrap();
        let server = TlsServer::new(identity).unwrap();
        let server = server.with_cluster(&cluster).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::scope(|scope| {
            let calling = scope.spawn(|| call(Arc::new(TcpStream::connect(address).unwrap())));
            let socket = Arc::new(listener.accept().unwrap().0);
            let accepted = accept_any(server, socket);
            if let Ok((stream, _)) = &accepted {
                stream.write_all_until(b"!", Instant::now() + LONG).unwrap();
            }
            let purpose = accepted.map(|(_, purpose)| purpose);
            (purpose, calling.join().unwrap())
        })
    }

    /// Whether the byte arrives that a tracker sends after it has accepted a caller.
    fn is_accepted(stream: &TlsStream) -> bool {
        let mut byte = [0];
        stream
            .read_exact_until(&mut byte, Instant::now() + LONG)
            .is_ok()
    }

    #[test]
    fn a_tracker_learns_the_purpose_of_a_caller_that_holds_the_key() {
        let ours = authority();
        for purpose in [ConnectionPurpose::Replica, ConnectionPurpose::Operator] {
            let tls = tls(&ours, TRACKER_NAME);
            let (found, was_accepted) = accept_call(&ours, |socket| {
                is_accepted(&tls.connect(socket, purpose, LONG).unwrap())
            });
            assert_eq!((found.unwrap(), was_accepted), (purpose, true));
        }
        let (found, was_accepted) = accept_call(&ours, |socket| {
            is_accepted(&connect_tls(socket, None, LONG).unwrap().0)
        });
        assert_eq!(
            (found.unwrap(), was_accepted),
            (ConnectionPurpose::Peer, true)
        );
    }

    #[test]
    fn a_caller_without_a_tracker_leaf_of_this_cluster_is_refused() {
        let ours = authority();
        // The key of another cluster: the caller itself refuses.
        let foreign = tls(&authority(), TRACKER_NAME);
        let (found, refused) = accept_call(&ours, |socket| {
            foreign
                .connect(socket, ConnectionPurpose::Replica, LONG)
                .map(drop)
        });
        assert!(found.is_err() && matches!(refused, Err(TlsError::OtherCluster { .. })));
        // The caller trusts us and shows a leaf that another cluster signed.
        let mut liar = tls(&authority(), TRACKER_NAME);
        liar.authority = tls(&ours, TRACKER_NAME).authority;
        let (found, was_accepted) = accept_call(&ours, |socket| {
            liar.connect(socket, ConnectionPurpose::Replica, LONG)
                .is_ok_and(|stream| is_accepted(&stream))
        });
        assert!(found.is_err() && !was_accepted);
        // A leaf of this cluster that does not have the tracker's name.
        let other = tls(&ours, "other");
        let (found, was_accepted) = accept_call(&ours, |socket| {
            let stream = other.connect(socket, ConnectionPurpose::Operator, LONG);
            stream.is_ok_and(|stream| is_accepted(&stream))
        });
        assert!(matches!(found, Err(TlsError::Certificate(_))) && !was_accepted);
        // No certificate at all.
        let (found, was_accepted) = accept_call(&ours, |socket| {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let verifier = Arc::new(ClusterVerifier::new(None, Arc::clone(&provider)));
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&version::TLS13])
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth();
            config.alpn_protocols = vec![b"pieceful-twin".to_vec()];
            let name = tracker_name().unwrap();
            let connection = ClientConnection::new(Arc::new(config), name).unwrap();
            let inbound = Inbound::default();
            TlsStream::handshake(socket, connection.into(), inbound, LONG)
                .is_ok_and(|stream| is_accepted(&stream))
        });
        assert!(matches!(found, Err(TlsError::Handshake(_))) && !was_accepted);
    }
}

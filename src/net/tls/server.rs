//! The server side of a tracker's TLS connections. The server shows a certificate. The caller (the
//! TLS client) must show a certificate only if it requests a replica connection or an operator
//! connection by ALPN. For this certificate it needs the key of the cluster.

use super::cluster::{self, ClusterTls};
use super::error::TlsError;
use super::inbound::Inbound;
use super::stream::TlsStream;
use crate::certificate::Identity;
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::{ServerConfig, ServerConnection, version};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// The configuration of a server's handshakes. Clones share it.
#[derive(Clone, Debug)]
pub struct TlsServer {
    /// For peers, which need no certificate.
    peers: Arc<ServerConfig>,
    /// For replica connections and operator connections. Their callers need the key of the cluster.
    cluster: Option<Arc<ServerConfig>>,
}

impl TlsServer {
    /// A server that shows `identity`.
    ///
    /// # Errors
    /// [`TlsError::Certificate`] if the identity cannot be used.
    pub fn new(identity: Identity) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .map(|builder| builder.with_no_client_auth())
            .and_then(|builder| builder.with_single_cert(identity.chain, identity.key));
        let mut config = config.map_err(TlsError::Certificate)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self {
            peers: Arc::new(config),
            cluster: None,
        })
    }

    /// Also accepts replica connections and operator connections of this cluster.
    ///
    /// # Errors
    /// [`TlsError::Certificate`] if the authority of the cluster cannot be used.
    pub fn with_cluster(self, tls: &ClusterTls) -> Result<Self, TlsError> {
        Ok(Self {
            cluster: Some(tls.server_config()?),
            ..self
        })
    }

    /// Does the handshake with a peer within `limit`. No byte of the connection may have been read
    /// before.
    ///
    /// # Errors
    /// [`TlsError::Handshake`] if the handshake fails or is not complete within `limit`.
    pub fn accept(&self, socket: Arc<TcpStream>, limit: Duration) -> Result<TlsStream, TlsError> {
        let connection = ServerConnection::new(Arc::clone(&self.peers));
        let connection = connection.map_err(TlsError::Certificate)?;
        TlsStream::handshake(socket, connection.into(), Inbound::default(), limit)
            .map_err(handshake_error)
    }

    /// The configuration for a caller, and whether the caller must prove that it holds the key of
    /// the cluster.
    pub(super) fn config_for(&self, hello: &ClientHello<'_>) -> (Arc<ServerConfig>, bool) {
        match &self.cluster {
            Some(cluster) if cluster::needs_key(hello) => (Arc::clone(cluster), true),
            _ => (Arc::clone(&self.peers), false),
        }
    }
}

/// Makes a [`TlsError::Handshake`]. If client and server are incompatible, its message also says
/// that the client must speak TLS 1.3.
pub(super) fn handshake_error(error: io::Error) -> TlsError {
    TlsError::Handshake(match error.get_ref().and_then(|why| why.downcast_ref()) {
        Some(rustls::Error::PeerIncompatible(_)) => io::Error::new(
            error.kind(),
            format!("{error}; the client must speak TLS 1.3"),
        ),
        _ => error,
    })
}

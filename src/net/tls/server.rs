//! The side that shows a certificate and asks for none.

use super::{Inbound, TlsError, TlsStream};
use crate::certificate::Identity;
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, ServerConnection, version};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// What a server needs for its handshakes; clones share it.
#[derive(Clone, Debug)]
pub struct TlsServer(Arc<ServerConfig>);

impl TlsServer {
    /// A server that shows this identity.
    ///
    /// # Errors
    /// [`TlsError::Certificate`].
    pub fn new(identity: Identity) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .map(|builder| builder.with_no_client_auth())
            .and_then(|builder| builder.with_single_cert(identity.chain, identity.key));
        let mut config = config.map_err(TlsError::Certificate)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self(Arc::new(config)))
    }

    /// Does the handshake with a client, whose first byte may be unread, within `limit`.
    ///
    /// # Errors
    /// [`TlsError::Handshake`].
    pub fn accept(&self, socket: Arc<TcpStream>, limit: Duration) -> Result<TlsStream, TlsError> {
        let connection = ServerConnection::new(Arc::clone(&self.0));
        let connection = connection.map_err(TlsError::Certificate)?;
        TlsStream::handshake(socket, connection.into(), Inbound::default(), limit)
            .map_err(explained)
    }
}

/// Says what a client that knows no TLS 1.3 must do.
fn explained(error: io::Error) -> TlsError {
    TlsError::Handshake(match error.get_ref().and_then(|why| why.downcast_ref()) {
        Some(rustls::Error::PeerIncompatible(_)) => io::Error::new(
            error.kind(),
            format!("{error}; the client must speak TLS 1.3"),
        ),
        _ => error,
    })
}

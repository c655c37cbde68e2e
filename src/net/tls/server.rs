//! The server side of a tracker's TLS connections. It shows a certificate. It requires one only
//! from callers that name a purpose for which they need the key of the cluster.

use super::cluster::{self, ClusterTls, ConnectionPurpose};
use super::error::TlsError;
use super::inbound::Inbound;
use super::stream::{CLOSE_LIMIT, TlsStream};
use crate::certificate::Identity;
use crate::net::write_all_by;
use rustls::server::{Accepted, AcceptedAlert, Acceptor, NoServerSessionStorage};
use rustls::{ServerConfig, ServerConnection, version};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The configuration of a server's handshakes. Clones share it.
#[derive(Clone, Debug)]
pub struct TlsServer {
    /// For peers, which need no certificate.
    peers: Arc<ServerConfig>,
    /// For callers that name a purpose for which they need the key of the cluster.
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
    /// [`TlsError::Handshake`].
    pub fn accept(&self, socket: Arc<TcpStream>, limit: Duration) -> Result<TlsStream, TlsError> {
        let connection = ServerConnection::new(Arc::clone(&self.peers));
        let connection = connection.map_err(TlsError::Certificate)?;
        TlsStream::handshake(socket, connection.into(), Inbound::default(), limit)
            .map_err(handshake_error)
    }

    /// Does the handshake with any caller within `limit` and returns the purpose of the connection.
    /// A caller whose purpose is not [`ConnectionPurpose::Peer`] has proved that it holds the key
    /// of the cluster.
    ///
    /// # Errors
    /// See [`TlsError`]. A refused caller has received a TLS alert.
    pub fn accept_any(
        &self,
        socket: Arc<TcpStream>,
        limit: Duration,
    ) -> Result<(TlsStream, ConnectionPurpose), TlsError> {
        let Some(cluster) = &self.cluster else {
            let stream = self.accept(socket, limit)?;
            return Ok((stream, ConnectionPurpose::Peer));
        };
        let deadline = Instant::now() + limit;
        let mut inbound = Inbound::default();
        let accepted =
            read_client_hello(&socket, &mut inbound, deadline).map_err(handshake_error)?;
        let needs_key = cluster::needs_key(&accepted.client_hello());
        let config = if needs_key { cluster } else { &self.peers };
        let connection =
            accepted
                .into_connection(Arc::clone(config))
                .map_err(|(error, mut alert)| {
                    handshake_error(send_alert(&socket, error, &mut alert))
                })?;
        let left = deadline.saturating_duration_since(Instant::now());
        let stream = TlsStream::handshake(socket, connection.into(), inbound, left);
        let stream = stream.map_err(handshake_error)?;
        let purpose = match needs_key {
            true => cluster::purpose(&stream).inspect_err(|_| stream.hang_up())?,
            false => ConnectionPurpose::Peer,
        };
        Ok((stream, purpose))
    }
}

fn read_client_hello(
    socket: &TcpStream,
    inbound: &mut Inbound,
    deadline: Instant,
) -> io::Result<Accepted> {
    let mut acceptor = Acceptor::default();
    loop {
        if inbound.is_empty() && inbound.fill(socket, deadline)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let consumed = acceptor.read_tls(&mut inbound.unread())?;
        inbound.consume(consumed);
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted),
            Ok(None) => {}
            Err((error, mut alert)) => return Err(send_alert(socket, error, &mut alert)),
        }
    }
}

/// Sends the alert that refuses a client hello, if that is possible within [`CLOSE_LIMIT`]. Returns
/// the reason as an I/O error.
fn send_alert(socket: &TcpStream, error: rustls::Error, alert: &mut AcceptedAlert) -> io::Error {
    let mut bytes = Vec::new();
    let written = alert.write_all(&mut bytes);
    let _ = written.and_then(|()| write_all_by(socket, &bytes, CLOSE_LIMIT));
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Makes a [`TlsError::Handshake`]. If client and server are incompatible, its message also says
/// that the client must speak TLS 1.3.
fn handshake_error(error: io::Error) -> TlsError {
    TlsError::Handshake(match error.get_ref().and_then(|why| why.downcast_ref()) {
        Some(rustls::Error::PeerIncompatible(_)) => io::Error::new(
            error.kind(),
            format!("{error}; the client must speak TLS 1.3"),
        ),
        _ => error,
    })
}

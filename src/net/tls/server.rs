//! The side that shows a certificate and asks for none, but of those who say that they hold the cluster's key.

use super::cluster::{self, ClusterTls, Purpose};
use super::error::TlsError;
use super::inbound::Inbound;
use super::stream::{LAST_WORD, TlsStream};
use crate::certificate::Identity;
use crate::net::write_all_by;
use rustls::server::{Accepted, AcceptedAlert, Acceptor, NoServerSessionStorage};
use rustls::{ServerConfig, ServerConnection, version};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a server needs for its handshakes; clones share it.
#[derive(Clone, Debug)]
pub struct TlsServer {
    anybody: Arc<ServerConfig>,
    /// For those who hold the cluster's key.
    members: Option<Arc<ServerConfig>>,
}

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
        Ok(Self {
            anybody: Arc::new(config),
            members: None,
        })
    }

    /// The same, which also takes lines of others that hold the cluster's key.
    ///
    /// # Errors
    /// [`TlsError::Certificate`].
    pub fn with_members(self, tls: &ClusterTls) -> Result<Self, TlsError> {
        Ok(Self {
            members: Some(tls.server()?),
            ..self
        })
    }

    /// Does the handshake with a client, whose first byte may be unread, within `limit`.
    ///
    /// # Errors
    /// [`TlsError::Handshake`].
    pub fn accept(&self, socket: Arc<TcpStream>, limit: Duration) -> Result<TlsStream, TlsError> {
        let connection = ServerConnection::new(Arc::clone(&self.anybody));
        let connection = connection.map_err(TlsError::Certificate)?;
        TlsStream::handshake(socket, connection.into(), Inbound::default(), limit)
            .map_err(explained)
    }

    /// Does the handshake with whoever calls, within `limit`, and says what for. Whoever calls for more than peers do has
    /// proved that it holds the cluster's key.
    ///
    /// # Errors
    /// See [`TlsError`]; the other side was told within TLS.
    pub fn accept_any(
        &self,
        socket: Arc<TcpStream>,
        limit: Duration,
    ) -> Result<(TlsStream, Purpose), TlsError> {
        let Some(members) = &self.members else {
            let stream = self.accept(socket, limit)?;
            return Ok((stream, Purpose::Peer));
        };
        let deadline = Instant::now() + limit;
        let mut inbound = Inbound::default();
        let accepted = hello(&socket, &mut inbound, deadline).map_err(explained)?;
        let is_member = cluster::needs_key(&accepted.client_hello());
        let config = if is_member { members } else { &self.anybody };
        let connection = accepted
            .into_connection(Arc::clone(config))
            .map_err(|(error, mut alert)| explained(refused(&socket, error, &mut alert)))?;
        let left = deadline.saturating_duration_since(Instant::now());
        let stream = TlsStream::handshake(socket, connection.into(), inbound, left);
        let stream = stream.map_err(explained)?;
        let purpose = match is_member {
            true => cluster::purpose(&stream).inspect_err(|_| stream.hang_up())?,
            false => Purpose::Peer,
        };
        Ok((stream, purpose))
    }
}

/// What a caller says first.
fn hello(socket: &TcpStream, inbound: &mut Inbound, deadline: Instant) -> io::Result<Accepted> {
    let mut acceptor = Acceptor::default();
    loop {
        if inbound.is_empty() && inbound.fill(socket, deadline)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let taken = acceptor.read_tls(&mut inbound.waiting())?;
        inbound.take(taken);
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted),
            Ok(None) => {}
            Err((error, mut alert)) => return Err(refused(socket, error, &mut alert)),
        }
    }
}

/// Tells the other side why its first word was refused, if that goes quickly.
fn refused(socket: &TcpStream, error: rustls::Error, alert: &mut AcceptedAlert) -> io::Error {
    let mut told = Vec::new();
    let written = alert.write_all(&mut told);
    let _ = written.and_then(|()| write_all_by(socket, &told, LAST_WORD));
    io::Error::new(io::ErrorKind::InvalidData, error)
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

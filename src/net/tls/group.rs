//! Connections between members of a group: TLS 1.3 in which both sides show a certificate of the
//! group's authority.
//!
//! The caller names the swarm without encryption: the server name (SNI) is the info-hash in hex, as
//! in the SSL torrents of libtorrent (libtorrent manual, "SSL torrents"). Each side checks the
//! certificate of the other side: the signer, the dates (by the system's clock) and the key usage.
//! Addresses and DNS names in certificates are not compared with anything. On top of TLS both sides
//! speak BEP 3 as usual, and its handshake must name the same info-hash.
//!
//! In TLS the called side shows its certificate first. A caller that is not a member, but knows the
//! info-hash and the address, therefore learns the certificate of the called member, and with it
//! the user's name. The caller gets nothing else, and no byte of the swarm.

mod error;
#[cfg(test)]
mod tests;
mod verifier;

pub use error::{GroupTlsError, TlsRefusal};

use super::inbound::Inbound;
use super::stream::{CLOSE_LIMIT, TlsStream};
use crate::certificate::{GroupIdentity, Member};
use crate::net::DeadlineReader;
use crate::torrent::InfoHash;
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::pki_types::ServerName;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{Accepted, Acceptor, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, version};
use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use verifier::GroupVerifier;

/// The first byte of a TLS handshake (RFC 8446, section 5.1). It differs from the first byte of a
/// BEP 3 handshake, so one port can serve both.
pub const TLS_FIRST_BYTE: u8 = 0x16;
/// The most bytes that [`drain_after_alert`] reads from a refused caller.
const MAX_DRAINED: usize = 64 << 10;

/// What a member needs for handshakes with other members of a group.
#[derive(Clone, Debug)]
pub struct GroupTls {
    identity: GroupIdentity,
    certified_key: Arc<SingleCertAndKey>,
    provider: Arc<CryptoProvider>,
}

/// A connection to another member of the group.
#[derive(Debug)]
pub struct MemberConnection {
    /// The TLS connection.
    pub stream: TlsStream,
    /// The swarm that the caller named. The BEP 3 handshake must name the same swarm.
    pub info_hash: InfoHash,
    /// The member on the other side, and the time at which the connection must end.
    pub member: Member,
}

impl GroupTls {
    /// Makes a value that shows `identity` in handshakes.
    ///
    /// # Errors
    /// [`GroupTlsError::Setup`] if certificate and key cannot be used.
    pub fn new(identity: GroupIdentity) -> Result<Self, GroupTlsError> {
        let mut provider = rustls::crypto::ring::default_provider();
        // The caller's order decides which suite is used. AES-128 is safe enough here and costs
        // less time per byte.
        provider.cipher_suites = vec![
            TLS13_AES_128_GCM_SHA256,
            TLS13_AES_256_GCM_SHA384,
            TLS13_CHACHA20_POLY1305_SHA256,
        ];
        let (leaf, key) = (identity.leaf().clone(), identity.key());
        let certified_key = CertifiedKey::from_der(vec![leaf], key.into(), &provider);
        let certified_key = certified_key.map_err(GroupTlsError::Setup)?;
        Ok(Self {
            identity,
            certified_key: Arc::new(certified_key.into()),
            provider: Arc::new(provider),
        })
    }

    /// The identity that is shown in handshakes.
    pub fn identity(&self) -> &GroupIdentity {
        &self.identity
    }

    /// Does the handshake as the caller, within `limit`. `info_hash` names the swarm. In TLS 1.3 a
    /// caller learns only from its first read that its own certificate was refused: see
    /// [`MemberConnection::exchange`].
    ///
    /// # Errors
    /// See [`GroupTlsError`]. No data of the swarm was sent.
    pub fn connect(
        &self,
        socket: Arc<TcpStream>,
        info_hash: InfoHash,
        limit: Duration,
    ) -> Result<MemberConnection, GroupTlsError> {
        let verifier = Arc::new(GroupVerifier::new(self.identity.group(), &self.provider));
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(GroupTlsError::Setup)?;
        let certified_key = Arc::clone(&self.certified_key);
        let mut config = config
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_client_cert_resolver(certified_key);
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(info_hash.to_string());
        let name = name.map_err(|_| GroupTlsError::Unnameable(info_hash))?;
        let connection = ClientConnection::new(Arc::new(config), name);
        let connection = connection.map_err(GroupTlsError::Setup)?;
        let inbound = Inbound::default();
        let (stream, member) = handshake(socket, connection.into(), inbound, limit, &verifier)?;
        Ok(MemberConnection {
            stream,
            info_hash,
            member,
        })
    }

    fn accept(
        &self,
        socket: Arc<TcpStream>,
        accepted: Accepted,
        inbound: Inbound,
        limit: Duration,
    ) -> Result<(TlsStream, Member), GroupTlsError> {
        let verifier = Arc::new(GroupVerifier::new(self.identity.group(), &self.provider));
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(GroupTlsError::Setup)?;
        let certified_key = Arc::clone(&self.certified_key);
        let mut config = config
            .with_client_cert_verifier(Arc::clone(&verifier) as Arc<dyn ClientCertVerifier>)
            .with_cert_resolver(certified_key);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let connection = accepted.into_connection(Arc::new(config));
        let connection = connection.map_err(|(error, _)| GroupTlsError::of_tls(error))?;
        let socket_to_drain = Arc::clone(&socket);
        let result = handshake(socket, connection.into(), inbound, limit, &verifier);
        result.inspect_err(|error| {
            if error.refuses_their_certificate() {
                drain_after_alert(&socket_to_drain);
            }
        })
    }
}

/// Does the handshake with a caller within `limit`. `first` holds bytes that were read from the
/// socket before. `groups` returns what a handshake for a swarm needs, or `None` if this peer does
/// not serve the swarm. A caller gets no answer if it names no swarm that this peer serves, or
/// does not speak TLS.
///
/// # Errors
/// See [`GroupTlsError`].
pub fn accept_group(
    socket: Arc<TcpStream>,
    first: &[u8],
    groups: impl FnOnce(InfoHash) -> Option<GroupTls>,
    limit: Duration,
) -> Result<MemberConnection, GroupTlsError> {
    let deadline = Instant::now() + limit;
    let io_error = |error| GroupTlsError::of_io(error, limit);
    let mut acceptor = Acceptor::default();
    let mut inbound = Inbound::with_bytes(first);
    if inbound.is_empty() && inbound.fill(&socket, deadline).map_err(io_error)? == 0 {
        return Err(GroupTlsError::Cut);
    }
    if inbound.unread().first() != Some(&TLS_FIRST_BYTE) {
        return Err(GroupTlsError::NotTls);
    }
    let accepted = loop {
        let consumed = acceptor.read_tls(&mut inbound.unread()).map_err(io_error)?;
        inbound.consume(consumed);
        let accepted = acceptor.accept();
        if let Some(accepted) = accepted.map_err(|(error, _)| GroupTlsError::of_tls(error))? {
            break accepted;
        }
        if inbound.is_empty() && inbound.fill(&socket, deadline).map_err(io_error)? == 0 {
            return Err(GroupTlsError::Cut);
        }
    };
    let hello = accepted.client_hello();
    let name = hello.server_name().ok_or(GroupTlsError::NoServerName)?;
    let info_hash = read_server_name(name).ok_or(GroupTlsError::InvalidServerName)?;
    let group = groups(info_hash).ok_or(GroupTlsError::UnknownSwarm(info_hash))?;
    let remaining = deadline.saturating_duration_since(Instant::now());
    match group.accept(socket, accepted, inbound, remaining) {
        Ok((stream, member)) => Ok(MemberConnection {
            stream,
            info_hash,
            member,
        }),
        Err(GroupTlsError::TimedOut(_)) => Err(GroupTlsError::TimedOut(limit)),
        Err(error) => Err(error),
    }
}

impl MemberConnection {
    /// Sends our BEP 3 handshake and reads the one of the other peer. A caller also learns here
    /// whether its certificate was accepted.
    ///
    /// # Errors
    /// [`GroupTlsError::Refused`] if the other peer refused our certificate; otherwise see
    /// [`GroupTlsError`].
    pub fn exchange(
        &self,
        ours: &[u8],
        theirs: &mut [u8],
        limit: Duration,
    ) -> Result<(), GroupTlsError> {
        let deadline = Instant::now() + limit;
        // If the write fails, the read returns the alert of the other side, which has the reason.
        let written = self.stream.write_all_until(ours, deadline);
        let read = self.stream.read_exact_until(theirs, deadline);
        read.and(written)
            .map_err(|error| GroupTlsError::of_io(error, limit))
    }
}

fn handshake(
    socket: Arc<TcpStream>,
    connection: Connection,
    inbound: Inbound,
    limit: Duration,
    verifier: &GroupVerifier,
) -> Result<(TlsStream, Member), GroupTlsError> {
    let stream = TlsStream::handshake(socket, connection, inbound, limit);
    match (stream, verifier.result()) {
        (Ok(stream), Some(Ok(member))) => Ok((stream, member)),
        (_, Some(Err(error))) => Err(GroupTlsError::Member(error)),
        (Ok(_), None) => Err(GroupTlsError::NoCertificate),
        (Err(error), _) => Err(GroupTlsError::of_io(error, limit)),
    }
}

/// The info-hash in a server name: 40 hex digits in lower case.
fn read_server_name(name: &str) -> Option<InfoHash> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let info_hash = name.bytes().all(is_digit).then(|| name.parse().ok());
    info_hash.flatten()
}

/// Ends the sending side, and reads what the caller still sends. If the socket were closed while
/// bytes are unread, the system would reset the connection, and the alert could be lost.
fn drain_after_alert(socket: &TcpStream) {
    if socket.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let (mut reader, mut drained) = (DeadlineReader::new(socket, CLOSE_LIMIT), 0);
    let mut waste = [0; 4 << 10];
    while drained < MAX_DRAINED {
        match reader.read(&mut waste) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
            Ok(read) => drained += read,
        }
    }
}

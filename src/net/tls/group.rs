//! Lines between members of a group: TLS 1.3 in which both sides show a certificate of the group's authority.
//!
//! As libtorrent's SSL torrents have it (libtorrent manual, "SSL torrents"), the caller names the swarm in the clear, as
//! server name: its info-hash in hex. Addresses and names in certificates mean nothing; who signed a certificate, its
//! dates by the system's clock and its use do. Above the line BEP 3 is spoken as anywhere, and its handshake must name the
//! same info-hash.
//!
//! A caller that is no member, but knows info-hash and address, learns the certificate of the member it calls, hence the
//! user's name: in TLS it is the called side that shows first. It gets nothing else, and no byte of the swarm.

mod error;
#[cfg(test)]
mod tests;
mod verifier;

pub use error::{GroupTlsError, Refusal};

use super::inbound::Inbound;
use super::stream::{LAST_WORD, TlsStream};
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

/// The first byte of a TLS handshake (RFC 8446, section 5.1), by which a port tells it from that of BEP 3.
pub const TLS_FIRST_BYTE: u8 = 0x16;
/// How much is read of what a refused caller had sent, so that it learns why.
const DRAINED: usize = 64 << 10;

/// What a member needs for its handshakes with others of a group; clones share it.
#[derive(Clone, Debug)]
pub struct GroupTls {
    identity: GroupIdentity,
    shown: Arc<SingleCertAndKey>,
    provider: Arc<CryptoProvider>,
}

/// A line to another member.
#[derive(Debug)]
pub struct GroupLine {
    /// The line.
    pub stream: TlsStream,
    /// The swarm that the caller named; the handshake of BEP 3 must name the same.
    pub info_hash: InfoHash,
    /// Who the other side is, and when the line must end at the latest.
    pub member: Member,
}

impl GroupTls {
    /// Shows this identity.
    ///
    /// # Errors
    /// [`GroupTlsError::Setup`].
    pub fn new(identity: GroupIdentity) -> Result<Self, GroupTlsError> {
        let mut provider = rustls::crypto::ring::default_provider();
        // The caller's order counts. A key of 128 bits is as safe here and costs less for each byte.
        provider.cipher_suites = vec![
            TLS13_AES_128_GCM_SHA256,
            TLS13_AES_256_GCM_SHA384,
            TLS13_CHACHA20_POLY1305_SHA256,
        ];
        let (leaf, key) = (identity.leaf().clone(), identity.key());
        let shown = CertifiedKey::from_der(vec![leaf], key.into(), &provider);
        let shown = shown.map_err(GroupTlsError::Setup)?;
        Ok(Self {
            identity,
            shown: Arc::new(shown.into()),
            provider: Arc::new(provider),
        })
    }

    /// What it shows.
    pub fn identity(&self) -> &GroupIdentity {
        &self.identity
    }

    /// Calls a member for the swarm `info_hash`, within `limit`. In TLS 1.3 a caller learns that its own certificate was
    /// refused only from what it reads first: see [`GroupLine::exchange`].
    ///
    /// # Errors
    /// See [`GroupTlsError`]; nothing was said.
    pub fn connect(
        &self,
        socket: Arc<TcpStream>,
        info_hash: InfoHash,
        limit: Duration,
    ) -> Result<GroupLine, GroupTlsError> {
        let verifier = Arc::new(GroupVerifier::new(self.identity.group(), &self.provider));
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(GroupTlsError::Setup)?;
        let shown = Arc::clone(&self.shown);
        let mut config = config
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_client_cert_resolver(shown);
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(info_hash.to_string());
        let name = name.map_err(|_| GroupTlsError::Unnameable(info_hash))?;
        let connection = ClientConnection::new(Arc::new(config), name);
        let connection = connection.map_err(GroupTlsError::Setup)?;
        let inbound = Inbound::default();
        let line = finish(socket, connection.into(), inbound, limit, &verifier)?;
        Ok(line.to(info_hash))
    }

    fn accept(
        &self,
        socket: Arc<TcpStream>,
        accepted: Accepted,
        inbound: Inbound,
        limit: Duration,
    ) -> Result<Line, GroupTlsError> {
        let verifier = Arc::new(GroupVerifier::new(self.identity.group(), &self.provider));
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(GroupTlsError::Setup)?;
        let shown = Arc::clone(&self.shown);
        let mut config = config
            .with_client_cert_verifier(Arc::clone(&verifier) as Arc<dyn ClientCertVerifier>)
            .with_cert_resolver(shown);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let connection = accepted.into_connection(Arc::new(config));
        let connection = connection.map_err(|(error, _)| GroupTlsError::of_tls(error))?;
        let kept = Arc::clone(&socket);
        let line = finish(socket, connection.into(), inbound, limit, &verifier);
        line.inspect_err(|error| {
            if error.is_about_certificates() {
                linger(&kept);
            }
        })
    }
}

/// Does the handshake with a caller, of which `first` bytes were read already, within `limit`. `groups` says by what a
/// swarm's handshakes are done, if it is served here. A caller that names no such swarm, or speaks no TLS, is told nothing.
///
/// # Errors
/// See [`GroupTlsError`].
pub fn accept_group(
    socket: Arc<TcpStream>,
    first: &[u8],
    groups: impl FnOnce(InfoHash) -> Option<GroupTls>,
    limit: Duration,
) -> Result<GroupLine, GroupTlsError> {
    let deadline = Instant::now() + limit;
    let told = |error| GroupTlsError::of_io(error, limit);
    let mut acceptor = Acceptor::default();
    let mut inbound = Inbound::of(first);
    if inbound.is_empty() && inbound.fill(&socket, deadline).map_err(told)? == 0 {
        return Err(GroupTlsError::Cut);
    }
    if inbound.waiting().first() != Some(&TLS_FIRST_BYTE) {
        return Err(GroupTlsError::NotTls);
    }
    let accepted = loop {
        let taken = acceptor.read_tls(&mut inbound.waiting()).map_err(told)?;
        inbound.take(taken);
        let accepted = acceptor.accept();
        if let Some(accepted) = accepted.map_err(|(error, _)| GroupTlsError::of_tls(error))? {
            break accepted;
        }
        if inbound.is_empty() && inbound.fill(&socket, deadline).map_err(told)? == 0 {
            return Err(GroupTlsError::Cut);
        }
    };
    let hello = accepted.client_hello();
    let name = hello.server_name().ok_or(GroupTlsError::NoServerName)?;
    let info_hash = named(name).ok_or(GroupTlsError::ServerName)?;
    let group = groups(info_hash).ok_or(GroupTlsError::UnknownSwarm(info_hash))?;
    let left = deadline.saturating_duration_since(Instant::now());
    let line = group.accept(socket, accepted, inbound, left);
    line.map(|line| line.to(info_hash))
        .map_err(|error| match error {
            GroupTlsError::TimedOut(_) => GroupTlsError::TimedOut(limit),
            error => error,
        })
}

impl GroupLine {
    /// Sends our handshake and reads theirs, by which a caller also learns whether its certificate was taken.
    ///
    /// # Errors
    /// [`GroupTlsError::Refused`] when it was not; else see [`GroupTlsError`].
    pub fn exchange(
        &self,
        ours: &[u8],
        theirs: &mut [u8],
        limit: Duration,
    ) -> Result<(), GroupTlsError> {
        let deadline = Instant::now() + limit;
        // Where writing fails, what the other side said last tells why.
        let written = self.stream.write_all_until(ours, deadline);
        let read = self.stream.read_exact_until(theirs, deadline);
        read.and(written)
            .map_err(|error| GroupTlsError::of_io(error, limit))
    }
}

/// A line whose swarm is known elsewhere.
struct Line(TlsStream, Member);

impl Line {
    fn to(self, info_hash: InfoHash) -> GroupLine {
        GroupLine {
            stream: self.0,
            info_hash,
            member: self.1,
        }
    }
}

fn finish(
    socket: Arc<TcpStream>,
    connection: Connection,
    inbound: Inbound,
    limit: Duration,
    verifier: &GroupVerifier,
) -> Result<Line, GroupTlsError> {
    let done = TlsStream::handshake(socket, connection, inbound, limit);
    match (done, verifier.outcome()) {
        (Ok(stream), Some(Ok(member))) => Ok(Line(stream, member)),
        (_, Some(Err(error))) => Err(GroupTlsError::Member(error)),
        (Ok(_), None) => Err(GroupTlsError::NoCertificate),
        (Err(error), _) => Err(GroupTlsError::of_io(error, limit)),
    }
}

/// The info-hash that a server name is: 40 hex digits, in lower case.
fn named(name: &str) -> Option<InfoHash> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let info_hash = name.bytes().all(is_digit).then(|| name.parse().ok());
    info_hash.flatten()
}

/// Closes so that the last word arrives: closing with bytes unread would make the system reset the connection.
fn linger(socket: &TcpStream) {
    if socket.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let (mut reader, mut drained) = (DeadlineReader::new(socket, LAST_WORD), 0);
    let mut waste = [0; 4 << 10];
    while drained < DRAINED {
        match reader.read(&mut waste) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
            Ok(read) => drained += read,
        }
    }
}

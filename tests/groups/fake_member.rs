//! A fake leech over plain TCP or over TLS, and keys and certificates for TLS.

use crate::common::control_connection::User;
use crate::common::waiting::PATIENCE;
use pieceful::certificate::{GroupCertificate, MemberPublicKey};
use pieceful::wire::access::{AccessAnswer, AccessRequest, KeyRequest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring::default_provider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    version,
};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// Length of a block in bytes.
pub(crate) const BLOCK: usize = 16 << 10;

/// A connection over plain TCP or over TLS.
pub(crate) trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

/// A certificate (DER) and its private key (PKCS #8).
pub(crate) struct MemberIdentity {
    pub(crate) leaf: Vec<u8>,
    pub(crate) pkcs8: Vec<u8>,
}

/// A new P-256 key as PKCS #8, and a request for its certificate. The signature in the request also
/// covers `context`, which is the token of the login.
fn generate_member_key(context: &[u8]) -> (Vec<u8>, [u8; 129]) {
    let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref();
    let signed = [b"pieceful member key\0", point, context].concat();
    let signature = pair.sign(&random, &signed).unwrap();
    let request = [point, signature.as_ref()].concat();
    (pkcs8.as_ref().to_vec(), request.try_into().unwrap())
}

/// A new private key (PKCS #8) and its public key, for a certificate that the test signs.
pub(crate) fn generate_key_pair() -> (Vec<u8>, MemberPublicKey) {
    let (pkcs8, request) = generate_member_key(b"");
    (pkcs8, MemberPublicKey::from_request(&request, b"").unwrap())
}

/// Requests a certificate for a member from the tracker. Returns it with its key, and the
/// certificate of the group's authority.
pub(crate) fn certify(user: &mut User, group: &str) -> (MemberIdentity, GroupCertificate) {
    let (pkcs8, request) = generate_member_key(user.token.as_bytes());
    let ask = AccessRequest::Certify {
        group: group.parse().unwrap(),
        request: KeyRequest(request),
    };
    match user.ask(ask) {
        Ok(AccessAnswer::Certificate {
            leaf, authority, ..
        }) => {
            let authority = GroupCertificate::from_pem(&authority).unwrap();
            (MemberIdentity { leaf, pkcs8 }, authority)
        }
        other => panic!("{other:?}"),
    }
}

/// Connects over TLS with or without a certificate. Accepts any certificate of the other side.
pub(crate) fn call_tls(
    address: SocketAddr,
    name: &str,
    identity: Option<&MemberIdentity>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let provider = Arc::new(default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(MemberIdentity { leaf, pkcs8 }) => {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pkcs8.clone()));
            let chain = vec![CertificateDer::from(leaf.clone())];
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, call(address))
}

/// Connects over plain TCP.
pub(crate) fn call(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Accepts any certificate of a server.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!("only TLS 1.3 is offered")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The handshake of BEP 3 for an info-hash in hex.
pub(crate) fn handshake(info_hash: &str, id: &str) -> Vec<u8> {
    let mut peer_id = [b'-'; 20];
    peer_id[..id.len()].copy_from_slice(id.as_bytes());
    [
        b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".as_slice(),
        &bytes_of_hex(info_hash),
        &peer_id,
    ]
    .concat()
}

fn bytes_of_hex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The first bytes from the other side. Empty if it closes or resets the connection.
pub(crate) fn first_bytes(stream: &mut impl Read) -> Vec<u8> {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(read) => buffer[..read].to_vec(),
        Err(error) => {
            let is_timeout = matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            );
            assert!(!is_timeout, "the other side neither sends nor closes");
            Vec::new()
        }
    }
}

/// A leech after the handshakes.
pub(crate) struct FakeLeech<B> {
    connection: B,
    unchoked: bool,
}

impl<B: Connection> FakeLeech<B> {
    /// Does the handshake over a connection. None if the other side does not answer.
    pub(crate) fn greet(mut connection: B, info_hash: &str, id: &str) -> Option<Self> {
        connection.write_all(&handshake(info_hash, id)).ok()?;
        connection.flush().ok()?;
        let mut answer = [0; 68];
        connection.read_exact(&mut answer).ok()?;
        Some(Self {
            connection,
            unchoked: false,
        })
    }

    /// Requests a block and returns its bytes. None if the other side closed the link.
    pub(crate) fn fetch(&mut self, piece: u32, begin: u32, length: u32) -> Option<Vec<u8>> {
        if !self.unchoked {
            self.send(&[0, 0, 0, 1, 2])?;
            while self.read_message()?.0 != 1 {}
            self.unchoked = true;
        }
        let numbers = [13, piece, begin, length].map(u32::to_be_bytes).concat();
        self.send(&[&numbers[..4], &[6], &numbers[4..]].concat())?;
        loop {
            let (id, body) = self.read_message()?;
            if id == 7 && body[..8] == numbers[4..12] {
                return Some(body[8..].to_vec());
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Option<()> {
        self.connection.write_all(bytes).ok()?;
        self.connection.flush().ok()
    }

    fn read_message(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let mut length = [0; 4];
            self.connection.read_exact(&mut length).ok()?;
            let mut body = vec![0; u32::from_be_bytes(length) as usize];
            self.connection.read_exact(&mut body).ok()?;
            if !body.is_empty() {
                return Some((body.remove(0), body));
            }
        }
    }
}

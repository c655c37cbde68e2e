//! The certificate verifier for rustls: checks that the other side is a member of the group.

use crate::certificate::{GroupCertificate, Member, MemberError, Use};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, PeerIncompatible, SignatureScheme,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Requires the certificate of a member. Keeps the result of one handshake.
#[derive(Debug)]
pub(super) struct GroupVerifier {
    group: GroupCertificate,
    provider: Arc<CryptoProvider>,
    result: OnceLock<Result<Member, MemberError>>,
}

impl GroupVerifier {
    pub(super) fn new(group: &GroupCertificate, provider: &Arc<CryptoProvider>) -> Self {
        Self {
            group: group.clone(),
            provider: Arc::clone(provider),
            result: OnceLock::new(),
        }
    }

    /// The member, or why the certificate was refused. `None` if no certificate has arrived.
    pub(super) fn result(&self) -> Option<Result<Member, MemberError>> {
        self.result.get().cloned()
    }

    fn check(&self, leaf: &[u8], usage: Use, now: UnixTime) -> Result<(), rustls::Error> {
        let now = Duration::from_secs(now.as_secs());
        let checked = self.group.check(leaf, usage, now);
        let result = self.result.get_or_init(|| checked);
        match result {
            Ok(_) => Ok(()),
            Err(error) => Err(certificate_error(error).into()),
        }
    }

    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }
}

/// The error of rustls that decides which alert the other side receives.
fn certificate_error(error: &MemberError) -> CertificateError {
    match error {
        MemberError::Expired(_) => CertificateError::Expired,
        MemberError::NotYetValid(_) => CertificateError::NotValidYet,
        MemberError::SelfSigned
        | MemberError::Cluster
        | MemberError::OtherAuthority(_)
        | MemberError::NotSigned => CertificateError::UnknownIssuer,
        MemberError::WrongUse(_) => CertificateError::InvalidPurpose,
        MemberError::Damaged
        | MemberError::Kind
        | MemberError::Key
        | MemberError::Name
        | MemberError::OtherKey => CertificateError::BadEncoding,
    }
}

/// The only signature scheme of leaf certificates: ECDSA on P-256.
fn signature_schemes() -> Vec<SignatureScheme> {
    vec![SignatureScheme::ECDSA_NISTP256_SHA256]
}

impl ServerCertVerifier for GroupVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let checked = self.check(end_entity, Use::Server, now);
        checked.map(|()| ServerCertVerified::assertion())
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
        self.verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        signature_schemes()
    }
}

impl ClientCertVerifier for GroupVerifier {
    /// Empty: a member has only one certificate for the group, so its choice needs no hint.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let checked = self.check(end_entity, Use::Client, now);
        checked.map(|()| ClientCertVerified::assertion())
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
        self.verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        signature_schemes()
    }
}

//! The authority of a group, and the check that a certificate belongs to a member.
//!
//! A member's certificate is what libtorrent's SSL torrents require (libtorrent manual, "SSL
//! torrents"): a leaf that the authority in the torrent's `ssl-cert` has signed directly, valid for
//! any torrent of the group (`*`). A URI among its alternative names names the member's account.

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use super::authority::{Authority, CERTIFICATE_LABEL, CLUSTER_AUTHORITY, KEY_LABEL, key_pair};
use super::error::CertificateError;
use super::member::{MemberKey, MemberPublicKey};
use super::naming::{AccountId, MAX_NAME_LENGTH, member_name};
use super::validity::{Date, Validity};
use super::x509::{CLIENT_AUTH, CertificateParts, LeafNames, SERVER_AUTH, common_name};
use super::{Fingerprint, pem};
use ring::signature::KeyPair;
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The DNS name of leaves that are valid for every torrent of their group.
const ANY_TORRENT: &str = "*";
/// The validity of a leaf begins this long before the leaf is issued. So it is accepted although
/// the clock of the tracker is ahead, or that of a machine behind. An earlier begin gives nobody
/// access.
const BACKDATED: Duration = Duration::from_secs(24 * 3_600);

/// The authority of a group with its key. Trackers have it.
#[derive(Debug)]
pub struct GroupAuthority(Authority);

/// The public half of a group's authority. It is `ssl-cert` in a torrent's `info`. Members check
/// each other's certificates with it.
#[derive(Clone)]
pub struct GroupCertificate {
    der: CertificateDer<'static>,
    subject: Vec<u8>,
    roots: Arc<RootCertStore>,
    client_verifier: Arc<dyn ClientCertVerifier>,
}

/// A member, as described by its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The user's name as [`member_name`] writes it: 1 to 64 visible ASCII characters, safe to
    /// print.
    pub user: String,
    /// The user's account: [`AccountId::of_name`] if the certificate names none.
    pub account: AccountId,
    /// When the certificate is valid.
    pub validity: Validity,
}

/// The role of the side that presents a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// The side that opened the connection.
    Client,
    /// The side that accepted the connection.
    Server,
}

/// A member's certificate and key, for use in handshakes with other members.
#[derive(Clone)]
pub struct GroupIdentity {
    group: GroupCertificate,
    leaf: CertificateDer<'static>,
    key: Arc<PrivatePkcs8KeyDer<'static>>,
    member: Member,
}

/// Why a certificate does not belong to a member of the group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Its bytes cannot be read as a certificate.
    #[error("it is damaged")]
    Damaged,
    /// It is an authority's certificate, or it has critical extensions that are not known here.
    #[error("it is not of the kind that members have")]
    Kind,
    /// Its key is not on P-256.
    #[error("its key is not on P-256")]
    Key,
    /// It names no user.
    #[error("it names no user")]
    Name,
    /// It is signed by its own key.
    #[error("it is self-signed")]
    SelfSigned,
    /// The authority of a cluster has signed it. A cluster's authority has no members.
    #[error("it is signed by a cluster of trackers, not by the group")]
    Cluster,
    /// Another authority has signed it. The text is that authority's name, if it is safe to print.
    #[error(
        "it is signed by another authority ({})",
        .0.as_deref().unwrap_or("of no readable name")
    )]
    OtherAuthority(Option<String>),
    /// It names the group's authority as its issuer, but that authority has not signed these bytes.
    #[error("it names the group's authority, but that authority has not signed it")]
    NotSigned,
    /// It is not valid yet.
    #[error("it is not valid before {0}")]
    NotYetValid(Date),
    /// It is no longer valid.
    #[error("it expired on {0}")]
    Expired(Date),
    /// It may not be used in this role.
    #[error(
        "it is not meant for a {}",
        match .0 { Use::Client => "client", Use::Server => "server" }
    )]
    WrongUse(Use),
    /// It belongs to another key than the one given to [`GroupIdentity::new`].
    #[error("it belongs to another key")]
    OtherKey,
}

impl GroupAuthority {
    /// Makes an authority with a new key. Anyone who connects to a member can see `name`, so pass
    /// an id, not the group's name.
    ///
    /// # Errors
    /// [`CertificateError::Name`] if `name` does not have 1 to 64 visible ASCII characters,
    /// [`CertificateError::NoRandomness`].
    pub fn generate(name: &str) -> Result<Self, CertificateError> {
        if !is_name(name) {
            return Err(CertificateError::Name);
        }
        Authority::generate(name).map(Self)
    }

    /// Reads the text that [`GroupAuthority::to_pem`] wrote. Detects the same changes of the
    /// text as [`Authority::from_pem`].
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn from_pem(text: &[u8]) -> Result<Self, CertificateError> {
        Authority::from_pem(text).map(Self)
    }

    /// Certificate and key as text. Anyone who has this text can issue membership certificates.
    pub fn to_pem(&self) -> String {
        self.0.to_pem()
    }

    /// The public half.
    ///
    /// # Errors
    /// [`CertificateError::Certificate`]. Never happens after [`GroupAuthority::generate`].
    pub fn certificate(&self) -> Result<GroupCertificate, CertificateError> {
        GroupCertificate::new(self.0.certificate().clone())
    }

    /// Issues a certificate (DER) for a user's key. It names the user as [`member_name`] does, and
    /// the user's account. It is valid from a day before `now` until `life` after `now`. `now` is
    /// the time since 1970.
    ///
    /// # Errors
    /// [`CertificateError::Name`] if the name is empty or has anything but visible ASCII
    /// characters, [`CertificateError::Date`], [`CertificateError::NoRandomness`].
    pub fn issue(
        &self,
        user: &str,
        account: AccountId,
        key: &MemberPublicKey,
        now: Duration,
        life: Duration,
    ) -> Result<Vec<u8>, CertificateError> {
        let uses = [SERVER_AUTH, CLIENT_AUTH];
        self.issue_for(user, Some(account), key, now, life, &uses)
    }

    fn issue_for(
        &self,
        user: &str,
        account: Option<AccountId>,
        key: &MemberPublicKey,
        now: Duration,
        life: Duration,
        uses: &[&[u8]],
    ) -> Result<Vec<u8>, CertificateError> {
        if !is_visible(user) {
            return Err(CertificateError::Name);
        }
        let account = account.map(AccountId::to_uri);
        let names = LeafNames {
            common: &member_name(user),
            dns: ANY_TORRENT,
            uri: account.as_deref(),
        };
        let (begin, end) = (now.saturating_sub(BACKDATED), now.saturating_add(life));
        let validity = Validity {
            not_before: Date::new(begin).ok_or(CertificateError::Date)?,
            not_after: Date::new(end).ok_or(CertificateError::Date)?,
        };
        let leaf = self.0.sign_leaf(&key.0, &names, validity, uses)?;
        Ok(leaf.to_vec())
    }
}

impl GroupCertificate {
    /// Reads `ssl-cert`: one self-signed certificate on P-256.
    ///
    /// # Errors
    /// [`CertificateError::NotPem`], [`CertificateError::WrongSections`],
    /// [`CertificateError::Certificate`].
    pub fn from_pem(text: &[u8]) -> Result<Self, CertificateError> {
        let mut certificate = None;
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
            match section.map_err(|_| CertificateError::NotPem)? {
                (SectionKind::Certificate, der) if certificate.is_none() => {
                    certificate = Some(der);
                }
                _ => return Err(CertificateError::WrongSections),
            }
        }
        Self::new(certificate.ok_or(CertificateError::NotPem)?.into())
    }

    fn new(der: CertificateDer<'static>) -> Result<Self, CertificateError> {
        let parts = CertificateParts::parse(&der).ok_or(CertificateError::Certificate)?;
        let signed = parts.point.is_some_and(|point| parts.is_signed_by(point));
        if !signed || parts.issuer != parts.subject {
            return Err(CertificateError::Certificate);
        }
        let subject = parts.subject.to_vec();
        let mut roots = RootCertStore::empty();
        let added = roots.add(der.clone());
        added.map_err(|_| CertificateError::Certificate)?;
        let (roots, provider) = (Arc::new(roots), Arc::new(default_provider()));
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider);
        let verifier = verifier.build();
        let client_verifier = verifier.map_err(|_| CertificateError::Certificate)?;
        Ok(Self {
            der,
            subject,
            roots,
            client_verifier,
        })
    }

    /// The text for `ssl-cert` in a torrent's `info`.
    pub fn to_pem(&self) -> String {
        let mut text = String::new();
        pem::write(CERTIFICATE_LABEL, &self.der, &mut text);
        text
    }

    /// The fingerprint of the certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    /// Whether this is the text ([`GroupIdentity::leaf_pem`]) of a certificate that the group's
    /// authority has issued, which may have expired since; and, if there is a `key`, whether that
    /// is the text ([`MemberKey::to_pem`]) of the key of this certificate.
    pub fn has_issued(&self, leaf: &[u8], key: Option<&[u8]>) -> bool {
        let is_text = |label: &str, der: &[u8], text: &[u8]| {
            let mut written = String::new();
            pem::write(label, der, &mut written);
            written.as_bytes() == text
        };
        let Ok(der) = CertificateDer::from_pem_slice(leaf) else {
            return false;
        };
        let Some(parts) = CertificateParts::parse(&der) else {
            return false;
        };
        let begin = parts.validity.not_before.since_1970();
        let is_issued = self.check(&der, Use::Client, begin).is_ok();
        let has_key = |text: &[u8]| {
            PrivatePkcs8KeyDer::from_pem_slice(text).is_ok_and(|key| {
                let pair = key_pair(key.secret_pkcs8_der());
                let point = pair.as_ref().map(|pair| pair.public_key().as_ref());
                point == parts.point && is_text(KEY_LABEL, key.secret_pkcs8_der(), text)
            })
        };
        is_issued && is_text(CERTIFICATE_LABEL, &der, leaf) && key.is_none_or(has_key)
    }

    /// Checks a certificate that the other side presents in the role `usage`, and returns the
    /// member that it names. The group's authority must have signed it directly. It must be a leaf
    /// that is valid at the time `now` (since 1970).
    ///
    /// # Errors
    /// See [`MemberError`].
    pub fn check(&self, leaf: &[u8], usage: Use, now: Duration) -> Result<Member, MemberError> {
        let der = CertificateDer::from(leaf);
        let time = UnixTime::since_unix_epoch(now);
        let verified = match usage {
            Use::Client => {
                let verified = self.client_verifier.verify_client_cert(&der, &[], time);
                verified.map(|_| ())
            }
            Use::Server => {
                let algorithms = default_provider().signature_verification_algorithms;
                ParsedCertificate::try_from(&der).and_then(|leaf| {
                    let roots = &self.roots;
                    verify_server_cert_signed_by_trust_anchor(
                        &leaf,
                        roots,
                        &[],
                        time,
                        algorithms.all,
                    )
                })
            }
        };
        let parts = CertificateParts::parse(leaf).ok_or(MemberError::Damaged)?;
        verified.map_err(|error| self.member_error(&error, &parts, usage))?;
        parts.point.ok_or(MemberError::Key)?;
        Member::of(&parts).ok_or(MemberError::Name)
    }

    /// Translates the reason for which rustls refused a certificate.
    fn member_error(
        &self,
        error: &rustls::Error,
        parts: &CertificateParts<'_>,
        usage: Use,
    ) -> MemberError {
        use rustls::CertificateError as Why;
        if parts.issuer != self.subject {
            let issuer = common_name(parts.issuer).filter(|name| is_name(name));
            let by_itself = parts.point.is_some_and(|point| parts.is_signed_by(point));
            return if by_itself {
                MemberError::SelfSigned
            } else if common_name(parts.issuer) == Some(CLUSTER_AUTHORITY) {
                MemberError::Cluster
            } else {
                MemberError::OtherAuthority(issuer.map(str::to_owned))
            };
        }
        let rustls::Error::InvalidCertificate(why) = error else {
            return MemberError::Kind;
        };
        match why {
            Why::BadEncoding => MemberError::Damaged,
            Why::Expired | Why::ExpiredContext { .. } => {
                MemberError::Expired(parts.validity.not_after)
            }
            Why::NotValidYet | Why::NotValidYetContext { .. } => {
                MemberError::NotYetValid(parts.validity.not_before)
            }
            Why::UnknownIssuer | Why::BadSignature => MemberError::NotSigned,
            Why::InvalidPurpose | Why::InvalidPurposeContext { .. } => MemberError::WrongUse(usage),
            _ => MemberError::Kind,
        }
    }
}

impl fmt::Debug for GroupCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GroupCertificate")
            .field(&self.fingerprint())
            .finish()
    }
}

impl Member {
    fn of(parts: &CertificateParts<'_>) -> Option<Self> {
        let user = common_name(parts.subject).filter(|name| is_name(name))?;
        let account = parts.uris().find_map(AccountId::from_uri);
        Some(Self {
            user: user.to_owned(),
            account: account.unwrap_or_else(|| AccountId::of_name(user)),
            validity: parts.validity,
        })
    }
}

impl GroupIdentity {
    /// The certificate `leaf` that a tracker issued for `key`, checked as other members will check
    /// it.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub fn new(
        group: GroupCertificate,
        leaf: Vec<u8>,
        key: &MemberKey,
        now: Duration,
    ) -> Result<Self, MemberError> {
        group.check(&leaf, Use::Client, now)?;
        let member = group.check(&leaf, Use::Server, now)?;
        if CertificateParts::parse(&leaf).and_then(|parts| parts.point) != Some(key.point()) {
            return Err(MemberError::OtherKey);
        }
        Ok(Self {
            group,
            leaf: leaf.into(),
            key: Arc::new(key.pkcs8().clone_key()),
            member,
        })
    }

    /// The member that the certificate names, and when the certificate is valid.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// The group of this member.
    pub fn group(&self) -> &GroupCertificate {
        &self.group
    }

    /// The member's certificate as text.
    pub fn leaf_pem(&self) -> String {
        let mut text = String::new();
        pem::write(CERTIFICATE_LABEL, &self.leaf, &mut text);
        text
    }

    pub(crate) fn leaf(&self) -> &CertificateDer<'static> {
        &self.leaf
    }

    pub(crate) fn key(&self) -> PrivatePkcs8KeyDer<'static> {
        self.key.clone_key()
    }
}

impl fmt::Debug for GroupIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupIdentity")
            .field("group", &self.group)
            .field("member", &self.member)
            .finish_non_exhaustive()
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_LENGTH && is_visible(text)
}

fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

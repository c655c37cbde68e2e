//! The authority of a group, and whether a certificate is that of a member.
//!
//! What a member shows is what libtorrent's SSL torrents ask for (libtorrent manual, "SSL torrents"): a leaf that the
//! authority in the torrent's `ssl-cert` has signed itself, for any torrent of the group (`*`).

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use super::authority::{Authority, CERTIFICATE_LABEL, CLUSTER_AUTHORITY};
use super::error::CertificateError;
use super::member::{MemberKey, MemberPublicKey};
use super::validity::{Date, Validity};
use super::x509::{CLIENT_AUTH, Parts, SERVER_AUTH, common_name};
use super::{Fingerprint, pem};
use crate::base::hex::Hex;
use ring::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The name by which a leaf is good for every torrent of its group.
const ANY_TORRENT: &str = "*";
/// How long before its making a leaf holds, for clocks that are behind.
const BEFORE: Duration = Duration::from_secs(3_600);
/// The most characters of a name (RFC 5280, appendix A.1, `ub-common-name`).
const MAX_NAME: usize = 64;

/// How many bytes of its SHA-256 stand for the rest of a name that is too long.
const HASHED: usize = 12;

/// The authority of a group, with its key: what the trackers hold.
#[derive(Debug)]
pub struct GroupAuthority(Authority);

/// The public half of a group's authority: what stands in a torrent's `info` as `ssl-cert`, and what members check by.
#[derive(Clone)]
pub struct GroupCertificate {
    der: CertificateDer<'static>,
    subject: Vec<u8>,
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
}

/// A member as its certificate tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The user, see [`member_name`]: 1 to 64 visible ASCII characters, safe to show.
    pub user: String,
    /// From when until when the certificate holds.
    pub validity: Validity,
}

/// What a certificate is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// By the one who calls.
    Client,
    /// By the one who is called.
    Server,
}

/// A member's certificate and key, to show to other members.
#[derive(Clone)]
pub struct GroupIdentity {
    group: GroupCertificate,
    leaf: CertificateDer<'static>,
    key: Arc<PrivatePkcs8KeyDer<'static>>,
    member: Member,
}

/// Why a certificate is not a member's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Its bytes are no certificate that can be read.
    #[error("it is damaged")]
    Damaged,
    /// It is a certificate, but of no kind that members have: an authority's, or with demands unknown here.
    #[error("it is of a kind that no member has")]
    Kind,
    /// Its key is not on P-256.
    #[error("its key is not on P-256")]
    Key,
    /// It names no user.
    #[error("it names no user")]
    Name,
    /// Whoever shows it has signed it.
    #[error("it is self-signed")]
    SelfSigned,
    /// The authority of a cluster has signed it, which says nothing of groups.
    #[error("it is signed by a cluster of trackers, not by the group")]
    Cluster,
    /// Another authority has signed it, whose name this is, if that is fit to show.
    #[error("it is signed by another authority ({})", .0.as_deref().unwrap_or("of no readable name"))]
    OtherAuthority(Option<String>),
    /// It names the group's authority, which has not signed it, or not these bytes.
    #[error("it names the group's authority, which has not signed it")]
    NotSigned,
    /// It does not hold yet.
    #[error("it holds from {0} on")]
    NotYetValid(Date),
    /// It holds no more.
    #[error("it held until {0}")]
    Expired(Date),
    /// It may not be shown for this.
    #[error("it is not meant for a {}", match .0 { Use::Client => "caller", Use::Server => "server" })]
    WrongUse(Use),
    /// It belongs to another key than the one at hand.
    #[error("it is not that of the key")]
    OtherKey,
}

/// How a certificate names that user: as it is, or, where that takes more than 64 characters, by its beginning, a `#` and
/// the start of its SHA-256. No user's name has a `#`.
pub fn member_name(user: &str) -> Cow<'_, str> {
    if user.len() <= MAX_NAME {
        return Cow::Borrowed(user);
    }
    let hash = digest(&SHA256, user.as_bytes());
    let hash = hash.as_ref().get(..HASHED).unwrap_or_default();
    let hash = Hex(hash).to_string();
    let kept = user.char_indices().map(|(at, _)| at);
    let kept = kept.take_while(|at| at + 1 + hash.len() <= MAX_NAME).last();
    let (kept, _) = user.split_at(kept.unwrap_or(0));
    Cow::Owned(format!("{kept}#{hash}"))
}

impl GroupAuthority {
    /// A new authority with a new key. `name` is public, as whoever calls a member can see it: an id, not the group's name.
    ///
    /// # Errors
    /// [`CertificateError::Name`], [`CertificateError::NoRandomness`].
    pub fn generate(name: &str) -> Result<Self, CertificateError> {
        if !is_name(name) {
            return Err(CertificateError::Name);
        }
        Authority::generate(name).map(Self)
    }

    /// Reads what [`GroupAuthority::to_pem`] wrote. Whatever is changed in it but its white space is found.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn from_pem(text: &[u8]) -> Result<Self, CertificateError> {
        Authority::from_pem(text).map(Self)
    }

    /// Certificate and key as text: whoever has it can make himself a member.
    pub fn to_pem(&self) -> String {
        self.0.to_pem()
    }

    /// Its public half.
    ///
    /// # Errors
    /// [`CertificateError::Certificate`], which does not happen to a certificate made here.
    pub fn certificate(&self) -> Result<GroupCertificate, CertificateError> {
        GroupCertificate::new(self.0.certificate().clone())
    }

    /// A certificate (DER) for the key of the user, whom it names as [`member_name`] says, that holds from an hour before
    /// `now` until `life` after it. `now` is since 1970.
    ///
    /// # Errors
    /// [`CertificateError::Name`] for a name that is not of visible ASCII characters, [`CertificateError::Date`],
    /// [`CertificateError::NoRandomness`].
    pub fn issue(
        &self,
        user: &str,
        key: &MemberPublicKey,
        now: Duration,
        life: Duration,
    ) -> Result<Vec<u8>, CertificateError> {
        self.issue_for(user, key, now, life, &[SERVER_AUTH, CLIENT_AUTH])
    }

    fn issue_for(
        &self,
        user: &str,
        key: &MemberPublicKey,
        now: Duration,
        life: Duration,
        uses: &[&[u8]],
    ) -> Result<Vec<u8>, CertificateError> {
        if !is_visible(user) {
            return Err(CertificateError::Name);
        }
        let user = &*member_name(user);
        let (begin, end) = (now.saturating_sub(BEFORE), now.saturating_add(life));
        let validity = Validity {
            not_before: Date::new(begin).ok_or(CertificateError::Date)?,
            not_after: Date::new(end).ok_or(CertificateError::Date)?,
        };
        let leaf = self
            .0
            .sign_leaf(&key.0, user, ANY_TORRENT, validity, uses)?;
        Ok(leaf.to_vec())
    }
}

impl GroupCertificate {
    /// Reads `ssl-cert`: one self-signed certificate on P-256.
    ///
    /// # Errors
    /// [`CertificateError::NotPem`], [`CertificateError::Contents`], [`CertificateError::Certificate`].
    pub fn from_pem(text: &[u8]) -> Result<Self, CertificateError> {
        let mut certificate = None;
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
            match section.map_err(|_| CertificateError::NotPem)? {
                (SectionKind::Certificate, der) if certificate.is_none() => {
                    certificate = Some(der);
                }
                _ => return Err(CertificateError::Contents),
            }
        }
        Self::new(certificate.ok_or(CertificateError::NotPem)?.into())
    }

    fn new(der: CertificateDer<'static>) -> Result<Self, CertificateError> {
        let parts = Parts::of(&der).ok_or(CertificateError::Certificate)?;
        let signed = parts.point.is_some_and(|point| parts.is_signed_by(point));
        if !signed || parts.issuer != parts.subject {
            return Err(CertificateError::Certificate);
        }
        let subject = parts.subject.to_vec();
        let mut roots = RootCertStore::empty();
        let added = roots.add(der.clone());
        added.map_err(|_| CertificateError::Certificate)?;
        let (roots, provider) = (Arc::new(roots), Arc::new(default_provider()));
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider);
        let clients = clients.build().map_err(|_| CertificateError::Certificate)?;
        Ok(Self {
            der,
            subject,
            roots,
            clients,
        })
    }

    /// As it stands in a torrent's `info`.
    pub fn to_pem(&self) -> String {
        let mut text = String::new();
        pem::write(CERTIFICATE_LABEL, &self.der, &mut text);
        text
    }

    /// The fingerprint of the certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    /// Reads a certificate that somebody shows for this use at the time `now` since 1970: the group's authority itself
    /// must have signed it, no other in between, it must hold then, and be no authority's.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub fn check(&self, leaf: &[u8], usage: Use, now: Duration) -> Result<Member, MemberError> {
        let der = CertificateDer::from(leaf);
        let time = UnixTime::since_unix_epoch(now);
        let verified = match usage {
            Use::Client => self.clients.verify_client_cert(&der, &[], time).map(|_| ()),
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
        let parts = Parts::of(leaf).ok_or(MemberError::Damaged)?;
        verified.map_err(|error| self.reason(&error, &parts, usage))?;
        parts.point.ok_or(MemberError::Key)?;
        Member::of(&parts).ok_or(MemberError::Name)
    }

    /// Why rustls refused it, in the terms of groups.
    fn reason(&self, error: &rustls::Error, parts: &Parts<'_>, usage: Use) -> MemberError {
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
    fn of(parts: &Parts<'_>) -> Option<Self> {
        let user = common_name(parts.subject).filter(|name| is_name(name))?;
        Some(Self {
            user: user.to_owned(),
            validity: parts.validity,
        })
    }
}

impl GroupIdentity {
    /// What a tracker issued for this key, checked as other members will.
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
        if Parts::of(&leaf).and_then(|parts| parts.point) != Some(key.point()) {
            return Err(MemberError::OtherKey);
        }
        Ok(Self {
            group,
            leaf: leaf.into(),
            key: Arc::new(key.pkcs8().clone_key()),
            member,
        })
    }

    /// Who it is, and for how long.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Of which group.
    pub fn group(&self) -> &GroupCertificate {
        &self.group
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
    text.len() <= MAX_NAME && is_visible(text)
}

fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

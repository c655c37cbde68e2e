//! Certificates: the authorities that sign them, the identities that an authority issues, and the
//! fingerprints that people compare.
//!
//! In scope: making X.509 v3 certificates (RFC 5280) with ECDSA keys on P-256; the fingerprint of a
//! certificate; an authority as PEM text; the authority of a group, its members' keys, and the
//! check that a certificate belongs to a member. Out of scope: handshakes, and where a key is
//! stored. Functions receive bytes and the time as arguments. Random numbers come from the system.
//!
//! The cluster has one authority and each group has its own. No authority is below another, so a
//! certificate is valid only under the authority that issued it. rustls decides whether a chain,
//! its dates and its use are valid. The parser here only finds the member's name, or the reason for
//! a refusal.

mod authority;
mod der;
mod error;
mod fingerprint;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod group;
mod member;
mod naming;
mod pem;
mod validity;
mod x509;

pub use authority::{Authority, CLUSTER_AUTHORITY, Identity};
pub use error::CertificateError;
pub use fingerprint::{Fingerprint, FingerprintError};
#[cfg(test)]
pub(crate) use group::testing as group_testing;
pub use group::{GroupAuthority, GroupCertificate, GroupIdentity, Member, MemberError, Use};
pub use member::{KEY_REQUEST_LENGTH, KeyRequestError, MemberKey, MemberPublicKey};
pub use naming::{AccountId, member_name};
pub use validity::{Date, Validity};

#[cfg(any(test, fuzzing))]
pub(crate) use fuzz::fuzz;

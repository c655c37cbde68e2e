//! Certificates: authorities that sign, the identities they issue, what a person compares.
//!
//! In scope: making X.509 v3 certificates (RFC 5280) with ECDSA keys on P-256, the fingerprint of one, an authority as
//! PEM text; the authority of a group, its members' keys, and whether a certificate is a member's. Out of scope:
//! handshakes, and where a key lies on disk. Bytes and the time are handed in; randomness is the system's.
//!
//! The cluster and each group have an authority of their own, none under another: what one signs is nothing to another.
//! Whether a chain, its dates and its use are right is for rustls to say; what is read here by hand only names the
//! member, or the reason.

mod authority;
mod der;
mod error;
mod fingerprint;
mod group;
mod member;
mod pem;
mod validity;
mod x509;

pub use authority::{Authority, CLUSTER_AUTHORITY, Identity};
pub use error::CertificateError;
pub use fingerprint::{Fingerprint, FingerprintError};
#[cfg(test)]
pub(crate) use group::testing as group_testing;
pub use group::{
    GroupAuthority, GroupCertificate, GroupIdentity, Member, MemberError, Use, member_name,
};
pub use member::{KEY_REQUEST, KeyRequestError, MemberKey, MemberPublicKey};
pub use validity::{Date, Validity};

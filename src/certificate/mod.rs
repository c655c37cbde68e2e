//! Certificates: authorities that sign, the identities they issue, what a person compares.
//!
//! In scope: making X.509 v3 certificates (RFC 5280) with ECDSA keys on P-256, the fingerprint of one, an authority as
//! PEM text. Out of scope: checking what others present, which is rustls's matter, and where a key lies on disk. Bytes
//! are handed in; randomness is the system's.

mod authority;
mod der;
mod fingerprint;
mod pem;
mod x509;

pub use authority::{Authority, CertificateError, Identity};
pub use fingerprint::{Fingerprint, FingerprintError};

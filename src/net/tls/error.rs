//! Why a TLS connection cannot be made.

use crate::certificate::Fingerprint;
use crate::system::cause;
use std::io;

/// Why a TLS connection cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The handshake failed: no TLS 1.3, a bad certificate, too slow, or the connection broke.
    #[error("the TLS handshake failed: {}", cause(.0))]
    Handshake(#[source] io::Error),
    /// The other side belongs to another cluster than expected.
    #[error("the fingerprint is {found}, not {expected}")]
    OtherCluster {
        /// The fingerprint of the expected cluster.
        expected: Fingerprint,
        /// The fingerprint of the other side's cluster.
        found: Fingerprint,
    },
    /// Our own certificate or key cannot be used, or the certificate of the other side is missing
    /// or does not have the name that it must have.
    #[error("the certificate cannot be used: {0}")]
    Certificate(#[source] rustls::Error),
}

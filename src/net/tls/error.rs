//! Why there is no line under TLS.

use crate::certificate::Fingerprint;
use std::io;

/// Why there is no line under TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The handshake failed: no TLS 1.3, a bad certificate, too slow, or the connection broke.
    #[error("no TLS handshake: {0}")]
    Handshake(#[source] io::Error),
    /// The other side is of another cluster than expected.
    #[error("the fingerprint is {found}, not {expected}")]
    OtherCluster {
        /// What was expected.
        expected: Fingerprint,
        /// What it showed.
        found: Fingerprint,
    },
    /// Certificate and key cannot be used.
    #[error("the certificate cannot be used: {0}")]
    Certificate(#[source] rustls::Error),
}

//! Why there is no authority or certificate.

/// Why there is no authority or certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The text is no PEM, or ends early.
    #[error("it is not PEM text, or it was cut off")]
    NotPem,
    /// The text holds something else than one certificate and one key.
    #[error("it does not hold exactly one certificate and one private key")]
    Contents,
    /// The certificate is not one of an authority of this kind, or was changed.
    #[error("its certificate is damaged, or was not made by pieceful")]
    Certificate,
    /// The key is not on P-256, or was changed.
    #[error("its private key is damaged, or was not made by pieceful")]
    Key,
    /// Certificate and key do not belong together.
    #[error("its private key is not that of its certificate")]
    OtherKey,
    /// A name that no certificate made here carries.
    #[error("a certificate's name has 1 to 64 visible characters of ASCII")]
    Name,
    /// A date past the year 9999.
    #[error("a certificate cannot hold past the year 9999")]
    Date,
    /// The system gives no randomness.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

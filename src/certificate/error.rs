//! Why an authority or a certificate cannot be made or read.

/// Why an authority or a certificate cannot be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The text is not PEM, or it ends early.
    #[error("it is not PEM text, or it was cut off")]
    NotPem,
    /// The PEM sections are not exactly the expected ones. An authority has one certificate and one
    /// private key. `ssl-cert` (the public half of a group's authority) has only one certificate.
    #[error("it does not contain exactly one certificate and one private key")]
    WrongSections,
    /// The certificate is not a self-signed one on P-256, or it was changed.
    #[error("its certificate is damaged, or was not made by pieceful")]
    Certificate,
    /// The key is not on P-256, or it was changed.
    #[error("its private key is damaged, or was not made by pieceful")]
    Key,
    /// The key does not belong to the certificate.
    #[error("its private key does not belong to its certificate")]
    OtherKey,
    /// Certificates made here cannot have this name.
    #[error("a certificate's name must have 1 to 64 visible ASCII characters")]
    Name,
    /// The certificate would be valid after the year 9999.
    #[error("a certificate cannot be valid past the year 9999")]
    Date,
    /// The system provides no random numbers.
    #[error("the system provides no random numbers")]
    NoRandomness,
}

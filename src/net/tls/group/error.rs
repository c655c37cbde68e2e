//! Why there is no line between two members: what goes into the log.

use crate::certificate::MemberError;
use crate::torrent::InfoHash;
use rustls::AlertDescription;
use std::fmt;
use std::io;
use std::time::Duration;

/// Why there is no line to a member.
#[derive(Debug, thiserror::Error)]
pub enum GroupTlsError {
    /// The other side does not speak TLS.
    #[error("what came is not TLS")]
    NotTls,
    /// It knows only versions before TLS 1.3, or nothing else in common.
    #[error("no TLS 1.3 in common: {0}")]
    Incompatible(#[source] rustls::Error),
    /// The caller names no swarm.
    #[error("the caller names no swarm")]
    NoServerName,
    /// The caller's server name is not 40 hex digits in lower case.
    #[error("the caller's server name is no info-hash")]
    ServerName,
    /// The caller names a swarm that no group has here.
    #[error("the caller asks for {0}, which no group has here")]
    UnknownSwarm(InfoHash),
    /// The other side shows no certificate.
    #[error("the other side shows no certificate")]
    NoCertificate,
    /// The certificate of the other side is not a member's.
    #[error("the other side's certificate is refused: {0}")]
    Member(#[source] MemberError),
    /// The other side refused us, mostly for the certificate shown to it.
    #[error("the other side refused us: {0}")]
    Refused(Refusal),
    /// The handshake was cut off.
    #[error("the other side ended the handshake")]
    Cut,
    /// The handshake took too long.
    #[error("the handshake took longer than {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The handshake broke a rule of TLS, or was changed on its way.
    #[error("the handshake failed: {0}")]
    Tls(#[source] rustls::Error),
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    /// Our certificate and key cannot be used.
    #[error("our certificate cannot be used: {0}")]
    Setup(#[source] rustls::Error),
    /// An info-hash that cannot be sent as a server name: TLS has no names that look like a number.
    #[error("{0} has no letter, which a server name must have")]
    Unnameable(InfoHash),
}

/// Why the other side refused, as far as TLS can tell (RFC 8446, section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Our certificate's dates are over, or still to come, by its clock.
    Dates,
    /// Our certificate is not one of its group.
    Group,
    /// It wants a certificate.
    Required,
    /// It takes no such certificate.
    Certificate,
    /// It serves no such swarm.
    Swarm,
    /// Another alert, by its number.
    Other(u8),
}

impl GroupTlsError {
    /// Whether it is about what either side showed, so that the other side was told.
    pub(super) fn is_about_certificates(&self) -> bool {
        matches!(self, Self::Member(_) | Self::NoCertificate)
    }

    pub(super) fn of_io(error: io::Error, limit: Duration) -> Self {
        if error.kind() == io::ErrorKind::TimedOut {
            return Self::TimedOut(limit);
        }
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        match tls.cloned() {
            Some(tls) => Self::of_tls(tls),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Cut,
            None => Self::Io(error),
        }
    }

    pub(super) fn of_tls(error: rustls::Error) -> Self {
        match error {
            rustls::Error::AlertReceived(alert) => Self::Refused(Refusal::of(alert)),
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::PeerIncompatible(_) => Self::Incompatible(error),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            error => Self::Tls(error),
        }
    }
}

impl Refusal {
    fn of(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::CertificateExpired => Self::Dates,
            AlertDescription::UnknownCA => Self::Group,
            AlertDescription::CertificateRequired => Self::Required,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied => Self::Certificate,
            AlertDescription::UnrecognisedName => Self::Swarm,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dates => "our certificate does not hold by its clock",
            Self::Group => "our certificate is not one of its group",
            Self::Required => "it wants a certificate",
            Self::Certificate => "it takes no such certificate as ours",
            Self::Swarm => "it serves no such swarm",
            Self::Other(alert) => return write!(f, "alert {alert}"),
        })
    }
}

//! Why a connection between two members cannot be made, for the log.

use crate::certificate::MemberError;
use crate::torrent::InfoHash;
use rustls::AlertDescription;
use std::fmt;
use std::io;
use std::time::Duration;

/// Why a connection to a member cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum GroupTlsError {
    /// The other side does not speak TLS.
    #[error("the other side does not speak TLS")]
    NotTls,
    /// The two sides have no version (TLS 1.3) or no algorithm in common.
    #[error("the other side does not support TLS 1.3 as required: {0}")]
    Incompatible(#[source] rustls::Error),
    /// The caller sent no server name.
    #[error("the caller names no swarm")]
    NoServerName,
    /// The caller's server name is not 40 hex digits in lower case.
    #[error("the caller's server name is not an info-hash")]
    InvalidServerName,
    /// The caller names a swarm that no group of this peer has.
    #[error("the caller asks for the swarm {0}, which no group of this peer has")]
    UnknownSwarm(InfoHash),
    /// The other side shows no certificate.
    #[error("the other side shows no certificate")]
    NoCertificate,
    /// The certificate of the other side is not that of a member.
    #[error("the certificate of the other side is refused: {0}")]
    Member(#[source] MemberError),
    /// The other side refused us, usually because of our certificate.
    #[error("the other side refused us: {0}")]
    Refused(TlsRefusal),
    /// The other side closed the connection during the handshake.
    #[error("the other side closed the connection during the handshake")]
    Cut,
    /// The handshake took too long.
    #[error("the handshake took longer than {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The handshake broke a rule of TLS, or was changed on the way.
    #[error("the handshake failed: {0}")]
    Tls(#[source] rustls::Error),
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    /// Our certificate and key cannot be used.
    #[error("our certificate cannot be used: {0}")]
    Setup(#[source] rustls::Error),
    /// The info-hash cannot be sent as a server name, because TLS does not allow a name that looks
    /// like a number.
    #[error("the info-hash {0} has no letter, which a TLS server name must have")]
    Unnameable(InfoHash),
}

/// Why the other side refused, as far as its TLS alert says (RFC 8446, section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsRefusal {
    /// Our certificate has expired, or is not valid yet, by the clock of the other side.
    Dates,
    /// Our certificate was not signed by the authority of the other side's group.
    Group,
    /// The other side requires a certificate.
    Required,
    /// The other side does not accept our certificate, for another reason.
    Certificate,
    /// The other side does not serve the swarm.
    Swarm,
    /// Another TLS alert, by its number.
    Other(u8),
}

impl GroupTlsError {
    /// Whether our side refuses the certificate of the other side, or received none. Our side then
    /// sends an alert.
    pub(super) fn refuses_their_certificate(&self) -> bool {
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
            rustls::Error::AlertReceived(alert) => Self::Refused(TlsRefusal::of(alert)),
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::PeerIncompatible(_) => Self::Incompatible(error),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            error => Self::Tls(error),
        }
    }
}

impl TlsRefusal {
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

impl fmt::Display for TlsRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dates => "by its clock, our certificate has expired or is not valid yet",
            Self::Group => "the authority of its group has not signed our certificate",
            Self::Required => "it requires a certificate",
            Self::Certificate => "it does not accept our certificate",
            Self::Swarm => "it does not serve this swarm",
            Self::Other(alert) => return write!(f, "TLS alert {alert}"),
        })
    }
}

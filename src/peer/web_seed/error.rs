//! Why a web seed does not deliver.

use crate::base::Zone;
use crate::peer::announce::AUTHORITIES_VARIABLE;

/// The maximum number of redirects in a row.
pub(super) const MAX_REDIRECTS: usize = 5;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebError {
    // Temporary: no complete response, or a busy server.
    #[error("{0}")]
    Transport(String),
    #[error("HTTP status {0}")]
    Busy(u16),
    #[error("it sends too slowly")]
    Slow,
    #[error("it broke off after {0} bytes")]
    Short(u64),
    // About the requested file: this web seed cannot deliver it.
    #[error("HTTP status {0}")]
    Status(u16),
    #[error("the file has {found} bytes there, but {expected} in the torrent")]
    Length { found: u64, expected: u64 },
    #[error("it answered with another range than the requested one: {0}")]
    Range(String),
    #[error("it sends the file encoded as {0}")]
    Encoded(String),
    #[error("it redirects to {0}, which is not followed")]
    Redirect(String),
    #[error("more than {MAX_REDIRECTS} redirects")]
    Redirects,
    // About the server: it is of no use for this share.
    #[error("the URL is not a valid http:// or https:// URL")]
    Url,
    /// The host is in a zone that this URL must not lead to.
    #[error(
        "{host} is {zone}: only URLs without a query are requested there, and none in the link-local network"
    )]
    TooNear { host: String, zone: Zone },
    #[error("it does not support ranges, and too much data would have to be skipped")]
    NoRanges,
    #[error(
        "no file with this system's certificate authorities is found; name one in {AUTHORITIES_VARIABLE}"
    )]
    NoAuthorities,
}

impl WebError {
    /// Whether another attempt may succeed.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Transport(_) | Self::Busy(_) | Self::Slow | Self::Short(_)
        )
    }

    /// Whether the failure concerns only the requested file. Other files may be there.
    pub(super) fn is_about_file(&self) -> bool {
        matches!(
            self,
            Self::Status(_)
                | Self::Length { .. }
                | Self::Range(_)
                | Self::Encoded(_)
                | Self::Redirect(_)
                | Self::Redirects
        )
    }
}

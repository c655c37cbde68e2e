//! Why a link ended.

use super::ReadError;
use crate::bencode;
use crate::swarm::ProtocolViolation;
use crate::torrent::{BitfieldError, BlockError};
use crate::wire::metadata::MetadataError;
use crate::wire::peer::UncheckedBlock;
use std::io;

/// Why a link ended, as seen by its reading thread. A protocol error names the rule that the remote
/// peer broke.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndReason {
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("bad bitfield: {0}")]
    Bitfield(#[from] BitfieldError),
    /// A message names a piece number that is too large for the share.
    #[error("{message} for piece {piece}, but the share has no such piece")]
    NoPiece { message: &'static str, piece: u32 },
    #[error("bad block: {0}")]
    Block(#[from] BlockError),
    #[error("a block that was not asked for: piece {}, bytes {}+{}", .0.index, .0.begin, .0.length)]
    Unrequested(UncheckedBlock),
    #[error("a message of the fast extension that was not agreed on")]
    FastNotAgreed,
    #[error("a message of the extension protocol that was not agreed on")]
    ExtensionsNotAgreed,
    #[error("bad extension handshake: {0}")]
    Extension(#[from] bencode::Error),
    #[error("bad message about metadata: {0}")]
    Metadata(#[from] MetadataError),
    #[error("{0}")]
    Violation(#[from] ProtocolViolation),
    #[error("more open requests than this peer keeps")]
    TooManyRequests,
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    #[error("closed by this peer")]
    ClosedHere,
}

impl EndReason {
    /// Whether the remote peer broke the protocol.
    pub(crate) fn is_violation(&self) -> bool {
        match self {
            Self::Read(error) => error.is_violation(),
            Self::Thread(_) | Self::ClosedHere => false,
            _ => true,
        }
    }
}

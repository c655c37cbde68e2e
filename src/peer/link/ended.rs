//! Why a link ended.

use crate::bencode;
use crate::swarm::TooOften;
use crate::torrent::{BitfieldError, BlockError};
use crate::wire::metadata::MetadataError;
use crate::wire::peer::{Ask, MessageError};
use crate::wire::pex::PexError;
use std::io;
use std::time::Duration;

/// Why a link ended, seen from its reading thread. Each names the rule that was broken, if one was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("closed by the other side")]
    Closed,
    #[error("reading failed: {0}")]
    Socket(#[source] io::Error),
    #[error("nothing came for {} seconds", .0.as_secs())]
    Silent(Duration),
    #[error("a message did not come whole in {} seconds", .0.as_secs())]
    Slow(Duration),
    #[error("bad message: {0}")]
    Message(#[from] MessageError),
    #[error("bad bitfield: {0}")]
    Bitfield(#[from] BitfieldError),
    #[error("a later bitfield takes back pieces that were told of")]
    TakenBack,
    #[error("{0} for piece {1}, which the share lacks")]
    NoPiece(&'static str, u32),
    #[error("bad block: {0}")]
    Block(#[from] BlockError),
    #[error("a block that was not asked for: piece {}, bytes {}+{}", .0.index, .0.begin, .0.length)]
    Unasked(Ask),
    #[error("a message of the fast extension that was not agreed on")]
    NotFast,
    #[error("a message of the extension protocol that was not agreed on")]
    NotExtended,
    #[error("bad extension handshake: {0}")]
    Extension(#[from] bencode::Error),
    #[error("bad message about metadata: {0}")]
    Metadata(#[from] MetadataError),
    #[error("bad message about contacts: {0}")]
    Pex(#[from] PexError),
    #[error("{0}")]
    TooOften(#[from] TooOften),
    #[error("more requests than are kept")]
    Flood,
    #[error("the system gave no thread: {0}")]
    Thread(#[source] io::Error),
    #[error("ended here")]
    Here,
}

impl Ended {
    /// Whether the other side broke the protocol.
    pub(crate) fn is_breach(&self) -> bool {
        !matches!(
            self,
            Self::Closed | Self::Socket(_) | Self::Silent(_) | Self::Thread(_) | Self::Here
        )
    }
}

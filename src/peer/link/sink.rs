//! What a link needs from its swarm: a receiver for messages, and a source of uploads.

use crate::peer::BlockBuffer;
use crate::storage::Store;
use crate::swarm::{LinkId, ProtocolViolation, ReceivedMessage, UnrequestedBlock};
use crate::torrent::{BlockRange, PieceIndex};
use crate::wire::metadata::MetadataError;
use std::sync::Arc;

/// Receives what arrives over links.
pub(crate) trait MessageSink: Send + Sync {
    /// Handles a message.
    ///
    /// # Errors
    /// When the message breaks the protocol. The link then ends.
    fn on_message(
        &self,
        link: LinkId,
        message: ReceivedMessage<'_>,
    ) -> Result<(), ProtocolViolation>;

    /// Handles a metadata message (BEP 9).
    ///
    /// # Errors
    /// When it is not a valid metadata message.
    fn on_metadata(&self, link: LinkId, payload: &[u8]) -> Result<(), MetadataError>;

    /// Handles modification times of files.
    fn on_modified_times(&self, payload: &[u8]);

    /// Handles a block. Returns the buffer if the block is not needed.
    ///
    /// # Errors
    /// When the block was not requested. The link then ends.
    fn on_block(
        &self,
        link: LinkId,
        range: BlockRange,
        buffer: BlockBuffer,
    ) -> Result<Option<BlockBuffer>, UnrequestedBlock>;
}

/// Provides what links send.
pub(crate) trait UploadSource: Send + Sync {
    /// The pieces after `position` in the journal of the owned map, which lists pieces in the order
    /// in which they were verified. Advances `position` past them.
    fn haves_since(&self, position: &mut usize) -> Vec<PieceIndex>;

    /// Whether a piece may be sent now.
    fn serves(&self, piece: PieceIndex) -> bool;

    /// The files to read from; `None` once they are closed.
    fn store(&self) -> Option<Arc<Store>>;

    /// Counts the bytes of a block that was sent.
    fn on_sent(&self, bytes: u32);

    /// Handles files that cannot be read or have changed since they were verified.
    fn on_unservable(&self, reason: &str);
}

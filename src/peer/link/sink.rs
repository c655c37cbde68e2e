//! What a link knows of the swarm it is in.

use crate::peer::BlockBuffer;
use crate::storage::Store;
use crate::swarm::{Breach, LinkId, Received, Unasked};
use crate::torrent::{BlockRange, PieceIndex};
use crate::wire::metadata::MetadataError;
use std::sync::Arc;

/// Takes what arrives over links.
pub(crate) trait MessageSink: Send + Sync {
    /// A message came.
    ///
    /// # Errors
    /// When it breaks the protocol: the link ends.
    fn on_message(&self, link: LinkId, message: Received<'_>) -> Result<(), Breach>;

    /// A message about metadata came (BEP 9).
    ///
    /// # Errors
    /// When it is none.
    fn on_metadata(&self, link: LinkId, payload: &[u8]) -> Result<(), MetadataError>;

    /// A block came. Returns its buffer if it is not needed.
    ///
    /// # Errors
    /// When it was not asked for: the link ends.
    fn on_block(
        &self,
        link: LinkId,
        range: BlockRange,
        buffer: BlockBuffer,
    ) -> Result<Option<BlockBuffer>, Unasked>;
}

/// Gives what goes out over links.
pub(crate) trait UploadSource: Send + Sync {
    /// The pieces that were verified since `place` in the journal; `place` moves on.
    fn haves_since(&self, place: &mut usize) -> Vec<PieceIndex>;

    /// Whether a piece may go out now.
    fn serves(&self, piece: PieceIndex) -> bool;

    /// The files to read from; none once they are closed.
    fn store(&self) -> Option<Arc<Store>>;

    /// A block of so many bytes went out.
    fn on_sent(&self, bytes: u32);

    /// The files cannot be read, or are not what was verified.
    fn on_unservable(&self, reason: &str);
}

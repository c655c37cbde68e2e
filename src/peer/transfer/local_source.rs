//! Blocks of a download that this machine reads itself, instead of requesting them from peers.

use crate::peer::BlockBuffer;
use crate::storage::{Store, StoreError};
use crate::swarm::{BlockRun, LocalBlocks, PendingBlock, Source};
use crate::torrent::{BlockRange, Lengths, LocalFiles, PieceIndex};
use std::fmt::Debug;
use std::sync::Arc;

/// Files on this machine that have some blocks of a download, for example those of another version
/// of the share.
pub(crate) trait LocalSource: Debug + Send + Sync {
    /// The blocks that it can probably read. The files may have changed, so the pieces of these
    /// blocks are verified like all others.
    fn blocks(&self) -> LocalBlocks;

    /// Reads one of these blocks. `buffer` has the length of the block. Several threads may read at
    /// the same time.
    ///
    /// # Errors
    /// The block cannot be read. Then it is requested from peers.
    fn read(&self, block: BlockRange, buffer: &mut [u8]) -> Result<(), StoreError>;
}

/// Files of the download itself that are complete before it has fetched anything, because they are
/// those of an older version.
#[derive(Debug)]
pub(super) struct UnchangedFiles {
    store: Arc<Store>,
    blocks: LocalBlocks,
}

impl UnchangedFiles {
    /// The blocks of the `missing` pieces that lie in the `local` files of a download.
    pub(super) fn new(
        store: &Arc<Store>,
        local: &LocalFiles,
        missing: impl Iterator<Item = PieceIndex>,
    ) -> Self {
        let info = store.info();
        let blocks = missing.flat_map(|piece| {
            let numbers = local.block_runs(info, piece).into_iter().flatten();
            numbers.filter_map(move |number| info.lengths().block(piece, number))
        });
        Self {
            blocks: blocks.collect(),
            store: Arc::clone(store),
        }
    }
}

impl LocalSource for UnchangedFiles {
    fn blocks(&self) -> LocalBlocks {
        self.blocks.clone()
    }

    fn read(&self, block: BlockRange, buffer: &mut [u8]) -> Result<(), StoreError> {
        self.store
            .read(self.store.info().lengths().range_offset(block), buffer)
    }
}

/// Reads the missing blocks of a run, which are local. `new_buffer` returns a buffer for one block.
pub(super) fn read_missing(
    source: &dyn LocalSource,
    lengths: &Lengths,
    (run, blocks): (BlockRun, &mut [Option<PendingBlock<BlockBuffer>>]),
    new_buffer: impl Fn() -> BlockBuffer,
) -> Result<(), StoreError> {
    for (number, place) in (run.first_block()..).zip(blocks) {
        let missing = lengths.block(run.piece, number);
        let Some(block) = missing.filter(|_| place.is_none()) else {
            continue;
        };
        let mut buffer = new_buffer();
        buffer.set_length(block.length());
        source.read(block, &mut buffer)?;
        *place = Some(PendingBlock {
            buffer,
            length: block.length(),
            source: Source::Local,
        });
    }
    Ok(())
}

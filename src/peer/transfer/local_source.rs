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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::buffers::BufferPool;
    use crate::torrent::BLOCK;
    use std::path::PathBuf;

    /// Old files in which each byte of a block is the number of the block.
    #[derive(Debug)]
    struct OldFiles {
        /// The block that cannot be read.
        unreadable: Option<u32>,
    }

    impl LocalSource for OldFiles {
        fn blocks(&self) -> LocalBlocks {
            LocalBlocks::default()
        }

        fn read(&self, block: BlockRange, buffer: &mut [u8]) -> Result<(), StoreError> {
            if self.unreadable == Some(block.number()) {
                return Err(StoreError::Missing(PathBuf::from("old")));
            }
            buffer.fill(block.number() as u8);
            Ok(())
        }
    }

    /// A block that was read or sent: its first byte, its length, and whether it is local.
    type Seen = (u8, usize, bool);

    /// Reads the missing blocks of a run of four. The last block has 10 bytes, and a peer has sent
    /// block 1. Returns whether all were read, and the blocks.
    fn read(unreadable: Option<u32>) -> (bool, Vec<Option<Seen>>) {
        let lengths = Lengths::new(u64::from(3 * BLOCK) + 10, i64::from(4 * BLOCK)).unwrap();
        let run = BlockRun::numbered(&lengths, lengths.piece(0).unwrap(), 0);
        let pool = BufferPool::new(1 << 20);
        let mut sent = pool.buffer();
        sent.fill(99);
        let mut blocks = [None, None, None, None];
        blocks[1] = Some(PendingBlock {
            buffer: sent,
            length: BLOCK,
            source: Source::Peer(([192, 0, 2, 1], 1).into(), None),
        });
        let source = OldFiles { unreadable };
        let result = read_missing(&source, &lengths, (run, &mut blocks), || pool.buffer());
        let places = blocks.iter().map(|place| {
            let block = place.as_ref()?;
            assert_eq!(block.length as usize, block.buffer.len());
            let is_local = block.source == Source::Local;
            Some((block.buffer[0], block.buffer.len(), is_local))
        });
        (result.is_ok(), places.collect())
    }

    const WHOLE: usize = BLOCK as usize;

    #[test]
    fn the_missing_blocks_of_a_run_are_read_and_the_others_stay() {
        let (is_ok, blocks) = read(None);
        assert!(is_ok);
        let local = |number, length| Some((number, length, true));
        let sent = Some((99, WHOLE, false));
        assert_eq!(
            blocks,
            [local(0, WHOLE), sent, local(2, WHOLE), local(3, 10)]
        );
    }

    #[test]
    fn a_block_that_cannot_be_read_ends_the_reading() {
        let (is_ok, blocks) = read(Some(2));
        assert!(!is_ok);
        let (first, sent) = (Some((0, WHOLE, true)), Some((99, WHOLE, false)));
        assert_eq!(blocks, [first, sent, None, None]);
    }
}

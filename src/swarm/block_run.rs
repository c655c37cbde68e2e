//! Runs of blocks.
//!
//! A run is the unit that is buffered and written: at most [`MAX_RUN_BLOCKS`] consecutive blocks of
//! a piece. A piece of the usual 512 KiB is one run. A piece of 64 MiB is 128 runs. So the buffers
//! stay bounded for any piece length.

use crate::torrent::{BLOCK, BlockRange, Lengths, PieceIndex};

/// The largest number of blocks in one run. Together they have 512 KiB.
pub const MAX_RUN_BLOCKS: u32 = 32;

/// A run: `blocks` consecutive blocks of a piece, the first of which is [`BlockRun::first_block`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockRun {
    /// The piece.
    pub piece: PieceIndex,
    /// Position of the run in the piece, from 0.
    pub number: u32,
    /// Number of blocks.
    pub blocks: u32,
}

impl BlockRun {
    /// Number of runs in a piece.
    pub fn count(lengths: &Lengths, piece: PieceIndex) -> u32 {
        lengths.blocks(piece).div_ceil(MAX_RUN_BLOCKS)
    }

    /// Run `number` of a piece.
    pub fn numbered(lengths: &Lengths, piece: PieceIndex, number: u32) -> Self {
        let left = lengths
            .blocks(piece)
            .saturating_sub(number * MAX_RUN_BLOCKS);
        Self {
            piece,
            number,
            blocks: left.min(MAX_RUN_BLOCKS),
        }
    }

    /// The run that a block belongs to.
    pub fn containing(lengths: &Lengths, block: BlockRange) -> Self {
        Self::numbered(lengths, block.piece(), block.number() / MAX_RUN_BLOCKS)
    }

    /// Whether the piece has no other run.
    pub fn is_whole_piece(&self, lengths: &Lengths) -> bool {
        self.blocks == lengths.blocks(self.piece)
    }

    /// Offset in bytes from the start of the share.
    pub fn offset(&self, lengths: &Lengths) -> u64 {
        lengths.offset(self.piece) + u64::from(self.first_block()) * u64::from(BLOCK)
    }

    /// Length in bytes.
    pub fn bytes(&self, lengths: &Lengths) -> u64 {
        let left = u64::from(lengths.length(self.piece))
            - u64::from(self.first_block()) * u64::from(BLOCK);
        left.min(u64::from(self.blocks) * u64::from(BLOCK))
    }

    /// The number of the run's first block.
    pub fn first_block(&self) -> u32 {
        self.number * MAX_RUN_BLOCKS
    }
}

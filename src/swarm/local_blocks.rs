//! Blocks that this machine can read itself, so that no peer has to send them.

use super::block_run::{BlockRun, MAX_RUN_BLOCKS};
use crate::torrent::{BlockRange, Lengths, PieceIndex};
use std::collections::BTreeMap;

/// One bit for each block of a run. The lowest bit is that of the first block.
type RunBits = u32;
const _: () = assert!(RunBits::BITS == MAX_RUN_BLOCKS);

/// The *local blocks* of a download: blocks that this machine can probably read itself, for example
/// from another version of the share. The files that they come from may have changed meanwhile. So
/// a piece with local blocks is verified like any other piece.
///
/// It is made from an iterator of blocks. Each block is as [`Lengths::block`] returns it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalBlocks {
    /// For each piece with local blocks, the bits of its runs, up to the last run that has some.
    by_piece: BTreeMap<PieceIndex, Vec<RunBits>>,
}

impl LocalBlocks {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_piece.is_empty()
    }

    /// Whether this block is local.
    pub fn contains(&self, block: BlockRange) -> bool {
        let (run, bit) = position(block);
        self.bits(block.piece(), run) & bit != 0
    }

    /// Whether every block of the piece is local.
    pub(super) fn covers(&self, piece: PieceIndex, lengths: &Lengths) -> bool {
        let mut runs = (0..BlockRun::count(lengths, piece))
            .map(|number| BlockRun::numbered(lengths, piece, number));
        runs.all(|run| self.bits(piece, run.number).count_ones() == run.blocks)
    }

    /// Whether block `number` of the run is local. Numbers begin at 0 in each run.
    pub(super) fn contains_of_run(&self, run: BlockRun, number: u32) -> bool {
        self.bits(run.piece, run.number) >> number & 1 != 0
    }

    /// Whether the piece has local blocks.
    pub(super) fn has_some_of(&self, piece: PieceIndex) -> bool {
        self.by_piece.contains_key(&piece)
    }

    /// The pieces that have local blocks, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = PieceIndex> {
        self.by_piece.keys().copied()
    }

    /// Forgets the local blocks of a piece.
    pub(super) fn forget(&mut self, piece: PieceIndex) {
        self.by_piece.remove(&piece);
    }

    fn bits(&self, piece: PieceIndex, run: u32) -> RunBits {
        let runs = self.by_piece.get(&piece);
        let bits = runs.and_then(|runs| runs.get(run as usize));
        bits.copied().unwrap_or(0)
    }
}

impl FromIterator<BlockRange> for LocalBlocks {
    fn from_iter<I: IntoIterator<Item = BlockRange>>(blocks: I) -> Self {
        let mut by_piece = BTreeMap::<PieceIndex, Vec<RunBits>>::new();
        for block in blocks {
            let (run, bit) = position(block);
            let runs = by_piece.entry(block.piece()).or_default();
            if runs.len() <= run as usize {
                runs.resize(run as usize + 1, 0);
            }
            if let Some(bits) = runs.get_mut(run as usize) {
                *bits |= bit;
            }
        }
        Self { by_piece }
    }
}

/// The number of the run that the block belongs to, and the bit of the block.
fn position(block: BlockRange) -> (u32, RunBits) {
    let number = block.number();
    (number / MAX_RUN_BLOCKS, 1 << (number % MAX_RUN_BLOCKS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torrent::BLOCK;

    #[test]
    fn it_has_the_blocks_that_it_was_made_from() {
        let blocks = 40;
        let length = u64::from(BLOCK * blocks);
        let lengths = Lengths::new(2 * length - 1, length.cast_signed()).unwrap();
        let [first, last] = [0, 1].map(|number| lengths.piece(number).unwrap());
        let all = |piece| (0..blocks).map(move |number| lengths.block(piece, number).unwrap());
        let odd = all(first).filter(|block| block.number() % 2 == 1);
        let local: LocalBlocks = odd.chain(all(last)).collect();
        for block in all(first).chain(all(last)) {
            let expected = block.piece() == last || block.number() % 2 == 1;
            assert_eq!(local.contains(block), expected, "{block:?}");
            let run = BlockRun::containing(&lengths, block);
            let in_run = block.number() - run.first_block();
            assert_eq!(local.contains_of_run(run, in_run), expected, "{block:?}");
        }
        assert!(local.covers(last, &lengths) && !local.covers(first, &lengths));
    }

    #[test]
    fn pieces_without_local_blocks_take_no_memory() {
        let lengths = Lengths::new(100 << 20, 1 << 20).unwrap();
        let piece = lengths.piece(50).unwrap();
        let mut local: LocalBlocks = lengths.block(piece, 63).into_iter().collect();
        assert_eq!(local.pieces().collect::<Vec<_>>(), [piece]);
        assert!(local.has_some_of(piece) && !local.covers(piece, &lengths));
        local.forget(piece);
        assert!(local.is_empty() && LocalBlocks::default().is_empty());
    }
}

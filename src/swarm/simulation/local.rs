//! The blocks that a simulated peer can read itself, from an older version of the share.

use super::content::Content;
use super::plan::draw;
use crate::swarm::{BlockRun, LocalBlocks, PendingBlock, Source};
use crate::torrent::{BlockRange, Lengths, PieceIndex, PieceSet};
use fastrand::Rng;

/// How much of the share a peer can read itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct LocalPlan {
    /// How many percent of the pieces have local blocks.
    pub(super) percent: u8,
    /// In how many percent of these pieces all blocks are local.
    pub(super) whole_percent: u8,
    /// In how many percent of the pieces the local blocks are wrong.
    pub(super) wrong_percent: u8,
    /// In how many percent of the pieces the local blocks cannot be read.
    pub(super) unreadable_percent: u8,
}

/// The files of an older version.
#[derive(Debug)]
pub(super) struct OldFiles {
    pub(super) blocks: LocalBlocks,
    wrong: PieceSet,
    unreadable: PieceSet,
}

impl OldFiles {
    /// Draws the blocks. Draws nothing if the peer has no older version.
    pub(super) fn draw(plan: LocalPlan, lengths: &Lengths, rng: &mut Rng) -> Self {
        if plan.percent == 0 {
            let none = PieceSet::empty(lengths);
            return Self {
                blocks: LocalBlocks::default(),
                wrong: none.clone(),
                unreadable: none,
            };
        }
        let pieces = draw(plan.percent, lengths, rng);
        let all = lengths.all_pieces().filter(|piece| pieces.contains(*piece));
        let blocks = all.flat_map(|piece| draw_blocks(piece, plan.whole_percent, lengths, rng));
        Self {
            blocks: blocks.collect(),
            wrong: draw(plan.wrong_percent, lengths, rng),
            unreadable: draw(plan.unreadable_percent, lengths, rng),
        }
    }

    /// Reads the missing blocks of a run. Returns `false` if they cannot be read. Then some of them
    /// were read nevertheless.
    pub(super) fn read(
        &self,
        run: BlockRun,
        blocks: &mut [Option<PendingBlock<Content>>],
        lengths: &Lengths,
    ) -> bool {
        let is_unreadable = self.unreadable.contains(run.piece);
        let content = match self.wrong.contains(run.piece) {
            true => Content::Bad,
            false => Content::Good,
        };
        let mut missing = Vec::new();
        for (number, place) in (run.first_block()..).zip(blocks) {
            if place.is_none() {
                missing.push((number, place));
            }
        }
        let readable = missing.len() / if is_unreadable { 2 } else { 1 };
        for (number, place) in missing.into_iter().take(readable) {
            let block = lengths.block(run.piece, number).expect("a block of a run");
            assert!(self.blocks.contains(block), "{block:?} is not local");
            *place = Some(PendingBlock {
                buffer: content,
                length: block.length(),
                source: Source::Local,
            });
        }
        !is_unreadable
    }
}

/// The local blocks of a piece: all of them in `whole_percent` of the cases.
fn draw_blocks(
    piece: PieceIndex,
    whole_percent: u8,
    lengths: &Lengths,
    rng: &mut Rng,
) -> Vec<BlockRange> {
    let is_whole = rng.u8(0..100) < whole_percent;
    let percent = if is_whole { 100 } else { rng.u8(1..100) };
    let blocks = (0..lengths.blocks(piece)).filter_map(|number| lengths.block(piece, number));
    blocks.filter(|_| rng.u8(0..100) < percent).collect()
}

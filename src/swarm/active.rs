//! Pieces that are being fetched, cut into runs of blocks.
//!
//! A run is what is buffered and written as one: at most [`RUN_BLOCKS`] consecutive blocks of a
//! piece. A piece of the usual 512 KiB is one run; one of 64 MiB is 128, so that buffers stay
//! bounded whatever the length of a piece.

use super::link_id::LinkId;
use crate::torrent::{BLOCK, BlockRange, Lengths, PieceIndex};
use std::time::Duration;

/// The most blocks of one run: 512 KiB.
pub const RUN_BLOCKS: u32 = 32;

/// A run: blocks `first` to `first + blocks - 1` of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Run {
    /// The piece.
    pub piece: PieceIndex,
    /// Which run of the piece, from 0.
    pub number: u32,
    /// How many blocks it has.
    pub blocks: u32,
}

impl Run {
    /// How many runs a piece has.
    pub fn count(lengths: &Lengths, piece: PieceIndex) -> u32 {
        lengths.blocks(piece).div_ceil(RUN_BLOCKS)
    }

    /// Run `number` of a piece.
    pub fn numbered(lengths: &Lengths, piece: PieceIndex, number: u32) -> Self {
        let left = lengths.blocks(piece).saturating_sub(number * RUN_BLOCKS);
        Self {
            piece,
            number,
            blocks: left.min(RUN_BLOCKS),
        }
    }

    /// The run that a block belongs to.
    pub fn containing(lengths: &Lengths, block: BlockRange) -> Self {
        Self::numbered(lengths, block.piece(), block.number() / RUN_BLOCKS)
    }

    /// Whether the piece has no other run.
    pub fn is_whole_piece(&self, lengths: &Lengths) -> bool {
        self.blocks == lengths.blocks(self.piece)
    }

    /// Where it starts, in bytes from the start of the share.
    pub fn offset(&self, lengths: &Lengths) -> u64 {
        lengths.offset(self.piece) + u64::from(self.first_block()) * u64::from(BLOCK)
    }

    /// How many bytes it has.
    pub fn bytes(&self, lengths: &Lengths) -> u64 {
        let after = u64::from(lengths.length(self.piece))
            - u64::from(self.first_block()) * u64::from(BLOCK);
        after.min(u64::from(self.blocks) * u64::from(BLOCK))
    }

    /// The number of its first block.
    pub fn first_block(&self) -> u32 {
        self.number * RUN_BLOCKS
    }
}

/// What is known of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    Free,
    /// Asked of a link at a time, in endgame of a second one too.
    Asked {
        of: LinkId,
        at: Duration,
        again: Option<LinkId>,
    },
    Arrived,
}

/// A piece that is being fetched.
#[derive(Debug)]
pub(super) struct ActivePiece {
    piece: PieceIndex,
    runs: Vec<Vec<Block>>,
    /// How many runs were begun; the others' blocks are not to be asked for yet.
    begun: u32,
    /// Blocks of begun runs that are free.
    free: u32,
    /// Blocks that did not arrive.
    missing: u32,
    /// Links that blocks came from.
    sources: Vec<LinkId>,
    /// Who began its latest run: a fast link finishes its own runs before it begins another.
    opener: Option<LinkId>,
    /// A piece that failed with several sources is fetched from one alone, to tell who lies.
    alone: bool,
    /// Which one that is.
    only: Option<LinkId>,
}

/// What came of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    /// Other links that are asked for it: two if it came from one that it was taken from before.
    pub(super) also_asked: [Option<LinkId>; 2],
    /// The run, if this was its last block.
    pub(super) completed: Option<Run>,
}

impl ActivePiece {
    /// None of it is asked for yet. `only` one link is to deliver it, if that is given.
    pub(super) fn new(piece: PieceIndex, lengths: &Lengths, only: Option<LinkId>) -> Self {
        let blocks = lengths.blocks(piece);
        let runs = (0..blocks.div_ceil(RUN_BLOCKS))
            .map(|run| vec![Block::Free; RUN_BLOCKS.min(blocks - run * RUN_BLOCKS) as usize]);
        Self {
            piece,
            runs: runs.collect(),
            begun: 0,
            free: 0,
            missing: blocks,
            sources: Vec::new(),
            opener: None,
            alone: only.is_some(),
            only,
        }
    }

    /// Whether `link` may be asked for blocks of it.
    pub(super) fn open_to(&self, link: LinkId) -> bool {
        self.only.is_none_or(|only| only == link)
    }

    /// Whether `link` began its latest run.
    pub(super) fn was_begun_by(&self, link: LinkId) -> bool {
        self.opener == Some(link)
    }

    /// If `link` was to deliver it alone, others may again.
    pub(super) fn let_others_fetch(&mut self, link: LinkId) {
        if self.only == Some(link) {
            self.only = None;
        }
    }

    /// The links that blocks came from.
    pub(super) fn into_sources(self) -> Vec<LinkId> {
        self.sources
    }

    /// Whether blocks of begun runs are free.
    pub(super) fn has_free(&self) -> bool {
        self.free > 0
    }

    /// Whether every block has arrived.
    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// The next run that was not begun.
    pub(super) fn next_run(&self) -> Option<Run> {
        let blocks = self.runs.get(self.begun as usize)?;
        Some(Run {
            piece: self.piece,
            number: self.begun,
            blocks: blocks.len() as u32,
        })
    }

    /// Begins what [`ActivePiece::next_run`] names, with `link`.
    pub(super) fn begin_run(&mut self, link: LinkId) {
        self.opener = Some(link);
        if let Some(run) = self.next_run() {
            self.begun += 1;
            self.free += run.blocks;
        }
    }

    /// Takes up to `count` free blocks for `link`.
    pub(super) fn take(
        &mut self,
        link: LinkId,
        now: Duration,
        count: usize,
        lengths: &Lengths,
        out: &mut Vec<BlockRange>,
    ) {
        if self.alone && self.only.is_none() {
            self.only = Some(link);
        }
        let mut left = count;
        let runs = self
            .runs
            .iter_mut()
            .take(self.begun as usize)
            .flatten()
            .enumerate();
        for (number, block) in runs {
            if left == 0 || self.free == 0 {
                return;
            }
            if *block == Block::Free
                && let Some(range) = lengths.block(self.piece, number as u32)
            {
                *block = Block::Asked {
                    of: link,
                    at: now,
                    again: None,
                };
                self.free -= 1;
                left -= 1;
                out.push(range);
            }
        }
    }

    /// Takes, for a second link, up to `count` blocks that another is late with, as whom and when
    /// it was asked tells.
    pub(super) fn take_again(
        &mut self,
        link: LinkId,
        is_late: &dyn Fn(LinkId, Duration) -> bool,
        count: usize,
        lengths: &Lengths,
        out: &mut Vec<BlockRange>,
    ) {
        let mut left = if self.is_complete() { 0 } else { count };
        for (number, block) in self.runs.iter_mut().flatten().enumerate() {
            if left == 0 {
                return;
            }
            if let Block::Asked {
                of,
                at,
                again: again @ None,
            } = block
                && *of != link
                && is_late(*of, *at)
                && let Some(range) = lengths.block(self.piece, number as u32)
            {
                *again = Some(link);
                left -= 1;
                out.push(range);
            }
        }
    }

    /// Whether `link` is asked for blocks of it.
    fn is_asked_of(&self, link: LinkId) -> bool {
        let mut blocks = self.runs.iter().flatten();
        blocks.any(|block| {
            matches!(block, Block::Asked { of, again, .. } if *of == link || *again == Some(link))
        })
    }

    /// Whether a block would be of use if it came from `link` now.
    pub(super) fn awaits(&self, link: LinkId, number: u32) -> bool {
        let run = number / RUN_BLOCKS;
        let blocks = self.runs.get(run as usize);
        let block = blocks.and_then(|blocks| blocks.get((number % RUN_BLOCKS) as usize));
        run < self.begun && self.open_to(link) && block.is_some_and(|it| *it != Block::Arrived)
    }

    /// A block came from `link`; `None` if it was here already or not asked for since its run was
    /// begun.
    pub(super) fn arrived(&mut self, link: LinkId, number: u32) -> Option<Arrived> {
        let run = number / RUN_BLOCKS;
        if run >= self.begun {
            return None;
        }
        let blocks = self.runs.get_mut(run as usize)?;
        let block = blocks.get_mut((number % RUN_BLOCKS) as usize)?;
        let also_asked = match *block {
            Block::Arrived => return None,
            Block::Free => {
                self.free -= 1;
                [None; 2]
            }
            Block::Asked { of, again, .. } => {
                [Some(of), again].map(|asked| asked.filter(|other| *other != link))
            }
        };
        *block = Block::Arrived;
        self.missing -= 1;
        if !self.sources.contains(&link) {
            self.sources.push(link);
        }
        let whole = blocks.iter().all(|block| *block == Block::Arrived);
        let completed = whole.then_some(Run {
            piece: self.piece,
            number: run,
            blocks: blocks.len() as u32,
        });
        Some(Arrived {
            also_asked,
            completed,
        })
    }

    /// A block will not come from `link`.
    pub(super) fn release(&mut self, link: LinkId, number: u32) {
        self.free_block(link, number);
        // One that was to deliver it alone, and does not, must not keep it from others.
        if self.only == Some(link) && !self.is_asked_of(link) {
            self.only = None;
        }
    }

    /// Whether a link may still be asked for something of it that nobody was asked for.
    #[cfg(test)]
    pub(super) fn gives(&self) -> bool {
        self.has_free() || self.next_run().is_some()
    }

    /// How many requests for its blocks there are.
    #[cfg(test)]
    pub(super) fn asked(&self) -> usize {
        let blocks = self.runs.iter().flatten();
        let asked = blocks.map(|block| match block {
            Block::Asked { again, .. } => 1 + usize::from(again.is_some()),
            Block::Free | Block::Arrived => 0,
        });
        asked.sum()
    }

    /// The blocks that are asked of a link.
    #[cfg(test)]
    pub(super) fn asked_of(&self, link: LinkId, lengths: &Lengths) -> Vec<BlockRange> {
        let blocks = self.runs.iter().flatten().enumerate();
        let asked = blocks.filter(|(_, block)| {
            matches!(block, Block::Asked { of, again, .. } if *of == link || *again == Some(link))
        });
        let ranges = asked.filter_map(|(at, _)| lengths.block(self.piece, at as u32));
        ranges.collect()
    }

    /// Runs that were begun and lack blocks.
    #[cfg(test)]
    pub(super) fn unfinished_runs(&self) -> Vec<Run> {
        let begun = self.runs.iter().take(self.begun as usize).enumerate();
        let unfinished = begun.filter(|(_, run)| run.iter().any(|it| *it != Block::Arrived));
        let runs = unfinished.map(|(number, blocks)| Run {
            piece: self.piece,
            number: number as u32,
            blocks: blocks.len() as u32,
        });
        runs.collect()
    }

    /// Panics if a count is wrong, or a block of a run that was not begun is not free.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let is_free = |block: &&Block| **block == Block::Free;
        let (begun, later) = self.runs.split_at(self.begun as usize);
        let free = begun.iter().flatten().filter(is_free).count();
        assert_eq!(free, self.free as usize, "{:?}", self.piece);
        assert!(later.iter().flatten().all(|block| is_free(&block)));
        let blocks = self.runs.iter().flatten();
        let missing = blocks.filter(|block| **block != Block::Arrived).count();
        assert_eq!(missing, self.missing as usize, "{:?}", self.piece);
    }

    fn free_block(&mut self, link: LinkId, number: u32) {
        let run = self.runs.get_mut((number / RUN_BLOCKS) as usize);
        let Some(block) = run.and_then(|run| run.get_mut((number % RUN_BLOCKS) as usize)) else {
            return;
        };
        if let Block::Asked { of, at, again } = *block {
            *block = match again {
                Some(second) if of == link => Block::Asked {
                    of: second,
                    at,
                    again: None,
                },
                Some(second) if second == link => Block::Asked {
                    of,
                    at,
                    again: None,
                },
                None if of == link => {
                    self.free += 1;
                    Block::Free
                }
                _ => return,
            };
        }
    }
}

//! Pieces that are being fetched, divided into runs of blocks.

use super::block_run::{BlockRun, MAX_RUN_BLOCKS};
use super::link_id::LinkId;
use super::local_blocks::LocalBlocks;
#[cfg(test)]
use super::mutation::{Mutation, is_planted};
use crate::torrent::{BlockRange, Lengths, PieceIndex};
use std::time::Duration;

/// The state of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockState {
    Free,
    /// Requested from the link `first`, at the time `at`; in endgame also from a second link.
    Requested {
        first: LinkId,
        at: Duration,
        second: Option<LinkId>,
    },
    Arrived,
    /// This machine reads the block itself, as soon as no other block of its run is missing.
    Local,
}

/// There is one for each block of an active piece, so it has no more bytes than a request needs.
const _: () = assert!(size_of::<BlockState>() == size_of::<(LinkId, Duration, Option<LinkId>)>());

impl BlockState {
    /// Whether a link has to deliver the block.
    fn is_missing(self) -> bool {
        matches!(self, Self::Free | Self::Requested { .. })
    }
}

/// A piece that is being fetched.
#[derive(Debug)]
pub(super) struct ActivePiece {
    piece: PieceIndex,
    runs: Vec<Vec<BlockState>>,
    /// Number of runs begun. Blocks of the other runs are not requested yet.
    begun: u32,
    /// Number of free blocks in the runs that were begun.
    free: u32,
    /// Number of blocks that links have to deliver.
    missing: u32,
    /// Whether the piece had local blocks when it was begun.
    had_local: bool,
    /// Links that delivered blocks.
    sources: Vec<LinkId>,
    /// The link that began the latest run. `None` if all blocks of that run are local. A link with
    /// a large window first requests blocks of pieces whose latest run it began itself.
    latest_run_by: Option<LinkId>,
    delivery: Delivery,
}

/// Which links may deliver a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Several links may deliver it.
    SeveralLinks,
    /// Only one link may deliver it: see `picker/alone.rs`. `None` until this link is chosen.
    OneLink(Option<Reservation>),
}

/// The link for which a piece is reserved. This link alone delivers the piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reservation {
    pub(super) link: LinkId,
    /// When the piece was reserved, plus the time since then in which we did not read from the
    /// link.
    pub(super) since: Duration,
}

/// What changes when a needed block arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NeededArrival {
    /// Other links from which the block is requested. There are two if the block comes late, from a
    /// link whose own request was given up.
    pub(super) also_requested_from: [Option<LinkId>; 2],
    /// The run, if links have delivered every block of it that they have to deliver.
    pub(super) completed: Option<BlockRun>,
}

impl ActivePiece {
    /// No block is requested yet. The blocks in `local` will not be requested.
    pub(super) fn new(
        piece: PieceIndex,
        lengths: &Lengths,
        delivery: Delivery,
        local: &LocalBlocks,
    ) -> Self {
        let had_local = local.has_some_of(piece);
        #[cfg(test)]
        let had_local = had_local && !is_planted(Mutation::LocalRequested);
        let runs = (0..BlockRun::count(lengths, piece)).map(|number| {
            let run = BlockRun::numbered(lengths, piece, number);
            let mut blocks = vec![BlockState::Free; run.blocks as usize];
            for (block, number) in blocks.iter_mut().zip(0..).filter(|_| had_local) {
                if local.contains_of_run(run, number) {
                    *block = BlockState::Local;
                }
            }
            blocks
        });
        let runs: Vec<Vec<BlockState>> = runs.collect();
        let missing = runs.iter().flatten().filter(|block| block.is_missing());
        Self {
            piece,
            missing: missing.count() as u32,
            runs,
            begun: 0,
            free: 0,
            had_local,
            sources: Vec::new(),
            latest_run_by: None,
            delivery,
        }
    }

    /// Which links may deliver the piece.
    pub(super) fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// The link for which the piece is reserved, if there is one.
    pub(super) fn reservation(&self) -> Option<Reservation> {
        match self.delivery {
            Delivery::SeveralLinks => None,
            Delivery::OneLink(reservation) => reservation,
        }
    }

    /// Whether a block of the piece is kept if it arrives from `link`. It is not kept if the piece
    /// is reserved for another link.
    pub(super) fn may_come_from(&self, link: LinkId) -> bool {
        self.reservation().is_none_or(|it| it.link == link)
    }

    pub(super) fn piece(&self) -> PieceIndex {
        self.piece
    }

    /// Whether `link` began the latest run.
    pub(super) fn latest_run_is_of(&self, link: LinkId) -> bool {
        self.latest_run_by == Some(link)
    }

    /// Reserves the piece for `link`: from now on this link alone delivers it.
    pub(super) fn reserve_for(&mut self, link: LinkId, since: Duration) {
        self.delivery = Delivery::OneLink(Some(Reservation { link, since }));
    }

    /// Ends the reservation of the piece for `link`, if there is one. Then another link may be
    /// chosen for the piece. Returns whether there was a reservation.
    pub(super) fn end_reservation(&mut self, link: LinkId) -> bool {
        let had_reservation = self.reservation().is_some_and(|it| it.link == link);
        if had_reservation {
            self.delivery = Delivery::OneLink(None);
        }
        had_reservation
    }

    /// We did not read from the link `of` for the time `by`. So this time does not count for its
    /// reservation, if it has one.
    pub(super) fn extend_reservation(&mut self, of: LinkId, by: Duration) {
        if let Delivery::OneLink(Some(reservation)) = &mut self.delivery
            && reservation.link == of
        {
            reservation.since += by;
        }
    }

    /// The links that delivered blocks.
    pub(super) fn into_sources(self) -> Vec<LinkId> {
        self.sources
    }

    /// Whether a run that was begun has free blocks.
    pub(super) fn has_free(&self) -> bool {
        self.free > 0
    }

    /// Whether the piece had local blocks when it was begun.
    pub(super) fn had_local(&self) -> bool {
        self.had_local
    }

    /// Whether links have delivered every block that they have to deliver.
    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// The next run to begin.
    pub(super) fn next_run(&self) -> Option<BlockRun> {
        let blocks = self.runs.get(self.begun as usize)?;
        Some(BlockRun {
            piece: self.piece,
            number: self.begun,
            blocks: blocks.len() as u32,
        })
    }

    /// Whether there is a next run, and all its blocks are local.
    pub(super) fn is_next_run_local(&self) -> bool {
        let next = self.runs.get(self.begun as usize);
        next.is_some_and(|blocks| !blocks.iter().any(|block| block.is_missing()))
    }

    /// Begins the run that [`ActivePiece::next_run`] returns, on behalf of `link`. `None` if all
    /// blocks of the run are local. Returns the run if that is so: then no link has to deliver
    /// anything.
    pub(super) fn begin_run(&mut self, link: Option<LinkId>) -> Option<BlockRun> {
        let run = self.next_run()?;
        let blocks = self.runs.get(self.begun as usize)?;
        let free = blocks.iter().filter(|block| block.is_missing()).count() as u32;
        self.latest_run_by = link;
        self.begun += 1;
        self.free += free;
        (free == 0).then_some(run)
    }

    /// The local blocks of run `unreadable`, which is complete, cannot be read. From now on, links
    /// have to deliver these blocks, and the local blocks of all runs that are not complete.
    pub(super) fn lose_local(&mut self, unreadable: u32) {
        for (number, blocks) in (0..).zip(&mut self.runs) {
            let is_begun = number < self.begun;
            let is_complete = is_begun && !blocks.iter().any(|block| block.is_missing());
            // A worker has the other complete runs, or has written them already.
            if is_complete && number != unreadable {
                continue;
            }
            let local = blocks.iter_mut();
            let local = local.filter(|block| **block == BlockState::Local);
            let lost = local.map(|block| *block = BlockState::Free).count() as u32;
            self.missing += lost;
            if is_begun {
                self.free += lost;
            }
        }
    }

    /// Takes up to `count` free blocks for `link`, and appends them to `out`.
    pub(super) fn take(
        &mut self,
        link: LinkId,
        now: Duration,
        count: usize,
        lengths: &Lengths,
        out: &mut Vec<BlockRange>,
    ) {
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
            if *block == BlockState::Free
                && let Some(range) = lengths.block(self.piece, number as u32)
            {
                *block = BlockState::Requested {
                    first: link,
                    at: now,
                    second: None,
                };
                self.free -= 1;
                left -= 1;
                out.push(range);
            }
        }
    }

    /// Takes up to `count` blocks for `link` that were requested from another link and are late.
    /// `is_late` gets that link and the time of the request.
    pub(super) fn take_late(
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
            if let BlockState::Requested {
                first,
                at,
                second: second @ None,
            } = block
                && *first != link
                && is_late(*first, *at)
                && let Some(range) = lengths.block(self.piece, number as u32)
            {
                *second = Some(link);
                left -= 1;
                out.push(range);
            }
        }
    }

    /// Whether blocks of the piece are requested from `link`.
    fn is_requested_from(&self, link: LinkId) -> bool {
        let mut blocks = self.runs.iter().flatten();
        blocks.any(|block| {
            matches!(block, BlockState::Requested { first, second, .. } if *first == link || *second == Some(link))
        })
    }

    /// Whether a block would be kept if it arrived from `link` now.
    pub(super) fn awaits(&self, link: LinkId, number: u32) -> bool {
        let run = number / MAX_RUN_BLOCKS;
        let blocks = self.runs.get(run as usize);
        let block = blocks.and_then(|blocks| blocks.get((number % MAX_RUN_BLOCKS) as usize));
        run < self.begun && self.may_come_from(link) && block.is_some_and(|it| it.is_missing())
    }

    /// A block arrived from `link`. Returns `None` if the block arrived before or is local, or if
    /// its run has not begun: then the request is from an earlier attempt to fetch the piece.
    pub(super) fn on_block(&mut self, link: LinkId, number: u32) -> Option<NeededArrival> {
        let run = number / MAX_RUN_BLOCKS;
        if run >= self.begun {
            return None;
        }
        let blocks = self.runs.get_mut(run as usize)?;
        let block = blocks.get_mut((number % MAX_RUN_BLOCKS) as usize)?;
        let also_requested_from = match *block {
            BlockState::Arrived | BlockState::Local => return None,
            BlockState::Free => {
                self.free -= 1;
                [None; 2]
            }
            BlockState::Requested { first, second, .. } => {
                [Some(first), second].map(|requested| requested.filter(|other| *other != link))
            }
        };
        *block = BlockState::Arrived;
        self.missing -= 1;
        if !self.sources.contains(&link) {
            self.sources.push(link);
        }
        let is_complete = !blocks.iter().any(|block| block.is_missing());
        let completed = is_complete.then_some(BlockRun {
            piece: self.piece,
            number: run,
            blocks: blocks.len() as u32,
        });
        Some(NeededArrival {
            also_requested_from,
            completed,
        })
    }

    /// `link` will not send this block. If the piece is reserved for the link, and no other block
    /// of the piece is requested from it, the reservation ends. Then another link may be chosen for
    /// the piece. Returns whether a reservation ended.
    pub(super) fn release(&mut self, link: LinkId, number: u32) -> bool {
        self.remove_request(link, number);
        self.reservation().is_some_and(|it| it.link == link)
            && !self.is_requested_from(link)
            && self.end_reservation(link)
    }

    /// Whether the piece has blocks that may be requested and are not.
    #[cfg(any(test, fuzzing))]
    pub(super) fn has_unrequested(&self) -> bool {
        self.has_free() || self.next_run().is_some()
    }

    /// Number of requests for blocks of the piece.
    #[cfg(any(test, fuzzing))]
    pub(super) fn request_count(&self) -> usize {
        let blocks = self.runs.iter().flatten();
        let requested = blocks.map(|block| match block {
            BlockState::Requested { second, .. } => 1 + usize::from(second.is_some()),
            BlockState::Free | BlockState::Arrived | BlockState::Local => 0,
        });
        requested.sum()
    }

    /// The blocks that are requested from a link.
    #[cfg(any(test, fuzzing))]
    pub(super) fn requested_from(&self, link: LinkId, lengths: &Lengths) -> Vec<BlockRange> {
        let blocks = self.runs.iter().flatten().enumerate();
        let requested = blocks.filter(|(_, block)| {
            matches!(block, BlockState::Requested { first, second, .. } if *first == link || *second == Some(link))
        });
        let ranges = requested.filter_map(|(at, _)| lengths.block(self.piece, at as u32));
        ranges.collect()
    }

    /// The runs that were begun and of which links have to deliver blocks.
    #[cfg(any(test, fuzzing))]
    pub(super) fn unfinished_runs(&self) -> Vec<BlockRun> {
        let begun = self.runs.iter().take(self.begun as usize).enumerate();
        let unfinished = begun.filter(|(_, run)| run.iter().any(|it| it.is_missing()));
        let runs = unfinished.map(|(number, blocks)| BlockRun {
            piece: self.piece,
            number: number as u32,
            blocks: blocks.len() as u32,
        });
        runs.collect()
    }

    /// Panics if a count is wrong, or if a block was requested or has arrived in a run that was not
    /// begun.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check(&self) {
        let is_free = |block: &&BlockState| **block == BlockState::Free;
        let (begun, later) = self.runs.split_at(self.begun as usize);
        let free = begun.iter().flatten().filter(is_free).count();
        assert_eq!(free, self.free as usize, "{:?}", self.piece);
        let mut unused = later.iter().flatten();
        assert!(unused.all(|block| is_free(&block) || *block == BlockState::Local));
        let blocks = self.runs.iter().flatten();
        assert!(self.had_local || !blocks.clone().any(|block| *block == BlockState::Local));
        let missing = blocks.filter(|block| block.is_missing()).count();
        assert_eq!(missing, self.missing as usize, "{:?}", self.piece);
    }

    fn remove_request(&mut self, link: LinkId, number: u32) {
        let run = self.runs.get_mut((number / MAX_RUN_BLOCKS) as usize);
        let Some(block) = run.and_then(|run| run.get_mut((number % MAX_RUN_BLOCKS) as usize))
        else {
            return;
        };
        if let BlockState::Requested { first, at, second } = *block {
            *block = match second {
                Some(second) if first == link => BlockState::Requested {
                    first: second,
                    at,
                    second: None,
                },
                Some(second) if second == link => BlockState::Requested {
                    first,
                    at,
                    second: None,
                },
                None if first == link => {
                    self.free += 1;
                    BlockState::Free
                }
                _ => return,
            };
        }
    }
}

//! Assembles blocks into runs and pieces: which blocks to request, which have arrived, and the
//! buffers reserved for them.
//!
//! Before a run is begun, buffers for all its blocks are reserved from the [`Budget`]. They are
//! returned when a worker is done with the run. A begun run is unfinished until links have
//! delivered all its blocks that are not local. A worker reads the local ones. So the number of
//! reserved buffers is the number of all blocks of unfinished runs, plus the number of blocks that
//! workers have.

use super::block::{HashedPiece, PendingBlock, PieceHash, Source};
use super::evidence::MAX_HASHES;
#[cfg(test)]
use crate::swarm::mutation::{Mutation, is_planted};
use crate::swarm::{Arrival, BlockRun, LinkId, Picker, Verdict};
use crate::torrent::{BlockRange, Hasher, Lengths, PieceIndex, Sha1};
use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

/// Runs whose blocks are all local are begun while workers have fewer blocks than this. They need
/// no time on the way, so more of them would only take buffers from the requests to links.
const LOCAL_BLOCKS_AHEAD: u32 = 256;

/// The block buffers of one download, reserved from a pool that several downloads share.
pub trait Budget: Debug + Send {
    /// Reserves this many buffers, all or none.
    fn reserve(&mut self, blocks: u32) -> bool;

    /// Gives this many buffers back to the pool.
    fn release(&mut self, blocks: u32);

    /// The number of buffers that this download has reserved.
    fn reserved(&self) -> u32;
}

/// What becomes of a block that arrived.
pub(super) enum BlockOutcome<B> {
    /// The block was not requested from this link.
    Unrequested,
    /// The block is not needed any more. Contains its buffer.
    NotNeeded(B),
    /// The block is kept.
    Kept {
        /// Other links with the same request. Each is to get a `cancel`.
        cancel: [Option<LinkId>; 2],
        /// The run that this block completed, if any.
        completed: Option<CompleteRun<B>>,
    },
}

/// A run of which no link has to deliver anything, and its blocks, in order. `None`: the block is
/// local, and was not read yet.
pub(super) type CompleteRun<B> = (BlockRun, Vec<Option<PendingBlock<B>>>);

/// The blocks and pieces that are being fetched.
#[derive(Debug)]
pub(super) struct Assembly<B> {
    picker: Picker,
    lengths: Lengths,
    /// Arrived blocks of runs that are not complete.
    pending: HashMap<BlockRun, Vec<Option<PendingBlock<B>>>>,
    /// Partial hashes of the pieces that have several runs.
    hashes: HashMap<PieceIndex, PieceHash>,
    budget: Box<dyn Budget>,
    /// The number of blocks that workers have.
    blocks_at_workers: u32,
    /// When the time that counts towards `fetch::ABANDON_AFTER` began: when the download last began
    /// to have active pieces, or last gave up all of them, whichever was later.
    active_since: Duration,
}

impl<B> Assembly<B> {
    /// Nothing has been requested yet.
    pub(super) fn new(picker: Picker, lengths: Lengths, budget: Box<dyn Budget>) -> Self {
        Self {
            picker,
            lengths,
            pending: HashMap::new(),
            hashes: HashMap::new(),
            budget,
            blocks_at_workers: 0,
            active_since: Duration::ZERO,
        }
    }

    pub(super) fn picker(&self) -> &Picker {
        &self.picker
    }

    pub(super) fn picker_mut(&mut self) -> &mut Picker {
        &mut self.picker
    }

    /// Drops all pending blocks, and uses this picker from now on.
    pub(super) fn replace_picker(&mut self, picker: Picker) {
        self.drop_pending();
        self.picker = picker;
    }

    /// The number of blocks that workers have.
    pub(super) fn blocks_at_workers(&self) -> u32 {
        self.blocks_at_workers
    }

    /// Appends the blocks to request from a link now.
    pub(super) fn next_blocks(&mut self, id: LinkId, now: Duration, out: &mut Vec<BlockRange>) {
        let had_active = self.picker.has_active();
        let budget = &mut self.budget;
        let mut reserve = |blocks| budget.reserve(blocks);
        self.picker.next_blocks(id, now, &mut reserve, out);
        // Idle time before these requests does not count towards `fetch::ABANDON_AFTER`.
        if !had_active && self.picker.has_active() {
            self.active_since = now;
        }
    }

    /// A block arrived. It is kept if it is needed and the download still `fetches`.
    pub(super) fn on_block(
        &mut self,
        id: LinkId,
        range: BlockRange,
        block: PendingBlock<B>,
        now: Duration,
        fetches: bool,
    ) -> BlockOutcome<B> {
        let (cancel, completed) = match self.picker.on_block(id, range, now) {
            Arrival::Unrequested => return BlockOutcome::Unrequested,
            Arrival::Needed { cancel, completed } if fetches => (cancel, completed),
            // After the end of a download, blocks may still arrive. They are not kept, because
            // their reservations were released.
            Arrival::NotNeeded | Arrival::Needed { .. } => {
                return BlockOutcome::NotNeeded(block.buffer);
            }
        };
        let run = BlockRun::containing(&self.lengths, range);
        let blocks = self.pending.entry(run).or_insert_with(|| places_of(run));
        if let Some(place) = blocks.get_mut((range.number() - run.first_block()) as usize) {
            *place = Some(block);
        }
        let completed = completed.map(|run| self.hand_over(run));
        BlockOutcome::Kept { cancel, completed }
    }

    /// Begins runs whose blocks are all local, while workers have few blocks.
    pub(super) fn begin_local(&mut self, now: Duration) -> Vec<CompleteRun<B>> {
        #[cfg(test)]
        if is_planted(Mutation::LocalNotBegun) {
            return Vec::new();
        }
        let had_active = self.picker.has_active();
        let mut complete = Vec::new();
        while self.blocks_at_workers < LOCAL_BLOCKS_AHEAD {
            let budget = &mut self.budget;
            if !self
                .picker
                .begin_local(&mut |blocks| budget.reserve(blocks))
            {
                break;
            }
            complete.extend(self.take_complete());
        }
        if !had_active && self.picker.has_active() {
            self.active_since = now;
        }
        complete
    }

    /// The runs that were begun and whose blocks are all local. A worker gets each of them.
    pub(super) fn take_complete(&mut self) -> Vec<CompleteRun<B>> {
        let complete = self.picker.take_complete().into_iter();
        complete.map(|run| self.hand_over(run)).collect()
    }

    /// A worker could not read the local blocks of this run, and gives `blocks` back. Links have to
    /// deliver the local blocks, if the download still `fetches`. So those that the worker did read
    /// are dropped.
    pub(super) fn on_unreadable(&mut self, (run, blocks): CompleteRun<B>, fetches: bool) {
        self.blocks_at_workers = self.blocks_at_workers.saturating_sub(run.blocks);
        let is_active = fetches && self.picker.on_unreadable(run);
        #[cfg(test)]
        let is_active = is_active && !is_planted(Mutation::UnreadableBuffersReturned);
        if !is_active {
            self.budget.release(run.blocks);
            return;
        }
        let is_sent = |block: &PendingBlock<B>| block.source != Source::Local;
        let sent = blocks.into_iter().map(|block| block.filter(is_sent));
        let sent: Vec<_> = sent.collect();
        if sent.iter().any(Option::is_some) {
            self.pending.insert(run, sent);
        }
    }

    /// A worker gets this run.
    fn hand_over(&mut self, run: BlockRun) -> CompleteRun<B> {
        self.blocks_at_workers += run.blocks;
        let blocks = self.pending.remove(&run);
        (run, blocks.unwrap_or_else(|| places_of(run)))
    }

    /// A worker has written one run of a piece that has several runs. `hashes` has the hashes of
    /// its blocks, or is empty. Returns the hasher if the worker is to hash the run.
    pub(super) fn on_run_written(
        &mut self,
        run: BlockRun,
        blocks: &[PendingBlock<B>],
        hashes: &[Sha1],
    ) -> Option<Hasher> {
        let kept: usize = self.hashes.values().map(PieceHash::kept).sum();
        let hash = self.hashes.entry(run.piece).or_insert_with(PieceHash::new);
        if !hashes.is_empty() && kept + hashes.len() <= MAX_HASHES {
            hash.keep(run.number, blocks, hashes);
        }
        hash.on_written(run.number, blocks)
    }

    /// A worker has hashed the runs before `next`. Returns the hasher if the worker is to go on
    /// with `next`.
    pub(super) fn on_earlier_runs_hashed(
        &mut self,
        next: BlockRun,
        hasher: Hasher,
    ) -> Option<Hasher> {
        let hash = self.hashes.get_mut(&next.piece)?;
        hash.on_hashed(next.number, hasher)
    }

    /// All runs of a piece that has several are hashed. Returns what is known of the piece, or
    /// `None` if it was given up.
    pub(super) fn on_piece_hashed(&mut self, piece: PieceIndex) -> Option<HashedPiece> {
        let hash = self.hashes.remove(&piece)?;
        Some(hash.into_hashed(BlockRun::count(&self.lengths, piece)))
    }

    /// A piece does not verify.
    pub(super) fn on_failed(&mut self, piece: PieceIndex) -> Verdict {
        self.hashes.remove(&piece);
        self.picker.on_failed(piece)
    }

    /// A worker returns the buffers of this many blocks.
    pub(super) fn on_worker_done(&mut self, blocks: u32) {
        self.blocks_at_workers = self.blocks_at_workers.saturating_sub(blocks);
        #[cfg(test)]
        if is_planted(Mutation::BuffersKept) {
            return;
        }
        self.budget.release(blocks);
    }

    /// How long the download has had active pieces, if it has any now.
    pub(super) fn active_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.active_since)
    }

    /// Gives up all active pieces, so that other downloads can use the buffers. Returns the
    /// requests that are to be cancelled. To be called only while workers have no blocks.
    pub(super) fn abandon(&mut self, now: Duration) -> Vec<(LinkId, Vec<BlockRange>)> {
        self.active_since = now;
        let requested = self.picker.abandon_active();
        self.drop_pending();
        requested
    }

    /// Drops the blocks of runs that will not be completed, and their reservations.
    pub(super) fn drop_pending(&mut self) {
        self.pending.clear();
        self.hashes.clear();
        let idle = self
            .budget
            .reserved()
            .saturating_sub(self.blocks_at_workers);
        self.budget.release(idle);
    }

    /// Panics if an invariant does not hold.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check(&self) {
        self.picker.check();
        let begun = self.picker.unfinished_runs();
        let blocks: u32 = begun.iter().map(|run| run.blocks).sum();
        assert_eq!(self.budget.reserved(), blocks + self.blocks_at_workers);
        for (run, blocks) in &self.pending {
            assert!(begun.contains(run), "{run:?} is pending and not begun");
            assert_eq!(blocks.len(), run.blocks as usize);
            let arrived = blocks.iter().flatten().count();
            assert!(
                (1..blocks.len()).contains(&arrived),
                "{run:?} has {arrived} blocks"
            );
        }
    }
}

/// Empty places for the blocks of a run.
fn places_of<B>(run: BlockRun) -> Vec<Option<PendingBlock<B>>> {
    let places = std::iter::repeat_with(|| None);
    places.take(run.blocks as usize).collect()
}

//! The fetching half of a core: which blocks are asked for, those that have arrived, and the
//! buffers that are reserved for them.
//!
//! Before a run is begun, buffers for all its blocks are reserved of the [`Budget`]. So the blocks
//! that are reserved are those of begun runs that are not whole, and those that are with workers.

use super::block::{Block, PieceHash, Sources};
#[cfg(test)]
use crate::swarm::mutation::{Mutation, is_planted};
use crate::swarm::{Arrival, LinkId, Picker, Run, Verdict};
use crate::torrent::{BlockRange, Hasher, Lengths, PieceIndex};
use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

/// Buffers that several downloads share.
pub trait Budget: Debug + Send {
    /// Reserves buffers for so many blocks, all or none.
    fn reserve(&mut self, blocks: u32) -> bool;

    /// Gives back as many.
    fn release(&mut self, blocks: u32);

    /// How many are reserved.
    fn reserved(&self) -> u32;
}

/// What became of a block.
pub(super) enum Taken<B> {
    /// Nobody asked this link for it.
    Unasked,
    /// It is not needed any more.
    Spare(B),
    /// It is kept.
    Kept {
        /// Links at which the same request is to be cancelled.
        cancel: [Option<LinkId>; 2],
        /// The run and its blocks, if this was its last one.
        completed: Option<(Run, Vec<Block<B>>)>,
    },
}

/// The fetching half of a core.
#[derive(Debug)]
pub(super) struct Download<B> {
    picker: Picker,
    lengths: Lengths,
    /// Blocks of runs that are not complete.
    pending: HashMap<Run, Vec<Option<Block<B>>>>,
    /// Hashes of pieces of several runs.
    hashes: HashMap<PieceIndex, PieceHash>,
    budget: Box<dyn Budget>,
    /// Blocks of runs that are with workers.
    with_workers: u32,
    /// When it last had nothing half fetched: at its first request, or when it gave all of it up.
    restarted: Duration,
}

impl<B> Download<B> {
    /// Nothing has been asked for yet.
    pub(super) fn new(picker: Picker, lengths: Lengths, budget: Box<dyn Budget>) -> Self {
        Self {
            picker,
            lengths,
            pending: HashMap::new(),
            hashes: HashMap::new(),
            budget,
            with_workers: 0,
            restarted: Duration::ZERO,
        }
    }

    pub(super) fn picker(&self) -> &Picker {
        &self.picker
    }

    pub(super) fn picker_mut(&mut self) -> &mut Picker {
        &mut self.picker
    }

    /// Goes on with the pieces of another picker.
    pub(super) fn begin(&mut self, picker: Picker) {
        self.drop_pending();
        self.picker = picker;
    }

    /// How many blocks are with workers.
    pub(super) fn with_workers(&self) -> u32 {
        self.with_workers
    }

    /// Appends the blocks to ask of a link now.
    pub(super) fn next_blocks(&mut self, id: LinkId, now: Duration, out: &mut Vec<BlockRange>) {
        let had_active = self.picker.has_active();
        let budget = &mut self.budget;
        let mut reserve = |blocks| budget.reserve(blocks);
        self.picker.next_blocks(id, now, &mut reserve, out);
        // However long nothing came before: what is asked for first has its time too.
        if !had_active && self.picker.has_active() {
            self.restarted = now;
        }
    }

    /// A block arrived; it is kept if it is needed and `fetches` says that anything is.
    pub(super) fn on_block(
        &mut self,
        id: LinkId,
        range: BlockRange,
        block: Block<B>,
        now: Duration,
        fetches: bool,
    ) -> Taken<B> {
        let (cancel, completed) = match self.picker.on_block(id, range, now) {
            Arrival::Unasked => return Taken::Unasked,
            Arrival::Fresh { cancel, completed } if fetches => (cancel, completed),
            // What still comes after a download was ended is nobody's: its buffers were given back.
            Arrival::Late | Arrival::Fresh { .. } => return Taken::Spare(block.buffer),
        };
        let run = Run::containing(&self.lengths, range);
        let blocks = self.pending.entry(run).or_insert_with(|| {
            let places = std::iter::repeat_with(|| None);
            places.take(run.blocks as usize).collect()
        });
        if let Some(place) = blocks.get_mut((range.number() - run.first_block()) as usize) {
            *place = Some(block);
        }
        let completed = completed.map(|run| {
            let blocks = self.pending.remove(&run).unwrap_or_default();
            self.with_workers += run.blocks;
            (run, blocks.into_iter().flatten().collect())
        });
        Taken::Kept { cancel, completed }
    }

    /// A worker has written a run of a piece of several. Returns the hasher if it is to hash the
    /// run.
    pub(super) fn on_run_written(&mut self, run: Run, blocks: &[Block<B>]) -> Option<Hasher> {
        let hash = self.hashes.entry(run.piece).or_insert_with(PieceHash::new);
        hash.on_written(run.number, blocks)
    }

    /// A worker has hashed the runs before `next`. Returns the hasher if it is to go on with that.
    pub(super) fn on_run_hashed(&mut self, next: Run, hasher: Hasher) -> Option<Hasher> {
        let hash = self.hashes.get_mut(&next.piece)?;
        hash.on_hashed(next.number, hasher)
    }

    /// A piece of several runs is hashed. Returns who delivered it; none if it was given up.
    pub(super) fn on_piece_hashed(&mut self, piece: PieceIndex) -> Option<Sources> {
        let hash = self.hashes.remove(&piece);
        hash.map(PieceHash::into_sources)
    }

    /// A piece does not verify.
    pub(super) fn on_failed(&mut self, piece: PieceIndex) -> Verdict {
        self.hashes.remove(&piece);
        self.picker.on_failed(piece)
    }

    /// A worker has done with so many blocks.
    pub(super) fn on_worker_done(&mut self, blocks: u32) {
        self.with_workers = self.with_workers.saturating_sub(blocks);
        #[cfg(test)]
        if is_planted(Mutation::BuffersKept) {
            return;
        }
        self.budget.release(blocks);
    }

    /// For how long something has been half fetched.
    pub(super) fn since_restart(&self, now: Duration) -> Duration {
        now.saturating_sub(self.restarted)
    }

    /// Gives up what is half fetched, so that its buffers can serve others. Returns the requests
    /// that are to be cancelled. To be called only while nothing is with workers.
    pub(super) fn abandon(&mut self, now: Duration) -> Vec<(LinkId, Vec<BlockRange>)> {
        self.restarted = now;
        let asked = self.picker.abandon_active();
        self.drop_pending();
        asked
    }

    /// Drops blocks of runs that will not be completed, and what was reserved for them.
    pub(super) fn drop_pending(&mut self) {
        self.pending.clear();
        self.hashes.clear();
        let idle = self.budget.reserved().saturating_sub(self.with_workers);
        self.budget.release(idle);
    }

    /// Panics if an invariant does not hold.
    #[cfg(test)]
    pub(super) fn check(&self) {
        self.picker.check();
        let begun = self.picker.unfinished_runs();
        let blocks: u32 = begun.iter().map(|run| run.blocks).sum();
        assert_eq!(self.budget.reserved(), blocks + self.with_workers);
        for (run, blocks) in &self.pending {
            assert!(begun.contains(run), "{run:?} is pending and not begun");
            assert_eq!(blocks.len(), run.blocks as usize);
            let here = blocks.iter().flatten().count();
            assert!((1..blocks.len()).contains(&here), "{run:?} has {here}");
        }
    }
}

//! The pool of block buffers. It bounds memory, whatever the size of files and pieces.
//!
//! A download reserves the buffers of a run of blocks here before it begins the run. So every run
//! that was begun can be completed. A buffer is filled from the socket, hashed, written to the file
//! and returned to the pool, for a later block.
//!
//! The pool grows on demand. A link with a large bandwidth-delay product has many blocks reserved,
//! but few of them have arrived and are in memory at a time. If many are in memory, the disk or the
//! processor is the bottleneck, and more blocks in flight would not help. So above [`BASE_BLOCKS`],
//! blocks are reserved only while at most a third of the reserved blocks were recently in memory.
//!
//! A buffer is allocated when a block arrives and no buffer is free. Buffers that no download has
//! needed for [`IDLE_TIME`] are deallocated. All free buffers are deallocated when no download has
//! a reservation.

use crate::swarm::Budget;
use crate::system::lock;
use crate::torrent::BLOCK;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The number of blocks that all downloads together may reserve without the condition on blocks in
/// memory: 12 MiB.
const BASE_BLOCKS: u32 = 768;
/// The number of blocks in one sampling period of [`FilledCounts`]: 8 MiB.
const SAMPLE_BLOCKS: u32 = 512;
/// Buffers that stayed free for this long are deallocated. The pool checks that only once in this
/// time, so a buffer may stay free for twice as long.
const IDLE_TIME: Duration = Duration::from_secs(5);

/// The buffer pool of one peer.
#[derive(Debug)]
pub(super) struct BufferPool {
    /// The maximum number of blocks that all downloads together may reserve.
    max_blocks: u32,
    reserved: AtomicU32,
    /// The number of downloads that have reserved blocks.
    holders: AtomicU32,
    filled: FilledCounts,
    free: Mutex<FreeBuffers>,
}

/// The maximum number of filled buffers at a time, over the last one to two sampling periods.
#[derive(Debug, Default)]
struct FilledCounts {
    /// The present number of filled buffers.
    current: AtomicU32,
    /// The maximum of the current period, and that of the period before.
    newer: AtomicU32,
    older: AtomicU32,
    /// Buffers filled since the start.
    total: AtomicU32,
}

/// Free buffers, as a stack: the buffer returned last is used first. So the buffers that are not
/// needed stay at the bottom.
#[derive(Debug)]
struct FreeBuffers {
    buffers: Vec<Box<[u8]>>,
    /// The smallest number of buffers on the stack since `since`.
    fewest: usize,
    since: Instant,
}

impl BufferPool {
    /// A pool of at most `bytes` bytes. Buffers are allocated when they are first needed.
    pub(super) fn new(bytes: u64) -> Arc<Self> {
        let free = FreeBuffers {
            buffers: Vec::new(),
            fewest: 0,
            since: Instant::now(),
        };
        Arc::new(Self {
            max_blocks: u32::try_from(bytes / u64::from(BLOCK)).unwrap_or(u32::MAX),
            reserved: AtomicU32::new(0),
            holders: AtomicU32::new(0),
            filled: FilledCounts::default(),
            free: Mutex::new(free),
        })
    }

    /// Reserves `count` blocks for a download that has reserved `held` already, and adds them to
    /// `held`. Returns whether the blocks are reserved. A download gets at most an even share of
    /// the pool, among all downloads that have reserved blocks, and only while the pool may grow
    /// (see [`BufferPool::may_grow`]). Its first run is reserved without these two conditions, if
    /// enough blocks are unreserved.
    pub(super) fn reserve(&self, held: &mut u32, count: u32) -> bool {
        let even_share = self.max_blocks / self.holders.load(Ordering::Relaxed).max(1);
        if *held > 0 && (held.saturating_add(count) > even_share || !self.may_grow(count)) {
            return false;
        }
        let add = |reserved: u32| {
            let sum = reserved.checked_add(count);
            sum.filter(|sum| *sum <= self.max_blocks)
        };
        let is_reserved = self
            .reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .is_ok();
        if is_reserved {
            self.holders
                .fetch_add(u32::from(*held == 0), Ordering::Relaxed);
            *held += count;
        }
        is_reserved
    }

    /// Cancels the reservation of `count` of the `held` blocks of a download, or of all of them if
    /// `held` is less.
    pub(super) fn release(&self, held: &mut u32, count: u32) {
        let count = count.min(*held);
        if count > 0 {
            *held -= count;
            let before = self.reserved.fetch_sub(count, Ordering::Relaxed);
            self.holders
                .fetch_sub(u32::from(*held == 0), Ordering::Relaxed);
            if before == count {
                let freed = lock(&self.free).take_all();
                drop(freed);
            }
        }
    }

    /// A buffer for one block.
    pub(super) fn buffer(self: &Arc<Self>) -> BlockBuffer {
        self.filled.add();
        let free = lock(&self.free).take();
        BlockBuffer {
            bytes: free.unwrap_or_else(|| vec![0; BLOCK as usize].into()),
            length: BLOCK as usize,
            pool: Arc::clone(self),
        }
    }

    /// Whether `count` more blocks may be reserved, judging by how many were recently in memory.
    fn may_grow(&self, count: u32) -> bool {
        let reserved = self.reserved.load(Ordering::Relaxed).saturating_add(count);
        reserved <= BASE_BLOCKS || self.filled.recent_max() <= reserved / 3
    }

    /// Takes a buffer back. Deallocates it if no download has a reservation.
    fn put(&self, buffer: Box<[u8]>) {
        self.filled.current.fetch_sub(1, Ordering::Relaxed);
        if self.reserved.load(Ordering::Relaxed) > 0 {
            let freed = lock(&self.free).put(buffer, Instant::now());
            drop(freed);
        }
    }
}

impl FilledCounts {
    fn add(&self) {
        let current = self.current.fetch_add(1, Ordering::Relaxed) + 1;
        let before = self.newer.fetch_max(current, Ordering::Relaxed);
        if self
            .total
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(SAMPLE_BLOCKS)
        {
            self.older.store(before.max(current), Ordering::Relaxed);
            self.newer.store(current, Ordering::Relaxed);
        }
    }

    fn recent_max(&self) -> u32 {
        let older = self.older.load(Ordering::Relaxed);
        older.max(self.newer.load(Ordering::Relaxed))
    }
}

impl FreeBuffers {
    fn take(&mut self) -> Option<Box<[u8]>> {
        let buffer = self.buffers.pop();
        self.fewest = self.fewest.min(self.buffers.len());
        buffer
    }

    /// Adds a buffer to the stack. Removes the buffers that stayed free for a whole [`IDLE_TIME`],
    /// and passes them to the caller.
    fn put(&mut self, buffer: Box<[u8]>, now: Instant) -> Vec<Box<[u8]>> {
        self.buffers.push(buffer);
        if now.saturating_duration_since(self.since) < IDLE_TIME {
            return Vec::new();
        }
        let unneeded = self.buffers.drain(..self.fewest.min(self.buffers.len()));
        let unneeded = unneeded.collect();
        (self.fewest, self.since) = (self.buffers.len(), now);
        unneeded
    }

    /// Empties the stack.
    fn take_all(&mut self) -> Vec<Box<[u8]>> {
        self.fewest = 0;
        std::mem::take(&mut self.buffers)
    }
}

/// The blocks that one download has reserved. Dropping it cancels the reservation.
#[derive(Debug)]
pub(super) struct Reservation {
    pool: Arc<BufferPool>,
    blocks: u32,
}

impl Reservation {
    /// An empty reservation.
    pub(super) fn of(pool: &Arc<BufferPool>) -> Self {
        Self {
            pool: Arc::clone(pool),
            blocks: 0,
        }
    }
}

impl Budget for Reservation {
    fn reserve(&mut self, blocks: u32) -> bool {
        self.pool.reserve(&mut self.blocks, blocks)
    }

    fn release(&mut self, blocks: u32) {
        self.pool.release(&mut self.blocks, blocks);
    }

    fn reserved(&self) -> u32 {
        self.blocks
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let all = self.blocks;
        self.release(all);
    }
}

/// A buffer for one block. Dropping it returns it to the pool.
#[derive(Debug)]
pub(super) struct BlockBuffer {
    bytes: Box<[u8]>,
    length: usize,
    pool: Arc<BufferPool>,
}

impl BlockBuffer {
    /// Sets the length of its block to `length` bytes, at most [`BLOCK`].
    pub(super) fn set_length(&mut self, length: u32) {
        self.length = (length as usize).min(self.bytes.len());
    }
}

impl Deref for BlockBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl DerefMut for BlockBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length).unwrap_or_default()
    }
}

impl Drop for BlockBuffer {
    fn drop(&mut self) {
        self.pool.put(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::iter;

    /// A pool of `blocks` blocks.
    fn pool(blocks: u32) -> Arc<BufferPool> {
        BufferPool::new(u64::from(blocks) * u64::from(BLOCK))
    }

    fn free_count(pool: &BufferPool) -> usize {
        lock(&pool.free).buffers.len()
    }

    #[test]
    fn two_holders_share_the_pool_evenly_and_one_alone_may_take_all_of_it() {
        for blocks in [BASE_BLOCKS, 16 * BASE_BLOCKS] {
            let pool = pool(blocks);
            let (mut first, mut second) = (0, 0);
            assert!(pool.reserve(&mut first, blocks) && !pool.reserve(&mut first, 1));
            assert!(!pool.reserve(&mut second, 32), "nothing is left");
            pool.release(&mut first, 64);
            assert!(pool.reserve(&mut second, 32));
            assert!(!pool.reserve(&mut first, 32), "more than half");
            pool.release(&mut first, blocks);
            assert!(pool.reserve(&mut second, blocks - 32), "alone again");
            pool.release(&mut second, 2 * blocks);
            let left = (
                pool.reserved.load(Ordering::Relaxed),
                pool.holders.load(Ordering::Relaxed),
            );
            assert_eq!(left, (0, 0));
        }
    }

    #[test]
    fn each_holder_gets_one_run_while_the_pool_has_room() {
        let pool = pool(8 * 32);
        let mut holders = [0; 10];
        let served = holders.iter_mut().map(|held| pool.reserve(held, 32));
        assert_eq!(served.filter(|is_reserved| *is_reserved).count(), 8);
        assert!(!holders.iter_mut().any(|held| pool.reserve(held, 32)));
        pool.release(&mut holders[0], 32);
        assert!(pool.reserve(&mut holders[9], 32));
        pool.release(&mut holders[1], 32);
        assert!(!pool.reserve(&mut holders[2], 32), "it has one run already");
        assert!(pool.reserve(&mut holders[8], 32));
    }

    #[test]
    fn the_pool_grows_for_blocks_in_flight_and_not_for_blocks_in_memory() {
        let pool = pool(16_384);
        let mut held = 0;
        let grow = |held: &mut u32| while pool.reserve(held, 32) {};
        grow(&mut held);
        assert_eq!(held, 16_384, "all of it is in flight");
        pool.release(&mut held, 16_384);
        // The disk is too slow: all blocks of a run are still in memory when the next run begins.
        let mut in_memory = Vec::new();
        while pool.reserve(&mut held, 32) {
            in_memory.extend(iter::repeat_with(|| pool.buffer()).take(32));
        }
        assert_eq!(held, BASE_BLOCKS);
        let mut other = 0;
        assert!(
            pool.reserve(&mut other, 32),
            "a first run needs only unreserved blocks"
        );
        assert!(!pool.reserve(&mut other, 32));
        in_memory.truncate(100);
        grow(&mut held);
        assert_eq!(held, BASE_BLOCKS, "they were in memory a moment ago");
        for _ in 0..2 * SAMPLE_BLOCKS {
            drop(pool.buffer());
        }
        grow(&mut held);
        assert!(held > BASE_BLOCKS);
    }

    #[test]
    fn a_dropped_buffer_returns_to_the_pool() {
        let pool = pool(64);
        let mut held = 0;
        assert!(pool.reserve(&mut held, 32));
        let mut buffer = pool.buffer();
        buffer.set_length(3);
        buffer.copy_from_slice(b"abc");
        drop(buffer);
        assert_eq!(free_count(&pool), 1);
        assert_eq!(pool.buffer().len(), BLOCK as usize);
        assert_eq!(free_count(&pool), 1);
    }

    #[test]
    fn no_buffer_is_kept_without_a_reservation() {
        let pool = pool(64);
        let mut held = 0;
        assert!(pool.reserve(&mut held, 32));
        let last = pool.buffer();
        let in_memory: Vec<_> = iter::repeat_with(|| pool.buffer()).take(31).collect();
        drop(in_memory);
        pool.release(&mut held, 31);
        assert_eq!(free_count(&pool), 31);
        pool.release(&mut held, 1);
        assert_eq!(free_count(&pool), 0);
        drop(last);
        assert_eq!(
            (
                free_count(&pool),
                pool.filled.current.load(Ordering::Relaxed)
            ),
            (0, 0)
        );
    }

    #[test]
    fn buffers_that_stay_free_are_deallocated() {
        let begun = Instant::now();
        let mut free = FreeBuffers {
            buffers: iter::repeat_with(Box::default).take(10).collect(),
            fewest: 10,
            since: begun,
        };
        // Takes four buffers, and returns them at the time `begun + halves * IDLE_TIME / 2`.
        let mut take_four = |halves: u32| {
            let taken: Vec<_> = iter::repeat_with(|| free.take().unwrap()).take(4).collect();
            let now = begun + IDLE_TIME * halves / 2;
            let freed = taken.into_iter().map(|buffer| free.put(buffer, now).len());
            (freed.sum::<usize>(), free.buffers.len())
        };
        assert_eq!(take_four(1), (0, 10));
        assert_eq!(take_four(2), (6, 4));
        assert_eq!(take_four(4), (0, 4));
        assert_eq!(take_four(6), (0, 4));
    }
}

//! The fixed pool of block buffers. It bounds memory whatever the size of files and pieces.
//!
//! Before a run of blocks is begun its buffers are reserved here, so that a run that was begun can always end. A buffer
//! goes from the socket to the hash to the file and back into the pool; nothing is allocated for a block.

use crate::swarm::Budget;
use crate::torrent::BLOCK;
use crossbeam::queue::ArrayQueue;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many blocks may be under way at once in all downloads: 12 MiB.
const BLOCKS: u32 = 768;

/// The buffers of one peer.
#[derive(Debug)]
pub(super) struct BufferPool {
    free: ArrayQueue<Box<[u8]>>,
    reserved: AtomicU32,
    /// Downloads that hold some of it.
    holders: AtomicU32,
}

impl BufferPool {
    /// A pool; its buffers are made as they are first needed.
    pub(super) fn new() -> Arc<Self> {
        let free = ArrayQueue::new(BLOCKS as usize);
        Arc::new(Self {
            free,
            reserved: AtomicU32::new(0),
            holders: AtomicU32::new(0),
        })
    }

    /// Reserves `count` blocks for a download that holds `held` already, and counts them there. Beyond an even share
    /// among all that hold some it gets none, but enough for one run it always gets once others return theirs.
    pub(super) fn reserve(&self, held: &mut u32, count: u32) -> bool {
        let even = BLOCKS / self.holders.load(Ordering::Relaxed).max(1);
        if *held > 0 && *held + count > even {
            return false;
        }
        let add = |reserved: u32| (reserved + count <= BLOCKS).then_some(reserved + count);
        let got = self
            .reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .is_ok();
        if got {
            self.holders
                .fetch_add(u32::from(*held == 0), Ordering::Relaxed);
            *held += count;
        }
        got
    }

    /// Gives back `count` of the blocks that a download holds, at most all of them.
    pub(super) fn release(&self, held: &mut u32, count: u32) {
        let count = count.min(*held);
        if count > 0 {
            *held -= count;
            self.reserved.fetch_sub(count, Ordering::Relaxed);
            self.holders
                .fetch_sub(u32::from(*held == 0), Ordering::Relaxed);
        }
    }

    /// A buffer of one block.
    pub(super) fn buffer(self: &Arc<Self>) -> BlockBuffer {
        let bytes = self
            .free
            .pop()
            .unwrap_or_else(|| vec![0; BLOCK as usize].into());
        BlockBuffer {
            bytes,
            length: BLOCK as usize,
            pool: Arc::clone(self),
        }
    }
}

/// What one download has reserved of the pool; it is given back when dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    pool: Arc<BufferPool>,
    blocks: u32,
}

impl Reserved {
    /// Nothing is reserved yet.
    pub(super) fn of(pool: &Arc<BufferPool>) -> Self {
        Self {
            pool: Arc::clone(pool),
            blocks: 0,
        }
    }
}

impl Budget for Reserved {
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

impl Drop for Reserved {
    fn drop(&mut self) {
        let all = self.blocks;
        self.release(all);
    }
}

/// A buffer for one block; it returns to its pool when dropped.
#[derive(Debug)]
pub(super) struct BlockBuffer {
    bytes: Box<[u8]>,
    length: usize,
    pool: Arc<BufferPool>,
}

impl BlockBuffer {
    /// Makes it as long as a block of `length` bytes, at most [`BLOCK`].
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
        // What does not fit is freed.
        let _ = self.pool.free.push(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_share_the_pool_evenly_and_one_run_is_always_possible() {
        let pool = BufferPool::new();
        let (mut first, mut second) = (0, 0);
        assert!(pool.reserve(&mut first, BLOCKS) && !pool.reserve(&mut first, 1));
        assert!(!pool.reserve(&mut second, 32), "nothing is left");
        pool.release(&mut first, 64);
        assert!(pool.reserve(&mut second, 32));
        assert!(!pool.reserve(&mut first, 32), "more than half");
        pool.release(&mut first, BLOCKS);
        assert!(pool.reserve(&mut second, BLOCKS - 32), "alone again");
        pool.release(&mut second, 2 * BLOCKS);
        let left = (
            pool.reserved.load(Ordering::Relaxed),
            pool.holders.load(Ordering::Relaxed),
        );
        assert_eq!(left, (0, 0));
    }

    #[test]
    fn a_buffer_comes_back() {
        let pool = BufferPool::new();
        let mut buffer = pool.buffer();
        buffer.set_length(3);
        buffer.copy_from_slice(b"abc");
        drop(buffer);
        assert_eq!(pool.free.len(), 1);
        assert_eq!(pool.buffer().len(), BLOCK as usize);
        assert_eq!(pool.free.len(), 1);
    }
}

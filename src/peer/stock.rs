//! The fixed stock of block buffers, which bounds memory whatever the size of files and pieces.
//!
//! Before a run of blocks is begun its buffers are reserved here, so that a run that was begun can always end. A buffer
//! goes from the socket to the hash to the file and back into the stock; nothing is allocated for a block.

use crate::torrent::BLOCK;
use crossbeam::queue::ArrayQueue;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many blocks may be under way at once in all downloads: 12 MiB.
const BLOCKS: u32 = 768;

/// The buffers of one peer.
pub(super) struct Stock {
    free: ArrayQueue<Box<[u8]>>,
    reserved: AtomicU32,
    /// Downloads that share the stock.
    downloads: AtomicU32,
}

impl Stock {
    /// A stock; its buffers are made as they are first needed.
    pub(super) fn new() -> Arc<Self> {
        let free = ArrayQueue::new(BLOCKS as usize);
        Arc::new(Self {
            free,
            reserved: AtomicU32::new(0),
            downloads: AtomicU32::new(0),
        })
    }

    /// One download more (or, with -1, one fewer) shares the stock.
    pub(super) fn share(&self, more: bool) {
        if more {
            self.downloads.fetch_add(1, Ordering::Relaxed);
        } else {
            self.downloads.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Reserves `count` blocks for a download that holds `held` already. Beyond an even share of the stock it gets none,
    /// but enough for one run it always gets once others return theirs.
    pub(super) fn reserve(&self, held: u32, count: u32) -> bool {
        let even = BLOCKS / self.downloads.load(Ordering::Relaxed).max(1);
        if held > 0 && held + count > even {
            return false;
        }
        let add = |reserved: u32| (reserved + count <= BLOCKS).then_some(reserved + count);
        self.reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .is_ok()
    }

    /// Gives back what was reserved.
    pub(super) fn release(&self, count: u32) {
        self.reserved.fetch_sub(count, Ordering::Relaxed);
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
            stock: Arc::clone(self),
        }
    }
}

impl fmt::Debug for Stock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stock")
            .field("reserved", &self.reserved)
            .finish_non_exhaustive()
    }
}

/// A buffer for one block; it returns to its stock when dropped.
pub(super) struct BlockBuffer {
    bytes: Box<[u8]>,
    length: usize,
    stock: Arc<Stock>,
}

impl BlockBuffer {
    /// Makes it as long as a block of `length` bytes, at most [`BLOCK`].
    pub(super) fn set_length(&mut self, length: u32) {
        self.length = (length as usize).min(self.bytes.len());
    }
}

impl fmt::Debug for BlockBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockBuffer of {} bytes", self.length)
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
        let _ = self.stock.free.push(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloads_share_the_stock_evenly_and_one_run_is_always_possible() {
        let stock = Stock::new();
        stock.share(true);
        assert!(stock.reserve(0, BLOCKS) && !stock.reserve(0, 1));
        stock.release(BLOCKS);
        stock.share(true);
        assert!(stock.reserve(0, 32) && !stock.reserve(BLOCKS / 2, 32));
        stock.share(false);
        assert!(stock.reserve(BLOCKS / 2, 32));
    }

    #[test]
    fn a_buffer_comes_back() {
        let stock = Stock::new();
        let mut buffer = stock.buffer();
        buffer.set_length(3);
        buffer.copy_from_slice(b"abc");
        drop(buffer);
        assert_eq!(stock.free.len(), 1);
        assert_eq!(stock.buffer().len(), BLOCK as usize);
        assert_eq!(stock.free.len(), 1);
    }
}

//! What a block contains in the simulation (no bytes, only good or bad), and the block buffers of a
//! peer.

use crate::swarm::Budget;
use crate::torrent::Sha1;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// The content of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Good,
    Bad,
}

impl Content {
    /// A value that takes the place of the hash of a block. It shows only whether the block is
    /// good.
    pub(super) fn hash(self) -> Sha1 {
        Sha1([u8::from(self == Self::Good); 20])
    }
}

/// The buffers of one peer. Clones share the same counts.
#[derive(Clone, Debug)]
pub(super) struct Buffers {
    total: u32,
    reserved: Arc<AtomicU32>,
    denied: Arc<AtomicBool>,
}

impl Buffers {
    pub(super) fn new(total: u32) -> Self {
        Self {
            total,
            reserved: Arc::default(),
            denied: Arc::default(),
        }
    }

    /// Whether a reservation has failed since the last call.
    pub(super) fn take_denied(&self) -> bool {
        self.denied.swap(false, Relaxed)
    }
}

impl Budget for Buffers {
    fn reserve(&mut self, blocks: u32) -> bool {
        let fits = self.reserved() + blocks <= self.total;
        if fits {
            self.reserved.fetch_add(blocks, Relaxed);
        } else {
            self.denied.store(true, Relaxed);
        }
        fits
    }

    fn release(&mut self, blocks: u32) {
        assert!(
            blocks <= self.reserved(),
            "more buffers are returned than reserved"
        );
        self.reserved.fetch_sub(blocks, Relaxed);
    }

    fn reserved(&self) -> u32 {
        self.reserved.load(Relaxed)
    }
}

//! Blocks that have arrived and are not verified yet, with their sources.

use crate::swarm::LinkId;
use crate::torrent::{Hasher, Sha1};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A block that arrived. `B` holds its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingBlock<B> {
    /// The bytes.
    pub buffer: B,
    /// The number of bytes.
    pub length: u32,
    /// Where they came from.
    pub source: Source,
}

/// A number that stands for one member of a group, whatever addresses the member uses. Two members
/// have different numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemberId(pub [u8; 16]);

/// The name of this machine as the source of bytes, as shown to a user.
pub(super) const DISK: &str = "disk";

/// Where bytes came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A peer, by its [shown address](super::Link::shown_address). In a group, also the member.
    Peer(SocketAddr, Option<MemberId>),
    /// A web seed, by its id and its URL as shown to a user.
    Web(LinkId, Arc<str>),
    /// This machine, which has read a local block.
    Local,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(address, _) => address.fmt(f),
            Self::Web(_, url) => f.write_str(url),
            Self::Local => f.write_str(DISK),
        }
    }
}

/// How many bytes of one piece each source sent.
pub type Sources = HashMap<Source, u64>;

/// Adds the lengths of these blocks to the byte counts of their sources.
pub fn add_sources<B>(sources: &mut Sources, blocks: &[PendingBlock<B>]) {
    for block in blocks {
        *sources.entry(block.source.clone()).or_default() += u64::from(block.length);
    }
}

/// The hash of a block, and where the block came from.
pub type BlockHash = (Sha1, Source);

/// A piece whose runs are all hashed.
#[derive(Clone, Debug, PartialEq)]
pub struct HashedPiece {
    /// How many bytes of the piece each source sent.
    pub sources: Sources,
    /// The hash and the sender of each block, in order. Empty if they were not kept.
    pub blocks: Vec<BlockHash>,
}

/// The hash of a piece that has several runs. The runs arrive in any order and are hashed in order.
#[derive(Debug)]
pub(super) struct PieceHash {
    /// `None` while a worker hashes.
    hasher: Option<Hasher>,
    /// The next run to hash. While a worker hashes: the run with which it began.
    next: u32,
    /// Runs that were written before their turn.
    waiting: BTreeSet<u32>,
    sources: Sources,
    /// The hashes of the blocks of each run that was written, if they are kept.
    blocks: BTreeMap<u32, Vec<BlockHash>>,
}

impl PieceHash {
    /// No run is hashed yet.
    pub(super) fn new() -> Self {
        Self {
            hasher: Some(Hasher::new()),
            next: 0,
            waiting: BTreeSet::new(),
            sources: Sources::new(),
            blocks: BTreeMap::new(),
        }
    }

    /// The number of block hashes that are kept.
    pub(super) fn kept(&self) -> usize {
        self.blocks.values().map(Vec::len).sum()
    }

    /// Keeps the hashes of the blocks of a run, in order.
    pub(super) fn keep<B>(&mut self, run: u32, blocks: &[PendingBlock<B>], hashes: &[Sha1]) {
        let senders = blocks.iter().map(|block| block.source.clone());
        let kept = hashes.iter().copied().zip(senders).collect();
        self.blocks.insert(run, kept);
    }

    /// A run was written. Returns the hasher if it is this run's turn and no worker has the hasher.
    /// Otherwise the run waits on disk.
    pub(super) fn on_written<B>(&mut self, run: u32, blocks: &[PendingBlock<B>]) -> Option<Hasher> {
        add_sources(&mut self.sources, blocks);
        let hasher = match self.next == run {
            true => self.hasher.take(),
            false => None,
        };
        if hasher.is_none() {
            self.waiting.insert(run);
        }
        hasher
    }

    /// The runs before `next` have been hashed. Returns the hasher if `next` is on disk already.
    pub(super) fn on_hashed(&mut self, next: u32, hasher: Hasher) -> Option<Hasher> {
        if self.waiting.remove(&next) {
            return Some(hasher);
        }
        (self.next, self.hasher) = (next, Some(hasher));
        None
    }

    /// The result, once all runs of the piece are hashed. `runs` is their number.
    pub(super) fn into_hashed(self, runs: u32) -> HashedPiece {
        let blocks = match self.blocks.len() == runs as usize {
            true => self.blocks.into_values().flatten().collect(),
            false => Vec::new(),
        };
        HashedPiece {
            sources: self.sources,
            blocks,
        }
    }
}

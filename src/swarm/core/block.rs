//! Blocks that have arrived and are not verified yet, and where they came from.

use crate::swarm::LinkId;
use crate::torrent::Hasher;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A block that arrived, and from where. `B` holds its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Block<B> {
    /// The bytes.
    pub buffer: B,
    /// How many.
    pub length: u32,
    /// Who sent them.
    pub source: Source,
}

/// Where bytes came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A peer, by the address that stands for it.
    Peer(SocketAddr),
    /// A web seed, by its number, and its URL as it is shown.
    Web(LinkId, Arc<str>),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(address) => address.fmt(f),
            Self::Web(_, url) => f.write_str(url),
        }
    }
}

/// Bytes of one piece, by source.
pub type Sources = HashMap<Source, u64>;

/// Adds blocks to what their sources delivered.
pub fn add_sources<B>(sources: &mut Sources, blocks: &[Block<B>]) {
    for block in blocks {
        *sources.entry(block.source.clone()).or_default() += u64::from(block.length);
    }
}

/// The hash of a piece of several runs, which arrive in any order but are hashed in theirs.
#[derive(Debug)]
pub(super) struct PieceHash {
    /// Away while a worker hashes.
    hasher: Option<Hasher>,
    /// The next run to hash.
    next: u32,
    /// Runs that were written before their turn.
    waiting: BTreeSet<u32>,
    sources: Sources,
}

impl PieceHash {
    /// No run is hashed yet.
    pub(super) fn new() -> Self {
        Self {
            hasher: Some(Hasher::new()),
            next: 0,
            waiting: BTreeSet::new(),
            sources: Sources::new(),
        }
    }

    /// A run was written. Returns the hasher if it is this run's turn and no worker has it;
    /// otherwise the run waits on disk.
    pub(super) fn on_written<B>(&mut self, run: u32, blocks: &[Block<B>]) -> Option<Hasher> {
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

    /// The runs before `next` are hashed. Returns the hasher again if that run is on disk already.
    pub(super) fn on_hashed(&mut self, next: u32, hasher: Hasher) -> Option<Hasher> {
        if self.waiting.remove(&next) {
            return Some(hasher);
        }
        (self.next, self.hasher) = (next, Some(hasher));
        None
    }

    /// Who delivered the piece.
    pub(super) fn into_sources(self) -> Sources {
        self.sources
    }
}

//! Blocks that have arrived and are not verified yet, and where they came from.

use crate::peer::BlockBuffer;
use crate::swarm::LinkId;
use crate::torrent::Hasher;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A block that arrived, and from where.
#[derive(Debug)]
pub(crate) struct PendingBlock {
    pub(crate) buffer: BlockBuffer,
    pub(crate) source: Source,
}

/// Where bytes came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
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

/// Bytes by source.
pub(crate) type Sources = HashMap<Source, u64>;

/// Adds blocks to what their sources delivered.
pub(crate) fn add_sources(sources: &mut Sources, blocks: &[PendingBlock]) {
    for block in blocks {
        *sources.entry(block.source.clone()).or_default() += block.buffer.len() as u64;
    }
}

/// The hash of a piece of several runs, which arrive in any order but are hashed in theirs.
#[derive(Debug)]
pub(crate) struct PieceHash {
    /// Away while a worker hashes.
    pub(crate) hasher: Option<Hasher>,
    /// The next run to hash.
    pub(crate) next: u32,
    /// Runs that were written before their turn.
    pub(crate) waiting: BTreeSet<u32>,
    pub(crate) sources: Sources,
}

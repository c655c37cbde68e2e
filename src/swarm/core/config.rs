//! The settings of a core, which do not change, and the result of a check.

use crate::swarm::{LocalBlocks, PieceOrder, UploadSlots};
use crate::torrent::{InfoHash, Lengths, PieceSet};
use crate::wire::PeerId;
use std::time::Duration;

/// The settings of one swarm.
#[derive(Clone, Debug)]
pub struct SwarmConfig {
    /// The info-hash.
    pub info_hash: InfoHash,
    /// How the share is divided into pieces.
    pub lengths: Lengths,
    /// Our own peer id.
    pub own_id: PeerId,
    /// Whether the swarm is private (BEP 27). Then an address is forgotten when the tracker that
    /// named it fails, and a call to a forgotten address does not become a link.
    pub is_private: bool,
    /// Whether we send addresses of peers to other peers, and accept such addresses (BEP 11).
    pub exchanges_peers: bool,
    /// Which piece is begun next.
    pub order: PieceOrder,
    /// The largest number of links.
    pub max_peers: usize,
    /// How many peers are served at a time.
    pub upload_slots: UploadSlots,
    /// The largest number of requests in flight on one link.
    pub largest_window: u32,
    /// A link ends when it has stalled this many times in a row.
    pub max_stalls: u32,
    /// A link ends when its peer has read nothing for this long.
    pub max_unread: Duration,
}

/// The result of checking the files of a share.
#[derive(Clone, Debug)]
pub struct CheckResult {
    /// Pieces whose hashes are right.
    pub owned: PieceSet,
    /// Pieces that contain bytes of wanted files, owned or not.
    pub needed: PieceSet,
    /// Blocks of pieces that are not owned which this machine can read itself.
    pub local: LocalBlocks,
    /// Whether the files are in their final place. Then nothing more is fetched.
    pub in_place: bool,
}

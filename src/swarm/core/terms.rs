//! What a core is made with and does not change.

use crate::swarm::{Order, UploadSlots};
use crate::torrent::{InfoHash, Lengths, PieceSet};
use crate::wire::PeerId;
use std::time::Duration;

/// The terms of one swarm.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Which swarm.
    pub info_hash: InfoHash,
    /// How the share divides into pieces.
    pub lengths: Lengths,
    /// Our own peer id.
    pub own_id: PeerId,
    /// Whether only addresses that a tracker named are linked by a call (BEP 27).
    pub is_private: bool,
    /// Whether peers may name each other (BEP 11).
    pub exchanges_peers: bool,
    /// Which piece is begun next.
    pub order: Order,
    /// The most links.
    pub max_peers: usize,
    /// How many peers are served at a time.
    pub upload_slots: UploadSlots,
    /// The most blocks asked of one link at a time.
    pub largest_window: u32,
    /// How often in a row the requests to a link may go stale before the link ends.
    pub max_stalls: u32,
    /// How long the other side may take nothing of what it is sent.
    pub max_unread: Duration,
}

/// What a check of the files found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Pieces that are good.
    pub owned: PieceSet,
    /// Pieces that are wanted.
    pub needed: PieceSet,
    /// Whether the files are in their final place: then nothing more is fetched.
    pub is_whole: bool,
}

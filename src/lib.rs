//! pieceful: a private BitTorrent in one binary.
#![warn(unreachable_pub)]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod bencode;
pub mod cli;
pub mod net;
pub mod peer;
pub mod scenario;
pub mod storage;
pub mod swarm;
pub mod torrent;
pub mod tracker;
pub mod wire;

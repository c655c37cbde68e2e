//! Bytes to messages and back: what goes over the lines between peers and trackers.
//!
//! No socket, thread or clock lives here: bytes are handed in.

mod announce;
mod announce_response;
mod compact;
mod peer_id;
mod query;
mod scrape;
mod tracker_info;
mod words;

pub use announce::{AnnounceError, AnnounceRequest, Event, MAX_NUM_WANT};
pub use announce_response::{
    AnnounceResponse, MAX_PEERS, MAX_RESPONSE, PeerList, ResponseError, SwarmPeer, encode_failure,
};
pub use peer_id::PeerId;
pub use query::QueryError;
pub use scrape::{MAX_SCRAPE, ScrapeError, ScrapeRequest, ScrapeResponse, SwarmCounts};
pub use tracker_info::{HostPort, HostPortError, TrackerInfo, TrackerInfoError};
pub mod access;
pub mod control;
pub mod extension;
pub mod frame;
pub mod handshake;
pub mod metadata;
pub mod name;
pub mod operator;
pub mod password;
pub mod peer;
pub mod pex;
pub mod replica;
pub mod udp_tracker;

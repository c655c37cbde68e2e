//! The messages of peers and trackers, and their encoding: bytes to messages and back.
//!
//! This module has no sockets, threads or clocks. The caller passes in the bytes.

mod announce;
mod announce_response;
mod compact;
mod join_line;
mod peer_id;
mod query;
mod scrape;
mod tracker_info;
mod words;

pub use announce::{AnnounceError, AnnounceEvent, AnnounceRequest, MAX_NUM_WANT};
pub use announce_response::{
    AnnounceResponse, MAX_PEERS, MAX_RESPONSE, PeerListFormat, Refusal, ResponseError, SwarmPeer,
    bounded_interval, encode_failure, printable,
};
pub use compact::CompactAddresses;
pub use join_line::{
    JoinLine, JoinTextError, JoinTrackersError, MAX_JOIN_TEXT, MAX_JOIN_TRACKERS, MachineToken,
};
pub use peer_id::PeerId;
pub use query::QueryError;
pub use scrape::{MAX_SCRAPE, ScrapeError, ScrapeRequest, ScrapeResponse, SwarmCounts};
pub use tracker_info::{HostPort, HostPortError, TrackerInfo, TrackerInfoError};
pub mod access;
pub mod attach;
pub mod control;
pub mod extension;
pub mod frame;
pub mod handshake;
pub mod login_id;
pub mod machine;
pub mod metadata;
pub mod name;
pub mod note;
pub mod operator;
pub mod password;
pub mod peer;
pub mod pex;
pub mod replica;
pub mod role;
pub mod times;
pub mod udp_tracker;

#[cfg(any(test, fuzzing))]
pub(crate) use self::{
    join_line::fuzz as fuzz_join_lines,
    scrape::{fuzz as fuzz_responses, fuzz_query},
    tracker_info::fuzz as fuzz_tracker_info,
};

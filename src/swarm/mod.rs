//! Decisions of a peer in one swarm: which piece to fetch next and from which link, how many
//! requests to keep in flight, which peers to serve and how fast, which addresses to call.
//!
//! In scope: rarest first, the state of blocks in flight, endgame, request windows by bandwidth x
//! delay, blame for bad pieces, choking, rate limits, back-off. Out of scope: sockets, files,
//! threads and clocks. The caller passes the time (a [`Duration`] since any epoch), and the number
//! that starts the random generator. So the same calls always lead to the same decisions.
//!
//! [`Duration`]: std::time::Duration

mod active;
mod allowed_fast;
mod block_run;
mod candidates;
mod choke;
mod contacts;
mod core;
mod hosts;
mod link_id;
mod local_blocks;
#[cfg(test)]
mod mutation;
mod peer_exchange;
mod picker;
mod rarity;
mod rate;
#[cfg(test)]
mod simulation;
mod token_bucket;
mod window;

pub use allowed_fast::allowed_fast;
pub use block_run::{BlockRun, MAX_RUN_BLOCKS};
pub use candidates::{Candidates, MAX_CANDIDATES};
pub use choke::{ChokeChange, Choker, PeerTraffic, UploadSlots};
pub use contacts::{CallFailure, Contacts, MAX_CALLS};
pub use core::{
    Awaited, BlockHash, Budget, CheckResult, CloseReason, Core, Effect, HashedPiece, Link,
    LinkActivity, LinkRefusal, MemberId, OutgoingMessage, PendingBlock, Phase, Progress,
    ProtocolViolation, ReceivedMessage, RemotePeer, Source, SourceStatus, Sources, SwarmConfig,
    UnrequestedBlock, WebSeedTrust, add_sources,
};
pub use link_id::LinkId;
pub use local_blocks::LocalBlocks;
pub use peer_exchange::{ContactChanges, PeerExchange, TooOften};
pub use picker::{Arrival, Picker, PieceOrder, Verdict};
pub use rate::Rate;
pub use token_bucket::{MAX_RATE_LIMIT, MIN_RATE_LIMIT, TokenBucket};
pub use window::Window;

#[cfg(any(test, fuzzing))]
pub(crate) use self::core::fuzz;

//! Decisions of a peer in one swarm: which piece to fetch next and from which link, how many
//! requests to keep in flight, which peers to serve and how fast, which addresses to call.
//!
//! In scope: rarest first, the state of blocks in flight, endgame, request windows by bandwidth x
//! delay, blame for bad pieces, choking, rate limits, back-off. Out of scope: sockets, files,
//! threads and clocks. The caller passes the time as the [`Duration`] since an epoch of its choice
//! and a seed for all random choices, so that every schedule can be replayed.
//!
//! [`Duration`]: std::time::Duration

mod active;
mod allowed_fast;
mod candidates;
mod choke;
mod contacts;
mod core;
mod link_id;
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

pub use active::{RUN_BLOCKS, Run};
pub use allowed_fast::allowed_fast;
pub use candidates::{Candidates, MAX_CANDIDATES};
pub use choke::{ChokeChange, Choker, PeerTraffic, UploadSlots};
pub use contacts::{Contacts, MAX_CALLS, Unreached};
pub use core::{
    Activity, Block, Breach, Budget, Checked, CloseReason, Core, Effect, Lack, Link, Outgoing,
    Phase, Progress, Received, Refusal, Remote, Source, Sources, Terms, Trust, Unasked,
    add_sources,
};
pub use link_id::LinkId;
pub use peer_exchange::{ContactChanges, PeerExchange, TooOften};
pub use picker::{Arrival, Order, Picker, Verdict};
pub use rate::Rate;
pub use token_bucket::{Bucket, MAX_RATE_LIMIT, MIN_RATE_LIMIT};
pub use window::Window;

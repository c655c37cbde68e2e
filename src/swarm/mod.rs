//! Decisions of a peer: which piece next, from whom, how much in flight, whom to serve, how fast,
//! whom to call.
//!
//! In scope: rarest first, the bookkeeping of blocks in flight, endgame, windows by bandwidth x
//! delay, attribution of bad pieces, choking, limits on rates, back-off. Out of scope: sockets,
//! files, threads and clocks. Time is handed in as the [`Duration`] since an epoch of the caller's
//! choosing, randomness as a generator, so that every schedule can be replayed.
//!
//! [`Duration`]: std::time::Duration

mod active;
mod allowed_fast;
mod bucket;
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
mod window;

pub use active::{RUN_BLOCKS, Run};
pub use allowed_fast::allowed_fast;
pub use bucket::{Bucket, MAX_LIMIT, MIN_LIMIT};
pub use candidates::{Candidates, MAX_CANDIDATES};
pub use choke::{Change, Choker, Seen, UploadSlots};
pub use contacts::{Contacts, MAX_CALLING, Unreached};
pub use core::{
    Activity, Block, Breach, Budget, Checked, CloseReason, Core, Effect, Lack, Link, Outgoing,
    Phase, Progress, Received, Refusal, Remote, Source, Sources, Terms, Trust, Unasked,
    add_sources,
};
pub use link_id::LinkId;
pub use peer_exchange::{News, PeerExchange, TooOften};
pub use picker::{Arrival, Order, Picker, Verdict};
pub use rate::Rate;
pub use window::Window;

//! Decisions of a downloader: which piece next, from whom, how much in flight, whom to call.
//!
//! In scope: rarest first, the bookkeeping of blocks in flight, endgame, windows by bandwidth x delay, attribution of bad
//! pieces, back-off. Out of scope: sockets, files, threads and clocks. Time is handed in as the [`Duration`] since an
//! epoch of the caller's choosing, randomness as a generator, so that every schedule can be replayed.
//!
//! [`Duration`]: std::time::Duration

mod active;
mod candidates;
mod picker;
mod rarity;
#[cfg(test)]
mod simulation;
mod window;

pub use active::{RUN_BLOCKS, Run};
pub use candidates::{Candidates, MAX_CANDIDATES};
pub use picker::{Arrival, LinkId, Picker, Verdict};
pub use window::Window;

//! A running tracker: announces and scrapes over HTTP, the swarms it keeps, closed runs.
//!
//! In scope: what one tracker process serves on its port. Out of scope: arguments, and the bytes of each message, which
//! are [`crate::wire`]'s.

mod ledger;
mod swarm;
mod swarms;

pub use ledger::Limits;
pub use swarms::{Refusal, Swarms};

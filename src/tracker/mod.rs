//! A running tracker: announces and scrapes over HTTP, the swarms it keeps, closed runs.
//!
//! In scope: what one tracker process serves on its port. Out of scope: arguments, and the bytes of each message, which
//! are [`crate::wire`]'s.

mod access;
mod announcing;
mod closed_run;
mod connection;
mod control;
mod http;
mod keeper;
mod ledger;
pub mod registry;
mod server;
mod service;
mod swarm;
mod swarms;

pub use access::{Counts, INVITE, InviteCode, Registrar, Registration, Terms};
pub use closed_run::{
    ClosedRun, ConnectionId, DEFAULT_WAIT, Effect, HELLO, NO_LIVING_OWNER, Outcome, SILENCE,
};
pub use connection::Deadlines;
pub use control::RunningRun;
pub use keeper::{Keeper, OpenError, WriteError};
pub use ledger::Limits;
pub use server::{ControlHandler, DEFAULT_INTERVAL, Options, Tracker, TrackerError, bind};
pub use swarms::{Refusal, Swarms};

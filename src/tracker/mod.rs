//! A running tracker: announces and scrapes over HTTP and UDP, the swarms it keeps, closed runs.
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
mod operator;
pub mod registry;
pub mod replication;
mod saved;
mod server;
mod service;
mod swarm;
mod swarms;
mod totals;
mod twins;
mod udp;
mod watch;

pub use access::{Counts, INVITE, InviteCode, Registrar, Registration, Terms};
pub use closed_run::{
    ClosedRun, ConnectionId, DEFAULT_WAIT, Effect, HELLO, NO_LIVING_OWNER, Outcome, SILENCE,
};
pub use connection::Deadlines;
pub use control::RunningRun;
pub use keeper::{Keeper, OpenError, Position, WriteError, Written};
pub(crate) use keeper::{named_by, since_1970};
pub use ledger::Limits;
pub use operator::{OperatorError, fetch_backup, serve_operator};
pub use saved::SavedError;
pub use server::{
    ControlHandler, DEFAULT_INTERVAL, Options, Tracker, TrackerError, bind, bind_with_udp,
};
pub use service::{ClosedSwarms, ClusterWatch};
pub use swarms::{Reach, Refusal, Swarms};
pub use totals::Stats;
pub use twins::{MAX_TRACKERS, Twins, numbers, serve_twin};

//! A closed run: a tracker that serves the clients of one scenario and nothing else.
//!
//! In scope: the run's decisions (`run`, pure), its clock and its clients' connections (`running`),
//! and the tracker around it (`host`). Out of scope: the client's side (`scenario`), arguments and
//! exit codes.
//!
//! Invariant: whoever decides holds no socket, file, thread or clock.

mod client;
mod events;
mod files;
mod host;
mod run;
mod running;

use client::Client;
pub use events::{ConnectionId, Effect, Outcome};
use events::{Refused, not_wanted, out_of_order};
use files::Files;
pub use host::{CLOSED_RUN_ONLY, RunHost, RunOptions};
pub use run::{ClosedRun, DEFAULT_WAIT, HELLO, NO_LIVING_OWNER, SILENCE};
pub use running::RunningRun;
pub(super) use running::no_run;

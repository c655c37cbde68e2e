//! A closed run: a tracker that serves the clients of one scenario and nothing else.
//!
//! In scope: the run's decisions (`run`, pure), its clock and its clients' connections (`running`),
//! and the tracker around it (`host`). Out of scope: the client's side (`scenario`), arguments and
//! exit codes.
//!
//! Invariant: the deciding code holds no socket, file, thread or clock.

mod client;
mod events;
mod files;
mod host;
mod run;
mod running;

use client::Client;
use events::{Refused, not_wanted, out_of_order};
pub use events::{RunConnectionId, RunEffect, RunOutcome};
use files::Files;
pub use host::{CLOSED_RUN_ONLY, RunHost, RunOptions};
pub use run::{CLIENT_TIMEOUT, ClosedRun, DEFAULT_WAIT, HELLO_TIMEOUT, NO_LIVING_OWNER};
pub use running::RunningRun;
pub(super) use running::no_run_answer;

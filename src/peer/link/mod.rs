//! A link: one BEP 3 connection to one peer in one swarm.
//!
//! A link has two threads of its own with small stacks: one reads (and owns the link from its start
//! to its end), one writes. Neither holds a lock over I/O. What is to be written waits in the
//! [`Outbox`].

mod begin;
mod dispatch;
mod ended;
mod extensions;
mod outbox;
mod reader;
mod sizes;
mod state;
mod stream;
mod writer;

pub(super) use begin::{Greeted, begin};
pub(super) use ended::Ended;
pub(super) use extensions::{METADATA, PEX, extension_handshake};
pub(super) use outbox::Queued;
use outbox::{Next, Outbox};
pub(super) use sizes::{LARGEST_WINDOW, STACK, USUAL_REQUEST_QUEUE};
use sizes::{MAX_REQUEST_QUEUE, REQUEST_QUEUE};
pub(super) use state::Link;
use state::{About, Traffic};
pub(super) use stream::LinkStream;
use stream::WriteError;

//! A link: one BEP 3 connection to one peer in one swarm.
//!
//! A link has two threads of its own with small stacks: one reads (and owns the link from its start
//! to its end), one writes. Neither holds a lock over I/O. What is to be written waits in the
//! [`Outbox`].

mod begin;
mod dispatch;
mod ended;
mod outbox;
mod reader;
mod state;
mod stream;
mod terms;
mod writer;

pub(super) use begin::{Greeted, begin};
pub(super) use ended::Ended;
pub(super) use outbox::Queued;
use outbox::{Next, Outbox};
pub(super) use state::Link;
use state::{About, Traffic};
pub(super) use stream::LinkStream;
use stream::WriteError;
use terms::MAX_REQUEST_QUEUE;
pub(super) use terms::{
    LARGEST_WINDOW, METADATA, PEX, STACK, USUAL_REQUEST_QUEUE, extension_handshake,
};

//! A link: one BEP 3 connection to one peer in one swarm, and nothing but its input and output.
//!
//! A link has two threads of its own with small stacks: one reads (and owns the link from its start
//! to its end), one writes. Neither holds a lock over I/O. What is to be written waits in the
//! [`Outbox`]. A link knows its number, a [`Sink`] for what arrives, [`Uploads`] for what goes out,
//! buffers and deadlines. It decides nothing: `swarm::Core` does.

mod batch;
mod ended;
mod handshake;
mod message_reader;
mod outbox;
mod parse;
mod reader;
mod sink;
mod state;
mod stream;
mod terms;
mod writer;

pub(super) use ended::Ended;
pub(super) use handshake::{CallError, Greeted, MemberCall, Served, Turned, answer, call};
pub(super) use message_reader::{Front, MessageReader, Patience, ReadError};
use outbox::{Next, Outbox};
pub(super) use reader::{Means, serve};
pub(super) use sink::{Sink, Uploads};
pub(super) use state::Link;
pub(super) use stream::LinkStream;
use stream::WriteError;
use terms::MAX_REQUEST_QUEUE;
pub(super) use terms::{LARGEST_WINDOW, METADATA, PEX, STACK, extension_handshake};

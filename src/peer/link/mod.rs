//! A link: one BEP 3 connection to one peer in one swarm, and nothing but its input and output.
//!
//! A link has two threads of its own with small stacks: one reads (and owns the link from its start
//! to its end), one writes. Neither holds a lock over I/O. What is to be written waits in the
//! [`Outbox`]. A link knows its number, a [`MessageSink`] for what arrives, [`UploadSource`] for what goes out,
//! buffers and deadlines. It decides nothing: `swarm::Core` does.

mod batch;
mod end_reason;
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

pub(super) use end_reason::EndReason;
pub(super) use handshake::{
    AdmissionError, CallError, GroupAccess, PeerConnection, ServedSwarms, accept_handshake,
    initiate_handshake,
};
pub(super) use message_reader::{MessageReader, ReadError, ReadTimeouts, Upcoming};
use outbox::{NextOutput, Outbox};
pub(super) use reader::{LinkResources, serve};
pub(super) use sink::{MessageSink, UploadSource};
pub(super) use state::Link;
pub(super) use stream::LinkStream;
use stream::WriteError;
use terms::MAX_REQUEST_QUEUE;
pub(super) use terms::{IO_STACK, MAX_WINDOW, METADATA_ID, PEX_ID, extension_handshake};

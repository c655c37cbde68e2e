//! A link: one BEP 3 connection to one peer in one swarm. This module does its input and output.
//!
//! Each link has two threads with small stacks. The reading thread owns the link from its start to
//! its end; the writing thread sends. Neither holds a lock during I/O. Data to send waits in the
//! [`Outbox`].
//!
//! A link knows its id, a [`MessageSink`] for what arrives, an [`UploadSource`] for what it sends,
//! buffers and time limits. It decides nothing: `swarm::Core` does.

mod batch;
mod constants;
mod end_reason;
mod handshake;
mod message_reader;
mod outbox;
mod parse;
mod reader;
mod sink;
mod state;
mod stream;
mod writer;

use constants::MAX_REQUEST_QUEUE;
pub(super) use constants::{
    IO_STACK, MAX_WINDOW, METADATA_ID, PEX_ID, TIMES_ID, extension_handshake,
};
pub(super) use end_reason::EndReason;
pub(super) use handshake::{
    AdmissionError, CallError, GroupAccess, PeerConnection, ServedSwarms, accept_handshake,
    initiate_handshake,
};
pub(super) use message_reader::{MessageReader, ReadError, ReadTimeouts, Upcoming};
use outbox::{NextOutput, Outbox};
#[cfg(any(test, fuzzing))]
pub(crate) use parse::fuzz;
pub(super) use reader::{LinkResources, run};
pub(super) use sink::{MessageSink, UploadSource};
pub(super) use state::Link;
pub(super) use stream::LinkStream;
use stream::WriteError;

//! TLS 1.3 on a socket that one thread reads while another writes.
//!
//! In scope: handshakes, whole-exchange deadlines, ending a line so that the other side knows it was meant. Out of scope:
//! what is said over the line, and where certificates come from. Sessions are never resumed: a handshake each time.

mod client;
mod cluster;
mod error;
mod group;
mod inbound;
mod server;
mod stream;
#[cfg(test)]
pub(crate) mod testing;

pub use client::{TRACKER_NAME, connect_tls};
pub use cluster::{ClusterTls, Purpose};
pub use error::TlsError;
pub use group::{GroupLine, GroupTls, GroupTlsError, Refusal, TLS_FIRST_BYTE, accept_group};
pub use server::TlsServer;
pub use stream::TlsStream;

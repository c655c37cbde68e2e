//! TLS 1.3 on a socket. One thread may read while another writes.
//!
//! In scope: handshakes, deadlines for a whole exchange, and closing a connection with
//! `close_notify`, so that the other side can distinguish a close from a cut. Out of scope: the
//! meaning of the bytes, and where certificates come from. TLS sessions are never resumed: each
//! connection does a full handshake.

mod client;
mod cluster;
mod error;
mod group;
mod inbound;
mod nonblocking;
mod server;
mod stream;
#[cfg(test)]
pub(crate) mod testing;

pub use client::{TRACKER_NAME, connect_tls};
pub use cluster::{ClusterTls, ConnectionPurpose};
pub use error::TlsError;
pub use group::{
    GroupTls, GroupTlsError, MemberConnection, TLS_FIRST_BYTE, TlsRefusal, accept_group,
};
pub use nonblocking::{HandshakeProgress, NonblockingTls, Received, TlsHandshake};
pub use server::TlsServer;
pub use stream::TlsStream;

//! Sockets and threads: servers, the fixed pool, deadlines, TLS, stopping.
//!
//! In scope: servers and the pool with their threads, and everything that bounds a wait. Out of
//! scope: the meaning of the bytes on a connection. Every thread here has a name, and every wait
//! has a bound. Every thread also has an owner that ends it, except a look-up of a host name (see
//! `names`).

mod connections;
mod deadline;
mod descriptors;
mod frames;
mod incoming;
mod names;
mod pending;
mod pool;
mod server;
mod stop;
mod tls;
mod waker;

pub use connections::ConnectionCaps;
pub use deadline::{DeadlineReader, read_exact_by, send_now, write_all_by};
pub use descriptors::{descriptor_limit, raise_descriptor_limit};
pub use frames::{FrameIoError, FrameReader, write_frame};
pub use incoming::IncomingConnection;
pub use names::HostNames;
pub use pool::WorkerPool;
pub use server::{Inline, Serve, Server, reachable_address};
pub use stop::Stop;
#[cfg(test)]
pub(crate) use tls::testing as tls_testing;
pub use tls::{
    ClusterTls, ConnectionPurpose, GroupTls, GroupTlsError, MemberConnection, TLS_FIRST_BYTE,
    TRACKER_NAME, TlsError, TlsRefusal, TlsServer, TlsStream, accept_group, connect_tls,
};
pub use waker::Waker;

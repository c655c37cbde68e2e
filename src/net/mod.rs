//! Sockets and threads: servers, the fixed pool, deadlines, TLS, stopping.
//!
//! In scope: whatever holds a thread or bounds a wait, without knowing what is said over the lines. Every thread here has
//! an owner that ends it, a name, and no wait without a bound.

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

pub use connections::Caps;
pub use deadline::{DeadlineReader, read_exact_by, write_all_by};
pub use descriptors::raise_descriptor_limit;
pub use frames::{FrameIoError, FrameReader, write_frame};
pub use incoming::Incoming;
pub use names::Names;
pub use pool::Pool;
pub use server::{Serve, Server, reachable};
pub use stop::Stop;
#[cfg(test)]
pub(crate) use tls::testing as tls_testing;
pub use tls::{
    ClusterTls, GroupLine, GroupTls, GroupTlsError, Purpose, Refusal, TLS_FIRST_BYTE, TRACKER_NAME,
    TlsError, TlsServer, TlsStream, accept_group, connect_tls,
};

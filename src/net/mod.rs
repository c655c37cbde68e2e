//! Sockets and threads: servers, the worker pool, deadlines, TLS, stop flags.
//!
//! In scope: servers and the worker pool with their threads, and everything that bounds a wait. Out
//! of scope: the meaning of the bytes on a connection. Every thread here has a name, and every wait
//! has a bound. Every thread also has an owner that ends it, except a look-up of a host name (see
//! `names`).

mod connections;
mod deadline;
mod descriptors;
mod dispatcher;
mod event_loop;
mod frames;
mod incoming;
mod local;
mod names;
mod on_threads;
mod places;
mod pool;
mod server;
mod session;
mod stop;
mod tls;
mod waker;
mod workers;

pub use deadline::{
    DeadlineReader, connect_within, read_exact_within, receive_now, send_now, write_all_within,
};
pub use descriptors::{descriptor_limit, raise_descriptor_limit};
pub use dispatcher::{ConnectionHandle, Serve};
pub use frames::{FrameIoError, FrameReader, write_frame};
pub use incoming::IncomingConnection;
pub use local::{LocalListener, LocalSocketError, OtherProcess, connect_local, other_process};
pub use names::HostNames;
pub use on_threads::OnThreads;
pub use places::{Full, Holder, PlaceLimits};
pub use pool::WorkerPool;
pub use server::{Server, reachable_address};
pub use session::{Interest, Job, Lane, Next, Session, Turn, Wait};
pub use stop::Stop;
#[cfg(test)]
pub(crate) use tls::testing as tls_testing;
pub use tls::{
    ClusterTls, ConnectionPurpose, GroupTls, GroupTlsError, HandshakeProgress, MemberConnection,
    NonblockingTls, Received, TLS_FIRST_BYTE, TRACKER_NAME, TlsError, TlsHandshake, TlsRefusal,
    TlsServer, TlsStream, accept_group, connect_tls,
};
pub use waker::Waker;

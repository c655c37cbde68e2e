//! Connections that are served by a function, each on a thread of its own.

use super::dispatcher::{ConnectionHandle, Serve};
use super::incoming::IncomingConnection;
use super::session::{Job, Next, Session, Turn};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Serves each connection by a function on a thread of its own. A connection gets its thread when
/// its first bytes have arrived.
pub struct OnThreads<F> {
    /// How long a connection may be silent at first.
    silence_limit: Duration,
    serve: Arc<F>,
}

impl<F: Fn(IncomingConnection) + Send + Sync + 'static> OnThreads<F> {
    /// Serves connections by `serve`. Closes those that send nothing within `silence_limit`.
    pub fn new(silence_limit: Duration, serve: F) -> Self {
        Self {
            silence_limit,
            serve: Arc::new(serve),
        }
    }
}

impl<F: Fn(IncomingConnection) + Send + Sync + 'static> Serve for OnThreads<F> {
    fn begin(
        &self,
        incoming: IncomingConnection,
        _handle: ConnectionHandle,
    ) -> (Box<dyn Session>, Instant) {
        let until = incoming.accepted + self.silence_limit;
        let serve = Arc::clone(&self.serve);
        let address = incoming.address;
        let session = FirstBytes {
            until,
            address,
            job: Some(Box::new(move || serve(incoming))),
        };
        (Box::new(session), until)
    }
}

/// Waits for first bytes, then asks for a thread.
struct FirstBytes {
    until: Instant,
    address: SocketAddr,
    job: Option<Job>,
}

impl Session for FirstBytes {
    fn advance(&mut self, _turn: &mut Turn<'_>) -> Next {
        if Instant::now() >= self.until {
            log::debug!("closed {}: it sent nothing", self.address);
            return Next::End;
        }
        // This is called at the deadline or when the socket is ready. The deadline has not passed,
        // so bytes have arrived, or the other side has closed the connection.
        self.job.take().map_or(Next::End, Next::Thread)
    }
}

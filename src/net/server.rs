//! A server for a listening socket. Connections are state machines
//! ([`Session`](super::session::Session)): one that waits costs a descriptor and its memory, and no
//! thread.
//!
//! | thread | what it does |
//! |---|---|
//! | `NAME-accept` | accepts, waits for all sockets, runs sessions that can answer from memory |
//! | `NAME` | runs the sessions that may take longer, or serves one connection alone |
//!
//! `NAME-accept` is the event thread. Neither callers nor sessions can block it.

use super::dispatcher::{Dispatcher, Serve};
use super::event_loop::EventLoop;
use super::places::PlaceLimits;
use crate::system::lock;
use nix::sys::socket::sockopt::{
    KeepAlive, SendTimeout, TcpKeepCount, TcpKeepIdle, TcpKeepInterval,
};
use nix::sys::socket::{self, Backlog};
use nix::sys::time::{TimeVal, TimeValLike};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Maximum time that a stop waits for connection threads after their sockets are shut down.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// The longest that a single write to a connection may block. Most writes have an earlier deadline
/// of their own.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// Keep-alive of TCP: seconds of silence before the first probe, seconds between two probes, and
/// number of probes without an answer after which the connection ends. So a dead machine is noticed
/// within two minutes.
const KEEP_ALIVE: (u32, u32, u32) = (60, 15, 4);

/// A listening socket, its event thread and its connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    dispatcher: Arc<Dispatcher>,
    event_thread: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    /// Starts to accept connections, as many as `limits` allow. The event thread is named
    /// `NAME-accept`. The other threads are named `NAME` and have `stack_bytes` of stack.
    ///
    /// # Errors
    /// The socket has no address, or the system cannot start a thread or has no free descriptor.
    pub fn start(
        name: &str,
        listener: TcpListener,
        limits: PlaceLimits,
        stack_bytes: usize,
        serve: impl Serve,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        prepare(&listener)?;
        let dispatcher = Dispatcher::new(name, limits, stack_bytes, Box::new(serve))?;
        let dispatcher = Arc::new(dispatcher);
        let events = EventLoop::new(Arc::clone(&dispatcher), listener)?;
        let event_thread = thread::Builder::new()
            .name(format!("{name}-accept"))
            .spawn(move || events.run())?;
        Ok(Self {
            address,
            dispatcher,
            event_thread: Mutex::new(Some(event_thread)),
        })
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.dispatcher.connections.count()
    }

    /// Stops accepting, and shuts down the socket of every connection. Waits at most `STOP_LIMIT`
    /// for the threads that serve connections. Wakes the event thread without connecting to the
    /// server: that works even if no descriptor is free, or if the server's address no longer
    /// exists.
    pub fn stop(&self) {
        let mut event_thread = lock(&self.event_thread);
        let Some(event_thread) = event_thread.take() else {
            return;
        };
        let dispatcher = &self.dispatcher;
        dispatcher.connections.close_all();
        dispatcher.connections.waker.wake();
        let _ = event_thread.join();
        dispatcher.connections.wait_until_none(STOP_LIMIT);
        dispatcher.close();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sets the options of a listening socket. Accepted sockets inherit them, so that no connection is
/// without them even for a moment.
fn prepare(listener: &TcpListener) -> io::Result<()> {
    // `accept` must not block if the caller has already gone.
    listener.set_nonblocking(true)?;
    // `std` sets a backlog of 128. A caller that finds the backlog full retries after a second, so
    // a burst of callers needs a larger one.
    socket::listen(listener, Backlog::MAXCONN)?;
    let limit = TimeVal::seconds(WRITE_LIMIT.as_secs().cast_signed());
    socket::setsockopt(listener, SendTimeout, &limit)?;
    let (idle, interval, count) = KEEP_ALIVE;
    socket::setsockopt(listener, KeepAlive, &true)?;
    socket::setsockopt(listener, TcpKeepIdle, &idle)?;
    socket::setsockopt(listener, TcpKeepInterval, &interval)?;
    socket::setsockopt(listener, TcpKeepCount, &count)?;
    Ok(())
}

/// The address by which this machine reaches a socket bound to `address`: loopback for the
/// unspecified address.
pub fn reachable_address(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests;

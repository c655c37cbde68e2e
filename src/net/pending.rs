//! Connections that have sent nothing yet. One thread watches all of them, so that a silent
//! connection costs a descriptor and no thread.
//!
//! In scope: which connection has something to read, whether the listening socket has a new one,
//! which has been silent for too long, and being woken by another thread. Out of scope: accepting,
//! reading, serving.

use super::Waker;
use super::incoming::IncomingConnection;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// The number of the listening socket. The numbers of connections start at 1.
const LISTENER: u64 = 0;
/// The number of the waker.
const WAKER: u64 = u64::MAX;
/// The most sockets that one system call reports.
const BATCH: usize = 64;

/// A listening socket and the connections that have sent nothing yet.
pub(super) struct PendingConnections {
    epoll: Epoll,
    waker: Arc<Waker>,
    listener: TcpListener,
    silence_limit: Duration,
    /// By their numbers, which count up: the oldest connection is first.
    silent: BTreeMap<u64, IncomingConnection>,
    events: [EpollEvent; BATCH],
}

/// What [`PendingConnections::wait`] found.
#[derive(Debug, Default)]
pub(super) struct PendingEvents {
    /// There may be a connection to accept.
    pub(super) may_accept: bool,
    /// Connections that have bytes to read or have ended.
    pub(super) readable: Vec<(u64, IncomingConnection)>,
    /// Connections that were silent for too long.
    pub(super) timed_out: Vec<(u64, IncomingConnection)>,
}

impl PendingConnections {
    /// No connections yet. Each may be silent for `silence_limit`. `waker` ends a wait.
    ///
    /// # Errors
    /// The system has no free descriptor.
    pub(super) fn new(
        listener: TcpListener,
        waker: Arc<Waker>,
        silence_limit: Duration,
    ) -> io::Result<Self> {
        // A caller that has gone before `accept` must not make it block.
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        epoll.add(&waker, EpollEvent::new(EpollFlags::EPOLLIN, WAKER))?;
        Ok(Self {
            epoll,
            waker,
            listener,
            silence_limit,
            silent: BTreeMap::new(),
            events: [EpollEvent::empty(); BATCH],
        })
    }

    /// The listening socket. Accepting from it does not block.
    pub(super) fn listener(&self) -> &TcpListener {
        &self.listener
    }

    /// Watches a connection. `number` must be higher than all numbers before.
    ///
    /// # Errors
    /// The system cannot watch the socket.
    pub(super) fn watch(&mut self, number: u64, incoming: IncomingConnection) -> io::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP, number);
        self.epoll.add(&*incoming.stream, event)?;
        self.silent.insert(number, incoming);
        Ok(())
    }

    /// Stops watching a connection that another thread serves. A closed socket is unwatched by
    /// itself.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) fn unwatch(&self, incoming: &IncomingConnection) -> io::Result<()> {
        Ok(self.epoll.delete(&*incoming.stream)?)
    }

    /// Waits until something happens. Returned connections are no longer owned by this type.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) fn wait(&mut self) -> io::Result<PendingEvents> {
        let limit = self.time_left();
        let count = match self.epoll.wait(&mut self.events, limit) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let mut found = PendingEvents::default();
        for event in self.events.get(..count).unwrap_or_default() {
            let number = event.data();
            if number == LISTENER {
                found.may_accept = true;
            } else if number == WAKER {
                self.waker.reset();
            } else if let Some(incoming) = self.silent.remove(&number) {
                found.readable.push((number, incoming));
            }
        }
        while let Some(first) = self.silent.first_entry() {
            if first.get().accepted.elapsed() < self.silence_limit {
                break;
            }
            found.timed_out.push(first.remove_entry());
        }
        Ok(found)
    }

    /// Stops listening and returns all connections.
    pub(super) fn close(self) -> BTreeMap<u64, IncomingConnection> {
        self.silent
    }

    /// Time until the oldest connection has been silent for too long.
    fn time_left(&self) -> EpollTimeout {
        let Some((_, first)) = self.silent.first_key_value() else {
            return EpollTimeout::NONE;
        };
        let left = self.silence_limit.saturating_sub(first.accepted.elapsed());
        // Rounded up, so that the last millisecond is not a busy loop of zero waits.
        EpollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(EpollTimeout::MAX)
    }
}

//! Connections that have sent nothing yet. One thread watches all of them, so that a silent
//! connection costs a descriptor and no thread.
//!
//! In scope: which connection has something to read, whether the listening socket has a new one,
//! and which has been silent for too long. Out of scope: accepting, reading, serving.

use super::incoming::Incoming;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

/// The number of the listening socket; connections count from 1.
const LISTENER: u64 = 0;
/// Sockets that one system call reports at most.
const BATCH: usize = 64;

/// A listening socket and the connections that have sent nothing yet.
pub(super) struct PendingConnections {
    epoll: Epoll,
    listener: TcpListener,
    patience: Duration,
    /// By their numbers, which count up: the oldest connection is first.
    silent: BTreeMap<u64, Incoming>,
    events: [EpollEvent; BATCH],
}

/// What happened in a [`PendingConnections`].
#[derive(Debug, Default)]
pub(super) struct News {
    /// There may be a connection to accept.
    pub(super) called: bool,
    /// Connections with something to read, or that have ended.
    pub(super) spoke: Vec<(u64, Incoming)>,
    /// Connections that were silent for too long.
    pub(super) late: Vec<(u64, Incoming)>,
}

impl PendingConnections {
    /// No connections yet; each may be silent for `patience`.
    ///
    /// # Errors
    /// When the system has no descriptor to give.
    pub(super) fn new(listener: TcpListener, patience: Duration) -> io::Result<Self> {
        // The caller may be gone when it is accepted.
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        Ok(Self {
            epoll,
            listener,
            patience,
            silent: BTreeMap::new(),
            events: [EpollEvent::empty(); BATCH],
        })
    }

    /// The listening socket; accepting from it does not block.
    pub(super) fn listener(&self) -> &TcpListener {
        &self.listener
    }

    /// Watches a connection, under a number higher than all before.
    ///
    /// # Errors
    /// When the system cannot watch it.
    pub(super) fn hold(&mut self, number: u64, incoming: Incoming) -> io::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP, number);
        self.epoll.add(&*incoming.stream, event)?;
        self.silent.insert(number, incoming);
        Ok(())
    }

    /// Stops watching a connection that is served elsewhere. A closed connection needs no release.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn release(&self, incoming: &Incoming) -> io::Result<()> {
        Ok(self.epoll.delete(&*incoming.stream)?)
    }

    /// Waits until something happens. The returned connections are no longer held.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn wait(&mut self) -> io::Result<News> {
        let limit = self.time_left();
        let heard = match self.epoll.wait(&mut self.events, limit) {
            Ok(heard) => heard,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let mut news = News::default();
        for event in self.events.get(..heard).unwrap_or_default() {
            let number = event.data();
            if number == LISTENER {
                news.called = true;
            } else if let Some(incoming) = self.silent.remove(&number) {
                news.spoke.push((number, incoming));
            }
        }
        while let Some(first) = self.silent.first_entry() {
            if first.get().accepted.elapsed() < self.patience {
                break;
            }
            news.late.push(first.remove_entry());
        }
        Ok(news)
    }

    /// Stops listening and returns all connections.
    pub(super) fn close(self) -> BTreeMap<u64, Incoming> {
        self.silent
    }

    /// Time until the oldest connection has been silent for too long.
    fn time_left(&self) -> EpollTimeout {
        let Some((_, first)) = self.silent.first_key_value() else {
            return EpollTimeout::NONE;
        };
        let left = self.patience.saturating_sub(first.accepted.elapsed());
        // Rounded up, so that the last millisecond is not spent in waits of zero.
        EpollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(EpollTimeout::MAX)
    }
}

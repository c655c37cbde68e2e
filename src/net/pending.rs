//! Where connections wait until they have said something: one thread looks after all of them, so that a silent one costs
//! a descriptor and no thread.
//!
//! In scope: which of them, and of the listening socket, has something, and which has been silent for too long. Out of
//! scope: accepting, reading, serving.

use super::incoming::Incoming;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

/// The number of the listening socket; connections count from 1.
const LISTENER: u64 = 0;
/// How many sockets are heard of in one system call.
const BATCH: usize = 64;

/// A listening socket and the connections that have said nothing yet.
pub(super) struct PendingConnections {
    epoll: Epoll,
    listener: TcpListener,
    patience: Duration,
    /// By their numbers, which count up: who came first is first.
    silent: BTreeMap<u64, Incoming>,
    events: [EpollEvent; BATCH],
}

/// What happened in a [`PendingConnections`].
#[derive(Debug, Default)]
pub(super) struct News {
    /// Somebody calls, or there is nothing to accept any more.
    pub(super) called: bool,
    /// Connections with something to read, if only their end.
    pub(super) spoke: Vec<(u64, Incoming)>,
    /// Connections whose time is over.
    pub(super) late: Vec<(u64, Incoming)>,
}

impl PendingConnections {
    /// An empty one, in which a connection may be silent for `patience`.
    ///
    /// # Errors
    /// When the system has no descriptor to give.
    pub(super) fn new(listener: TcpListener, patience: Duration) -> io::Result<Self> {
        // Who called may be gone when it is accepted.
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

    /// The listening socket; accepting from it waits for nobody.
    pub(super) fn listener(&self) -> &TcpListener {
        &self.listener
    }

    /// Takes a connection in, under a number higher than all before.
    ///
    /// # Errors
    /// When the system cannot watch it.
    pub(super) fn hold(&mut self, number: u64, incoming: Incoming) -> io::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP, number);
        self.epoll.add(&*incoming.stream, event)?;
        self.silent.insert(number, incoming);
        Ok(())
    }

    /// Stops watching a connection that spoke and goes on elsewhere. One that is closed needs no such thing.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn release(&self, incoming: &Incoming) -> io::Result<()> {
        Ok(self.epoll.delete(&*incoming.stream)?)
    }

    /// Waits until something happens. The connections that are told of are no longer held.
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

    /// Stops listening, and lets go of all.
    pub(super) fn close(self) -> BTreeMap<u64, Incoming> {
        self.silent
    }

    /// Until the time of the one that came first is over.
    fn time_left(&self) -> EpollTimeout {
        let Some((_, first)) = self.silent.first_key_value() else {
            return EpollTimeout::NONE;
        };
        let left = self.patience.saturating_sub(first.accepted.elapsed());
        // Rounded up, lest the last millisecond be spent in waiting for nothing again and again.
        EpollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(EpollTimeout::MAX)
    }
}

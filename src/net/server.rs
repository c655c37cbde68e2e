//! A server for a listening socket. A connection gets its own thread when it has sent its first
//! bytes. Caps bound the number of connections.
//!
//! The accept thread accepts connections and waits for their first bytes. It may serve a short
//! request itself, because handing a connection to another thread costs more than such a request.

use super::connections::{ConnectionCaps, Connections};
use super::incoming::IncomingConnection;
use super::pending::PendingConnections;
use super::{Stop, Waker, write_all_by};
use crate::system::lock;
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use nix::sys::socket::sockopt::SendTimeout;
use nix::sys::socket::{self, Backlog, MsgFlags};
use nix::sys::time::{TimeVal, TimeValLike};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Time that a connection thread waits for its next connection before the thread ends.
const THREAD_IDLE_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of the first data of a connection that [`Serve::serve_inline`] sees.
const PEEK_BYTES: usize = 8 << 10;
/// Pause after accepting or waiting has failed, usually because the system has no free descriptor.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
/// Time that a stop waits for connection threads after their sockets are shut down.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// The longest that a single write to a connection may block. Most writes have an earlier deadline
/// of their own.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// Serves connections that have sent their first bytes. A closure can be used as one: it is called
/// for each connection, on a thread of that connection.
pub trait Serve: Send + Sync + 'static {
    /// Serves a connection on the accept thread, if it can do so. It must not wait for the caller.
    /// `peeked` is the start of the bytes that have arrived. They are still unread.
    fn serve_inline(&self, _incoming: &IncomingConnection, _peeked: &[u8]) -> Inline {
        Inline::NotServed
    }

    /// Serves a connection on its own thread. The connection ends when this returns.
    fn serve(&self, incoming: IncomingConnection);
}

/// What [`Serve::serve_inline`] did.
#[derive(Debug, PartialEq, Eq)]
pub enum Inline {
    /// Nothing: the connection needs a thread.
    NotServed,
    /// Everything: the connection is closed.
    Served,
    /// It served the connection, but the socket has not taken these bytes. A thread sends them, then
    /// the connection is closed.
    Unsent(Vec<u8>),
}

impl<F: Fn(IncomingConnection) + Send + Sync + 'static> Serve for F {
    fn serve(&self, incoming: IncomingConnection) {
        self(incoming);
    }
}

/// A listening socket, its accept thread and its connection threads.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    dispatcher: Arc<Dispatcher>,
    accept_thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the accept thread and the connection threads share.
struct Dispatcher {
    name: String,
    connections: Connections,
    stack_bytes: usize,
    serve: Box<dyn Serve>,
    stop: Stop,
    waker: Arc<Waker>,
}

/// What a connection thread does with a connection.
enum Task {
    Serve,
    /// Sends the rest of an answer.
    Send(Vec<u8>),
}

type Job = (u64, IncomingConnection, Task);

impl Server {
    /// Starts to accept connections. `serve` serves them, on threads with `stack_bytes` of stack. A
    /// connection that sends nothing within `silence_limit` is closed. A connection counts against
    /// `caps` until it has been served. Threads are named `NAME-accept` and `NAME`.
    ///
    /// # Errors
    /// The socket has no address, or the system cannot start a thread or has no free descriptor.
    pub fn start(
        name: &str,
        listener: TcpListener,
        caps: ConnectionCaps,
        stack_bytes: usize,
        silence_limit: Duration,
        serve: impl Serve,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        // `std` sets a backlog of 128. A caller that finds the backlog full retries after a second,
        // so a burst of callers needs a larger one.
        socket::listen(&listener, Backlog::MAXCONN)?;
        // Accepted sockets inherit this from the listening socket, so that no socket is ever
        // without it.
        let limit = TimeVal::seconds(WRITE_LIMIT.as_secs().cast_signed());
        socket::setsockopt(&listener, SendTimeout, &limit)?;
        let waker = Arc::new(Waker::new()?);
        let pending = PendingConnections::new(listener, Arc::clone(&waker), silence_limit)?;
        let dispatcher = Arc::new(Dispatcher {
            name: name.to_owned(),
            connections: Connections::new(caps),
            stack_bytes,
            serve: Box::new(serve),
            stop: Stop::new(),
            waker,
        });
        let accepting = Arc::clone(&dispatcher);
        let accept_thread = thread::Builder::new()
            .name(format!("{name}-accept"))
            .spawn(move || accepting.accept_until_stopped(pending))?;
        Ok(Self {
            address,
            dispatcher,
            accept_thread: Mutex::new(Some(accept_thread)),
        })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.dispatcher.connections.count()
    }

    /// Stops accepting, shuts the socket of every connection down and waits for the handlers to
    /// return.
    pub fn stop(&self) {
        let mut accept_thread = lock(&self.accept_thread);
        let Some(accept_thread) = accept_thread.take() else {
            return;
        };
        self.dispatcher.stop.stop();
        self.dispatcher.waker.wake();
        self.dispatcher.connections.shut_down_all();
        let _ = accept_thread.join();
        self.dispatcher.connections.close_all(STOP_LIMIT);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher")
            .field("name", &self.name)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// A channel without buffer to connection threads that wait for their next connection.
struct IdleThreads {
    sender: Sender<Job>,
    receiver: Receiver<Job>,
}

impl Dispatcher {
    fn accept_until_stopped(self: &Arc<Self>, mut pending: PendingConnections) {
        let (sender, receiver) = bounded(0);
        let threads = IdleThreads { sender, receiver };
        while !self.stop.is_stopped() {
            let events = match pending.wait() {
                Ok(events) => events,
                Err(error) => {
                    log::warn!("{}: waiting for connections failed: {error}", self.name);
                    self.stop.wait(EXHAUSTED_PAUSE);
                    continue;
                }
            };
            for (number, incoming) in events.readable {
                self.on_readable(number, incoming, &pending, &threads);
            }
            for (number, incoming) in events.timed_out {
                log::debug!(
                    "{}: closed {}: it sent nothing",
                    self.name,
                    incoming.address
                );
                self.connections.remove(number, incoming.address.ip());
            }
            if events.may_accept {
                self.accept_all(&mut pending);
            }
        }
        for (number, incoming) in pending.close() {
            self.connections.remove(number, incoming.address.ip());
        }
    }

    /// Accepts all connections that wait.
    fn accept_all(&self, pending: &mut PendingConnections) {
        while !self.stop.is_stopped() {
            match pending.listener().accept() {
                Ok((stream, address)) => self.admit(stream, address, pending),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    log::warn!("{}: accepting a connection failed: {error}", self.name);
                    self.stop.wait(EXHAUSTED_PAUSE);
                    return;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, address: SocketAddr, pending: &mut PendingConnections) {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let stream = Arc::new(stream);
        let Some(number) = self.connections.add(&stream, address.ip()) else {
            log::info!("{}: refused {address}: too many connections", self.name);
            return;
        };
        let accepted = Instant::now();
        let incoming = IncomingConnection {
            stream,
            address,
            accepted,
        };
        if let Err(error) = pending.watch(number, incoming) {
            log::warn!("{}: refused {address}: {error}", self.name);
            self.connections.remove(number, address.ip());
        }
    }

    fn on_readable(
        self: &Arc<Self>,
        number: u64,
        incoming: IncomingConnection,
        pending: &PendingConnections,
        threads: &IdleThreads,
    ) {
        let address = incoming.address;
        let mut buffer = [0; PEEK_BYTES];
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let peeked = match socket::recv(incoming.stream.as_raw_fd(), &mut buffer, flags) {
            Ok(0) | Err(_) => None,
            Ok(length) => buffer.get(..length),
        };
        let Some(peeked) = peeked else {
            return self.connections.remove(number, address.ip());
        };
        let served = catch_unwind(AssertUnwindSafe(|| {
            self.serve.serve_inline(&incoming, peeked)
        }));
        let served = served.unwrap_or_else(|_| {
            log::error!("{}: serving {address} failed", self.name);
            Inline::Served
        });
        let task = match served {
            Inline::Served => {
                drop(incoming);
                return self.connections.remove(number, address.ip());
            }
            Inline::NotServed => Task::Serve,
            Inline::Unsent(rest) => Task::Send(rest),
        };
        let handed_over = pending
            .unwatch(&incoming)
            .and_then(|()| self.hand_over((number, incoming, task), threads));
        if let Err(error) = handed_over {
            log::warn!("{}: refused {address}: {error}", self.name);
            self.connections.remove(number, address.ip());
        }
    }

    /// Passes a connection to an idle thread, or to a new thread if none is idle.
    fn hand_over(self: &Arc<Self>, job: Job, threads: &IdleThreads) -> io::Result<()> {
        let first = match threads.sender.try_send(job) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(first) | TrySendError::Disconnected(first)) => first,
        };
        let (dispatcher, receiver) = (Arc::clone(self), threads.receiver.clone());
        let thread = thread::Builder::new()
            .name(self.name.clone())
            .stack_size(self.stack_bytes);
        thread.spawn(move || {
            let mut next = Some(first);
            while let Some((number, incoming, task)) = next {
                let address = incoming.address;
                let served = catch_unwind(AssertUnwindSafe(|| match task {
                    Task::Serve => dispatcher.serve.serve(incoming),
                    Task::Send(rest) => send(&incoming, &rest),
                }));
                if served.is_err() {
                    log::error!("{}: serving {address} failed", dispatcher.name);
                }
                dispatcher.connections.remove(number, address.ip());
                next = receiver.recv_timeout(THREAD_IDLE_LIMIT).ok();
            }
        })?;
        Ok(())
    }
}

/// Sends the rest of an answer and closes the connection.
fn send(incoming: &IncomingConnection, rest: &[u8]) {
    if let Err(error) = write_all_by(&incoming.stream, rest, WRITE_LIMIT) {
        log::debug!("{} did not read its answer: {error}", incoming.address);
    }
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

/// Whether an accept failed because of the connection, not because of the listening socket.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | WouldBlock
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::Shutdown;

    const LARGE_CAPS: ConnectionCaps = ConnectionCaps {
        total: 10,
        per_address: 10,
    };

    fn echo(caps: ConnectionCaps) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Server::start(
            "echo",
            listener,
            caps,
            64 << 10,
            STOP_LIMIT,
            |incoming: IncomingConnection| {
                let (mut byte, mut stream) = ([0], &*incoming.stream);
                while matches!(stream.read(&mut byte), Ok(1)) {
                    stream.write_all(&byte).unwrap();
                }
            },
        )
        .unwrap()
    }

    #[test]
    fn a_connection_beyond_the_cap_is_refused_and_a_stop_closes_open_connections() {
        let server = echo(ConnectionCaps {
            total: 2,
            per_address: 2,
        });
        let connect = || TcpStream::connect(server.address()).unwrap();
        let is_echoed = |mut stream: &TcpStream| {
            let mut answer = [0];
            stream
                .write_all(b"x")
                .and_then(|()| stream.read_exact(&mut answer))
                .is_ok()
        };
        let (first, second) = (connect(), connect());
        assert!(is_echoed(&first) && is_echoed(&second));
        assert!(!is_echoed(&connect()), "the third is refused");
        server.stop();
        assert!(!is_echoed(&first) && server.connections() == 0);
    }

    /// Echoes a single byte inline. Serves everything else on a thread, by sending the thread's
    /// name.
    struct InlineEcho;

    impl Serve for InlineEcho {
        fn serve_inline(&self, incoming: &IncomingConnection, peeked: &[u8]) -> Inline {
            let mut stream = &*incoming.stream;
            if peeked.len() != 1 || stream.read_exact(&mut [0]).is_err() {
                return Inline::NotServed;
            }
            Inline::Unsent(peeked.to_vec())
        }

        fn serve(&self, incoming: IncomingConnection) {
            let mut stream = &*incoming.stream;
            let _ = stream.write_all(thread::current().name().unwrap_or_default().as_bytes());
        }
    }

    fn answer_to(server: &Server, sent: &[u8]) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(sent).unwrap();
        // Bytes that the server leaves unread reset the connection after the answer.
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn a_connection_served_inline_gets_no_thread_and_others_do() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::start(
            "some",
            listener,
            LARGE_CAPS,
            64 << 10,
            STOP_LIMIT,
            InlineEcho,
        )
        .unwrap();
        assert_eq!(answer_to(&server, b"x"), "x");
        assert_eq!(answer_to(&server, b"xy"), "some");
        assert_eq!(answer_to(&server, b"z"), "z");
        assert_eq!(answer_to(&server, b""), "");
        server.stop();
        assert_eq!(server.connections(), 0);
    }

    #[test]
    fn a_silent_connection_is_closed_and_delays_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let silence_limit = Duration::from_millis(300);
        let server = Server::start(
            "some",
            listener,
            LARGE_CAPS,
            64 << 10,
            silence_limit,
            InlineEcho,
        )
        .unwrap();
        let started = Instant::now();
        let mut silent = TcpStream::connect(server.address()).unwrap();
        assert_eq!(answer_to(&server, b"x"), "x");
        assert_eq!(silent.read(&mut [0]).unwrap(), 0);
        assert!(started.elapsed() >= silence_limit);
        let late = TcpStream::connect(server.address()).unwrap();
        while server.connections() == 0 {
            thread::yield_now();
        }
        server.stop();
        assert_eq!(
            (&late).read(&mut [0]).unwrap(),
            0,
            "a stop closes silent connections too"
        );
    }

    #[test]
    fn a_connection_that_has_ended_no_longer_counts_against_the_caps() {
        let server = echo(ConnectionCaps {
            total: 1,
            per_address: 1,
        });
        for _ in 0..20 {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            let mut answer = [0];
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut answer).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(stream.read(&mut answer).unwrap(), 0);
            let connections = &server.dispatcher.connections;
            assert!(connections.wait_until_none(STOP_LIMIT));
        }
    }
}

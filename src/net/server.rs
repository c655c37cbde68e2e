//! A listening socket whose connections get a thread each, within caps, once they have said something.
//!
//! One thread accepts and waits for their first bytes. What can be answered without waiting for anything it may answer
//! itself: to hand a connection over costs more than to serve one short request.

use super::Stop;
use super::connections::{Caps, Connections};
use super::incoming::Incoming;
use super::pending::PendingConnections;
use crate::system::lock;
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use nix::sys::socket::{self, Backlog, MsgFlags};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a thread waits for its next connection before it ends.
const IDLE: Duration = Duration::from_secs(10);
/// How much of what a connection says first is looked at, in bytes.
const LOOK: usize = 8 << 10;
/// How long accepting rests when the system has no descriptor or thread to give.
const EXHAUSTED: Duration = Duration::from_millis(50);
/// How long a stop waits for connections to end once their sockets are shut.
const STOP: Duration = Duration::from_secs(10);

/// What is done with connections that have said something. A closure serves all of them on threads of their own.
pub trait Serve: Send + Sync + 'static {
    /// Whether the connection is done with, having been answered on the thread that all connections share: nothing may be
    /// waited for here. `said` is the beginning of what there is to read, and still unread.
    fn at_once(&self, _incoming: &Incoming, _said: &[u8]) -> bool {
        false
    }

    /// Serves a connection, on a thread of its own, until it returns.
    fn serve(&self, incoming: Incoming);
}

impl<F: Fn(Incoming) + Send + Sync + 'static> Serve for F {
    fn serve(&self, incoming: Incoming) {
        self(incoming);
    }
}

/// A listening socket, the thread in front of it and the threads of its connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    front: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    name: String,
    connections: Connections,
    stack: usize,
    serve: Box<dyn Serve>,
    stop: Stop,
}

impl Server {
    /// Starts accepting. What a connection says first goes to `serve`, which gets a thread (with `stack` bytes) for it if it
    /// wants one; whoever says nothing within `patience` is hung up on. A connection counts against `caps` until it has been
    /// served. Threads are called `NAME-accept` and `NAME`.
    ///
    /// # Errors
    /// When the socket has no address or the system gives no thread or descriptor.
    pub fn start(
        name: &str,
        listener: TcpListener,
        caps: Caps,
        stack: usize,
        patience: Duration,
        serve: impl Serve,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        // Room for a crowd that comes at once: what finds the 128 places of `std` taken tries again after a second.
        socket::listen(&listener, Backlog::MAXCONN)?;
        let pending = PendingConnections::new(listener, patience)?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            connections: Connections::new(caps),
            stack,
            serve: Box::new(serve),
            stop: Stop::new(),
        });
        let front = Arc::clone(&shared);
        let front = thread::Builder::new()
            .name(format!("{name}-accept"))
            .spawn(move || front.run(pending))?;
        Ok(Self {
            address,
            shared,
            front: Mutex::new(Some(front)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.shared.connections.open()
    }

    /// Stops accepting, shuts every connection's socket and waits for the handlers to return.
    pub fn stop(&self) {
        let mut front = lock(&self.front);
        let Some(front) = front.take() else {
            return;
        };
        self.shared.stop.stop();
        // The thread in front waits for connections: one to oneself wakes it.
        let _ = TcpStream::connect_timeout(&reachable(self.address), Duration::from_secs(1));
        let _ = front.join();
        self.shared.connections.end(STOP);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("name", &self.name)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// Where threads that have served a connection are given the next, if one waits.
struct Threads {
    give: Sender<(u64, Incoming)>,
    take: Receiver<(u64, Incoming)>,
}

impl Shared {
    /// What the thread in front does.
    fn run(self: &Arc<Self>, mut pending: PendingConnections) {
        let (give, take) = bounded(0);
        let threads = Threads { give, take };
        while !self.stop.is_stopped() {
            let news = match pending.wait() {
                Ok(news) => news,
                Err(error) => {
                    log::warn!("{}: waiting for connections failed: {error}", self.name);
                    self.stop.wait(EXHAUSTED);
                    continue;
                }
            };
            for (number, incoming) in news.spoke {
                self.spoke(number, incoming, &pending, &threads);
            }
            for (number, incoming) in news.late {
                log::debug!("{}: {} said nothing", self.name, incoming.address);
                self.connections.leave(number, incoming.address.ip());
            }
            if news.called {
                self.accept(&mut pending);
            }
        }
        for (number, incoming) in pending.close() {
            self.connections.leave(number, incoming.address.ip());
        }
    }

    fn accept(&self, pending: &mut PendingConnections) {
        let (stream, address) = match pending.listener().accept() {
            Ok(accepted) => accepted,
            Err(error) if is_about_one_connection(&error) => return,
            Err(error) => {
                log::warn!("{}: accepting a connection failed: {error}", self.name);
                self.stop.wait(EXHAUSTED);
                return;
            }
        };
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let stream = Arc::new(stream);
        let Some(number) = self.connections.enter(&stream, address.ip()) else {
            log::info!("{}: {address} turned away: too many connections", self.name);
            return;
        };
        let accepted = Instant::now();
        let incoming = Incoming {
            stream,
            address,
            accepted,
        };
        if let Err(error) = pending.hold(number, incoming) {
            log::warn!("{}: {address} turned away: {error}", self.name);
            self.connections.leave(number, address.ip());
        }
    }

    fn spoke(
        self: &Arc<Self>,
        number: u64,
        incoming: Incoming,
        pending: &PendingConnections,
        threads: &Threads,
    ) {
        let address = incoming.address;
        let mut said = [0; LOOK];
        let look = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let said = match socket::recv(incoming.stream.as_raw_fd(), &mut said, look) {
            Ok(0) | Err(_) => None,
            Ok(length) => said.get(..length),
        };
        let Some(said) = said else {
            return self.connections.leave(number, address.ip());
        };
        let answered = catch_unwind(AssertUnwindSafe(|| self.serve.at_once(&incoming, said)));
        let done = answered.unwrap_or_else(|_| {
            log::error!("{}: the connection of {address} failed", self.name);
            true
        });
        if done {
            drop(incoming);
            return self.connections.leave(number, address.ip());
        }
        let handed_over = pending
            .release(&incoming)
            .and_then(|()| self.hand_over(number, incoming, threads));
        if let Err(error) = handed_over {
            log::warn!("{}: {address} turned away: {error}", self.name);
            self.connections.leave(number, address.ip());
        }
    }

    /// Has a connection served by a thread that waits for one, or by a new one.
    fn hand_over(
        self: &Arc<Self>,
        number: u64,
        incoming: Incoming,
        threads: &Threads,
    ) -> io::Result<()> {
        let next = match threads.give.try_send((number, incoming)) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(next) | TrySendError::Disconnected(next)) => next,
        };
        let (shared, take) = (Arc::clone(self), threads.take.clone());
        let thread = thread::Builder::new()
            .name(self.name.clone())
            .stack_size(self.stack);
        thread.spawn(move || {
            let mut next = Some(next);
            while let Some((number, incoming)) = next {
                let address = incoming.address;
                if catch_unwind(AssertUnwindSafe(|| shared.serve.serve(incoming))).is_err() {
                    log::error!("{}: the connection of {address} failed", shared.name);
                }
                shared.connections.leave(number, address.ip());
                next = take.recv_timeout(IDLE).ok();
            }
        })?;
        Ok(())
    }
}

/// Where a socket bound to "any address" can be reached from this machine.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

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

    const ROOMY: Caps = Caps {
        total: 10,
        per_address: 10,
    };

    fn echo(caps: Caps) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Server::start(
            "echo",
            listener,
            caps,
            64 << 10,
            STOP,
            |incoming: Incoming| {
                let (mut byte, mut stream) = ([0], &*incoming.stream);
                while matches!(stream.read(&mut byte), Ok(1)) {
                    stream.write_all(&byte).unwrap();
                }
            },
        )
        .unwrap()
    }

    #[test]
    fn caps_turn_away_and_a_stop_ends_open_connections() {
        let server = echo(Caps {
            total: 2,
            per_address: 2,
        });
        let connect = || TcpStream::connect(server.address()).unwrap();
        let talk = |mut stream: &TcpStream| {
            let mut answer = [0];
            stream
                .write_all(b"x")
                .and_then(|()| stream.read_exact(&mut answer))
                .is_ok()
        };
        let (first, second) = (connect(), connect());
        assert!(talk(&first) && talk(&second));
        assert!(!talk(&connect()), "the third is turned away");
        server.stop();
        assert!(!talk(&first) && server.connections() == 0);
    }

    /// Says back what was said in one go if it fits a letter, and serves nothing else.
    struct AtOnce;

    impl Serve for AtOnce {
        fn at_once(&self, incoming: &Incoming, said: &[u8]) -> bool {
            let mut stream = &*incoming.stream;
            said.len() == 1 && stream.read_exact(&mut [0]).is_ok() && stream.write_all(said).is_ok()
        }

        fn serve(&self, incoming: Incoming) {
            let mut stream = &*incoming.stream;
            let _ = stream.write_all(thread::current().name().unwrap_or_default().as_bytes());
        }
    }

    fn answer(server: &Server, said: &[u8]) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(said).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // What was left unread resets the connection behind the answer.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn what_is_answered_at_once_gets_no_thread_and_the_rest_does() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::start("some", listener, ROOMY, 64 << 10, STOP, AtOnce).unwrap();
        assert_eq!(answer(&server, b"x"), "x");
        assert_eq!(answer(&server, b"xy"), "some");
        assert_eq!(answer(&server, b"z"), "z");
        assert_eq!(answer(&server, b""), "");
        server.stop();
        assert_eq!(server.connections(), 0);
    }

    #[test]
    fn who_says_nothing_is_hung_up_on_and_holds_up_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let patience = Duration::from_millis(300);
        let server = Server::start("some", listener, ROOMY, 64 << 10, patience, AtOnce).unwrap();
        let begun = Instant::now();
        let mut silent = TcpStream::connect(server.address()).unwrap();
        assert_eq!(answer(&server, b"x"), "x");
        assert_eq!(silent.read(&mut [0]).unwrap(), 0);
        assert!(begun.elapsed() >= patience);
        let late = TcpStream::connect(server.address()).unwrap();
        while server.connections() == 0 {
            thread::yield_now();
        }
        server.stop();
        assert_eq!(
            (&late).read(&mut [0]).unwrap(),
            0,
            "a stop ends the silent too"
        );
    }

    #[test]
    fn a_connection_that_ended_makes_room() {
        let server = echo(Caps {
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
            assert!(server.shared.connections.wait_until_none(STOP));
        }
    }
}

//! An accept loop that gives each connection a thread, within caps.

use super::Stop;
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use nix::sys::socket::{self, Backlog};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a thread waits for its next connection before it ends.
const IDLE: Duration = Duration::from_secs(10);
/// How long an accept loop rests when the system has no descriptor or thread to give.
const EXHAUSTED: Duration = Duration::from_millis(50);
/// How long a stop waits for connections to end once their sockets are shut.
const STOP: Duration = Duration::from_secs(10);

/// How many connections a server holds at once.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// In all.
    pub total: usize,
    /// From one IP address.
    pub per_address: usize,
}

/// A connection as its handler gets it.
#[derive(Debug)]
pub struct Incoming {
    /// The socket; the server keeps another handle to shut it at the stop.
    pub stream: Arc<TcpStream>,
    /// The other side; an IPv4 address even if it came in over an IPv6 socket.
    pub address: SocketAddr,
}

type Handler = dyn Fn(Incoming) + Send + Sync;

/// A listening socket, its accept loop and the threads of its connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    caps: Caps,
    stack: usize,
    stop: Stop,
    live: Mutex<Live>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Live {
    next: u64,
    sockets: HashMap<u64, Arc<TcpStream>>,
    per_address: HashMap<IpAddr, usize>,
}

impl Server {
    /// Starts accepting. `handler` runs on a thread of its own (with `stack` bytes) for each connection, which counts
    /// against `caps` until it returns. Threads are called `NAME-accept` and `NAME`.
    ///
    /// # Errors
    /// When the socket has no address or the system gives no thread.
    pub fn start(
        name: &str,
        listener: TcpListener,
        caps: Caps,
        stack: usize,
        handler: impl Fn(Incoming) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        // Room for a crowd that comes at once: what finds the 128 places of `std` taken tries again after a second.
        socket::listen(&listener, Backlog::MAXCONN)?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            caps,
            stack,
            stop: Stop::new(),
            live: Mutex::default(),
            ended: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        let handler: Arc<Handler> = Arc::new(handler);
        let accepting = thread::Builder::new()
            .name(format!("{name}-accept"))
            .spawn(move || accepting.accept(&listener, &handler))?;
        Ok(Self {
            address,
            shared,
            accepting: Mutex::new(Some(accepting)),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.shared.live().sockets.len()
    }

    /// Stops accepting, shuts every connection's socket and waits for the handlers to return.
    pub fn stop(&self) {
        let Some(accepting) = self
            .accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        else {
            return;
        };
        self.shared.stop.stop();
        // `accept` knows no time-out; a connection to oneself wakes it.
        let _ = TcpStream::connect_timeout(&reachable(self.address), Duration::from_secs(1));
        let _ = accepting.join();
        let live = self.shared.live();
        for socket in live.sockets.values() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        let _ = self
            .shared
            .ended
            .wait_timeout_while(live, STOP, |live| !live.sockets.is_empty());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener, handler: &Arc<Handler>) {
        let (hand_over, take) = bounded::<(u64, Incoming)>(0);
        loop {
            let accepted = listener.accept();
            if self.stop.is_stopped() {
                return;
            }
            match accepted {
                Ok((stream, address)) => self.admit(stream, address, &hand_over, &take, handler),
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    log::warn!("{}: accepting a connection failed: {error}", self.name);
                    self.stop.wait(EXHAUSTED);
                }
            }
        }
    }

    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        hand_over: &Sender<(u64, Incoming)>,
        take: &Receiver<(u64, Incoming)>,
        handler: &Arc<Handler>,
    ) {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let stream = Arc::new(stream);
        let Some(number) = self.enter(&stream, address.ip()) else {
            log::info!("{}: {address} turned away: too many connections", self.name);
            return;
        };
        let next = (number, Incoming { stream, address });
        let next = match hand_over.try_send(next) {
            Ok(()) => return,
            Err(TrySendError::Full(next) | TrySendError::Disconnected(next)) => next,
        };
        let (shared, take, handler) = (Arc::clone(self), take.clone(), Arc::clone(handler));
        let thread = thread::Builder::new()
            .name(self.name.clone())
            .stack_size(self.stack);
        let spawned = thread.spawn(move || {
            let mut next = Some(next);
            while let Some((number, incoming)) = next {
                let address = incoming.address;
                if catch_unwind(AssertUnwindSafe(|| handler(incoming))).is_err() {
                    log::error!("{}: the connection of {address} failed", shared.name);
                }
                shared.leave(number, address.ip());
                next = take.recv_timeout(IDLE).ok();
            }
        });
        if let Err(error) = spawned {
            log::warn!("{}: {address} turned away: {error}", self.name);
            self.leave(number, address.ip());
        }
    }

    fn enter(&self, stream: &Arc<TcpStream>, ip: IpAddr) -> Option<u64> {
        let mut live = self.live();
        let from_there = live.per_address.get(&ip).copied().unwrap_or(0);
        if live.sockets.len() >= self.caps.total || from_there >= self.caps.per_address {
            return None;
        }
        live.next += 1;
        let number = live.next;
        live.sockets.insert(number, Arc::clone(stream));
        *live.per_address.entry(ip).or_default() += 1;
        Some(number)
    }

    fn leave(&self, number: u64, ip: IpAddr) {
        let mut live = self.live();
        live.sockets.remove(&number);
        if let Some(count) = live.per_address.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                live.per_address.remove(&ip);
            }
        }
        drop(live);
        self.ended.notify_all();
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
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
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn echo(caps: Caps) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Server::start("echo", listener, caps, 64 << 10, |incoming| {
            let (mut byte, mut stream) = ([0], &*incoming.stream);
            while matches!(stream.read(&mut byte), Ok(1)) {
                stream.write_all(&byte).unwrap();
            }
        })
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
            let live = server.shared.live();
            let emptied = server
                .shared
                .ended
                .wait_timeout_while(live, STOP, |live| !live.sockets.is_empty());
            assert!(!emptied.unwrap().1.timed_out());
        }
    }
}

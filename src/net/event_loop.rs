//! The event thread of a server. It accepts connections, waits for all sockets at once, and runs
//! the sessions that can answer from memory. Nothing on it blocks.

use super::connections::ReadySession;
use super::dispatcher::Dispatcher;
use super::incoming::IncomingConnection;
use super::session::{Lane, SCRATCH_BYTES};
use crate::base::AddressPrefix;
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The number of the listening socket. The numbers of connections start at 1.
const LISTENER: u64 = 0;
/// The number of the waker.
const WAKER: u64 = u64::MAX;
/// The most sockets that one system call reports.
const BATCH: usize = 64;
/// The most connections that are accepted in a row, before the open ones get their turn.
const MAX_ACCEPTED: usize = 256;
/// The most sessions that have used up a turn and run again after one batch of ready sockets. So
/// clients with many requests delay the first request of another client only by a few turns.
const MAX_LATER: usize = 8;
/// How long accepting pauses after it failed. The usual cause: the system has no free descriptor.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
/// The shortest time between two warnings that accepting fails.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// The event thread's own state.
pub(super) struct EventLoop {
    dispatcher: Arc<Dispatcher>,
    listener: TcpListener,
    scratch: Vec<u8>,
    /// Sessions that have used up their turn, the one that waits longest first.
    later: VecDeque<ReadySession>,
    /// Whether more connections may wait to be accepted.
    may_accept: bool,
    /// After a failure, accepting pauses until this time.
    paused_until: Option<Instant>,
    last_warning: Option<Instant>,
}

impl EventLoop {
    /// # Errors
    /// The system cannot watch the listening socket.
    pub(super) fn new(dispatcher: Arc<Dispatcher>, listener: TcpListener) -> io::Result<Self> {
        let connections = &dispatcher.connections;
        let readable = |number| EpollEvent::new(EpollFlags::EPOLLIN, number);
        connections.epoll.add(&listener, readable(LISTENER))?;
        connections.epoll.add(&connections.waker, readable(WAKER))?;
        Ok(Self {
            dispatcher,
            listener,
            scratch: vec![0; SCRATCH_BYTES],
            later: VecDeque::new(),
            may_accept: false,
            paused_until: None,
            last_warning: None,
        })
    }

    /// Runs until the server stops.
    pub(super) fn run(mut self) {
        let (mut events, mut due) = ([EpollEvent::empty(); BATCH], Vec::new());
        while !self.dispatcher.connections.is_closed() {
            if let Err(error) = self.turn(&mut events, &mut due) {
                // A wrong descriptor or buffer: a bug of this program.
                let name = &self.dispatcher.name;
                log::error!("{name}: waiting for connections failed: {error}");
                break;
            }
        }
        for ready in self.later.drain(..) {
            self.dispatcher.connections.remove(ready.number);
        }
    }

    /// Waits for sockets, and serves those that are ready, at most one batch of them. Serves what
    /// is due, accepts connections, and runs a few sessions that had used up their turns.
    fn turn(
        &mut self,
        events: &mut [EpollEvent],
        due: &mut Vec<ReadySession>,
    ) -> Result<(), Errno> {
        let dispatcher = Arc::clone(&self.dispatcher);
        let connections = &dispatcher.connections;
        let woken = connections.epoll.wait(events, self.before_sleep());
        connections.after_sleep();
        let count = match woken {
            Err(Errno::EINTR) => 0,
            count => count?,
        };
        for event in events.get(..count).unwrap_or_default() {
            match event.data() {
                LISTENER => self.may_accept = true,
                WAKER => connections.waker.reset(),
                number => {
                    if let Some(ready) = connections.on_ready(number) {
                        self.run_or_submit(ready);
                    }
                }
            }
        }
        connections.on_time(due);
        for ready in due.drain(..) {
            self.run_or_submit(ready);
        }
        let is_pause_over = self.paused_until.is_some_and(|at| Instant::now() >= at);
        if is_pause_over {
            self.paused_until = None;
            self.watch_listener(EpollFlags::EPOLLIN);
        }
        if self.may_accept || is_pause_over {
            self.may_accept = self.accept();
        }
        for _ in 0..self.later.len().min(MAX_LATER) {
            if let Some(ready) = self.later.pop_front() {
                self.run_or_submit(ready);
            }
        }
        Ok(())
    }

    fn run_or_submit(&mut self, ready: ReadySession) {
        match ready.lane {
            Lane::Event => {
                let later = self.dispatcher.run(ready, &mut self.scratch);
                self.later.extend(later);
            }
            _ => self.dispatcher.submit(ready),
        }
    }

    /// Accepts the connections that wait, at most [`MAX_ACCEPTED`]. Returns whether more may wait.
    fn accept(&mut self) -> bool {
        for _ in 0..MAX_ACCEPTED {
            match self.listener.accept() {
                Ok((stream, address)) => self.admit(stream, address),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if is_about_one_connection(&error) => {}
                // A silent newcomer was closed. The next attempt gets its descriptor.
                Err(_) if self.dispatcher.connections.evict() => {}
                Err(error) => {
                    self.pause(&error);
                    return false;
                }
            }
        }
        true
    }

    fn admit(&self, stream: TcpStream, address: SocketAddr) {
        let dispatcher = &self.dispatcher;
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let is_trusted = dispatcher.serve.trusts(address.ip());
        let incoming = IncomingConnection {
            stream: Arc::new(stream),
            address,
            accepted: Instant::now(),
        };
        let begin = |number, incoming| dispatcher.serve.begin(incoming, dispatcher.handle(number));
        let added = dispatcher.connections.add(incoming, is_trusted, begin);
        if let Err(error) = added {
            let source = AddressPrefix::of(address.ip());
            log::info!(source:%; "{}: refused {address}: {error}", dispatcher.name);
        }
    }

    /// Stops accepting for a moment. Connections are served meanwhile.
    fn pause(&mut self, error: &io::Error) {
        let now = Instant::now();
        let since_warning = self.last_warning.map(|at| now.duration_since(at));
        if since_warning.is_none_or(|time| time >= WARNING_INTERVAL) {
            self.last_warning = Some(now);
            let name = &self.dispatcher.name;
            log::warn!("{name}: accepting a connection failed: {error}");
        }
        self.paused_until = Some(now + EXHAUSTED_PAUSE);
        self.watch_listener(EpollFlags::empty());
    }

    fn watch_listener(&self, flags: EpollFlags) {
        let mut event = EpollEvent::new(flags, LISTENER);
        let epoll = &self.dispatcher.connections.epoll;
        // The listening socket is open and watched, so this cannot fail.
        let _ = epoll.modify(&self.listener, &mut event);
    }

    /// Must be called before each sleep. Returns how long the thread may sleep: until the first
    /// deadline, or not at all if there is work.
    fn before_sleep(&self) -> EpollTimeout {
        if self.may_accept || !self.later.is_empty() {
            return EpollTimeout::ZERO;
        }
        let pause = self
            .paused_until
            .map(|at| at.saturating_duration_since(Instant::now()));
        let deadline = self.dispatcher.connections.before_sleep();
        let time_left = [deadline, pause].into_iter().flatten().min();
        // Rounded up: if less than 1 ms is left, a time-out of 0 ms would make a busy loop.
        time_left.map_or(EpollTimeout::NONE, |time_left| {
            let rounded_up = time_left + Duration::from_millis(1);
            EpollTimeout::try_from(rounded_up).unwrap_or(EpollTimeout::MAX)
        })
    }
}

/// Whether an accept failed because of the connection, not because of the listening socket.
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
    use crate::net::{
        ConnectionHandle, Next, OnThreads, PlaceLimits, Serve, Session, Turn, receive_now,
    };
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn event_loop(serve: impl Serve) -> (EventLoop, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let limits = PlaceLimits::fixed(100, 100);
        let dispatcher = Dispatcher::new("test", limits, 64 << 10, Box::new(serve)).unwrap();
        let events = EventLoop::new(Arc::new(dispatcher), listener).unwrap();
        (events, address)
    }

    #[test]
    fn several_connections_are_accepted_in_one_turn() {
        let (mut events, address) = event_loop(OnThreads::new(Duration::from_secs(60), drop));
        let _callers: Vec<TcpStream> = (0..50)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        events.accept();
        // The system may put the last ones into the queue a moment later.
        assert!(events.dispatcher.connections.count() > 1);
    }

    /// Counts the turns of connections whose first byte is `g`, which always have more to do. The
    /// connections with another first byte end after one turn.
    #[derive(Clone, Default)]
    struct Turns {
        greedy: Arc<AtomicUsize>,
        others: Arc<AtomicUsize>,
    }

    struct Caller {
        stream: Arc<TcpStream>,
        is_greedy: bool,
        turns: Turns,
    }

    impl Serve for Turns {
        fn begin(
            &self,
            incoming: IncomingConnection,
            _: ConnectionHandle,
        ) -> (Box<dyn Session>, Instant) {
            let caller = Caller {
                stream: incoming.stream,
                is_greedy: false,
                turns: self.clone(),
            };
            (Box::new(caller), Instant::now() + Duration::from_secs(60))
        }
    }

    impl Session for Caller {
        fn advance(&mut self, turn: &mut Turn<'_>) -> Next {
            if !self.is_greedy {
                receive_now(&self.stream, turn.scratch).unwrap().unwrap();
                self.is_greedy = turn.scratch.first() == Some(&b'g');
            }
            match self.is_greedy {
                true => {
                    self.turns.greedy.fetch_add(1, Ordering::Relaxed);
                    Next::Later
                }
                false => {
                    self.turns.others.fetch_add(1, Ordering::Relaxed);
                    Next::End
                }
            }
        }
    }

    #[test]
    fn connections_with_much_to_do_delay_a_new_one_by_a_few_turns() {
        let turns = Turns::default();
        let (mut events, address) = event_loop(turns.clone());
        let (mut ready, mut due) = ([EpollEvent::empty(); BATCH], Vec::new());
        let call = |byte: &[u8]| {
            let mut caller = TcpStream::connect(address).unwrap();
            caller.write_all(byte).unwrap();
            caller
        };
        let greedy: Vec<TcpStream> = (0..10 * MAX_LATER).map(|_| call(b"g")).collect();
        while events.later.len() < greedy.len() {
            events.turn(&mut ready, &mut due).unwrap();
        }
        let _new = call(b"n");
        let before = turns.greedy.load(Ordering::Relaxed);
        while turns.others.load(Ordering::Relaxed) == 0 {
            events.turn(&mut ready, &mut due).unwrap();
        }
        // It is accepted in one turn of the event thread and served in the next one. One more is
        // for a system that reports the connection a moment late.
        let delay = turns.greedy.load(Ordering::Relaxed) - before;
        assert!(delay <= 3 * MAX_LATER, "{delay} turns of others");
        assert_eq!(events.later.len(), greedy.len());
    }
}

//! The control lines of a closed run: connections, their threads, the run's time.
//!
//! In scope: reading requests and writing notices within deadlines, feeding the run's decisions ([`ClosedRun`]) with
//! what happens and when, telling when it has ended. Bad bytes end the line they came on and nothing else. Out of scope:
//! the decisions, accepting connections, TLS, exit codes.
//!
//! Each line has the thread that calls [`RunningRun::serve`], which reads, and one that writes; the run has one thread
//! that looks at the time. Locks: the run's state, then a line's outbox; none is held while a socket is used.

use super::{ClosedRun, ConnectionId, Effect, Outcome};
use crate::net::{FrameIoError, FrameReader, TlsStream, write_frame};
use crate::system::{lock, recover};
use crate::tracker::Threads;
use crate::tracker::outbox::{ConnectionReadError, Outbox};
use crate::wire::control::{Answer, ErrorKind, Line, MAX_FRAME, Notice, Request};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// How long a frame that has begun may take to arrive, and one that is sent to be taken.
const FRAME: Duration = Duration::from_secs(10);
/// How long a line may be silent as far as its socket goes; the run's own rule is stricter and closes it before.
const IDLE: Duration = Duration::from_secs(60);
/// How long a client may take to leave once its line is closed from this side.
const LINGER: Duration = Duration::from_secs(5);
/// How long a run that failed before all had come stays for those who have not, so that they are told.
const LATE: Duration = Duration::from_secs(10);
/// The longest time between two looks at the clock; shorter than any of the run's time-outs for new connections.
const TICK: Duration = Duration::from_secs(1);
/// Bytes of stack of a writing thread.
const STACK: usize = 128 << 10;

/// A closed run that goes on, shared by the connections of its clients.
#[derive(Debug)]
pub struct RunningRun {
    shared: Arc<Shared>,
    ticker: Threads,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    state: Mutex<State>,
    /// The run has ended, a line has, or the ticker shall.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    run: ClosedRun,
    lines: HashMap<ConnectionId, Arc<Outbox<Notice>>>,
    next: u64,
    /// How many lines are being served, closed ones that linger included.
    serving: usize,
    dropped: bool,
}

impl RunningRun {
    /// Starts a run of `expected` clients that have `wait` from now to report.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(expected: NonZeroU32, wait: Duration) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            start: Instant::now(),
            state: Mutex::new(State {
                run: ClosedRun::new(expected, wait),
                lines: HashMap::new(),
                next: 0,
                serving: 0,
                dropped: false,
            }),
            changed: Condvar::new(),
        });
        let ticking = Arc::clone(&shared);
        let ticker = Threads::default();
        let thread = thread::Builder::new().name("closed-run".into());
        ticker.start(thread, move || ticking.tick())?;
        Ok(Self { shared, ticker })
    }

    /// Serves one client's line until it ends.
    pub fn serve(&self, stream: &TlsStream, address: SocketAddr) {
        let outbox = Arc::new(Outbox::default());
        let connection = self.shared.enter(address, &outbox);
        thread::scope(|scope| {
            let serving = Serving {
                shared: &self.shared,
                connection,
                outbox: &outbox,
            };
            let writer = thread::Builder::new()
                .name("control-write".into())
                .stack_size(STACK)
                .spawn_scoped(scope, || write(stream, &outbox));
            match writer.map(|_| serving.read(stream)) {
                Ok(Ok(())) => log::debug!("the control line of {address} ended"),
                Ok(Err(error)) => log::info!("the control line of {address} ended: {error}"),
                Err(error) => log::warn!("the control line of {address} has no thread: {error}"),
            }
        });
        stream.hang_up();
        self.shared.state().serving -= 1;
        self.shared.changed.notify_all();
    }

    /// Waits until the run has ended and its clients have been told.
    pub fn wait_until_ended(&self) -> Outcome {
        let mut state = self.shared.state();
        loop {
            if let Some(outcome) = state.run.outcome().cloned() {
                let told = Duration::saturating_add(FRAME, LINGER);
                let changed = &self.shared.changed;
                let state = changed.wait_timeout_while(state, told, |state| state.serving > 0);
                let (state, _) = recover(state);
                let _ = changed.wait_timeout_while(state, LATE, |state| {
                    state.run.awaits_the_late() || state.serving > 0
                });
                return outcome;
            }
            let woken = self.shared.changed.wait_timeout(state, TICK);
            state = recover(woken).0;
        }
    }

    /// Ends the run before its time, as a failure for that reason; nothing if it has ended.
    pub fn abort(&self, reason: &str) {
        self.shared.event(|run, _| run.abort(reason));
    }
}

impl Drop for RunningRun {
    fn drop(&mut self) {
        self.abort("the tracker was stopped");
        self.shared.state().dropped = true;
        self.shared.changed.notify_all();
        self.ticker.wait();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn enter(&self, address: SocketAddr, outbox: &Arc<Outbox<Notice>>) -> ConnectionId {
        let connection = {
            let mut state = self.state();
            let connection = ConnectionId(state.next);
            state.next += 1;
            state.serving += 1;
            state.lines.insert(connection, Arc::clone(outbox));
            connection
        };
        self.event(|run, now| run.connected(connection, address.ip(), now));
        connection
    }

    /// Tells the run what has happened and does what it says.
    fn event(&self, event: impl FnOnce(&mut ClosedRun, Duration) -> Vec<Effect>) {
        let mut state = self.state();
        self.act(&mut state, event);
    }

    fn act(&self, state: &mut State, event: impl FnOnce(&mut ClosedRun, Duration) -> Vec<Effect>) {
        for effect in event(&mut state.run, self.start.elapsed()) {
            match effect {
                Effect::Send(connection, notice) => {
                    if let Some(line) = state.lines.get(&connection) {
                        line.push(notice);
                    }
                }
                Effect::Close(connection) => {
                    if let Some(line) = state.lines.remove(&connection) {
                        line.close();
                    }
                }
            }
        }
        if state.run.outcome().is_some() {
            self.changed.notify_all();
        }
    }

    fn tick(&self) {
        let mut state = self.state();
        while !state.dropped && state.run.outcome().is_none() {
            self.act(&mut state, ClosedRun::tick);
            let next = state.run.next_tick().unwrap_or(Duration::MAX);
            let wait = next.saturating_sub(self.start.elapsed()).min(TICK);
            let woken = self.changed.wait_timeout(state, wait);
            state = recover(woken).0;
        }
    }
}

/// A line being read; when that ends, by a panic too, the run knows and the line's writer ends.
struct Serving<'a> {
    shared: &'a Shared,
    connection: ConnectionId,
    outbox: &'a Outbox<Notice>,
}

impl Serving<'_> {
    fn read(&self, stream: &TlsStream) -> Result<(), ConnectionReadError> {
        let mut reader = FrameReader::new(stream, MAX_FRAME);
        loop {
            self.outbox.wait_for_room();
            let request = match reader.next(IDLE, FRAME) {
                Err(FrameIoError::Closed) => return Ok(()),
                body => Request::decode(body?)?,
            };
            self.shared
                .event(|run, now| run.request(self.connection, request, now));
        }
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.shared.state().lines.remove(&self.connection);
        self.shared.event(|run, _| run.gone(self.connection));
        self.outbox.reader_ended();
    }
}

/// Writes what comes into the outbox until it is closed and empty, then gives the other side time to leave.
fn write(stream: &TlsStream, outbox: &Outbox<Notice>) {
    while let Some(notice) = outbox.next() {
        if let Err(error) = write_frame(stream, &notice.encode(), MAX_FRAME, FRAME) {
            log::info!("a control line takes nothing more: {error}");
            outbox.give_up();
            stream.hang_up();
            return;
        }
    }
    stream.finish(FRAME);
    outbox.wait_for_reader(LINGER);
    stream.hang_up();
}

/// What a tracker that holds no run answers to a client's request, if `body` is one: such a client
/// reads errors of its own kinds only.
pub(in crate::tracker) fn no_run(body: &[u8]) -> Option<Vec<u8>> {
    let request = Request::decode(body).ok()?;
    let answer = Answer::Error {
        kind: ErrorKind::NoRun,
        message: Line::new("this tracker holds no closed run (start one with --expect)"),
    };
    let id = request.id;
    Some(Notice::Answer { id, answer }.encode())
}

#[cfg(test)]
mod tests;

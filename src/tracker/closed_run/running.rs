//! The control connections of a closed run: their threads, and the run's clock.
//!
//! In scope: reading requests and writing notices within deadlines, passing events and their times
//! to the run's decisions ([`ClosedRun`]), reporting the end of the run. If a client sends invalid
//! bytes, only the connection of that client is closed. Out of scope: the decisions, accepting
//! connections, TLS, exit codes.
//!
//! The thread that calls [`RunningRun::serve`] reads a connection; another thread writes it. One
//! thread per run calls [`ClosedRun::tick`].
//!
//! Locks: the run's state, then a connection's outbox. No lock is held while a socket is used.

use super::{ClosedRun, RunConnectionId, RunEffect, RunOutcome};
use crate::base::AddressPrefix;
use crate::net::{FrameIoError, FrameReader, TlsStream, write_frame};
use crate::system::{lock, recover};
use crate::tracker::Threads;
use crate::tracker::outbox::{ConnectionReadError, Outbox};
use crate::wire::control::{
    MAX_FRAME, RunAnswer, RunErrorKind, RunNotice, RunRequestMessage, TextLine,
};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// How long it may take to send a frame, or to receive one that has begun to arrive.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the socket may be silent. The run itself closes a silent connection earlier: see
/// [`HELLO_TIMEOUT`](super::HELLO_TIMEOUT) and [`CLIENT_TIMEOUT`](super::CLIENT_TIMEOUT).
const SOCKET_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take to close its side of the connection after the tracker has closed its
/// own side.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// If a conflict (two owners with different content under one name) ends the run, the tracker waits
/// this long for clients that have not connected yet, to report the conflict to them.
const LATE_CLIENT_WAIT: Duration = Duration::from_secs(10);
/// The longest time between two ticks. A new connection does not wake the thread that ticks, so
/// this is much shorter than the time that a new connection has for its hello.
const MAX_TICK_PAUSE: Duration = Duration::from_secs(1);
/// Stack size of a writing thread in bytes.
const STACK_BYTES: usize = 128 << 10;

/// A running closed run. The connections of its clients share it.
#[derive(Debug)]
pub struct RunningRun {
    shared: Arc<SharedRun>,
    ticker: Threads,
}

#[derive(Debug)]
struct SharedRun {
    start: Instant,
    state: Mutex<State>,
    /// Notified when the run or a connection has ended, or the ticker must end.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    run: ClosedRun,
    outboxes: HashMap<RunConnectionId, Arc<Outbox<RunNotice>>>,
    next_connection: u64,
    /// Number of connections being served, including closed ones whose client has not left yet.
    open_connections: usize,
    /// The [`RunningRun`] was dropped, so the ticker ends.
    is_dropped: bool,
}

impl RunningRun {
    /// Starts a run of `expected` clients. They must report what they own within `wait`, counted
    /// from this call.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start(expected: NonZeroU32, wait: Duration) -> io::Result<Self> {
        let shared = Arc::new(SharedRun {
            start: Instant::now(),
            state: Mutex::new(State {
                run: ClosedRun::new(expected, wait),
                outboxes: HashMap::new(),
                next_connection: 0,
                open_connections: 0,
                is_dropped: false,
            }),
            changed: Condvar::new(),
        });
        let ticking = Arc::clone(&shared);
        let ticker = Threads::default();
        let thread = thread::Builder::new().name("closed-run".into());
        ticker.start(thread, move || ticking.tick_until_ended())?;
        Ok(Self { shared, ticker })
    }

    /// Serves one client's connection until it closes.
    pub fn serve(&self, stream: &TlsStream, address: SocketAddr) {
        let outbox = Arc::new(Outbox::default());
        let connection = self.shared.register(address, &outbox);
        thread::scope(|scope| {
            let reader = ConnectionReader {
                shared: &self.shared,
                connection,
                outbox: &outbox,
            };
            let writer = thread::Builder::new()
                .name("control-write".into())
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, || write(stream, &outbox));
            match writer.map(|_| reader.read(stream)) {
                Ok(Ok(())) => log::debug!("the control connection of {address} has closed"),
                Ok(Err(error)) => {
                    let source = AddressPrefix::of(address.ip());
                    log::info!(
                        source:%; "the control connection of {address} has failed: {error}"
                    )
                }
                Err(error) => log::warn!(
                    "cannot start a thread for the control connection of {address}: {error}"
                ),
            }
        });
        stream.hang_up();
        self.shared.state().open_connections -= 1;
        self.shared.changed.notify_all();
    }

    /// Waits until the run has ended and its clients have been notified.
    pub fn wait_until_ended(&self) -> RunOutcome {
        let mut state = self.shared.state();
        loop {
            if let Some(outcome) = state.run.outcome().cloned() {
                let limit = Duration::saturating_add(FRAME_TIMEOUT, LEAVE_TIMEOUT);
                let changed = &self.shared.changed;
                let state =
                    changed.wait_timeout_while(state, limit, |state| state.open_connections > 0);
                let (state, _) = recover(state);
                let _ = changed.wait_timeout_while(state, LATE_CLIENT_WAIT, |state| {
                    state.run.expects_more_clients() || state.open_connections > 0
                });
                return outcome;
            }
            let woken = self.shared.changed.wait_timeout(state, MAX_TICK_PAUSE);
            state = recover(woken).0;
        }
    }

    /// Ends the run early as a failure with this reason. Does nothing if it has ended.
    pub fn abort(&self, reason: &str) {
        self.shared.apply(|run, _| run.abort(reason));
    }
}

impl Drop for RunningRun {
    fn drop(&mut self) {
        self.abort("the tracker was stopped");
        self.shared.state().is_dropped = true;
        self.shared.changed.notify_all();
        self.ticker.wait();
    }
}

impl SharedRun {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn register(&self, address: SocketAddr, outbox: &Arc<Outbox<RunNotice>>) -> RunConnectionId {
        let connection = {
            let mut state = self.state();
            let connection = RunConnectionId(state.next_connection);
            state.next_connection += 1;
            state.open_connections += 1;
            state.outboxes.insert(connection, Arc::clone(outbox));
            connection
        };
        self.apply(|run, now| run.on_connected(connection, address.ip(), now));
        connection
    }

    /// Passes an event to the run and performs the effects.
    fn apply(&self, event: impl FnOnce(&mut ClosedRun, Duration) -> Vec<RunEffect>) {
        let mut state = self.state();
        self.apply_to(&mut state, event);
    }

    /// Like [`SharedRun::apply`], for a caller that holds the lock.
    fn apply_to(
        &self,
        state: &mut State,
        event: impl FnOnce(&mut ClosedRun, Duration) -> Vec<RunEffect>,
    ) {
        for effect in event(&mut state.run, self.start.elapsed()) {
            match effect {
                RunEffect::Send(connection, notice) => {
                    if let Some(outbox) = state.outboxes.get(&connection) {
                        outbox.push(notice);
                    }
                }
                RunEffect::Close(connection) => {
                    if let Some(outbox) = state.outboxes.remove(&connection) {
                        outbox.close();
                    }
                }
            }
        }
        if state.run.outcome().is_some() {
            self.changed.notify_all();
        }
    }

    fn tick_until_ended(&self) {
        let mut state = self.state();
        while !state.is_dropped && state.run.outcome().is_none() {
            self.apply_to(&mut state, ClosedRun::tick);
            let next = state.run.next_tick().unwrap_or(Duration::MAX);
            let wait = next
                .saturating_sub(self.start.elapsed())
                .min(MAX_TICK_PAUSE);
            let woken = self.changed.wait_timeout(state, wait);
            state = recover(woken).0;
        }
    }
}

/// Reads a connection. When reading ends, even by a panic, this notifies the run and ends the
/// writer.
struct ConnectionReader<'a> {
    shared: &'a SharedRun,
    connection: RunConnectionId,
    outbox: &'a Outbox<RunNotice>,
}

impl ConnectionReader<'_> {
    fn read(&self, stream: &TlsStream) -> Result<(), ConnectionReadError> {
        let mut reader = FrameReader::new(stream, MAX_FRAME);
        loop {
            self.outbox.wait_for_room();
            let request = match reader.next(SOCKET_IDLE_TIMEOUT, FRAME_TIMEOUT) {
                Err(FrameIoError::Closed) => return Ok(()),
                body => RunRequestMessage::decode(body?)?,
            };
            self.shared
                .apply(|run, now| run.on_request(self.connection, request, now));
        }
    }
}

impl Drop for ConnectionReader<'_> {
    fn drop(&mut self) {
        self.shared.state().outboxes.remove(&self.connection);
        self.shared
            .apply(|run, _| run.on_disconnected(self.connection));
        self.outbox.on_reader_end();
    }
}

/// Writes notices from the outbox until it is closed and empty, then gives the client time to
/// leave.
fn write(stream: &TlsStream, outbox: &Outbox<RunNotice>) {
    while let Some(notice) = outbox.next() {
        if let Err(error) = write_frame(stream, &notice.encode(), MAX_FRAME, FRAME_TIMEOUT) {
            log::info!("cannot write to a control connection: {error}");
            outbox.close_and_clear();
            stream.hang_up();
            return;
        }
    }
    stream.finish(FRAME_TIMEOUT);
    outbox.wait_for_reader_end(LEAVE_TIMEOUT);
    stream.hang_up();
}

/// The answer to `body` if this tracker serves no closed run: an error of [`RunErrorKind`], because
/// a closed run's client understands no other errors. `None` if `body` is not a request of such a
/// client.
pub(in crate::tracker) fn no_run_answer(body: &[u8]) -> Option<Vec<u8>> {
    let request = RunRequestMessage::decode(body).ok()?;
    let answer = RunAnswer::Error {
        kind: RunErrorKind::NoRun,
        message: TextLine::new("this tracker serves no closed run (start one with --expect)"),
    };
    let id = request.id;
    Some(RunNotice::Answer { id, answer }.encode())
}

#[cfg(test)]
mod tests;

//! The control connection of a client to the tracker of a closed run.
//!
//! In scope: requests of many threads over one connection, pings, waiting for the release (all
//! clients start together) and for the end of the run. Every wait ends when the connection ends: a
//! tracker that is silent for [`MAX_SILENCE`] counts as dead. Out of scope: what is reported and
//! fetched, and retries.
//!
//! One thread reads, one sends pings. The thread that makes a request also writes it. No thread
//! holds two locks: `can_write` is held while the socket is written to, `state` never over I/O.

mod error;
mod pages;
#[cfg(test)]
mod tests;

use super::Trust;
pub use error::ClosedRunConnectionError;

use crate::net::{FrameReader, Stop, TlsStream, write_frame};
use crate::system::{lock, recover};
use crate::torrent::{FileName, Info, InfoHash};
use crate::wire::control::{
    ClientNumber, InfoAssembly, MAX_FRAME, MAX_PAGE, RunAnswer, RunNotice, RunRequest,
    RunRequestMessage, TextLine,
};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Interval of the pings that report this client as alive.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// How long the tracker may be silent. It answers pings.
const MAX_SILENCE: Duration = Duration::from_secs(20);
/// How long a frame may take to be sent or, once begun, to arrive.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The id of requests without a waiting thread.
const NO_WAITER: u32 = 0;
/// Stack size of each thread of a connection, in bytes.
const STACK_SIZE: usize = 256 << 10;

/// An open connection to the tracker of a closed run. Dropping it closes it.
#[derive(Debug)]
pub struct ClosedRunConnection {
    shared: Arc<ConnectionShared>,
    threads: Vec<JoinHandle<()>>,
}

/// The other clients that have a certain file, or are downloading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    /// The addresses of the living clients: first those that have all of the file, then the others.
    pub addresses: Vec<SocketAddr>,
    /// The number of living clients that have all of the file.
    pub whole: u32,
}

#[derive(Debug)]
struct ConnectionShared {
    stream: TlsStream,
    /// Whether frames may still be written: `false` after a write has failed.
    can_write: Mutex<bool>,
    state: Mutex<State>,
    changed: Condvar,
    stop: Stop,
}

#[derive(Debug, Default)]
struct State {
    last_id: u32,
    /// The requests with a waiting thread, and their answers once they have arrived.
    answers: HashMap<u32, Option<RunAnswer>>,
    /// Whether the tracker has released all clients.
    released: bool,
    /// The failures of the run, once it has ended.
    failures: Option<Vec<TextLine>>,
    /// Why the connection has ended.
    end_error: Option<ClosedRunConnectionError>,
}

impl ClosedRunConnection {
    /// Connects, and reports that client `client` listens on `port`.
    ///
    /// # Errors
    /// When the tracker cannot be reached, is not trusted, or refuses this client.
    pub fn connect(
        tracker: SocketAddr,
        client: ClientNumber,
        port: NonZeroU16,
        trust: &Trust<'_>,
    ) -> Result<Self, ClosedRunConnectionError> {
        let stream = trust.connect(tracker)?;
        let failed = |source: io::Error| ClosedRunConnectionError::Thread(Arc::new(source));
        let shared = Arc::new(ConnectionShared {
            stream,
            can_write: Mutex::new(true),
            state: Mutex::default(),
            changed: Condvar::new(),
            stop: Stop::new(),
        });
        let mut connection = Self {
            shared,
            threads: Vec::new(),
        };
        connection
            .spawn("control-read", ConnectionShared::read)
            .map_err(failed)?;
        connection
            .spawn("control-ping", ConnectionShared::ping)
            .map_err(failed)?;
        connection.ask_ok(RunRequest::Hello { client, port })?;
        Ok(connection)
    }

    /// Reports what this client owns and wants.
    ///
    /// # Errors
    /// See [`ClosedRunConnectionError`].
    pub fn report(
        &self,
        owned: &[Info],
        wanted: &[FileName],
    ) -> Result<(), ClosedRunConnectionError> {
        for parts in pages::of_infos(owned) {
            self.ask_ok(RunRequest::Own { parts: parts? })?;
        }
        for names in wanted.chunks(MAX_PAGE) {
            let names = names.to_vec();
            self.ask_ok(RunRequest::Want { names })?;
        }
        self.ask_ok(RunRequest::Reported)
    }

    /// Waits until the tracker releases all clients.
    ///
    /// # Errors
    /// [`ClosedRunConnectionError::Ended`] if the run ends before the release. Otherwise the error
    /// that ended the connection.
    pub fn wait_released(&self) -> Result<(), ClosedRunConnectionError> {
        self.wait(|state| state.released.then_some(()))
    }

    /// Waits until the run ends. Returns its failures.
    ///
    /// # Errors
    /// The error that ended the connection before the run ended.
    pub fn wait_end(&self) -> Result<Vec<TextLine>, ClosedRunConnectionError> {
        self.wait(|state| state.failures.clone())
    }

    /// The error that every further request returns, if the run or the connection has ended.
    pub fn end_error(&self) -> Option<ClosedRunConnectionError> {
        lock(&self.shared.state).end_error.clone()
    }

    /// The info dictionary of the file with that name. From now on the tracker counts this client
    /// as an owner of a part of it.
    ///
    /// # Errors
    /// [`ClosedRunConnectionError::Refused`] with `NoOwner` when no living client has the file;
    /// otherwise see [`ClosedRunConnectionError`].
    pub fn lookup(&self, name: &FileName) -> Result<Info, ClosedRunConnectionError> {
        let mut assembly = InfoAssembly::new();
        loop {
            let (name, offset) = (name.clone(), assembly.offset());
            let ask = RunRequest::Lookup {
                name: name.clone(),
                offset,
            };
            let RunAnswer::Info { part } = self.ask(ask)? else {
                return Err(ClosedRunConnectionError::OtherAnswer("lookup"));
            };
            if let Some(raw) = assembly.add(&part)? {
                let info = Info::parse(&raw)?;
                if *info.name() != name {
                    return Err(ClosedRunConnectionError::OtherAnswer("lookup"));
                }
                return Ok(info);
            }
        }
    }

    /// The other clients that have the file with that info-hash, or download it.
    ///
    /// # Errors
    /// See [`ClosedRunConnectionError`].
    pub fn owners(&self, info_hash: InfoHash) -> Result<Owners, ClosedRunConnectionError> {
        match self.ask(RunRequest::Owners { info_hash })? {
            RunAnswer::Owners { addresses, whole } => Ok(Owners { addresses, whole }),
            _ => Err(ClosedRunConnectionError::OtherAnswer("owners")),
        }
    }

    /// Reports that a wanted file is complete and verified.
    ///
    /// # Errors
    /// See [`ClosedRunConnectionError`].
    pub fn report_complete(&self, name: &FileName) -> Result<(), ClosedRunConnectionError> {
        let name = name.clone();
        self.ask_ok(RunRequest::Complete { name })
    }

    /// Reports that a wanted file cannot be fetched, and why.
    ///
    /// # Errors
    /// See [`ClosedRunConnectionError`].
    pub fn report_failed(
        &self,
        name: &FileName,
        reason: &str,
    ) -> Result<(), ClosedRunConnectionError> {
        let (name, reason) = (name.clone(), TextLine::new(reason));
        self.ask_ok(RunRequest::Failed { name, reason })
    }

    /// Reports that every wanted file is complete or has failed.
    ///
    /// # Errors
    /// See [`ClosedRunConnectionError`].
    pub fn report_finished(&self) -> Result<(), ClosedRunConnectionError> {
        match self.ask_ok(RunRequest::Finished) {
            // For the last client, the end of the run may arrive before the answer.
            Err(ClosedRunConnectionError::Ended(_)) => Ok(()),
            answered => answered,
        }
    }

    /// Ends the connection. Every thread that waits on it gets
    /// [`ClosedRunConnectionError::Stopped`].
    pub fn stop(&self) {
        self.shared.end(ClosedRunConnectionError::Stopped);
    }

    fn ask_ok(&self, ask: RunRequest) -> Result<(), ClosedRunConnectionError> {
        let kind = ask.kind();
        match self.ask(ask)? {
            RunAnswer::Ok => Ok(()),
            _ => Err(ClosedRunConnectionError::OtherAnswer(kind)),
        }
    }

    fn ask(&self, ask: RunRequest) -> Result<RunAnswer, ClosedRunConnectionError> {
        let kind = ask.kind();
        let id = {
            let mut state = lock(&self.shared.state);
            if let Some(error) = state.end_error.clone() {
                return Err(error);
            }
            state.last_id = match state.last_id.wrapping_add(1) {
                NO_WAITER => 1,
                id => id,
            };
            let id = state.last_id;
            state.answers.insert(id, None);
            id
        };
        self.shared.send(&RunRequestMessage { id, ask });
        let waiting = |state: &mut State| {
            state.answers.get(&id).is_none_or(Option::is_none) && state.end_error.is_none()
        };
        let changed = &self.shared.changed;
        let waited = changed.wait_timeout_while(lock(&self.shared.state), ANSWER_TIMEOUT, waiting);
        let mut state = recover(waited).0;
        match state.answers.remove(&id).flatten() {
            Some(RunAnswer::Error { kind, message }) => {
                Err(ClosedRunConnectionError::Refused { kind, message })
            }
            Some(answer) => Ok(answer),
            None => Err(state
                .end_error
                .clone()
                .unwrap_or(ClosedRunConnectionError::NoAnswer(kind))),
        }
    }

    fn wait<T>(
        &self,
        mut ready: impl FnMut(&State) -> Option<T>,
    ) -> Result<T, ClosedRunConnectionError> {
        let mut state = lock(&self.shared.state);
        loop {
            if let Some(ready) = ready(&state) {
                return Ok(ready);
            }
            if let Some(error) = state.end_error.clone() {
                return Err(error);
            }
            // After a time-out, this thread only waits again: the reading thread ends a silent
            // connection.
            let woken = self.shared.changed.wait_timeout(state, MAX_SILENCE);
            state = recover(woken).0;
        }
    }

    fn spawn(&mut self, name: &str, run: fn(&ConnectionShared)) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new()
            .name(name.into())
            .stack_size(STACK_SIZE)
            .spawn(move || run(&shared))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for ClosedRunConnection {
    fn drop(&mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl ConnectionShared {
    /// Ends the connection with this error. If it has ended already, its first error stays.
    fn end(&self, error: ClosedRunConnectionError) {
        let mut state = lock(&self.state);
        state.end_error.get_or_insert(error);
        drop(state);
        self.changed.notify_all();
        self.stop.stop();
        self.stream.hang_up();
    }

    fn send(&self, request: &RunRequestMessage) {
        let body = request.encode();
        let can_write = self.can_write.lock();
        let mut can_write = recover(can_write);
        if !*can_write {
            return;
        }
        if let Err(error) = write_frame(&self.stream, &body, MAX_FRAME, FRAME_TIMEOUT) {
            // The reading thread may still receive the end of the run. So this closes only the
            // writing side.
            log::debug!("cannot write to the control connection: {error}");
            *can_write = false;
            self.stream.finish(FRAME_TIMEOUT);
        }
    }

    fn ping(&self) {
        while !self.stop.wait(PING_INTERVAL) {
            self.send(&RunRequestMessage {
                id: NO_WAITER,
                ask: RunRequest::Ping,
            });
        }
    }

    fn read(&self) {
        let mut reader = FrameReader::new(&self.stream, MAX_FRAME);
        loop {
            let notice = reader
                .next(MAX_SILENCE, FRAME_TIMEOUT)
                .map_err(|error| ClosedRunConnectionError::Lost(Arc::new(error)))
                .and_then(|body| Ok(RunNotice::decode(body)?));
            match notice {
                Err(error) => return self.end(error),
                Ok(RunNotice::Release) => lock(&self.state).released = true,
                Ok(RunNotice::End { failures }) => {
                    lock(&self.state).failures = Some(failures.clone());
                    return self.end(ClosedRunConnectionError::Ended(failures));
                }
                Ok(RunNotice::Answer { id, answer }) => {
                    // No thread waits for the answer to a ping, or for one that came too late.
                    if let Some(waiting) = lock(&self.state).answers.get_mut(&id) {
                        *waiting = Some(answer);
                    }
                }
            }
            self.changed.notify_all();
        }
    }
}

//! A peer's line to the tracker of a closed run.
//!
//! In scope: one connection that many threads may ask over at once, signs of life, waiting for the
//! release and the end. Every wait ends when the line does: a tracker silent for 20 s is dead. Out
//! of scope: what to report and what to fetch; trying again.
//!
//! One thread reads, one sends signs of life; requests are written by whoever asks. Locks:
//! `writing` alone while the socket is written to, `state` alone and never over I/O.

mod error;
mod pages;
#[cfg(test)]
mod tests;

use super::Trust;
pub use error::ControlLineError;

use crate::net::{FrameReader, Stop, TlsStream, write_frame};
use crate::system::{lock, recover};
use crate::torrent::{FileName, Info, InfoHash};
use crate::wire::control::{
    Answer, Ask, ClientNumber, InfoParts, Line, MAX_FRAME, MAX_PAGE, Notice, Request,
};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the tracker is told that this client lives.
const PING: Duration = Duration::from_secs(2);
/// How long the tracker, which answers those, may be silent.
const SILENCE: Duration = Duration::from_secs(20);
/// How long a frame may take to be sent or, once begun, to arrive.
const FRAME: Duration = Duration::from_secs(10);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// The number of requests whose answers nobody waits for.
const UNHEARD: u32 = 0;
/// Bytes of stack of a line's threads.
const STACK: usize = 256 << 10;

/// An open line to the tracker of a closed run. It is closed when it is dropped.
#[derive(Debug)]
pub struct ControlLine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Who else has a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    /// Where those listen that live and have it whole, then those that have it in part.
    pub addresses: Vec<SocketAddr>,
    /// How many of them have it whole.
    pub whole: u32,
}

#[derive(Debug)]
struct Shared {
    stream: TlsStream,
    /// Whether frames may still be written: none after one that was cut short.
    writing: Mutex<bool>,
    state: Mutex<State>,
    changed: Condvar,
    stop: Stop,
}

#[derive(Debug, Default)]
struct State {
    last_id: u32,
    /// The requests that are waited for, with their answers once these have come.
    answers: HashMap<u32, Option<Answer>>,
    released: bool,
    ended: Option<Vec<Line>>,
    broken: Option<ControlLineError>,
}

impl ControlLine {
    /// Connects and says that client `client` listens on `port`.
    ///
    /// # Errors
    /// When the tracker cannot be reached, is not trusted, or refuses this client.
    pub fn connect(
        tracker: SocketAddr,
        client: ClientNumber,
        port: NonZeroU16,
        trust: &Trust<'_>,
    ) -> Result<Self, ControlLineError> {
        let stream = trust.connect(tracker)?;
        let failed = |source: io::Error| ControlLineError::Thread(Arc::new(source));
        let shared = Arc::new(Shared {
            stream,
            writing: Mutex::new(true),
            state: Mutex::default(),
            changed: Condvar::new(),
            stop: Stop::new(),
        });
        let mut line = Self {
            shared,
            threads: Vec::new(),
        };
        line.spawn("control-read", Shared::read).map_err(failed)?;
        line.spawn("control-ping", Shared::ping).map_err(failed)?;
        line.ask_ok(Ask::Hello { client, port })?;
        Ok(line)
    }

    /// Reports what this client owns and wants.
    ///
    /// # Errors
    /// See [`ControlLineError`].
    pub fn report(&self, owned: &[Info], wanted: &[FileName]) -> Result<(), ControlLineError> {
        for parts in pages::of_infos(owned) {
            self.ask_ok(Ask::Own { parts: parts? })?;
        }
        for names in wanted.chunks(MAX_PAGE) {
            let names = names.to_vec();
            self.ask_ok(Ask::Want { names })?;
        }
        self.ask_ok(Ask::Reported)
    }

    /// Waits until the tracker releases all clients.
    ///
    /// # Errors
    /// [`ControlLineError::Ended`] when the run ends instead, or what ended the line.
    pub fn wait_released(&self) -> Result<(), ControlLineError> {
        self.wait(|state| state.released.then_some(()))
    }

    /// Waits until the run ends; gives what went wrong in it, a line each.
    ///
    /// # Errors
    /// What ended the line instead.
    pub fn wait_end(&self) -> Result<Vec<Line>, ControlLineError> {
        self.wait(|state| state.ended.clone())
    }

    /// The error that any further request would get: the run has ended, or the line has.
    pub fn ended(&self) -> Option<ControlLineError> {
        lock(&self.shared.state).broken.clone()
    }

    /// The info dictionary of the file of that name; from then on this client counts among those
    /// that have a part of it.
    ///
    /// # Errors
    /// [`ControlLineError::Refused`] with `NoOwner` when no living client has it; else see [`ControlLineError`].
    pub fn lookup(&self, name: &FileName) -> Result<Info, ControlLineError> {
        let mut parts = InfoParts::new();
        loop {
            let (name, offset) = (name.clone(), parts.offset());
            let ask = Ask::Lookup {
                name: name.clone(),
                offset,
            };
            let Answer::Info { part } = self.ask(ask)? else {
                return Err(ControlLineError::OtherAnswer("lookup"));
            };
            if let Some(raw) = parts.add(&part)? {
                let info = Info::parse(&raw)?;
                if *info.name() != name {
                    return Err(ControlLineError::OtherAnswer("lookup"));
                }
                return Ok(info);
            }
        }
    }

    /// Who else has the file with that info-hash.
    ///
    /// # Errors
    /// See [`ControlLineError`].
    pub fn owners(&self, info_hash: InfoHash) -> Result<Owners, ControlLineError> {
        match self.ask(Ask::Owners { info_hash })? {
            Answer::Owners { addresses, whole } => Ok(Owners { addresses, whole }),
            _ => Err(ControlLineError::OtherAnswer("owners")),
        }
    }

    /// Says that a wanted file is whole and checked.
    ///
    /// # Errors
    /// See [`ControlLineError`].
    pub fn complete(&self, name: &FileName) -> Result<(), ControlLineError> {
        let name = name.clone();
        self.ask_ok(Ask::Complete { name })
    }

    /// Says that a wanted file cannot be had, and why.
    ///
    /// # Errors
    /// See [`ControlLineError`].
    pub fn failed(&self, name: &FileName, reason: &str) -> Result<(), ControlLineError> {
        let (name, reason) = (name.clone(), Line::new(reason));
        self.ask_ok(Ask::Failed { name, reason })
    }

    /// Says that every wanted file is complete or failed.
    ///
    /// # Errors
    /// See [`ControlLineError`].
    pub fn finished(&self) -> Result<(), ControlLineError> {
        match self.ask_ok(Ask::Finished) {
            // The last to finish may hear of the end first.
            Err(ControlLineError::Ended(_)) => Ok(()),
            answered => answered,
        }
    }

    /// Ends the line; whoever waits on it gets [`ControlLineError::Stopped`].
    pub fn stop(&self) {
        self.shared.end(ControlLineError::Stopped);
    }

    fn ask_ok(&self, ask: Ask) -> Result<(), ControlLineError> {
        let kind = ask.kind();
        match self.ask(ask)? {
            Answer::Ok => Ok(()),
            _ => Err(ControlLineError::OtherAnswer(kind)),
        }
    }

    fn ask(&self, ask: Ask) -> Result<Answer, ControlLineError> {
        let kind = ask.kind();
        let id = {
            let mut state = lock(&self.shared.state);
            if let Some(error) = state.broken.clone() {
                return Err(error);
            }
            state.last_id = match state.last_id.wrapping_add(1) {
                UNHEARD => 1,
                id => id,
            };
            let id = state.last_id;
            state.answers.insert(id, None);
            id
        };
        self.shared.send(&Request { id, ask });
        let waiting = |state: &mut State| {
            state.answers.get(&id).is_none_or(Option::is_none) && state.broken.is_none()
        };
        let changed = &self.shared.changed;
        let waited = changed.wait_timeout_while(lock(&self.shared.state), ANSWER, waiting);
        let mut state = recover(waited).0;
        match state.answers.remove(&id).flatten() {
            Some(Answer::Error { kind, message }) => {
                Err(ControlLineError::Refused { kind, message })
            }
            Some(answer) => Ok(answer),
            None => Err(state
                .broken
                .clone()
                .unwrap_or(ControlLineError::NoAnswer(kind))),
        }
    }

    fn wait<T>(&self, mut found: impl FnMut(&State) -> Option<T>) -> Result<T, ControlLineError> {
        let mut state = lock(&self.shared.state);
        loop {
            if let Some(found) = found(&state) {
                return Ok(found);
            }
            if let Some(error) = state.broken.clone() {
                return Err(error);
            }
            // The reading thread ends a line that is silent; the bound is a second net.
            let woken = self.shared.changed.wait_timeout(state, SILENCE);
            state = recover(woken).0;
        }
    }

    fn spawn(&mut self, name: &str, run: fn(&Shared)) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new()
            .name(name.into())
            .stack_size(STACK)
            .spawn(move || run(&shared))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for ControlLine {
    fn drop(&mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Notes why the line ended, unless that is known, and ends it.
    fn end(&self, error: ControlLineError) {
        let mut state = lock(&self.state);
        state.broken.get_or_insert(error);
        drop(state);
        self.changed.notify_all();
        self.stop.stop();
        self.stream.hang_up();
    }

    fn send(&self, request: &Request) {
        let body = request.encode();
        let writing = self.writing.lock();
        let mut writing = recover(writing);
        if !*writing {
            return;
        }
        if let Err(error) = write_frame(&self.stream, &body, MAX_FRAME, FRAME) {
            // The end of the run may be on its way to the reading thread: only that thread ends the
            // line.
            log::debug!("the control line takes nothing more: {error}");
            *writing = false;
            self.stream.finish(FRAME);
        }
    }

    fn ping(&self) {
        while !self.stop.wait(PING) {
            self.send(&Request {
                id: UNHEARD,
                ask: Ask::Ping,
            });
        }
    }

    fn read(&self) {
        let mut reader = FrameReader::new(&self.stream, MAX_FRAME);
        loop {
            let notice = reader
                .next(SILENCE, FRAME)
                .map_err(|error| ControlLineError::Lost(Arc::new(error)))
                .and_then(|body| Ok(Notice::decode(body)?));
            match notice {
                Err(error) => return self.end(error),
                Ok(Notice::Release) => lock(&self.state).released = true,
                Ok(Notice::End { failures }) => {
                    lock(&self.state).ended = Some(failures.clone());
                    return self.end(ControlLineError::Ended(failures));
                }
                Ok(Notice::Answer { id, answer }) => {
                    // One that came too late is waited for no more.
                    if let Some(waiting) = lock(&self.state).answers.get_mut(&id) {
                        *waiting = Some(answer);
                    }
                }
            }
            self.changed.notify_all();
        }
    }
}

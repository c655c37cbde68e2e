//! Runs the sessions of a server on its threads.

use super::connections::{Connections, ReadySession};
use super::incoming::IncomingConnection;
use super::places::{Full, Holder, PlaceLimits};
use super::session::{Job, Lane, Next, SCRATCH_BYTES, Session, Turn};
use super::workers::Workers;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// The most threads for [`Lane::Worker`]. Usually more than the cores, because the system may delay
/// a thread.
const MAX_WORKERS: usize = 16;
/// The most threads for [`Lane::Patient`]: for sessions that wait for a commit, another tracker or
/// a password.
const MAX_PATIENT: usize = 256;

/// Makes the sessions of a server.
pub trait Serve: Send + Sync + 'static {
    /// The session of an accepted connection, and the deadline for its first bytes. Called on the
    /// event thread. The session first runs there too.
    fn begin(
        &self,
        incoming: IncomingConnection,
        handle: ConnectionHandle,
    ) -> (Box<dyn Session>, Instant);

    /// Whether connections from this address may use the reserved places.
    fn trusts(&self, _ip: IpAddr) -> bool {
        false
    }
}

/// Runs the sessions of a server.
pub(super) struct Dispatcher {
    pub(super) name: String,
    pub(super) connections: Connections,
    pub(super) serve: Box<dyn Serve>,
    workers: Arc<Workers<ReadySession>>,
    patient: Arc<Workers<ReadySession>>,
    own_threads: Arc<Workers<(u64, Job)>>,
}

/// Reaches one connection of a server from any thread. The connection may have ended.
#[derive(Clone)]
pub struct ConnectionHandle {
    number: u64,
    dispatcher: Weak<Dispatcher>,
}

impl ConnectionHandle {
    /// Wakes the session of the connection. If the session waits, [`Session::advance`] is called
    /// soon on [`Lane::Worker`]; otherwise it is called once more before the session waits again.
    /// Never blocks.
    pub fn notify(&self) {
        if let Some(dispatcher) = self.dispatcher.upgrade()
            && let Some(ready) = dispatcher.connections.on_notified(self.number)
        {
            dispatcher.submit(ready);
        }
    }

    /// The connection has proved that it belongs to `holder`. It gets one of the places for
    /// authenticated connections.
    ///
    /// # Errors
    /// All these places are taken, or `holder` has as many as one account may have. The session
    /// should report this to the other side and end.
    pub fn authenticate(&self, holder: Holder) -> Result<(), Full> {
        match self.dispatcher.upgrade() {
            Some(dispatcher) => dispatcher.connections.authenticate(self.number, holder),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ConnectionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectionHandle")
            .field(&self.number)
            .finish()
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher")
            .field("name", &self.name)
            .field("connections", &self.connections.count())
            .finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// A dispatcher that has no thread and no connection yet.
    ///
    /// # Errors
    /// The system has no free descriptor.
    pub(super) fn new(
        name: &str,
        limits: PlaceLimits,
        stack_bytes: usize,
        serve: Box<dyn Serve>,
    ) -> io::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            connections: Connections::new(limits)?,
            serve,
            workers: Arc::new(Workers::new(name, stack_bytes, MAX_WORKERS)),
            patient: Arc::new(Workers::new(name, stack_bytes, MAX_PATIENT)),
            own_threads: Arc::new(Workers::new(name, stack_bytes, usize::MAX)),
        })
    }

    /// Ends the threads when their tasks are done.
    pub(super) fn close(&self) {
        self.workers.close();
        self.patient.close();
        self.own_threads.close();
    }

    pub(super) fn handle(self: &Arc<Self>, number: u64) -> ConnectionHandle {
        ConnectionHandle {
            number,
            dispatcher: Arc::downgrade(self),
        }
    }

    /// Runs a session on this thread, until it waits, ends, goes on elsewhere, or has used up its
    /// turn. In the last case, returns the session: it is to run again [later](Next::Later).
    pub(super) fn run(
        self: &Arc<Self>,
        ready: ReadySession,
        scratch: &mut [u8],
    ) -> Option<ReadySession> {
        let ReadySession {
            number,
            mut session,
            lane,
        } = ready;
        loop {
            let mut turn = Turn { lane, scratch };
            let advanced = catch_unwind(AssertUnwindSafe(|| session.advance(&mut turn)));
            let next = advanced.unwrap_or_else(|_| {
                log::error!("{}: serving a connection failed", self.name);
                Next::End
            });
            match next {
                Next::Wait(wait) => match self.connections.put_back(number, session, wait) {
                    Some(notified) => session = notified,
                    None => return None,
                },
                Next::Move(lane) => {
                    if turn.lane == Lane::Event {
                        self.connections.leave_event_thread(number);
                    }
                    self.submit(ReadySession {
                        number,
                        session,
                        lane,
                    });
                    return None;
                }
                Next::Later => {
                    self.connections.leave_event_thread(number);
                    return Some(ReadySession {
                        number,
                        session,
                        lane,
                    });
                }
                Next::Thread(job) => {
                    drop(session);
                    self.give_thread(number, job);
                    return None;
                }
                Next::End => {
                    drop(session);
                    self.connections.remove(number);
                    return None;
                }
            }
        }
    }

    /// Queues a session for a worker.
    pub(super) fn submit(self: &Arc<Self>, ready: ReadySession) {
        let workers = match ready.lane {
            Lane::Patient => &self.patient,
            Lane::Event | Lane::Worker => &self.workers,
        };
        let dispatcher = Arc::clone(self);
        let submitted = workers.submit(ready, || {
            let mut scratch = vec![0; SCRATCH_BYTES];
            move |ready| {
                if let Some(later) = dispatcher.run(ready, &mut scratch) {
                    dispatcher.submit(later);
                }
            }
        });
        if let Err((error, tasks)) = submitted {
            log::warn!("{}: closed {} connections: {error}", self.name, tasks.len());
            for ready in tasks {
                self.connections.remove(ready.number);
            }
        }
    }

    fn give_thread(self: &Arc<Self>, number: u64, job: Job) {
        if !self.connections.move_to_own_thread(number) {
            // The connection was closed meanwhile.
            return;
        }
        let dispatcher = Arc::clone(self);
        let submitted = self.own_threads.submit((number, job), || {
            move |(number, job): (u64, Job)| {
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    log::error!("{}: serving a connection failed", dispatcher.name);
                }
                dispatcher.connections.remove(number);
            }
        });
        if let Err((error, jobs)) = submitted {
            log::warn!("{}: closed {} connections: {error}", self.name, jobs.len());
            for (number, _) in jobs {
                self.connections.remove(number);
            }
        }
    }
}

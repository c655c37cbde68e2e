//! The open connections of a server: what each waits for, and which thread serves it.
//!
//! A session has one owner at a time: this table while it waits, a thread while it runs. The table
//! is behind a lock that is held only briefly. Descriptors are armed in `epoll` under the lock, so
//! that an event never arrives before its session is back in the table.

use super::IncomingConnection;
use super::places::{Full, Holder, PlaceLimits, Places};
use super::session::{Interest, Lane, Session, Wait};
use super::waker::Waker;
use crate::system::{lock, recover};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A session that a thread runs next.
pub(super) struct ReadySession {
    pub(super) number: u64,
    pub(super) session: Box<dyn Session>,
    pub(super) lane: Lane,
}

/// The open connections of a server.
pub(super) struct Connections {
    pub(super) epoll: Epoll,
    pub(super) waker: Waker,
    table: Mutex<Table>,
    removed: Condvar,
}

struct Table {
    /// The server stops: no session waits any longer.
    is_closed: bool,
    last_number: u64,
    slots: HashMap<u64, Slot>,
    places: Places,
    /// When to look at which connection. Entries may be too early, and are then corrected.
    timers: BTreeSet<(Instant, u64)>,
    /// Whether the event thread sleeps, and until when. A thread that sets an earlier deadline must
    /// wake it.
    event_thread: EventThread,
}

enum EventThread {
    Awake,
    /// Until this time at most. `None`: until it is woken.
    Asleep(Option<Instant>),
}

struct Slot {
    socket: Arc<TcpStream>,
    state: State,
    /// The time of its entry in `timers`.
    timer: Option<Instant>,
    /// What `epoll` reports about the socket, and the lane on which the session then runs. For
    /// `Lane::Event`, `epoll` reports again and again; for the other lanes only once. `None`: no
    /// reports are wanted.
    armed: Option<(Interest, Lane)>,
    /// Whether the session was notified while a thread ran it. Then it runs again before it waits.
    was_notified: bool,
}

enum State {
    Waiting(Box<dyn Session>, Wait),
    Running,
}

impl Connections {
    /// No connection yet.
    ///
    /// # Errors
    /// The system has no free descriptor.
    pub(super) fn new(limits: PlaceLimits) -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            waker: Waker::new()?,
            table: Mutex::new(Table {
                is_closed: false,
                last_number: 0,
                slots: HashMap::new(),
                places: Places::new(limits),
                timers: BTreeSet::new(),
                event_thread: EventThread::Awake,
            }),
            removed: Condvar::new(),
        })
    }

    /// Gives a place to an accepted connection. Its session waits in the table for the first bytes.
    /// `begin` returns the session and the deadline for these bytes. If `is_trusted`, the
    /// connection may take a reserved place.
    ///
    /// # Errors
    /// All places are taken, the server stops, or the system cannot watch the socket.
    pub(super) fn add(
        &self,
        incoming: IncomingConnection,
        is_trusted: bool,
        begin: impl FnOnce(u64, IncomingConnection) -> (Box<dyn Session>, Instant),
    ) -> io::Result<()> {
        let (socket, ip) = (Arc::clone(&incoming.stream), incoming.address.ip());
        let now = incoming.accepted;
        let mut table = self.table();
        if table.is_closed {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        table.last_number += 1;
        let number = table.last_number;
        let Table { places, slots, .. } = &mut *table;
        let server_waits_for = |number| server_waits_for(slots, number);
        let admitted = places.admit(number, ip, is_trusted, now, &server_waits_for);
        let gave_way = admitted.map_err(|_| io::Error::other("too many connections"))?;
        let to_close = gave_way.and_then(|other| table.take_out(other));
        let (session, until) = begin(number, incoming);
        let mut slot = Slot {
            socket,
            state: State::Running,
            timer: None,
            armed: None,
            was_notified: false,
        };
        let wait = Wait {
            interest: Interest::Read,
            until,
            lane: Lane::Event,
        };
        let watched = self.watch_new(&mut slot, number);
        if watched.is_err() {
            table.places.remove(number);
        } else {
            table.slots.insert(number, slot);
            self.set_waiting(&mut table, number, session, wait);
        }
        drop(table);
        close(to_close);
        watched
    }

    /// Closes the newcomer (see [`super::places`]) that has been silent longest, to free its
    /// descriptor. Returns whether there was one.
    pub(super) fn evict(&self) -> bool {
        let mut table = self.table();
        let Table { places, slots, .. } = &mut *table;
        let found = places.evict(Instant::now(), &|number| server_waits_for(slots, number));
        let to_close = found.and_then(|number| table.take_out(number));
        drop(table);
        let was_found = to_close.is_some();
        close(to_close);
        was_found
    }

    /// The session of a connection whose socket is ready.
    pub(super) fn on_ready(&self, number: u64) -> Option<ReadySession> {
        let mut table = self.table();
        if let Some(slot) = table.slots.get_mut(&number)
            && slot.armed.is_some_and(|(_, lane)| lane != Lane::Event)
        {
            // `epoll` reports a socket to a worker only once, and has done that now.
            slot.armed = None;
        }
        let ready = table.take_session(number)?;
        table.places.on_heard(number, Instant::now());
        Some(ready)
    }

    /// Moves into `due` the sessions whose deadlines are over. Closes the connections in reserved
    /// places that have not authenticated in time.
    pub(super) fn on_time(&self, due: &mut Vec<ReadySession>) {
        let now = Instant::now();
        let mut overdue = Vec::new();
        let mut table = self.table();
        while let Some((timer, number)) = table.timers.first().copied() {
            if timer > now {
                break;
            }
            table.timers.pop_first();
            let is_overdue = table.places.is_overdue(number, now);
            let Some(slot) = table.slots.get_mut(&number) else {
                continue;
            };
            slot.timer = None;
            if is_overdue {
                overdue.push(table.take_out(number));
            } else if let State::Waiting(_, wait) = &slot.state {
                match wait.until > now {
                    true => {
                        let until = wait.until;
                        table.set_timer(number, until);
                    }
                    false => due.extend(table.take_session(number)),
                }
            }
        }
        drop(table);
        overdue.into_iter().for_each(close);
    }

    /// Records that the event thread, which calls this, goes to sleep. Returns how long it may
    /// sleep. `None`: until it is woken.
    pub(super) fn before_sleep(&self) -> Option<Duration> {
        let mut table = self.table();
        let first = table.timers.first().map(|(timer, _)| *timer);
        table.event_thread = EventThread::Asleep(first);
        first.map(|first| first.saturating_duration_since(Instant::now()))
    }

    /// The event thread no longer sleeps. It looks at the deadlines before it sleeps again.
    pub(super) fn after_sleep(&self) {
        self.table().event_thread = EventThread::Awake;
    }

    /// The session of a connection that was notified, if it waits. If it runs, it is called once
    /// more before it waits again.
    pub(super) fn on_notified(&self, number: u64) -> Option<ReadySession> {
        let mut table = self.table();
        if let Some(ready) = table.take_session(number) {
            if let Some(slot) = table.slots.get_mut(&number) {
                self.disarm(slot, number);
            }
            return Some(ReadySession {
                lane: Lane::Worker,
                ..ready
            });
        }
        if let Some(slot) = table.slots.get_mut(&number) {
            slot.was_notified = true;
        }
        None
    }

    /// Puts a session back into the table, where it waits. If the session was notified while it
    /// ran, returns it instead: the caller must run it again.
    pub(super) fn put_back(
        &self,
        number: u64,
        session: Box<dyn Session>,
        wait: Wait,
    ) -> Option<Box<dyn Session>> {
        let mut table = self.table();
        if table.is_closed {
            let to_close = table.take_out(number);
            drop(table);
            close(to_close);
            self.removed.notify_all();
            return None;
        }
        let slot = table.slots.get_mut(&number)?;
        if std::mem::take(&mut slot.was_notified) {
            return Some(session);
        }
        if wait.lane != Lane::Event {
            // A session that goes on at a worker may have taken time to answer. The other side
            // waited meanwhile, and that does not count as its silence.
            table.places.on_heard(number, Instant::now());
        }
        self.set_waiting(&mut table, number, session, wait);
        None
    }

    /// A session leaves the event thread, or runs again later: its socket is not watched until it
    /// waits again.
    pub(super) fn leave_event_thread(&self, number: u64) {
        if let Some(slot) = self.table().slots.get_mut(&number) {
            self.disarm(slot, number);
        }
    }

    /// A connection gets a thread of its own: its socket is not watched any longer, and its place
    /// is not given to a newcomer. Returns whether the connection is still open.
    pub(super) fn move_to_own_thread(&self, number: u64) -> bool {
        let mut table = self.table();
        table.places.keep(number);
        let Some(slot) = table.slots.get(&number) else {
            return false;
        };
        let _ = self.epoll.delete(&*slot.socket);
        true
    }

    /// See [`Places::authenticate`].
    pub(super) fn authenticate(&self, number: u64, holder: Holder) -> Result<(), Full> {
        self.table().places.authenticate(number, holder)
    }

    /// A connection has ended.
    pub(super) fn remove(&self, number: u64) {
        let mut table = self.table();
        table.places.remove(number);
        let to_close = table.take_out(number);
        drop(table);
        close(to_close);
        self.removed.notify_all();
    }

    /// The number of open connections.
    pub(super) fn count(&self) -> usize {
        self.table().slots.len()
    }

    /// Ends all waiting. Shuts all sockets down, and closes those that no thread serves.
    pub(super) fn close_all(&self) {
        let mut table = self.table();
        table.is_closed = true;
        let mut waiting = Vec::new();
        for (number, slot) in &table.slots {
            let _ = slot.socket.shutdown(Shutdown::Both);
            if matches!(slot.state, State::Waiting(..)) {
                waiting.push(*number);
            }
        }
        let to_close: Vec<_> = waiting
            .into_iter()
            .map(|number| table.take_out(number))
            .collect();
        drop(table);
        to_close.into_iter().for_each(close);
        self.removed.notify_all();
    }

    /// Whether the server stops.
    pub(super) fn is_closed(&self) -> bool {
        self.table().is_closed
    }

    /// Waits at most `limit` until no connection is open. Returns whether none is.
    pub(super) fn wait_until_none(&self, limit: Duration) -> bool {
        let waited = self
            .removed
            .wait_timeout_while(self.table(), limit, |table| !table.slots.is_empty());
        !recover(waited).1.timed_out()
    }

    fn set_waiting(&self, table: &mut Table, number: u64, session: Box<dyn Session>, wait: Wait) {
        let until = match table.places.due(number) {
            Some(due) => wait.until.min(due),
            None => wait.until,
        };
        let Some(slot) = table.slots.get_mut(&number) else {
            return;
        };
        slot.state = State::Waiting(session, wait);
        let wanted = (wait.interest, wait.lane);
        if wait.interest == Interest::Nothing {
            self.disarm(slot, number);
        } else if slot.armed != Some(wanted) {
            slot.armed = Some(wanted);
            // The socket is open and watched, so this cannot fail.
            let _ = self.epoll.modify(&*slot.socket, &mut event(number, wanted));
        }
        if slot.timer.is_none_or(|timer| timer > until) {
            table.set_timer(number, until);
            if let EventThread::Asleep(wakes) = &table.event_thread
                && wakes.is_none_or(|wakes| wakes > until)
            {
                table.event_thread = EventThread::Awake;
                self.waker.wake();
            }
        }
    }

    fn watch_new(&self, slot: &mut Slot, number: u64) -> io::Result<()> {
        let wanted = (Interest::Read, Lane::Event);
        slot.armed = Some(wanted);
        Ok(self.epoll.add(&*slot.socket, event(number, wanted))?)
    }

    fn disarm(&self, slot: &mut Slot, number: u64) {
        if slot.armed.take().is_some() {
            // Even without any interest, `epoll` reports the end of a connection; this flag makes
            // it report that only once.
            let mut nothing = EpollEvent::new(EpollFlags::EPOLLONESHOT, number);
            let _ = self.epoll.modify(&*slot.socket, &mut nothing);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

impl Table {
    /// Takes the session of a connection that waits.
    fn take_session(&mut self, number: u64) -> Option<ReadySession> {
        let slot = self.slots.get_mut(&number)?;
        match std::mem::replace(&mut slot.state, State::Running) {
            State::Waiting(session, wait) => Some(ReadySession {
                number,
                session,
                lane: wait.lane,
            }),
            State::Running => None,
        }
    }

    /// Takes a connection out of the table. The caller closes it after the lock is released.
    fn take_out(&mut self, number: u64) -> Option<Slot> {
        let slot = self.slots.remove(&number)?;
        if let Some(timer) = slot.timer {
            self.timers.remove(&(timer, number));
        }
        self.places.remove(number);
        Some(slot)
    }

    fn set_timer(&mut self, number: u64, at: Instant) {
        if let Some(slot) = self.slots.get_mut(&number) {
            if let Some(before) = slot.timer.replace(at) {
                self.timers.remove(&(before, number));
            }
            self.timers.insert((at, number));
        }
    }
}

/// Whether the server waits for the remote side of a connection.
fn server_waits_for(slots: &HashMap<u64, Slot>, number: u64) -> bool {
    let slot = slots.get(&number);
    slot.is_some_and(|slot| match &slot.state {
        State::Waiting(_, wait) => wait.interest != Interest::Nothing,
        State::Running => false,
    })
}

/// Closes a connection that was taken out of the table. If it waits, dropping its session closes
/// the socket. If a thread still serves it, the thread finds the socket shut.
fn close(slot: Option<Slot>) {
    if let Some(slot) = slot
        && let State::Running = slot.state
    {
        let _ = slot.socket.shutdown(Shutdown::Both);
    }
}

fn event(number: u64, (interest, lane): (Interest, Lane)) -> EpollEvent {
    let mut flags = match interest {
        Interest::Read => EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP,
        Interest::Write => EpollFlags::EPOLLOUT,
        Interest::Nothing => EpollFlags::empty(),
    };
    if lane != Lane::Event {
        flags |= EpollFlags::EPOLLONESHOT;
    }
    EpollEvent::new(flags, number)
}

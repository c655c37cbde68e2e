//! Connections as state machines. A connection that waits costs no thread.

use std::fmt;
use std::time::Instant;

/// Bytes of the scratch buffer of a [`Turn`].
pub(super) const SCRATCH_BYTES: usize = 16 << 10;

/// Serves one connection as a state machine.
pub trait Session: Send {
    /// Goes on as far as possible without waiting for the socket. It is called when the socket is
    /// ready, when the deadline of the last [`Wait`] has passed, and when the connection was
    /// notified. The session finds out for itself which of these happened.
    fn advance(&mut self, turn: &mut Turn<'_>) -> Next;
}

/// One call of [`Session::advance`].
#[derive(Debug)]
pub struct Turn<'a> {
    /// The lane of the thread that makes the call.
    pub lane: Lane,
    /// A buffer for received bytes. What it contains at the start of the call has no meaning. The
    /// buffer belongs to the thread, so a connection that waits needs no buffer of its own.
    pub scratch: &'a mut [u8],
}

/// The kinds of threads that run sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The event thread. It must not wait, so it serves only what is in memory.
    Event,
    /// A worker that waits only for the processor and for short locks.
    Worker,
    /// A worker that may wait for the disk, for another tracker or for the hash of a password.
    Patient,
}

/// What becomes of a session after [`Session::advance`].
pub enum Next {
    /// It goes on at the next of the events that [`Session::advance`] lists.
    Wait(Wait),
    /// It goes on at once, on this lane.
    Move(Lane),
    /// It could go on at once, but has used up its turn. It goes on on the same lane, after the
    /// connections that are ready now.
    Later,
    /// The rest of the connection is served on a thread of its own, which may wait.
    Thread(Job),
    /// The connection closes.
    End,
}

/// Serves the rest of a connection on its own thread. The connection ends when the job returns.
pub type Job = Box<dyn FnOnce() + Send>;

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait(wait) => wait.fmt(f),
            Self::Move(lane) => lane.fmt(f),
            Self::Later => f.write_str("Later"),
            Self::Thread(_) => f.write_str("Thread"),
            Self::End => f.write_str("End"),
        }
    }
}

/// What a session waits for.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// What the socket must be ready for.
    pub interest: Interest,
    /// The deadline: the wait ends then at the latest.
    pub until: Instant,
    /// Where the session goes on when the socket is ready or the deadline has passed.
    pub lane: Lane,
}

/// What a socket must be ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Reading, or the end of the connection.
    Read,
    /// Writing.
    Write,
    /// Nothing: the session goes on when it is notified, or at the deadline. It may go on once
    /// before that, if the connection has ended. The other side waits, so the connection does not
    /// give way to a newcomer meanwhile.
    Nothing,
}

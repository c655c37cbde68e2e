//! Messages off a stream, whole and in time: for links, and for lines that fetch metadata.

use super::LinkStream;
use crate::wire::peer::{Ask, Message, MessageError, PIECE_HEADER, Step, decode};
use std::io::{self, IoSliceMut};
use std::time::{Duration, Instant};

/// How much is read ahead of what is needed, at most.
const AHEAD: usize = 4 << 10;
/// The id of a bitfield (BEP 3).
const BITFIELD: u8 = 5;

/// Why no further message comes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("closed by the other side")]
    Closed,
    #[error("reading failed: {0}")]
    Socket(#[source] io::Error),
    #[error("nothing came for {} seconds", .0.as_secs())]
    Silent(Duration),
    #[error("a message did not come whole in {} seconds", .0.as_secs())]
    Slow(Duration),
    #[error("it took too long")]
    Late,
    #[error("bad message: {0}")]
    Message(#[from] MessageError),
}

impl ReadError {
    /// Whether the other side broke the protocol.
    pub(super) fn is_breach(&self) -> bool {
        matches!(self, Self::Slow(_) | Self::Message(_))
    }
}

/// How long the other side may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadTimeouts {
    /// For a message that has begun to be here whole.
    pub(crate) message: Duration,
    /// Between two bytes.
    pub(crate) silence: Duration,
    /// For everything.
    pub(crate) deadline: Option<Instant>,
}

impl ReadTimeouts {
    /// How long one read waits at most, until it is seen what is late.
    fn poll_interval(&self) -> Duration {
        (self.message.min(self.silence) / 6).max(Duration::from_millis(1))
    }
}

/// What stands at the front of the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Upcoming {
    /// A message; [`MessageReader::message`] gives it.
    Message,
    /// The header of a block, which was taken off; the block itself follows.
    Block(Ask),
}

/// Reads messages from one stream.
#[derive(Debug)]
pub(crate) struct MessageReader<'a> {
    stream: &'a LinkStream,
    timeouts: ReadTimeouts,
    /// The longest bitfield that is kept, in bytes; none lets every bitfield pass unread.
    bitfield: Option<usize>,
    /// What was read; before `at` it is understood.
    bytes: Vec<u8>,
    at: usize,
    /// When we began to wait for the rest of the message that is being read.
    begun: Option<Instant>,
}

impl<'a> MessageReader<'a> {
    /// Reads from a stream on which both handshakes were exchanged.
    pub(crate) fn new(
        stream: &'a LinkStream,
        timeouts: ReadTimeouts,
        bitfield: Option<usize>,
    ) -> Result<Self, ReadError> {
        let prepared = stream.prepare(timeouts.poll_interval());
        prepared.map_err(ReadError::Socket)?;
        Ok(Self {
            stream,
            timeouts,
            bitfield,
            bytes: Vec::with_capacity(AHEAD),
            at: 0,
            begun: None,
        })
    }

    /// Everything must have come by then.
    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.timeouts.deadline = Some(deadline);
    }

    /// Waits for the next message that is known here.
    ///
    /// # Errors
    /// When none comes whole and in time.
    pub(crate) fn wait(&mut self) -> Result<Upcoming, ReadError> {
        self.begun = None;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let longest = self.bitfield.unwrap_or(usize::MAX);
            match decode(rest, longest)? {
                Step::Message(..) => return Ok(Upcoming::Message),
                Step::Piece(ask) => {
                    self.bytes.drain(..self.at + PIECE_HEADER);
                    self.at = 0;
                    return Ok(Upcoming::Block(ask));
                }
                Step::Unknown(length) => {
                    self.skip(length)?;
                    self.begun = None;
                }
                Step::Incomplete(length)
                    if self.bitfield.is_none() && rest.get(4) == Some(&BITFIELD) =>
                {
                    self.skip(length)?;
                    self.begun = None;
                }
                Step::Incomplete(needed) => self.fill(needed)?,
            }
        }
    }

    /// The message that [`MessageReader::wait`] found; it counts as read.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn message(&mut self) -> Result<Message<'_>, ReadError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match decode(rest, self.bitfield.unwrap_or(usize::MAX))? {
            Step::Message(message, length) => {
                self.at += length;
                Ok(message)
            }
            _ => Ok(Message::KeepAlive),
        }
    }

    /// Takes what was read ahead of a block; returns how many bytes those are.
    pub(crate) fn take_ahead(&mut self, block: &mut [u8]) -> usize {
        let got = self.bytes.len().min(block.len());
        if let (Some(start), Some(here)) = (block.get_mut(..got), self.bytes.get(..got)) {
            start.copy_from_slice(here);
        }
        self.bytes.drain(..got);
        got
    }

    /// For how long the message that is being read has been coming.
    pub(crate) fn spent(&self) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    /// Reads the rest of a block, along with the header of what follows. It was coming for `spent`
    /// before.
    ///
    /// # Errors
    /// When it does not come whole and in time.
    pub(crate) fn read_block(
        &mut self,
        mut rest: &mut [u8],
        spent: Duration,
    ) -> Result<(), ReadError> {
        let begun = Instant::now().checked_sub(spent);
        let mut header = [0; PIECE_HEADER];
        while !rest.is_empty() {
            let room = rest.len();
            let mut slices = [IoSliceMut::new(rest), IoSliceMut::new(&mut header)];
            let stream = self.stream;
            let read = read(&self.timeouts, begun, |wait| {
                stream.read_vectored(&mut slices, wait)
            })?;
            let ahead = header.get(..read.saturating_sub(room));
            self.bytes.extend_from_slice(ahead.unwrap_or_default());
            rest = rest.get_mut(read.min(room)..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads until `needed` bytes are there, perhaps some more.
    fn fill(&mut self, needed: usize) -> Result<(), ReadError> {
        self.bytes.drain(..self.at);
        self.at = 0;
        while self.bytes.len() < needed {
            let have = self.bytes.len();
            if have > 0 {
                self.begun.get_or_insert_with(Instant::now);
            }
            self.bytes.resize(needed.max(AHEAD), 0);
            let room = self.bytes.get_mut(have..).unwrap_or_default();
            let stream = self.stream;
            let read = read(&self.timeouts, self.begun, |wait| stream.read(room, wait));
            self.bytes.truncate(have + *read.as_ref().unwrap_or(&0));
            read?;
        }
        Ok(())
    }

    /// Lets a message pass without keeping it.
    fn skip(&mut self, length: usize) -> Result<(), ReadError> {
        self.bytes.drain(..self.at);
        self.at = 0;
        let mut left = length;
        self.begun.get_or_insert_with(Instant::now);
        loop {
            let here = left.min(self.bytes.len());
            self.bytes.drain(..here);
            left -= here;
            if left == 0 {
                return Ok(());
            }
            self.fill(1)?;
        }
    }
}

/// One read, of a message that began at `begun` if it did. The call gives up after a while, so that
/// it is seen what is late.
fn read(
    timeouts: &ReadTimeouts,
    begun: Option<Instant>,
    mut call: impl FnMut(Duration) -> io::Result<usize>,
) -> Result<usize, ReadError> {
    let since = Instant::now();
    loop {
        if begun.is_some_and(|begun| begun.elapsed() > timeouts.message) {
            return Err(ReadError::Slow(timeouts.message));
        }
        if timeouts
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
        {
            return Err(ReadError::Late);
        }
        return match call(timeouts.poll_interval()) {
            Ok(0) => Err(ReadError::Closed),
            Ok(read) => Ok(read),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => continue,
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    if since.elapsed() < timeouts.silence =>
                {
                    continue;
                }
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    Err(ReadError::Silent(timeouts.silence))
                }
                // Under TLS: nobody says goodbye there, as BEP 3 knows where messages end.
                io::ErrorKind::UnexpectedEof => Err(ReadError::Closed),
                _ => Err(ReadError::Socket(error)),
            },
        };
    }
}

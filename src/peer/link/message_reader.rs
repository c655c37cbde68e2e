//! Reads whole messages from a stream, with time limits. Used by links, and by connections that
//! fetch metadata.

use super::LinkStream;
use crate::wire::peer::{
    Decoded, MessageError, PIECE_HEADER_LENGTH, PeerMessage, UncheckedBlock, decode,
};
use std::io::{self, IoSliceMut};
use std::time::{Duration, Instant};

/// The number of bytes that one read may take beyond the current message.
const READ_AHEAD: usize = 4 << 10;
/// The id of a bitfield (BEP 3).
const BITFIELD: u8 = 5;

/// Why reading ended.
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
    #[error("the whole exchange took too long")]
    Late,
    #[error("bad message: {0}")]
    Message(#[from] MessageError),
}

impl ReadError {
    /// Whether the remote peer broke the protocol.
    pub(super) fn is_violation(&self) -> bool {
        matches!(self, Self::Slow(_) | Self::Message(_))
    }
}

/// How long the remote peer may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadTimeouts {
    /// For the rest of a message whose first bytes have arrived.
    pub(crate) message: Duration,
    /// Between two reads that return bytes.
    pub(crate) silence: Duration,
    /// The time by which everything must have arrived.
    pub(crate) deadline: Option<Instant>,
}

impl ReadTimeouts {
    /// How long one read call may block. Time limits are checked between the calls.
    fn poll_interval(&self) -> Duration {
        (self.message.min(self.silence) / 6).max(Duration::from_millis(1))
    }
}

/// What comes next on the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Upcoming {
    /// A message. [`MessageReader::message`] returns it.
    Message,
    /// The header of a block. The reader has consumed it; the block itself follows.
    Block(UncheckedBlock),
}

/// Reads messages from one stream.
#[derive(Debug)]
pub(crate) struct MessageReader<'a> {
    stream: &'a LinkStream,
    timeouts: ReadTimeouts,
    /// The longest bitfield that is accepted, in bytes. With `None`, any length is accepted, and a
    /// bitfield that has not arrived whole is skipped instead of buffered.
    max_bitfield: Option<usize>,
    /// Bytes that were read. Those before `at` are consumed.
    bytes: Vec<u8>,
    at: usize,
    /// When the message that is being read began to arrive.
    begun: Option<Instant>,
}

impl<'a> MessageReader<'a> {
    /// A reader for a stream on which both sides have sent their handshakes.
    pub(crate) fn new(
        stream: &'a LinkStream,
        timeouts: ReadTimeouts,
        max_bitfield: Option<usize>,
    ) -> Result<Self, ReadError> {
        let prepared = stream.prepare(timeouts.poll_interval());
        prepared.map_err(ReadError::Socket)?;
        Ok(Self {
            stream,
            timeouts,
            max_bitfield,
            bytes: Vec::with_capacity(READ_AHEAD),
            at: 0,
            begun: None,
        })
    }

    /// Sets the time by which everything must have arrived.
    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.timeouts.deadline = Some(deadline);
    }

    /// Waits for the next message of a known type, and skips messages of other types.
    ///
    /// # Errors
    /// When the stream ends or breaks, no whole message arrives in time, or a message is not valid.
    pub(crate) fn wait(&mut self) -> Result<Upcoming, ReadError> {
        self.begun = None;
        loop {
            let unread = self.bytes.get(self.at..).unwrap_or_default();
            let longest = self.max_bitfield.unwrap_or(usize::MAX);
            match decode(unread, longest)? {
                Decoded::Message(..) => return Ok(Upcoming::Message),
                Decoded::PieceHeader(header) => {
                    self.bytes.drain(..self.at + PIECE_HEADER_LENGTH);
                    self.at = 0;
                    return Ok(Upcoming::Block(header));
                }
                Decoded::Unknown(length) => {
                    self.skip(length)?;
                    self.begun = None;
                }
                // The id of the message is known, so `length` is the length of the whole message.
                Decoded::Incomplete(length)
                    if self.max_bitfield.is_none() && unread.get(4) == Some(&BITFIELD) =>
                {
                    self.skip(length)?;
                    self.begun = None;
                }
                Decoded::Incomplete(needed) => self.fill(needed)?,
            }
        }
    }

    /// Returns the message that [`MessageReader::wait`] has found, and consumes it.
    ///
    /// # Errors
    /// When the bytes are not a valid message.
    pub(crate) fn message(&mut self) -> Result<PeerMessage<'_>, ReadError> {
        let unread = self.bytes.get(self.at..).unwrap_or_default();
        match decode(unread, self.max_bitfield.unwrap_or(usize::MAX))? {
            Decoded::Message(message, length) => {
                self.at += length;
                Ok(message)
            }
            // Not reached: `wait` has found a whole message.
            _ => Ok(PeerMessage::KeepAlive),
        }
    }

    /// Fills the start of `block` with those of its bytes that are buffered already. Returns their
    /// number.
    pub(crate) fn take_buffered(&mut self, block: &mut [u8]) -> usize {
        let got = self.bytes.len().min(block.len());
        if let (Some(start), Some(here)) = (block.get_mut(..got), self.bytes.get(..got)) {
            start.copy_from_slice(here);
        }
        self.bytes.drain(..got);
        got
    }

    /// How long ago the current message began to arrive.
    pub(crate) fn message_age(&self) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    /// Reads the rest of a block, and in the same system call the header of the message that
    /// follows. `age` is the time since the block began to arrive, without the time in which the
    /// caller did not read on purpose: that must not use up the time limit of the message.
    ///
    /// # Errors
    /// When the block does not arrive whole and in time.
    pub(crate) fn read_block(
        &mut self,
        mut rest: &mut [u8],
        age: Duration,
    ) -> Result<(), ReadError> {
        let begun = Instant::now().checked_sub(age);
        let mut header = [0; PIECE_HEADER_LENGTH];
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

    /// Reads until at least `needed` bytes are buffered.
    fn fill(&mut self, needed: usize) -> Result<(), ReadError> {
        self.bytes.drain(..self.at);
        self.at = 0;
        while self.bytes.len() < needed {
            let have = self.bytes.len();
            if have > 0 {
                self.begun.get_or_insert_with(Instant::now);
            }
            self.bytes.resize(needed.max(READ_AHEAD), 0);
            let room = self.bytes.get_mut(have..).unwrap_or_default();
            let stream = self.stream;
            let read = read(&self.timeouts, self.begun, |wait| stream.read(room, wait));
            self.bytes.truncate(have + *read.as_ref().unwrap_or(&0));
            read?;
        }
        Ok(())
    }

    /// Skips a message of `length` bytes without buffering it.
    fn skip(&mut self, length: usize) -> Result<(), ReadError> {
        self.bytes.drain(..self.at);
        self.at = 0;
        let mut left = length;
        self.begun.get_or_insert_with(Instant::now);
        loop {
            let buffered = left.min(self.bytes.len());
            self.bytes.drain(..buffered);
            left -= buffered;
            if left == 0 {
                return Ok(());
            }
            self.fill(1)?;
        }
    }
}

/// Repeats `call` until it returns bytes or a time limit is over. Each call blocks for a short time
/// only. `begun` is the time at which the current message began to arrive, if it did.
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
                // TLS reports this if no close notification came. The notification is not needed,
                // because BEP 3 messages carry their length.
                io::ErrorKind::UnexpectedEof => Err(ReadError::Closed),
                _ => Err(ReadError::Socket(error)),
            },
        };
    }
}

//! The reading thread of a link: the other side's messages, and its blocks straight into their buffers.

use super::{Ended, Link, STACK, dispatch, writer};
use crate::peer::{BlockBuffer, Deadlines, Transfer};
use crate::torrent::{BLOCK, PieceSet};
use crate::wire::peer::{Ask, Message, PIECE_HEADER, Step, decode};
use std::io::{self, IoSliceMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// How much is read ahead of what is needed, at most.
const AHEAD: usize = 4 << 10;

/// Runs an admitted link to its end; the writing thread is ended and joined before this returns.
pub(super) fn serve(transfer: &Arc<Transfer>, link: &Arc<Link>) -> Ended {
    let Some((owned, told)) = transfer.context.owned.snapshot(transfer.info_hash()) else {
        return Ended::Here;
    };
    introduce(transfer, link, &owned);
    let writer = {
        let (transfer, link) = (Arc::clone(transfer), Arc::clone(link));
        let name = thread::current().name().unwrap_or("link").to_owned() + "-write";
        let thread = thread::Builder::new().name(name).stack_size(STACK);
        thread.spawn(move || writer::write(&transfer, &link, told))
    };
    let writer = match writer {
        Ok(writer) => writer,
        Err(error) => return Ended::Thread(error),
    };
    let mut reader = Reader {
        transfer,
        link,
        bytes: Vec::with_capacity(AHEAD),
        begun: None,
        spare: None,
        first: true,
    };
    let ended = match reader.run() {
        Ok(()) => Ended::Here,
        Err(ended) => ended,
    };
    link.close(ended.to_string());
    let _ = writer.join();
    ended
}

/// The messages that open a link: our pieces first (BEP 3), then the extension handshake (BEP 10) and what may be asked
/// for while choked (BEP 6).
fn introduce(transfer: &Transfer, link: &Link, owned: &PieceSet) {
    let pieces = match (link.fast, owned.is_full(), owned.is_empty()) {
        (true, true, _) => Some(Message::HaveAll),
        (true, _, true) => Some(Message::HaveNone),
        (false, _, true) => None,
        _ => Some(Message::Bitfield(owned.as_bitfield())),
    };
    link.outbox.send(pieces);
    if link.extensions {
        let upload_only = transfer.state().only_uploads();
        let payload = transfer.extension_handshake(upload_only).encode();
        link.outbox.send([Message::Extended {
            id: 0,
            payload: &payload,
        }]);
    }
    let allowed = link.allowed_fast.iter();
    let allowed = allowed.filter(|piece| owned.contains(**piece));
    link.outbox
        .send(allowed.map(|piece| Message::AllowedFast(piece.number())));
}

struct Reader<'a> {
    transfer: &'a Arc<Transfer>,
    link: &'a Arc<Link>,
    /// What was read and not yet understood.
    bytes: Vec<u8>,
    /// When we began to wait for the rest of the message that is being read.
    begun: Option<Instant>,
    /// A buffer for the next block.
    spare: Option<BlockBuffer>,
    /// No message has come yet.
    first: bool,
}

impl Reader<'_> {
    fn run(&mut self) -> Result<(), Ended> {
        let wait = self.transfer.context.bounds.deadlines.look();
        self.link.stream.prepare(wait).map_err(Ended::Socket)?;
        let max_bitfield = PieceSet::bytes_for(self.transfer.info().lengths().pieces());
        let mut at = 0;
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            match decode(rest, max_bitfield)? {
                Step::Incomplete(needed) => {
                    self.bytes.drain(..at);
                    at = 0;
                    self.fill(needed)?;
                    continue;
                }
                Step::Piece(ask) => {
                    self.first = false;
                    self.bytes.drain(..at + PIECE_HEADER);
                    at = 0;
                    self.block(ask)?;
                }
                Step::Unknown(length) => {
                    self.bytes.drain(..at);
                    at = 0;
                    self.skip(length)?;
                }
                Step::Message(message, length) => {
                    at += length;
                    let first = self.first;
                    self.first &= opens_before_pieces(&message);
                    dispatch::act(self.transfer, self.link, message, first)?;
                }
            }
            self.begun = None;
        }
    }

    /// Reads until `needed` bytes are there, perhaps some more.
    fn fill(&mut self, needed: usize) -> Result<(), Ended> {
        while self.bytes.len() < needed {
            let have = self.bytes.len();
            if have > 0 {
                self.begun.get_or_insert_with(Instant::now);
            }
            self.bytes.resize(needed.max(AHEAD), 0);
            let room = self.bytes.get_mut(have..).unwrap_or_default();
            let read = read(
                &self.transfer.context.bounds.deadlines,
                self.begun,
                |wait| self.link.stream.read(room, wait),
            );
            self.bytes.truncate(have + *read.as_ref().unwrap_or(&0));
            read?;
        }
        Ok(())
    }

    /// Lets a message pass that nobody here knows, without keeping it.
    fn skip(&mut self, length: usize) -> Result<(), Ended> {
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

    /// Reads a block into its buffer, along with the header of what follows, and hands it on.
    fn block(&mut self, ask: Ask) -> Result<(), Ended> {
        let lengths = self.transfer.info().lengths();
        let range = lengths.range(ask.index, ask.begin, ask.length)?;
        if range.length() > BLOCK {
            return Err(Ended::Unasked(ask));
        }
        let context = &self.transfer.context;
        let spare = self.spare.take();
        let mut buffer = spare.unwrap_or_else(|| context.buffers.buffer());
        buffer.set_length(range.length());
        let mut got = self.bytes.len().min(buffer.len());
        if let (Some(start), Some(here)) = (buffer.get_mut(..got), self.bytes.get(..got)) {
            start.copy_from_slice(here);
        }
        self.bytes.drain(..got);
        let spent = self.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        self.keep_limit(range.length())?;
        let begun = Instant::now().checked_sub(spent);
        let mut header = [0; PIECE_HEADER];
        while got < buffer.len() {
            let rest = buffer.get_mut(got..).unwrap_or_default();
            let room = rest.len();
            let mut slices = [IoSliceMut::new(rest), IoSliceMut::new(&mut header)];
            let read = read(&context.bounds.deadlines, begun, |wait| {
                self.link.stream.read_vectored(&mut slices, wait)
            })?;
            got += read.min(room);
            self.bytes
                .extend_from_slice(header.get(..read.saturating_sub(room)).unwrap_or_default());
        }
        self.link.received(range.length(), context.now());
        let unneeded = self.transfer.on_block(self.link, range, buffer);
        self.spare = unneeded.map_err(|_| Ended::Unasked(ask))?;
        Ok(())
    }

    /// Waits until so many bytes may be read, if reading is limited.
    fn keep_limit(&self, bytes: u32) -> Result<(), Ended> {
        let Some(limit) = &self.transfer.context.bounds.down else {
            return Ok(());
        };
        let due = limit.reserve(bytes);
        if due <= Instant::now() {
            return Ok(());
        }
        let paused = &self.link.traffic.paused;
        paused.store(true, Ordering::Relaxed);
        let closed = self.link.outbox.is_closed_by(due);
        paused.store(false, Ordering::Relaxed);
        if closed { Err(Ended::Here) } else { Ok(()) }
    }
}

/// Whether the message may stand before the one that tells of all pieces. BEP 3 has the bitfield directly after the
/// handshake; BEP 10 allows its own handshake at once too, which widespread programs send first, as some do the port.
fn opens_before_pieces(message: &Message<'_>) -> bool {
    matches!(
        message,
        Message::KeepAlive | Message::Port(_) | Message::Extended { .. }
    )
}

/// One read, of a message that began at `begun` if it did; no bytes mean that the other side closed. The call gives up
/// after a while, so that it is seen what is late.
fn read(
    deadlines: &Deadlines,
    begun: Option<Instant>,
    mut call: impl FnMut(Duration) -> io::Result<usize>,
) -> Result<usize, Ended> {
    let since = Instant::now();
    loop {
        if begun.is_some_and(|begun| begun.elapsed() > deadlines.message) {
            return Err(Ended::Slow(deadlines.message));
        }
        return match call(deadlines.look()) {
            Ok(0) => Err(Ended::Closed),
            Ok(read) => Ok(read),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => continue,
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    if since.elapsed() < deadlines.silence =>
                {
                    continue;
                }
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    Err(Ended::Silent(deadlines.silence))
                }
                // Under TLS: nobody says goodbye there, as BEP 3 knows where messages end.
                io::ErrorKind::UnexpectedEof => Err(Ended::Closed),
                _ => Err(Ended::Socket(error)),
            },
        };
    }
}

//! The reading thread of a link: the other side's messages, and its blocks straight into their buffers.

use super::writer;
use super::{Deadlines, Link, Queued, STACK};
use crate::bencode;
use crate::peer::metadata::METADATA;
use crate::peer::pex::PEX;
use crate::peer::shared::Shared;
use crate::peer::stock::BlockBuffer;
use crate::peer::transfer::Transfer;
use crate::swarm::TooOften;
use crate::torrent::{BLOCK, BitfieldError, BlockError, BlockRange, PieceSet};
use crate::wire::extension::ExtensionHandshake;
use crate::wire::metadata::MetadataError;
use crate::wire::peer::{Ask, Message, MessageError, PIECE_HEADER, Step, decode};
use crate::wire::pex::PexError;
use std::io::{self, IoSliceMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// How much is read ahead of what is needed, at most.
const AHEAD: usize = 4 << 10;

/// Why a link ended, seen from its reading thread. Each names the rule that was broken, if one was.
#[derive(Debug, thiserror::Error)]
pub(in crate::peer) enum Ended {
    #[error("closed by the other side")]
    Closed,
    #[error("reading failed: {0}")]
    Socket(#[source] io::Error),
    #[error("nothing came for {} seconds", .0.as_secs())]
    Silent(Duration),
    #[error("a message did not come whole in {} seconds", .0.as_secs())]
    Slow(Duration),
    #[error("bad message: {0}")]
    Message(#[from] MessageError),
    #[error("bad bitfield: {0}")]
    Bitfield(#[from] BitfieldError),
    #[error("a later bitfield takes back pieces that were told of")]
    TakenBack,
    #[error("have for piece {0}, which the share lacks")]
    Have(u32),
    #[error("bad block: {0}")]
    Block(#[from] BlockError),
    #[error("a block that was not asked for: piece {index}, bytes {begin}+{length}")]
    Unasked { index: u32, begin: u32, length: u32 },
    #[error("a message of the fast extension that was not agreed on")]
    NotFast,
    #[error("a message of the extension protocol that was not agreed on")]
    NotExtended,
    #[error("bad extension handshake: {0}")]
    Extension(#[from] bencode::Error),
    #[error("bad message about metadata: {0}")]
    Metadata(#[from] MetadataError),
    #[error("bad message about contacts: {0}")]
    Pex(#[from] PexError),
    #[error("{0}")]
    TooOften(#[from] TooOften),
    #[error("more requests than are kept")]
    Flood,
    #[error("the system gave no thread: {0}")]
    Thread(#[source] io::Error),
    #[error("ended here")]
    Here,
}

impl Ended {
    /// Whether the other side broke the protocol.
    pub(in crate::peer) fn is_breach(&self) -> bool {
        !matches!(
            self,
            Self::Closed | Self::Socket(_) | Self::Silent(_) | Self::Thread(_) | Self::Here
        )
    }
}

/// Runs an admitted link to its end; the writing thread is ended and joined before this returns.
pub(super) fn serve(shared: &Arc<Shared>, transfer: &Arc<Transfer>, link: &Arc<Link>) -> Ended {
    let Some((owned, told)) = shared.owned.snapshot(transfer.info_hash()) else {
        return Ended::Here;
    };
    introduce(shared, transfer, link, &owned);
    let writer = {
        let (shared, transfer, link) = (Arc::clone(shared), Arc::clone(transfer), Arc::clone(link));
        let name = thread::current().name().unwrap_or("link").to_owned() + "-write";
        let thread = thread::Builder::new().name(name).stack_size(STACK);
        thread.spawn(move || writer::write(&shared, &transfer, &link, told))
    };
    let writer = match writer {
        Ok(writer) => writer,
        Err(error) => return Ended::Thread(error),
    };
    let mut reader = Reader {
        shared,
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
fn introduce(shared: &Shared, transfer: &Transfer, link: &Link, owned: &PieceSet) {
    let pieces = match (link.fast, owned.is_full(), owned.is_empty()) {
        (true, true, _) => Some(Message::HaveAll),
        (true, _, true) => Some(Message::HaveNone),
        (false, _, true) => None,
        _ => Some(Message::Bitfield(owned.as_bitfield())),
    };
    link.outbox.send(pieces);
    if link.extensions {
        let upload_only = transfer.state().only_uploads();
        let payload = transfer.extension_handshake(shared, upload_only).encode();
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
    shared: &'a Arc<Shared>,
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
        let wait = self.shared.deadlines.look();
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
                    Dispatch {
                        shared: self.shared,
                        transfer: self.transfer,
                        link: self.link,
                    }
                    .message(message, first)?;
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
            let read = read(&self.shared.deadlines, self.begun, |wait| {
                self.link.stream.read(room, wait)
            });
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
        let range = self
            .transfer
            .info()
            .lengths()
            .range(ask.index, ask.begin, ask.length)?;
        if range.length() > BLOCK {
            return Err(Ended::Unasked {
                index: ask.index,
                begin: ask.begin,
                length: ask.length,
            });
        }
        let mut buffer = self
            .spare
            .take()
            .unwrap_or_else(|| self.shared.stock.buffer());
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
            let read = read(&self.shared.deadlines, begun, |wait| {
                self.link.stream.read_vectored(&mut slices, wait)
            })?;
            got += read.min(room);
            self.bytes
                .extend_from_slice(header.get(..read.saturating_sub(room)).unwrap_or_default());
        }
        self.link
            .downloaded
            .fetch_add(range.length().into(), Ordering::Relaxed);
        self.link.use_at(self.shared.now());
        let unneeded = self.transfer.block(self.shared, self.link, range, buffer);
        self.spare = unneeded.map_err(|()| Ended::Unasked {
            index: ask.index,
            begin: ask.begin,
            length: ask.length,
        })?;
        Ok(())
    }

    /// Waits until so many bytes may be read, if reading is limited.
    fn keep_limit(&self, bytes: u32) -> Result<(), Ended> {
        let Some(limit) = &self.shared.down else {
            return Ok(());
        };
        let due = limit.reserve(bytes);
        if due <= Instant::now() {
            return Ok(());
        }
        self.link.paused.store(true, Ordering::Relaxed);
        let closed = self.link.outbox.is_closed_by(due);
        self.link.paused.store(false, Ordering::Relaxed);
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

/// What each message does.
struct Dispatch<'a> {
    shared: &'a Arc<Shared>,
    transfer: &'a Arc<Transfer>,
    link: &'a Arc<Link>,
}

impl Dispatch<'_> {
    fn message(&self, message: Message<'_>, first: bool) -> Result<(), Ended> {
        let (shared, transfer, link) = (self.shared, self.transfer, self.link);
        let lengths = transfer.info().lengths();
        match message {
            Message::KeepAlive | Message::Port(_) => {}
            Message::Choke => transfer.choked(shared, link, true),
            Message::Unchoke => transfer.choked(shared, link, false),
            Message::Interested => transfer.interested(shared, link, true),
            Message::NotInterested => transfer.interested(shared, link, false),
            Message::Have(index) => {
                let piece = lengths.piece(index).ok_or(Ended::Have(index))?;
                transfer.have(shared, link, piece);
            }
            Message::Bitfield(bits) => self.has(PieceSet::from_bitfield(bits, lengths)?, first)?,
            Message::HaveAll if link.fast => self.has(PieceSet::full(lengths), first)?,
            Message::HaveNone if link.fast && !first => return Err(Ended::TakenBack),
            Message::HaveNone if link.fast => self.has(PieceSet::empty(lengths), first)?,
            Message::Request(asked) => self.request(self.range(asked)?)?,
            Message::Cancel(asked) => {
                let range = self.range(asked)?;
                // BEP 6: each request gets its block or a reject, a cancelled one too.
                if link.outbox.cancel_block(range) && link.fast {
                    link.outbox.send([Message::Reject(range.into())]);
                }
            }
            Message::Reject(asked) if link.fast => {
                transfer.rejected(shared, link, self.range(asked)?);
            }
            Message::Suggest(index) if link.fast => {
                let piece = lengths.piece(index).ok_or(Ended::Have(index))?;
                transfer.suggested(link, piece);
            }
            Message::AllowedFast(index) if link.fast => {
                let piece = lengths.piece(index).ok_or(Ended::Have(index))?;
                transfer.allowed(shared, link, piece);
            }
            Message::HaveAll
            | Message::HaveNone
            | Message::Reject(_)
            | Message::Suggest(_)
            | Message::AllowedFast(_) => return Err(Ended::NotFast),
            Message::Extended { .. } if !link.extensions => return Err(Ended::NotExtended),
            Message::Extended { id: 0, payload } => {
                let told = ExtensionHandshake::parse(payload)?;
                transfer.told(shared, link, told);
            }
            Message::Extended {
                id: METADATA,
                payload,
            } => transfer.metadata_message(shared, link, payload)?,
            Message::Extended { id: PEX, payload } => {
                transfer.pex_message(shared, link, payload)?;
            }
            // No extension was offered under another id.
            Message::Extended { .. } => {}
            // Blocks come by another way: see `Step::Piece`.
            Message::Piece { .. } => {}
        }
        Ok(())
    }

    /// BEP 3 has a bitfield only as the first message. But aria2 sends one, or BEP 6's have all, in the place of several
    /// `have`s, where that is shorter: with few pieces for each piece that it gets.
    fn has(&self, pieces: PieceSet, first: bool) -> Result<(), Ended> {
        if first {
            self.transfer.has(self.shared, self.link, pieces);
            Ok(())
        } else if self.transfer.has_more(self.shared, self.link, &pieces) {
            Ok(())
        } else {
            Err(Ended::TakenBack)
        }
    }

    fn range(&self, asked: Ask) -> Result<BlockRange, BlockError> {
        self.transfer
            .info()
            .lengths()
            .range(asked.index, asked.begin, asked.length)
    }

    fn request(&self, range: BlockRange) -> Result<(), Ended> {
        let (link, transfer) = (self.link, self.transfer);
        let owned = self.shared.owned.has(transfer.info_hash(), range.piece());
        let queued = if owned {
            transfer.queue(link, range)
        } else {
            Queued::Choked
        };
        match queued {
            Queued::Yes => {}
            Queued::Full => return Err(Ended::Flood),
            // Without BEP 6 nothing tells of it; who is choked knows (BEP 3).
            Queued::Choked if !link.fast => {}
            Queued::Choked => link.outbox.send([Message::Reject(range.into())]),
        }
        Ok(())
    }
}

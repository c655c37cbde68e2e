//! Metadata over lines between peers (BEP 9, BEP 10): asked for by whoever has a magnet link alone, served by whoever has it.
//!
//! In scope: a line on which nothing but metadata is fetched, from its handshake to its end; answers to those who ask. All of
//! the metadata comes from one peer, so that one that sends what does not have the hash is known, and barred. Out of scope: what
//! becomes of it (`magnet.rs`).

use super::link::{HANDSHAKE_LIMIT, Link};
use super::magnet::Sought;
use super::pex::PEX;
use super::shared::Shared;
use super::transfer::{Phase, Transfer};
use crate::bencode;
use crate::net::{DeadlineReader, write_all_by};
use crate::torrent::{MAX_METAINFO, MAX_PIECES, PieceSet, Sha1};
use crate::wire::extension::ExtensionHandshake;
use crate::wire::handshake::Handshake;
use crate::wire::metadata::{Assembly, MetadataError, MetadataMessage, metadata_piece};
use crate::wire::peer::{Message, MessageError, Step, decode};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The number under which messages of `ut_metadata` are taken here.
pub(super) const METADATA: u8 = 2;
/// How many lines may give metadata of one share at a time: what is kept of them is bounded so.
const MOST_FETCHING: usize = 4;
/// How many calls for metadata of one share are under way at a time.
pub(super) const MOST_CALLS: usize = 8;
/// How long a peer may take until it has said what it can do, and for each piece of the metadata after that.
const GREETING: Duration = Duration::from_secs(10);
const PER_PIECE: Duration = Duration::from_secs(1);
/// How long one that sent other metadata is left alone.
const BARRED: Duration = Duration::from_secs(600);
/// After this long a peer is called again that had to wait for others.
const AGAIN: Duration = Duration::from_secs(1);
/// How much is read at once, in bytes.
const AT_ONCE: usize = 32 << 10;

/// Why a line brought no metadata.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("it knows no extension protocol")]
    NoExtensions,
    #[error("it has no metadata")]
    HasNone,
    #[error("it will not send piece {0} of the metadata")]
    Rejected(u32),
    #[error("others give metadata already")]
    Busy,
    #[error("the metadata came from another")]
    NotNeeded,
    #[error("its metadata does not have the hash")]
    WrongHash,
    #[error("a block that was not asked for")]
    Block,
    #[error("a bad message: {0}")]
    Message(#[from] MessageError),
    #[error("bad extension handshake: {0}")]
    Extension(#[from] bencode::Error),
    #[error("metadata: {0}")]
    Metadata(#[from] MetadataError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Fetches metadata over a line on which both handshakes were said, to the end of the line.
pub(super) fn fetch(
    shared: &Arc<Shared>,
    transfer: &Arc<Transfer>,
    sought: &Sought,
    stream: &Arc<TcpStream>,
    address: SocketAddr,
    theirs: &Handshake,
) {
    let _registered = shared.register_call(stream);
    let mut line = Line {
        shared,
        transfer,
        sought,
        stream,
        bytes: Vec::new(),
        deadline: Instant::now() + GREETING,
        told: ExtensionHandshake::default(),
        assembly: None,
        slot: None,
    };
    let fetched = line.run(theirs);
    let _ = stream.shutdown(std::net::Shutdown::Both);
    let name = transfer.name();
    match fetched {
        Ok(metadata) => {
            log::info!("{name}: {address} gave the metadata");
            transfer.state().candidates.proved(address);
            transfer.learned(shared, metadata);
        }
        Err(FetchError::Busy | FetchError::NotNeeded) => {
            let until = shared.now() + AGAIN;
            transfer.state().candidates.released(address, until);
        }
        Err(error @ FetchError::WrongHash) => {
            log::warn!("{name}: {address}: {error}");
            let until = shared.now() + BARRED;
            let port = line.told.port;
            let listens = port.map(|port| SocketAddr::new(address.ip(), port));
            let mut state = transfer.state();
            for address in [Some(address), listens].into_iter().flatten() {
                state.candidates.bar(address, until);
            }
            state.barred = true;
        }
        Err(error) => {
            log::info!("{name}: {address}: no metadata: {error}");
            transfer.call_failed(shared, address);
        }
    }
}

struct Line<'a> {
    shared: &'a Shared,
    transfer: &'a Transfer,
    sought: &'a Sought,
    stream: &'a TcpStream,
    /// What was read and not yet understood.
    bytes: Vec<u8>,
    /// When it has to be over.
    deadline: Instant,
    told: ExtensionHandshake,
    assembly: Option<Assembly>,
    slot: Option<Slot<'a>>,
}

/// The right to fetch, given back when it is dropped.
struct Slot<'a>(&'a Sought);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetching.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Line<'_> {
    fn run(&mut self, theirs: &Handshake) -> Result<Vec<u8>, FetchError> {
        if !theirs.extensions {
            return Err(FetchError::NoExtensions);
        }
        let mut hello = Vec::new();
        if theirs.fast {
            Message::HaveNone.encode_into(&mut hello);
        }
        let payload = self.shared.extension_handshake(false).encode();
        let (id, payload) = (0, payload.as_slice());
        Message::Extended { id, payload }.encode_into(&mut hello);
        self.send(&hello)?;
        let max_bitfield = PieceSet::bytes_for(MAX_PIECES);
        loop {
            let bytes = std::mem::take(&mut self.bytes);
            let taken = match decode(&bytes, max_bitfield)? {
                Step::Piece(_) => return Err(FetchError::Block),
                Step::Incomplete(needed) | Step::Unknown(needed) if bytes.len() < needed => {
                    self.bytes = bytes;
                    self.fill(needed)?;
                    continue;
                }
                Step::Message(Message::Extended { id, payload }, length) => {
                    if let Some(metadata) = self.extended(id, payload)? {
                        return Ok(metadata);
                    }
                    length
                }
                // What it has of the share is no matter yet.
                Step::Message(_, length) | Step::Unknown(length) => length,
                Step::Incomplete(_) => 0,
            };
            self.bytes = bytes.get(taken..).unwrap_or_default().to_vec();
        }
    }

    /// Reads until `needed` bytes are there, perhaps some more.
    fn fill(&mut self, needed: usize) -> Result<(), FetchError> {
        let mut reader = DeadlineReader::until(self.stream, self.deadline);
        let mut part = vec![0; AT_ONCE];
        while self.bytes.len() < needed {
            let read = reader.read(&mut part)?;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.bytes
                .extend_from_slice(part.get(..read).unwrap_or_default());
            if self.transfer.state().phase != Phase::Seeking {
                return Err(FetchError::NotNeeded);
            }
        }
        Ok(())
    }

    /// Takes a message of an extension; gives the metadata once it is here.
    fn extended(&mut self, id: u8, payload: &[u8]) -> Result<Option<Vec<u8>>, FetchError> {
        match id {
            0 => {
                self.told.update(ExtensionHandshake::parse(payload)?);
                if self.assembly.is_none() {
                    self.begin()?;
                }
                self.ask()?;
                Ok(None)
            }
            METADATA => self.metadata(payload),
            _ => Ok(None),
        }
    }

    /// The other side said what it has: whether it is asked.
    fn begin(&mut self) -> Result<(), FetchError> {
        let size = match (self.told.metadata, self.told.metadata_size) {
            (Some(1..), Some(size @ 1..)) => size,
            _ => return Err(FetchError::HasNone),
        };
        let assembly = Assembly::new(size)?;
        let more = |fetching: usize| (fetching < MOST_FETCHING).then_some(fetching + 1);
        let sought = self.sought;
        let fetching = &sought.fetching;
        fetching
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map_err(|_| FetchError::Busy)?;
        self.slot = Some(Slot(sought));
        self.deadline = Instant::now() + GREETING + PER_PIECE * assembly.count();
        self.assembly = Some(assembly);
        Ok(())
    }

    fn metadata(&mut self, payload: &[u8]) -> Result<Option<Vec<u8>>, FetchError> {
        match MetadataMessage::parse(payload)? {
            Some(MetadataMessage::Data { piece, bytes, .. }) => {
                let assembly = self.assembly.as_mut();
                let assembly = assembly.ok_or(MetadataError::Unasked(piece))?;
                let Some(metadata) = assembly.add(piece, bytes)? else {
                    self.ask()?;
                    return Ok(None);
                };
                if Sha1::of(&metadata).0 != self.transfer.info_hash().0 {
                    return Err(FetchError::WrongHash);
                }
                Ok(Some(metadata))
            }
            Some(MetadataMessage::Reject(piece)) => Err(FetchError::Rejected(piece)),
            // We have none ourselves.
            Some(MetadataMessage::Request(piece)) => {
                self.say(MetadataMessage::Reject(piece))?;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    fn ask(&mut self) -> Result<(), FetchError> {
        while let Some(piece) = self.assembly.as_mut().and_then(Assembly::ask) {
            self.say(MetadataMessage::Request(piece))?;
        }
        Ok(())
    }

    fn say(&self, message: MetadataMessage<'_>) -> Result<(), FetchError> {
        let Some(id @ 1..) = self.told.metadata else {
            return Ok(());
        };
        let (mut bytes, payload) = (Vec::new(), message.encode());
        let payload = payload.as_slice();
        Message::Extended { id, payload }.encode_into(&mut bytes);
        self.send(&bytes)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), FetchError> {
        Ok(write_all_by(self.stream, bytes, HANDSHAKE_LIMIT)?)
    }
}

impl Transfer {
    /// What we say of ourselves on a link of this share (BEP 10). Metadata goes out in open swarms only: whoever is to have
    /// a private torrent has it from its tracker, as other programs see it too.
    pub(super) fn extension_handshake(
        &self,
        shared: &Shared,
        upload_only: bool,
    ) -> ExtensionHandshake {
        let mut handshake = shared.extension_handshake(upload_only);
        if self.hands_on_metadata() {
            let size = self.info().raw().len();
            handshake.metadata_size = u32::try_from(size).ok();
        } else {
            handshake.metadata = None;
        }
        handshake.pex = self.allows_pex().then_some(PEX);
        handshake
    }

    fn hands_on_metadata(&self) -> bool {
        let info = self.info();
        self.listed
            && !info.private()
            && info.ssl_cert().is_none()
            && info.raw().len() <= MAX_METAINFO
    }

    /// The other side of a link says something about metadata.
    pub(super) fn metadata_message(
        &self,
        link: &Link,
        payload: &[u8],
    ) -> Result<(), MetadataError> {
        let Some(MetadataMessage::Request(piece)) = MetadataMessage::parse(payload)? else {
            return Ok(());
        };
        let Some(id @ 1..) = link.takes_metadata_as() else {
            return Ok(());
        };
        let exists = metadata_piece(self.info().raw(), piece).is_some();
        if !(self.hands_on_metadata()
            && exists
            && link.outbox.push_metadata(self.info(), id, piece))
        {
            let payload = MetadataMessage::Reject(piece).encode();
            let payload = payload.as_slice();
            link.outbox.send([Message::Extended { id, payload }]);
        }
        Ok(())
    }
}

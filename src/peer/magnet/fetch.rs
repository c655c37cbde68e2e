//! One line on which nothing but metadata is fetched (BEP 9, BEP 10), from its handshake to its end.
//!
//! All of the metadata comes from one peer, so that a peer that sends what does not have the hash is
//! known, and barred. Out of scope: what becomes of the metadata (`commands`).

use crate::bencode;
use crate::net::write_all_by;
use crate::peer::search::{MetadataSlot, Turned};
use crate::peer::{
    LinkStream, METADATA_ID, MagnetSearch, MessageReader, ReadError, ReadTimeouts, Upcoming,
    extension_handshake,
};
use crate::torrent::Sha1;
use crate::wire::extension::ExtensionHandshake;
use crate::wire::handshake::Handshake;
use crate::wire::metadata::{Assembly, MetadataError, MetadataMessage};
use crate::wire::peer::Message;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a peer may take until it has said what it can do, and then until the next piece of the
/// metadata is here.
const GREETING: Duration = Duration::from_secs(10);
const NEXT_PIECE: Duration = Duration::from_secs(10);
/// How long all pieces together may take, for each of them.
const PER_PIECE: Duration = Duration::from_secs(1);
/// How long a peer that sent other metadata is left alone, and the host of a caller that was let
/// deliver and did not.
const BARRED: Duration = Duration::from_secs(600);
const GAVE_NOTHING: Duration = Duration::from_secs(60);
/// After this long a peer is called again that had to wait for others.
const AGAIN: Duration = Duration::from_secs(1);

/// Why a line brought no metadata.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("it knows no extension protocol")]
    NoExtensions,
    #[error("it has no metadata")]
    HasNone,
    #[error("it will not send piece {0} of the metadata")]
    Rejected(u32),
    #[error("{0}")]
    Turned(#[from] Turned),
    #[error("its metadata does not have the hash")]
    WrongHash,
    #[error("a block that was not asked for")]
    Block,
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("bad extension handshake: {0}")]
    Extension(#[from] bencode::Error),
    #[error("metadata: {0}")]
    Metadata(#[from] MetadataError),
    #[error("sending failed: {0}")]
    Send(#[from] io::Error),
}

/// Fetches metadata over a line on which both handshakes were said, to the end of the line. Returns
/// the metadata, which has the hash.
pub(crate) fn fetch(
    search: &MagnetSearch,
    stream: &Arc<TcpStream>,
    address: SocketAddr,
    outgoing: bool,
    theirs: &Handshake,
) -> Option<Vec<u8>> {
    let name = search.name();
    let entered = match is_barred(search, address) {
        true => Err(Turned::Barred),
        false => {
            let now = search.context.now();
            search.sources.enter(stream, address.ip(), outgoing, now)
        }
    };
    let slot = match entered {
        Ok(slot) => slot,
        Err(turned) => {
            log::debug!("{name}: {address}: {turned}");
            return None;
        }
    };
    let link = LinkStream::Plain(Arc::clone(stream));
    let mut line = Line {
        search,
        slot,
        stream,
        address,
        deadline: Instant::now() + GREETING,
        next_piece: Instant::now() + GREETING,
        told: ExtensionHandshake::default(),
        assembly: None,
    };
    let fetched = line.run(&link, theirs);
    let _ = stream.shutdown(std::net::Shutdown::Both);
    // Ended here, its end is no fault of the other side.
    let fetched = match fetched {
        Err(error) if search.sources.is_over() && !matches!(error, FetchError::WrongHash) => {
            Err(Turned::NotNeeded.into())
        }
        fetched => fetched,
    };
    let now = search.context.now();
    if !outgoing && line.slot.has_begun() {
        let pause = match fetched {
            Ok(_) | Err(FetchError::Turned(_)) => Duration::ZERO,
            Err(FetchError::WrongHash) => BARRED,
            Err(_) => GAVE_NOTHING,
        };
        search.sources.bar(address.ip(), now, now + pause);
    }
    match fetched {
        Ok(metadata) => {
            log::info!("{name}: {address} gave the metadata");
            search.contacts(|contacts| contacts.on_proved(address));
            Some(metadata)
        }
        Err(error) => {
            note_failure(search, address, line.told.port, &error);
            None
        }
    }
}

/// Decides when the address is called again.
fn note_failure(search: &MagnetSearch, address: SocketAddr, port: Option<u16>, error: &FetchError) {
    let (name, now) = (search.name(), search.context.now());
    match error {
        FetchError::Turned(Turned::Barred) => {}
        FetchError::Turned(_) => {
            search.contacts(|contacts| contacts.release_until(address, now + AGAIN));
        }
        FetchError::WrongHash => {
            log::warn!("{name}: {address}: {error}");
            let listens = port.map(|port| SocketAddr::new(address.ip(), port));
            search.contacts(|contacts| {
                for address in [Some(address), listens].into_iter().flatten() {
                    contacts.bar(address, now + BARRED);
                }
            });
        }
        error => {
            log::info!("{name}: {address}: no metadata: {error}");
            search.contacts(|contacts| contacts.on_failed(address, now));
        }
    }
}

fn is_barred(search: &MagnetSearch, address: SocketAddr) -> bool {
    let now = search.context.now();
    search.contacts(|contacts| contacts.is_barred(address, now))
}

/// One line that is to deliver metadata.
struct Line<'a> {
    search: &'a MagnetSearch,
    slot: MetadataSlot<'a>,
    stream: &'a TcpStream,
    address: SocketAddr,
    /// When it has to be over, and when the next piece has to be here.
    deadline: Instant,
    next_piece: Instant,
    told: ExtensionHandshake,
    assembly: Option<Assembly>,
}

impl Line<'_> {
    fn run(&mut self, link: &LinkStream, theirs: &Handshake) -> Result<Vec<u8>, FetchError> {
        if !theirs.extensions {
            return Err(FetchError::NoExtensions);
        }
        let mut hello = Vec::new();
        if theirs.fast {
            Message::HaveNone.encode_into(&mut hello);
        }
        let payload = extension_handshake(&self.search.context, false).encode();
        let (id, payload) = (0, payload.as_slice());
        Message::Extended { id, payload }.encode_into(&mut hello);
        self.send(&hello)?;
        let timeouts = ReadTimeouts {
            message: GREETING + NEXT_PIECE,
            silence: GREETING + NEXT_PIECE,
            deadline: None,
        };
        // What it has of the share is no matter yet, and may be long.
        let mut messages = MessageReader::new(link, timeouts, None)?;
        loop {
            messages.set_deadline(self.deadline.min(self.next_piece));
            match messages.wait()? {
                Upcoming::Block(_) => return Err(FetchError::Block),
                Upcoming::Message => {
                    if let Message::Extended { id, payload } = messages.message()?
                        && let Some(metadata) = self.extended(id, payload)?
                    {
                        return Ok(metadata);
                    }
                }
            }
        }
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
            METADATA_ID => self.metadata(payload),
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
        let listens = self.told.port;
        let listens = listens.map(|port| SocketAddr::new(self.address.ip(), port));
        if listens.is_some_and(|address| is_barred(self.search, address)) {
            return Err(Turned::Barred.into());
        }
        self.slot.begin()?;
        self.next_piece = Instant::now() + NEXT_PIECE;
        self.deadline = Instant::now() + GREETING + PER_PIECE * assembly.count();
        self.assembly = Some(assembly);
        Ok(())
    }

    fn metadata(&mut self, payload: &[u8]) -> Result<Option<Vec<u8>>, FetchError> {
        match MetadataMessage::parse(payload)? {
            Some(MetadataMessage::Data { piece, bytes, .. }) => {
                let assembly = self.assembly.as_mut();
                let assembly = assembly.ok_or(MetadataError::Unasked(piece))?;
                let added = assembly.add(piece, bytes)?;
                self.next_piece = Instant::now() + NEXT_PIECE;
                let Some(metadata) = added else {
                    self.ask()?;
                    return Ok(None);
                };
                if Sha1::of(&metadata).0 != self.search.info_hash().0 {
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
        let limit = self.search.context.link_limits.deadlines.handshake;
        Ok(write_all_by(self.stream, bytes, limit)?)
    }
}

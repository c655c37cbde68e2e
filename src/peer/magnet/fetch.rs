//! One link that only fetches metadata (BEP 9, BEP 10), from its handshake to its end.
//!
//! Each link fetches all of the metadata from its own peer. If the hash is wrong, it is clear which
//! peer sent it, and that peer is barred. Out of scope: what is done with the metadata (`learn`).

use crate::base::AddressPrefix;
use crate::bencode;
use crate::net::write_all_within;
use crate::peer::search::{MetadataSlot, SlotRefused};
use crate::peer::{
    LinkStream, METADATA_ID, MagnetSearch, MessageReader, ReadError, ReadTimeouts, Upcoming,
    extension_handshake,
};
use crate::torrent::Sha1;
use crate::wire::extension::ExtensionHandshake;
use crate::wire::handshake::Handshake;
use crate::wire::metadata::{MetadataAssembly, MetadataError, MetadataMessage};
use crate::wire::peer::PeerMessage;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a peer may take to send its extension handshake.
const EXTENSION_HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long a peer may take for the next piece of the metadata.
const PIECE_LIMIT: Duration = Duration::from_secs(10);
/// A peer may take this long for each piece of the metadata on average, plus
/// [`EXTENSION_HANDSHAKE_LIMIT`] for all of the metadata.
const TIME_PER_PIECE: Duration = Duration::from_secs(1);
/// How long a peer that sent metadata with another hash is barred.
const BAR_WRONG_HASH: Duration = Duration::from_secs(600);
/// How long the host of a caller is barred, if the caller was to deliver metadata and did not.
const BAR_NO_METADATA: Duration = Duration::from_secs(60);
/// Pause before a peer is called again, if its link was refused because others were delivering.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// Why a link delivered no metadata.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("it does not support the extension protocol")]
    NoExtensions,
    #[error("it has no metadata")]
    HasNone,
    #[error("it refused to send piece {0} of the metadata")]
    Rejected(u32),
    #[error("{0}")]
    Refused(#[from] SlotRefused),
    #[error("its metadata has another hash")]
    WrongHash,
    #[error("it sent a block that was not requested")]
    UnrequestedBlock,
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("bad extension handshake: {0}")]
    Extension(#[from] bencode::Error),
    #[error("metadata: {0}")]
    Metadata(#[from] MetadataError),
    #[error("sending failed: {0}")]
    Send(#[from] io::Error),
}

/// Fetches metadata over a link on which both peers have sent their BEP 3 handshakes, and closes
/// the link. Returns the metadata, which has the right hash.
pub(crate) fn fetch(
    search: &MagnetSearch,
    stream: &Arc<TcpStream>,
    address: SocketAddr,
    outgoing: bool,
    handshake: &Handshake,
) -> Option<Vec<u8>> {
    let name = search.name();
    let entered = match is_barred(search, address) {
        true => Err(SlotRefused::Barred),
        false => {
            let now = search.context.now();
            search.sources.enter(stream, address.ip(), outgoing, now)
        }
    };
    let slot = match entered {
        Ok(slot) => slot,
        Err(refused) => {
            log::debug!("{name}: {address}: {refused}");
            return None;
        }
    };
    let link = LinkStream::Plain(Arc::clone(stream));
    let mut fetch = MetadataFetch {
        search,
        slot,
        stream,
        address,
        deadline: Instant::now() + EXTENSION_HANDSHAKE_LIMIT,
        piece_deadline: Instant::now() + EXTENSION_HANDSHAKE_LIMIT,
        remote: ExtensionHandshake::default(),
        assembly: None,
    };
    let fetched = fetch.run(&link, handshake);
    let _ = stream.shutdown(std::net::Shutdown::Both);
    // If the search is over, we have closed all links: the error is not the remote peer's fault.
    let fetched = match fetched {
        Err(error) if search.sources.has_ended() && !matches!(error, FetchError::WrongHash) => {
            Err(SlotRefused::NotNeeded.into())
        }
        fetched => fetched,
    };
    let now = search.context.now();
    if !outgoing && fetch.slot.was_allowed_to_deliver() {
        // Zero ends an earlier bar of this host.
        let bar_time = match fetched {
            Ok(_) | Err(FetchError::Refused(_)) => Duration::ZERO,
            Err(FetchError::WrongHash) => BAR_WRONG_HASH,
            Err(_) => BAR_NO_METADATA,
        };
        search.sources.bar(address.ip(), now, now + bar_time);
    }
    match fetched {
        Ok(metadata) => {
            let source = AddressPrefix::of(address.ip());
            log::info!(source:%; "{name}: {address} delivered the metadata");
            search.contacts(|contacts| contacts.on_useful(address));
            Some(metadata)
        }
        Err(error) => {
            note_failure(search, address, fetch.remote.port, &error);
            None
        }
    }
}

/// Logs a failure, and decides when the address is called again.
fn note_failure(search: &MagnetSearch, address: SocketAddr, port: Option<u16>, error: &FetchError) {
    let (name, now) = (search.name(), search.context.now());
    let source = AddressPrefix::of(address.ip());
    match error {
        FetchError::Refused(SlotRefused::Barred) => {}
        FetchError::Refused(_) => {
            search
                .contacts(|contacts| contacts.release_with_pause_until(address, now + BUSY_PAUSE));
        }
        FetchError::WrongHash => {
            log::warn!(source:%; "{name}: {address}: {error}");
            let listen_address = port.map(|port| SocketAddr::new(address.ip(), port));
            search.contacts(|contacts| {
                for address in [Some(address), listen_address].into_iter().flatten() {
                    contacts.bar(address, now + BAR_WRONG_HASH);
                }
            });
        }
        error => {
            log::info!(source:%; "{name}: {address}: no metadata: {error}");
            search.contacts(|contacts| contacts.on_failed(address, now));
        }
    }
}

fn is_barred(search: &MagnetSearch, address: SocketAddr) -> bool {
    let now = search.context.now();
    search.contacts(|contacts| contacts.is_barred(address, now))
}

/// A link that is to deliver metadata.
struct MetadataFetch<'a> {
    search: &'a MagnetSearch,
    slot: MetadataSlot<'a>,
    stream: &'a TcpStream,
    address: SocketAddr,
    /// Time limit for the whole exchange.
    deadline: Instant,
    /// Time limit for the next piece.
    piece_deadline: Instant,
    /// The extension handshakes that the remote peer sent, merged.
    remote: ExtensionHandshake,
    assembly: Option<MetadataAssembly>,
}

impl MetadataFetch<'_> {
    fn run(&mut self, link: &LinkStream, handshake: &Handshake) -> Result<Vec<u8>, FetchError> {
        if !handshake.extensions {
            return Err(FetchError::NoExtensions);
        }
        let mut hello = Vec::new();
        if handshake.fast {
            PeerMessage::HaveNone.encode_into(&mut hello);
        }
        let payload = extension_handshake(&self.search.context, false).encode();
        let (id, payload) = (0, payload.as_slice());
        PeerMessage::Extended { id, payload }.encode_into(&mut hello);
        self.send(&hello)?;
        // These limits never end a wait: the deadline that is set before each message is earlier.
        let timeouts = ReadTimeouts {
            message: EXTENSION_HANDSHAKE_LIMIT + PIECE_LIMIT,
            silence: EXTENSION_HANDSHAKE_LIMIT + PIECE_LIMIT,
            deadline: None,
        };
        // With `None`, a bitfield of any length is skipped. It is not needed here.
        let mut messages = MessageReader::new(link, timeouts, None)?;
        loop {
            messages.set_deadline(self.deadline.min(self.piece_deadline));
            match messages.wait()? {
                Upcoming::Block(_) => return Err(FetchError::UnrequestedBlock),
                Upcoming::Message => {
                    if let PeerMessage::Extended { id, payload } = messages.message()?
                        && let Some(metadata) = self.on_extended(id, payload)?
                    {
                        return Ok(metadata);
                    }
                }
            }
        }
    }

    /// Handles an extension message. Returns the metadata once it is complete.
    fn on_extended(&mut self, id: u8, payload: &[u8]) -> Result<Option<Vec<u8>>, FetchError> {
        match id {
            0 => {
                self.remote.update(ExtensionHandshake::parse(payload)?);
                if self.assembly.is_none() {
                    self.begin_fetch()?;
                }
                self.request_pieces()?;
                Ok(None)
            }
            METADATA_ID => self.on_metadata(payload),
            _ => Ok(None),
        }
    }

    /// Handles the first extension handshake. Fails if the remote peer is not to be asked for the
    /// metadata.
    fn begin_fetch(&mut self) -> Result<(), FetchError> {
        let size = match (self.remote.metadata, self.remote.metadata_size) {
            (Some(1..), Some(size @ 1..)) => size,
            _ => return Err(FetchError::HasNone),
        };
        let assembly = MetadataAssembly::new(size)?;
        let port = self.remote.port;
        let listen_address = port.map(|port| SocketAddr::new(self.address.ip(), port));
        if listen_address.is_some_and(|address| is_barred(self.search, address)) {
            return Err(SlotRefused::Barred.into());
        }
        self.slot.begin_delivery()?;
        self.piece_deadline = Instant::now() + PIECE_LIMIT;
        self.deadline =
            Instant::now() + EXTENSION_HANDSHAKE_LIMIT + TIME_PER_PIECE * assembly.count();
        self.assembly = Some(assembly);
        Ok(())
    }

    fn on_metadata(&mut self, payload: &[u8]) -> Result<Option<Vec<u8>>, FetchError> {
        match MetadataMessage::parse(payload)? {
            Some(MetadataMessage::Data { piece, bytes, .. }) => {
                let assembly = self.assembly.as_mut();
                let assembly = assembly.ok_or(MetadataError::NotRequested(piece))?;
                let added = assembly.add(piece, bytes)?;
                self.piece_deadline = Instant::now() + PIECE_LIMIT;
                let Some(metadata) = added else {
                    self.request_pieces()?;
                    return Ok(None);
                };
                if Sha1::of(&metadata).0 != self.search.info_hash().0 {
                    return Err(FetchError::WrongHash);
                }
                Ok(Some(metadata))
            }
            Some(MetadataMessage::Reject(piece)) => Err(FetchError::Rejected(piece)),
            // We have no metadata to send.
            Some(MetadataMessage::Request(piece)) => {
                self.send_metadata(MetadataMessage::Reject(piece))?;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    fn request_pieces(&mut self) -> Result<(), FetchError> {
        while let Some(piece) = self
            .assembly
            .as_mut()
            .and_then(MetadataAssembly::next_request)
        {
            self.send_metadata(MetadataMessage::Request(piece))?;
        }
        Ok(())
    }

    fn send_metadata(&self, message: MetadataMessage<'_>) -> Result<(), FetchError> {
        let Some(id @ 1..) = self.remote.metadata else {
            return Ok(());
        };
        let (mut bytes, payload) = (Vec::new(), message.encode());
        let payload = payload.as_slice();
        PeerMessage::Extended { id, payload }.encode_into(&mut bytes);
        self.send(&bytes)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), FetchError> {
        let limit = self.search.context.link_limits.deadlines.handshake;
        Ok(write_all_within(self.stream, bytes, limit)?)
    }
}

//! Metadata over lines between peers (BEP 9, BEP 10): asked for by whoever has a magnet link alone, served by whoever has it.
//!
//! In scope: a line on which nothing but metadata is fetched, from its handshake to its end; answers to those who ask. All of
//! the metadata comes from one peer, so that one that sends what does not have the hash is known, and barred. Out of scope: what
//! becomes of it (`magnet.rs`).

use super::givers::{Giver, Turned, host};
use super::link::Link;
use super::magnet::Sought;
use super::pex::PEX;
use super::shared::Shared;
use super::transfer::Transfer;
use crate::bencode;
use crate::net::{DeadlineReader, write_all_by};
use crate::torrent::{MAX_METAINFO, MAX_PIECES, PieceSet, Sha1};
use crate::wire::extension::ExtensionHandshake;
use crate::wire::handshake::Handshake;
use crate::wire::metadata::{
    Assembly, METADATA_PIECE, MetadataError, MetadataMessage, metadata_piece,
};
use crate::wire::peer::{Message, MessageError, Step, decode};
use std::collections::HashMap;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The id of a bitfield (BEP 3).
const BITFIELD: u8 = 5;
/// The number under which messages of `ut_metadata` are taken here.
pub(super) const METADATA: u8 = 2;
/// How many calls for metadata of one share are under way at a time.
pub(super) const MOST_CALLS: usize = 8;
/// How long a peer may take until it has said what it can do, and then until the next piece of the metadata is here.
const GREETING: Duration = Duration::from_secs(10);
const NEXT_PIECE: Duration = Duration::from_secs(10);
/// How long all pieces together may take, for each of them.
const PER_PIECE: Duration = Duration::from_secs(1);
/// How long one that sent other metadata is left alone, and the host of a caller that was let give and did not.
const BARRED: Duration = Duration::from_secs(600);
const GAVE_NOTHING: Duration = Duration::from_secs(60);
/// After this long a peer is called again that had to wait for others.
const AGAIN: Duration = Duration::from_secs(1);
/// How much is read at once, in bytes.
const AT_ONCE: usize = 32 << 10;
/// How often one host may have all metadata of a share, and how many pieces at least, in which time.
const COPIES: u32 = 8;
const LEAST_PIECES: u32 = 64;
const WINDOW: Duration = Duration::from_secs(600);
/// How many hosts are given metadata in that time.
const MOST_HOSTS: usize = 1_000;

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
    outgoing: bool,
    theirs: &Handshake,
) {
    let _registered = shared.register_call(stream);
    let (name, now) = (transfer.name(), shared.now());
    let barred = transfer.state().candidates.is_barred(address, now);
    let entered = match barred {
        true => Err(Turned::Barred),
        false => sought.givers.enter(stream, address.ip(), outgoing, now),
    };
    let giver = match entered {
        Ok(giver) => giver,
        Err(turned) => return log::debug!("{name}: {address}: {turned}"),
    };
    let mut line = Line {
        shared,
        transfer,
        giver,
        stream,
        address,
        deadline: Instant::now() + GREETING,
        next_piece: Instant::now() + GREETING,
        told: ExtensionHandshake::default(),
        assembly: None,
    };
    let fetched = line.run(theirs);
    let _ = stream.shutdown(std::net::Shutdown::Both);
    // Ended here, its end is no fault of the other side.
    let fetched = match fetched {
        Err(error) if sought.givers.is_over() && !matches!(error, FetchError::WrongHash) => {
            Err(Turned::NotNeeded.into())
        }
        fetched => fetched,
    };
    let now = shared.now();
    if !outgoing && line.giver.gives() {
        let pause = match fetched {
            Ok(_) | Err(FetchError::Turned(_)) => Duration::ZERO,
            Err(FetchError::WrongHash) => BARRED,
            Err(_) => GAVE_NOTHING,
        };
        sought.givers.bar(address.ip(), now, now + pause);
    }
    match fetched {
        Ok(metadata) => {
            log::info!("{name}: {address} gave the metadata");
            transfer.state().candidates.proved(address);
            transfer.learned(shared, metadata);
        }
        Err(FetchError::Turned(Turned::Barred)) => {}
        Err(FetchError::Turned(_)) => {
            let mut state = transfer.state();
            state.candidates.released(address, now + AGAIN);
        }
        Err(error @ FetchError::WrongHash) => {
            log::warn!("{name}: {address}: {error}");
            let until = now + BARRED;
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
    giver: Giver<'a>,
    stream: &'a TcpStream,
    address: SocketAddr,
    /// When it has to be over, and when the next piece has to be here.
    deadline: Instant,
    next_piece: Instant,
    told: ExtensionHandshake,
    assembly: Option<Assembly>,
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
        // What was read; up to `at` it is understood.
        let (mut bytes, mut at) = (Vec::new(), 0);
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match decode(rest, max_bitfield)? {
                Step::Piece(_) => return Err(FetchError::Block),
                // What it has of the share is no matter yet, and may be long.
                Step::Incomplete(length) if rest.get(4) == Some(&BITFIELD) => {
                    bytes.drain(..at);
                    at = 0;
                    self.skip(&mut bytes, length)?;
                }
                Step::Incomplete(needed) => {
                    bytes.drain(..at);
                    at = 0;
                    self.fill(&mut bytes, needed)?;
                }
                Step::Unknown(length) => {
                    bytes.drain(..at);
                    at = 0;
                    self.skip(&mut bytes, length)?;
                }
                Step::Message(message, length) => {
                    at += length;
                    if let Message::Extended { id, payload } = message
                        && let Some(metadata) = self.extended(id, payload)?
                    {
                        return Ok(metadata);
                    }
                }
            }
        }
    }

    /// Reads until `needed` bytes are there, perhaps some more.
    fn fill(&self, bytes: &mut Vec<u8>, needed: usize) -> Result<(), FetchError> {
        let until = self.deadline.min(self.next_piece);
        let mut reader = DeadlineReader::until(self.stream, until);
        while bytes.len() < needed {
            let have = bytes.len();
            bytes.resize(needed.max(AT_ONCE), 0);
            let read = reader.read(bytes.get_mut(have..).unwrap_or_default());
            bytes.truncate(have + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(())
    }

    /// Lets a message pass that is of no use, without keeping it.
    fn skip(&self, bytes: &mut Vec<u8>, length: usize) -> Result<(), FetchError> {
        let mut left = length;
        loop {
            let here = left.min(bytes.len());
            bytes.drain(..here);
            left -= here;
            if left == 0 {
                return Ok(());
            }
            self.fill(bytes, 1)?;
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
        let listens = self.told.port;
        let listens = listens.map(|port| SocketAddr::new(self.address.ip(), port));
        let now = self.shared.now();
        let is_barred = |address| self.transfer.state().candidates.is_barred(address, now);
        if listens.is_some_and(is_barred) {
            return Err(Turned::Barred.into());
        }
        self.giver.begin()?;
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
        let limit = self.shared.deadlines.handshake;
        Ok(write_all_by(self.stream, bytes, limit)?)
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
        shared: &Shared,
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
        let ip = link.address.ip();
        let given = || {
            let total = self.info().raw().len().div_ceil(METADATA_PIECE);
            let most = u32::try_from(total).unwrap_or(u32::MAX);
            let most = most.saturating_mul(COPIES).max(LEAST_PIECES);
            self.state().given.allows(ip, most, shared.now())
        };
        if !(self.hands_on_metadata()
            && exists
            && given()
            && link.outbox.push_metadata(self.info(), id, piece))
        {
            let payload = MetadataMessage::Reject(piece).encode();
            let payload = payload.as_slice();
            link.outbox.send([Message::Extended { id, payload }]);
        }
        Ok(())
    }
}

/// How much metadata of a share went to whom lately, whatever lines they had.
#[derive(Debug, Default)]
pub(super) struct Given {
    since: Duration,
    pieces: HashMap<IpAddr, u32>,
}

impl Given {
    /// Whether a host may have one more piece, of `most` in the window; counts it if so.
    fn allows(&mut self, address: IpAddr, most: u32, now: Duration) -> bool {
        if now.saturating_sub(self.since) >= WINDOW {
            self.since = now;
            self.pieces.clear();
        }
        let host = host(address);
        if self.pieces.len() >= MOST_HOSTS && !self.pieces.contains_key(&host) {
            return false;
        }
        let pieces = self.pieces.entry(host).or_default();
        let allowed = *pieces < most;
        *pieces += u32::from(allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_given_so_many_pieces_in_a_while_and_no_more() {
        let mut given = Given::default();
        let host: IpAddr = [192, 0, 2, 1].into();
        let count =
            |given: &mut Given, host, now| (0..10).filter(|_| given.allows(host, 3, now)).count();
        assert_eq!(count(&mut given, host, WINDOW), 3);
        assert_eq!(count(&mut given, host, WINDOW * 2 - GREETING), 0);
        assert_eq!(count(&mut given, [192, 0, 2, 2].into(), WINDOW), 3);
        assert_eq!(count(&mut given, host, WINDOW * 2), 3);
        for number in 0..2 * MOST_HOSTS as u32 {
            let host = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            given.allows(host, 3, WINDOW * 2);
        }
        assert_eq!(given.pieces.len(), MOST_HOSTS);
    }
}

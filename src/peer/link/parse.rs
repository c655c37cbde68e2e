//! Converts wire messages to what they mean for one share, and checks them against it.

use super::{EndReason, METADATA_ID, PEX_ID, TIMES_ID};
use crate::swarm::{ProtocolViolation, ReceivedMessage, RemotePeer};
use crate::torrent::{BlockRange, Lengths, PieceSet};
use crate::wire::extension::{ExtensionHandshake, HANDSHAKE_ID};
use crate::wire::peer::{PeerMessage, UncheckedBlock};

/// A message that is valid for the share and for the extensions that both sides support.
#[derive(Debug)]
pub(super) enum ParsedMessage<'a> {
    /// A message for the core.
    Swarm(ReceivedMessage<'a>),
    /// Cancels a request, which may be queued at this link.
    Cancel(BlockRange),
    /// A metadata message (BEP 9).
    Metadata(&'a [u8]),
    /// Modification times of files.
    ModifiedTimes(&'a [u8]),
    /// Needs no action.
    Nothing,
}

/// Checks a message against the share. `is_first` says that no message came before it except those
/// that `reader::may_precede_bitfield` allows.
///
/// # Errors
/// When the message breaks the protocol.
pub(super) fn parse<'a>(
    message: PeerMessage<'a>,
    remote: &RemotePeer,
    lengths: &Lengths,
    is_first: bool,
) -> Result<ParsedMessage<'a>, EndReason> {
    let piece = |message, piece| {
        let found = lengths.piece(piece);
        found.ok_or(EndReason::NoPiece { message, piece })
    };
    let block =
        |request: UncheckedBlock| lengths.range(request.index, request.begin, request.length);
    let pieces_of_remote = |pieces| ReceivedMessage::Pieces { pieces, is_first };
    let is_fast = remote.fast;
    Ok(ParsedMessage::Swarm(match message {
        PeerMessage::KeepAlive | PeerMessage::Port(_) => return Ok(ParsedMessage::Nothing),
        PeerMessage::Choke => ReceivedMessage::Choke,
        PeerMessage::Unchoke => ReceivedMessage::Unchoke,
        PeerMessage::Interested => ReceivedMessage::Interested,
        PeerMessage::NotInterested => ReceivedMessage::NotInterested,
        PeerMessage::Have(index) => ReceivedMessage::Have(piece("have", index)?),
        PeerMessage::Bitfield(bits) => pieces_of_remote(PieceSet::from_bitfield(bits, lengths)?),
        PeerMessage::HaveAll if is_fast => ReceivedMessage::HaveAll,
        PeerMessage::HaveNone if is_fast && !is_first => {
            return Err(ProtocolViolation::PiecesTakenBack.into());
        }
        PeerMessage::HaveNone if is_fast => pieces_of_remote(PieceSet::empty(lengths)),
        PeerMessage::Request(request) => ReceivedMessage::Request(block(request)?),
        PeerMessage::Cancel(request) => return Ok(ParsedMessage::Cancel(block(request)?)),
        PeerMessage::Reject(request) if is_fast => ReceivedMessage::Reject(block(request)?),
        PeerMessage::Suggest(index) if is_fast => {
            ReceivedMessage::Suggest(piece("suggest", index)?)
        }
        PeerMessage::AllowedFast(index) if is_fast => {
            ReceivedMessage::AllowedFast(piece("allowed fast", index)?)
        }
        PeerMessage::HaveAll
        | PeerMessage::HaveNone
        | PeerMessage::Reject(_)
        | PeerMessage::Suggest(_)
        | PeerMessage::AllowedFast(_) => return Err(EndReason::FastNotAgreed),
        PeerMessage::Extended { .. } if !remote.extensions => {
            return Err(EndReason::ExtensionsNotAgreed);
        }
        PeerMessage::Extended { id, payload } => match id {
            HANDSHAKE_ID => ReceivedMessage::Handshake(ExtensionHandshake::parse(payload)?),
            METADATA_ID => return Ok(ParsedMessage::Metadata(payload)),
            PEX_ID => ReceivedMessage::PeerExchange(payload),
            TIMES_ID => return Ok(ParsedMessage::ModifiedTimes(payload)),
            // We offer no other extension.
            _ => return Ok(ParsedMessage::Nothing),
        },
        // The reader handles blocks: see `Upcoming::Block`.
        PeerMessage::Piece { .. } => return Ok(ParsedMessage::Nothing),
    }))
}

/// The fuzz function of everything that arrives over a link. The input is a handshake and then
/// messages; without a handshake, its first byte says which extensions were agreed.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(input: &[u8]) {
    use crate::wire::{PeerId, handshake, metadata::MetadataMessage, peer, times::TimesMessage};
    let (fast, extensions, mut bytes) = match input.split_first_chunk() {
        Some((head, rest)) if input.first() == Some(&handshake::HANDSHAKE_FIRST_BYTE) => {
            handshake::fuzz(head);
            match handshake::Handshake::parse(head) {
                Ok(it) => (it.fast, it.extensions, rest),
                Err(_) => return,
            }
        }
        _ => match input.split_first() {
            Some((flags, rest)) => (flags & 1 != 0, flags & 2 != 0, rest),
            None => return,
        },
    };
    peer::fuzz(bytes);
    let remote = RemotePeer {
        address: ([192, 0, 2, 1], 1).into(),
        outgoing: false,
        peer_id: PeerId([1; 20]),
        fast,
        extensions,
        member: None,
    };
    let lengths = Lengths::new(10 * (1 << 15) - 5, 1 << 15).expect("ten pieces");
    let mut is_first = true;
    while let Ok(decoded) = peer::decode(bytes, 2) {
        let taken = match decoded {
            peer::Decoded::Incomplete(_) => return,
            peer::Decoded::Unknown(taken) => taken,
            peer::Decoded::PieceHeader(block) => {
                let _ = lengths.range(block.index, block.begin, block.length);
                peer::PIECE_HEADER_LENGTH + block.length as usize
            }
            peer::Decoded::Message(message, taken) => {
                match parse(message, &remote, &lengths, is_first) {
                    Err(_) => return,
                    Ok(ParsedMessage::Metadata(payload)) => {
                        let _ = MetadataMessage::parse(payload);
                    }
                    Ok(ParsedMessage::ModifiedTimes(payload)) => {
                        let _ = TimesMessage::parse(payload);
                    }
                    Ok(_) => {}
                }
                taken
            }
        };
        is_first = false;
        bytes = bytes.get(taken..).unwrap_or_default();
    }
}

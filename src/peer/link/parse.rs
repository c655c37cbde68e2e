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
    let piece = |name, index| lengths.piece(index).ok_or(EndReason::NoPiece(name, index));
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

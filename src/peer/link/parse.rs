//! Converts wire messages to what they mean for one share, and checks them against it.

use super::{EndReason, METADATA_ID, PEX_ID};
use crate::swarm::{Breach, Received, Remote};
use crate::torrent::{BlockRange, Lengths, PieceSet};
use crate::wire::extension::{ExtensionHandshake, HANDSHAKE_ID};
use crate::wire::peer::{Ask, Message};

/// A message that is valid for the share and for the extensions that both sides support.
#[derive(Debug)]
pub(super) enum ParsedMessage<'a> {
    /// A message for the core.
    Swarm(Received<'a>),
    /// Cancels a request, which may be queued at this link.
    Cancel(BlockRange),
    /// A metadata message (BEP 9).
    Metadata(&'a [u8]),
    /// Needs no action.
    Nothing,
}

/// Checks a message against the share. `is_first` says that no message came before it except those
/// that `reader::may_precede_bitfield` allows.
///
/// # Errors
/// When the message breaks the protocol.
pub(super) fn parse<'a>(
    message: Message<'a>,
    remote: &Remote,
    lengths: &Lengths,
    is_first: bool,
) -> Result<ParsedMessage<'a>, EndReason> {
    let piece = |name, index| lengths.piece(index).ok_or(EndReason::NoPiece(name, index));
    let block = |request: Ask| lengths.range(request.index, request.begin, request.length);
    let all = |pieces| Received::Pieces { pieces, is_first };
    let is_fast = remote.fast;
    Ok(ParsedMessage::Swarm(match message {
        Message::KeepAlive | Message::Port(_) => return Ok(ParsedMessage::Nothing),
        Message::Choke => Received::Choke,
        Message::Unchoke => Received::Unchoke,
        Message::Interested => Received::Interested,
        Message::NotInterested => Received::NotInterested,
        Message::Have(index) => Received::Have(piece("have", index)?),
        Message::Bitfield(bits) => all(PieceSet::from_bitfield(bits, lengths)?),
        Message::HaveAll if is_fast => all(PieceSet::full(lengths)),
        Message::HaveNone if is_fast && !is_first => return Err(Breach::TakenBack.into()),
        Message::HaveNone if is_fast => all(PieceSet::empty(lengths)),
        Message::Request(request) => Received::Request(block(request)?),
        Message::Cancel(request) => return Ok(ParsedMessage::Cancel(block(request)?)),
        Message::Reject(request) if is_fast => Received::Reject(block(request)?),
        Message::Suggest(index) if is_fast => Received::Suggest(piece("suggest", index)?),
        Message::AllowedFast(index) if is_fast => {
            Received::AllowedFast(piece("allowed fast", index)?)
        }
        Message::HaveAll
        | Message::HaveNone
        | Message::Reject(_)
        | Message::Suggest(_)
        | Message::AllowedFast(_) => return Err(EndReason::FastNotAgreed),
        Message::Extended { .. } if !remote.extensions => {
            return Err(EndReason::ExtensionsNotAgreed);
        }
        Message::Extended { id, payload } => match id {
            HANDSHAKE_ID => Received::Handshake(ExtensionHandshake::parse(payload)?),
            METADATA_ID => return Ok(ParsedMessage::Metadata(payload)),
            PEX_ID => Received::PeerExchange(payload),
            // We offer no other extension.
            _ => return Ok(ParsedMessage::Nothing),
        },
        // The reader handles blocks: see `Upcoming::Block`.
        Message::Piece { .. } => return Ok(ParsedMessage::Nothing),
    }))
}

//! What each message of the other side means for the transfer.

use super::{Ended, Link, METADATA, PEX, Queued};
use crate::peer::Transfer;
use crate::torrent::{BlockError, BlockRange, PieceSet};
use crate::wire::extension::ExtensionHandshake;
use crate::wire::peer::{Ask, Message};

/// Acts on a message; `first` says that none but greetings came before it.
///
/// # Errors
/// When it breaks the protocol.
pub(super) fn act(
    transfer: &Transfer,
    link: &Link,
    message: Message<'_>,
    first: bool,
) -> Result<(), Ended> {
    let lengths = transfer.info().lengths();
    let piece = |told, index| lengths.piece(index).ok_or(Ended::NoPiece(told, index));
    match message {
        Message::KeepAlive | Message::Port(_) => {}
        Message::Choke => transfer.on_news(link, |state| {
            state.picker.on_choke(link.id, !link.fast);
            state.choker.on_choke(link.id);
        }),
        Message::Unchoke => transfer.on_news(link, |state| {
            state.picker.on_unchoke(link.id);
        }),
        Message::Interested => transfer.on_interested(link, true),
        Message::NotInterested => transfer.on_interested(link, false),
        Message::Have(index) => {
            let piece = piece("have", index)?;
            transfer.on_news(link, |state| state.picker.on_have(link.id, piece));
        }
        Message::Bitfield(bits) => bitfield(
            transfer,
            link,
            PieceSet::from_bitfield(bits, lengths)?,
            first,
        )?,
        Message::HaveAll if link.fast => bitfield(transfer, link, PieceSet::full(lengths), first)?,
        Message::HaveNone if link.fast && !first => return Err(Ended::TakenBack),
        Message::HaveNone if link.fast => {
            bitfield(transfer, link, PieceSet::empty(lengths), first)?
        }
        Message::Request(asked) => request(transfer, link, range(transfer, asked)?)?,
        Message::Cancel(asked) => {
            let range = range(transfer, asked)?;
            // BEP 6: each request gets its block or a reject, a cancelled one too.
            if link.outbox.cancel_block(range) && link.fast {
                link.outbox.send([Message::Reject(range.into())]);
            }
        }
        Message::Reject(asked) if link.fast => {
            let range = range(transfer, asked)?;
            transfer.on_news(link, |state| state.picker.on_reject(link.id, range));
        }
        Message::Suggest(index) if link.fast => {
            transfer.on_suggest(link, piece("suggest", index)?);
        }
        Message::AllowedFast(index) if link.fast => {
            let piece = piece("allowed fast", index)?;
            transfer.on_news(link, |state| state.picker.on_allowed_fast(link.id, piece));
        }
        Message::HaveAll
        | Message::HaveNone
        | Message::Reject(_)
        | Message::Suggest(_)
        | Message::AllowedFast(_) => return Err(Ended::NotFast),
        Message::Extended { id, payload } => extended(transfer, link, id, payload)?,
        // Blocks come by another way: see `Step::Piece`.
        Message::Piece { .. } => {}
    }
    Ok(())
}

/// Acts on a message of the extension protocol.
fn extended(transfer: &Transfer, link: &Link, id: u8, payload: &[u8]) -> Result<(), Ended> {
    match id {
        _ if !link.extensions => return Err(Ended::NotExtended),
        0 => transfer.on_extended_handshake(link, ExtensionHandshake::parse(payload)?),
        METADATA => transfer.on_metadata(link, payload)?,
        PEX => transfer.on_pex(link, payload)?,
        // No extension was offered under another id.
        _ => {}
    }
    Ok(())
}

/// BEP 3 has a bitfield only as the first message. But aria2 sends one, or BEP 6's have all, in the place of several
/// `have`s, where that is shorter: with few pieces for each piece that it gets.
fn bitfield(transfer: &Transfer, link: &Link, pieces: PieceSet, first: bool) -> Result<(), Ended> {
    let id = link.id;
    let is_taken = transfer.on_news(link, |state| {
        if first {
            state.picker.on_pieces(id, pieces);
            return true;
        }
        // If something is taken back, nothing changes.
        state.picker.on_pieces_again(id, &pieces)
    });
    is_taken.then_some(()).ok_or(Ended::TakenBack)
}

fn range(transfer: &Transfer, asked: Ask) -> Result<BlockRange, BlockError> {
    let lengths = transfer.info().lengths();
    lengths.range(asked.index, asked.begin, asked.length)
}

fn request(transfer: &Transfer, link: &Link, range: BlockRange) -> Result<(), Ended> {
    let owned = &transfer.context.owned;
    let owned = owned.has(transfer.info_hash(), range.piece());
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

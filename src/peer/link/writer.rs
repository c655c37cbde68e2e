//! The writing thread of a link: messages first, then one block at a time.

use super::{Link, Next, WriteError};
use crate::peer::Transfer;
use crate::torrent::BlockRange;
use crate::wire::peer::{Message, piece_header};

/// Sends until the outbox is closed or the line breaks. `told` is the place in the journal up to which the other side
/// knows of our pieces.
pub(super) fn write(transfer: &Transfer, link: &Link, mut told: usize) {
    let mut spare = Vec::new();
    let bounds = &transfer.context.bounds;
    let keep_alive = bounds.deadlines.keep_alive;
    while let Some(next) = link.outbox.next(spare, bounds.up.as_ref(), keep_alive) {
        spare = match send(transfer, link, next, &mut told) {
            Ok(spare) => spare,
            Err(WriteError::Socket(error)) => {
                return link.close(format!("writing failed: {error}"));
            }
            Err(error) => {
                transfer.cannot_serve(&error.to_string());
                return link.close(error.to_string());
            }
        };
    }
    // Whoever else closes an outbox gives the reason first.
    link.close("it does not read what it is sent");
}

fn send(
    transfer: &Transfer,
    link: &Link,
    next: Next,
    told: &mut usize,
) -> Result<Vec<u8>, WriteError> {
    let Next {
        mut bytes,
        haves,
        block,
    } = next;
    if haves {
        for piece in transfer.context.owned.since(transfer.info_hash(), told) {
            Message::Have(piece.number()).encode_into(&mut bytes);
        }
    }
    let block = block.filter(|block| {
        let owned = transfer
            .context
            .owned
            .has(transfer.info_hash(), block.piece());
        if !owned && link.fast {
            Message::Reject((*block).into()).encode_into(&mut bytes);
        }
        owned
    });
    if bytes.is_empty() && !haves && block.is_none() {
        Message::KeepAlive.encode_into(&mut bytes);
    }
    link.stream.write_all(&bytes)?;
    bytes.clear();
    if let Some(block) = block {
        send_block(transfer, link, block)?;
        link.sent(block.length(), transfer.context.now());
        transfer.uploaded(block.length().into());
    }
    Ok(bytes)
}

fn send_block(transfer: &Transfer, link: &Link, block: BlockRange) -> Result<(), WriteError> {
    let store = transfer.store().ok_or(WriteError::Cut)?;
    let offset = transfer.info().lengths().range_offset(block);
    let header = piece_header(block.into());
    link.stream
        .send_block(&header, &store, offset, block.length().into())
}

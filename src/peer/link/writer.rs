//! The writing thread of a link: messages first, then one block at a time.

use super::Link;
use super::outbox::Next;
use crate::peer::shared::Shared;
use crate::peer::transfer::Transfer;
use crate::storage::StoreError;
use crate::torrent::BlockRange;
use crate::wire::peer::{Message, piece_header};
use std::io;
use std::sync::atomic::Ordering;

/// Why writing ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("the file under the share was cut short")]
    Cut,
}

/// Sends until the outbox is closed or the line breaks. `told` is the place in the journal up to which the other side
/// knows of our pieces.
pub(super) fn write(shared: &Shared, transfer: &Transfer, link: &Link, mut told: usize) {
    let mut spare = Vec::new();
    let keep_alive = shared.deadlines.keep_alive;
    while let Some(next) = link.outbox.next(spare, shared.up.as_ref(), keep_alive) {
        spare = match send(shared, transfer, link, next, &mut told) {
            Ok(spare) => spare,
            Err(WriteError::Socket(error)) => {
                return link.close(format!("writing failed: {error}"));
            }
            Err(error) => {
                transfer.cannot_serve(shared, &error.to_string());
                return link.close(error.to_string());
            }
        };
    }
    // Whoever else closes an outbox gives the reason first.
    link.close("it does not read what it is sent");
}

fn send(
    shared: &Shared,
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
        for piece in shared.owned.since(transfer.info_hash(), told) {
            Message::Have(piece.number()).encode_into(&mut bytes);
        }
    }
    let block = block.filter(|block| {
        let owned = shared.owned.has(transfer.info_hash(), block.piece());
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
        link.uploaded
            .fetch_add(block.length().into(), Ordering::Relaxed);
        transfer.uploaded(block.length().into());
        link.use_at(shared.now());
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

//! The writing thread of a link. It sends queued messages first, then one block at a time.

use super::batch::Batch;
use super::{Link, NextOutput, UploadSource, WriteError};
use crate::peer::LinkLimits;
use crate::torrent::BlockRange;
use crate::wire::peer::{PeerMessage, piece_header};
use std::time::Duration;

/// Sends until the outbox is closed or the stream fails. `journal_position` is a position in the
/// journal of the owned map: the remote peer already knows the pieces before it.
pub(super) fn write(
    uploads: &dyn UploadSource,
    link: &Link,
    link_limits: &LinkLimits,
    mut journal_position: usize,
) {
    let (mut spare, mut batch) = (Vec::new(), Batch::default());
    // If the batch holds bytes, do not wait for more output: send them now.
    let max_wait = |batch: &Batch| match batch.is_empty() {
        true => link_limits.deadlines.keep_alive,
        false => Duration::ZERO,
    };
    let (outbox, up) = (link.outbox(), &link_limits.up);
    while let Some(next) = outbox.next(spare, up.limit(), max_wait(&batch)) {
        spare = match send(uploads, link, next, &mut batch, &mut journal_position) {
            Ok(spare) => spare,
            Err(WriteError::Socket(error)) => {
                return link.close(format!("writing failed: {error}"));
            }
            Err(error) => {
                uploads.on_unservable(&error.to_string());
                return link.close(error.to_string());
            }
        };
    }
    // An outbox that overflowed was closed without a reason. In all other cases the link was closed
    // with a reason before, and it keeps that reason.
    link.close("it does not read what this peer sends");
}

/// Sends one output of the outbox. Returns its emptied buffer, for the next output.
fn send(
    uploads: &dyn UploadSource,
    link: &Link,
    next: NextOutput,
    batch: &mut Batch,
    journal_position: &mut usize,
) -> Result<Vec<u8>, WriteError> {
    let NextOutput {
        mut bytes,
        has_new_pieces,
        block,
    } = next;
    if has_new_pieces {
        for piece in uploads.haves_since(journal_position) {
            PeerMessage::Have(piece.number()).encode_into(&mut bytes);
        }
    }
    let block = block.filter(|block| {
        let serves = uploads.serves(block.piece());
        if !serves && link.remote().fast {
            PeerMessage::Reject((*block).into()).encode_into(&mut bytes);
        }
        serves
    });
    if bytes.is_empty() && !has_new_pieces && block.is_none() && batch.is_empty() {
        PeerMessage::KeepAlive.encode_into(&mut bytes);
    }
    link.stream().write(batch, &bytes)?;
    bytes.clear();
    match block {
        None => link.stream().flush(batch)?,
        Some(block) => {
            send_block(uploads, link, batch, block)?;
            link.on_sent(block.length());
            uploads.on_sent(block.length());
        }
    }
    Ok(bytes)
}

fn send_block(
    uploads: &dyn UploadSource,
    link: &Link,
    batch: &mut Batch,
    block: BlockRange,
) -> Result<(), WriteError> {
    // Nothing can be read from closed files. This is handled like a file that is too short.
    let store = uploads.store().ok_or(WriteError::FileTooShort)?;
    let offset = store.info().lengths().range_offset(block);
    let header = piece_header(block.into());
    link.stream()
        .send_block(batch, &header, &store, offset, block.length().into())
}

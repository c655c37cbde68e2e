//! Copies good pieces from other files, so that they need not be fetched.

use super::verify::verify;
use super::{Store, StoreError};
use crate::system::processors;
use crate::torrent::PieceIndex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Size of the buffer in bytes.
pub(super) const COPY_BUFFER_LENGTH: usize = 1 << 20;

/// Verifies `pieces`. Calls `write` with the bytes of each good piece, in parts of at most
/// [`COPY_BUFFER_LENGTH`] bytes, and with the offset of each part in the share. See [`verify`] for
/// `progress`.
///
/// # Errors
/// The first error of `write`, or [`StoreError::Stopped`].
pub(super) fn copy_good_pieces(
    from: &Store,
    pieces: impl Iterator<Item = PieceIndex> + Send,
    write: impl Fn(u64, &[u8]) -> Result<(), StoreError>,
    stop: &AtomicBool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), StoreError> {
    let lengths = from.info().lengths();
    let good = verify(from, pieces, processors(), stop, progress)?;
    let mut buffer = vec![0; COPY_BUFFER_LENGTH];
    for piece in lengths.all_pieces().filter(|piece| good.contains(*piece)) {
        if stop.load(Ordering::Relaxed) {
            return Err(StoreError::Stopped);
        }
        let (mut offset, mut left) = (lengths.offset(piece), lengths.length(piece) as usize);
        while left > 0 {
            let length = left.min(COPY_BUFFER_LENGTH);
            let chunk = buffer.get_mut(..length).unwrap_or_default();
            if let Err(error) = from.read(offset, chunk) {
                // The file changed while it was copied. This piece is fetched instead.
                log::warn!("cannot copy a piece, so it is fetched: {error}");
                break;
            }
            write(offset, chunk)?;
            offset += length as u64;
            left -= length;
        }
    }
    Ok(())
}

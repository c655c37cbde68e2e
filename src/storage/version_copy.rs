//! Makes what is possible of a version of a share from the files of another version.

use super::copying::copy_good_pieces;
use super::{Download, FileLayout, Store, StoreError};
use crate::torrent::{BLOCK, PieceIndex};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Copies to `new` those of `missing` pieces that the files of another version contain. The files
/// of the two versions belong together if they have the same path. The caller must verify the
/// pieces again, because the files may change while they are copied. `progress` is called with the
/// number of bytes hashed so far.
///
/// # Errors
/// When the copy cannot be written, or [`StoreError::Stopped`].
pub fn copy_from_version(
    new: &Download,
    old: &Store,
    missing: impl Iterator<Item = PieceIndex> + Send,
    stop: &AtomicBool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), StoreError> {
    let layout = FileLayout::all(Arc::clone(new.store().info()));
    // A file cannot be made from a folder, or the reverse.
    let Ok(old) = Store::open(layout, old.path()) else {
        return Ok(());
    };
    let write = |offset, chunk: &[u8]| {
        let blocks: Vec<&[u8]> = chunk.chunks(BLOCK as usize).collect();
        new.write(offset, &blocks)
    };
    copy_good_pieces(&old, missing, write, stop, progress)
}

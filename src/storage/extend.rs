//! A finished choice of files to which more are added: what is in place is checked but never
//! written, and what was fetched comes to it file by file.
//!
//! After a crash at any step a wanted file that is under the final name is in place, and any other
//! is fetched.

use super::in_place::InPlace;
use super::parts_file::PartsFile;
use super::rename::rename_new;
use super::tree::{Access, Folder, missing_is_fine};
use super::verify::verify;
use super::{Store, StoreError};
use crate::system::processors;
use crate::torrent::{Layout, PieceSet};
use std::sync::atomic::AtomicBool;

/// Copies into a file that was just made what the parts file holds of it. What is wrong of that is
/// found as in all of a partial file: it does not verify.
pub(super) fn fill(store: &Store, index: usize, parts: &PartsFile) -> Result<(), StoreError> {
    let Some(entry) = store.info().files().get(index) else {
        return Ok(());
    };
    let piece_length = u64::from(store.info().lengths().piece_length());
    let (start, end) = (entry.offset, entry.offset.saturating_add(entry.length));
    // The pieces of other files reach into the first and the last piece of this one.
    let head = (start / piece_length + 1).saturating_mul(piece_length);
    let tail = end.saturating_sub(1) / piece_length * piece_length;
    let file = store.open_file(index, Access::Write)?;
    for (from, to) in [(start, end.min(head)), (tail.max(head), end)] {
        let copied = parts.copy(from, to, &file, start);
        copied.map_err(|error| StoreError::io("copy to", &store.file_path(index), error))?;
    }
    Ok(())
}

/// Whether the pieces that lie in files in place alone verify.
pub(super) fn check(store: &Store, good: &PieceSet) -> Result<(), StoreError> {
    let layout = store.layout();
    for piece in layout
        .needed_pieces()
        .filter(|piece| !good.contains(*piece))
    {
        let mut files = layout.files_of(piece);
        let is_in_place = |index: usize| store.is_in_place(index);
        if let Some(first) = files.next().filter(|first| is_in_place(*first))
            && files.all(is_in_place)
        {
            return Err(StoreError::Changed(store.file_path(first)));
        }
    }
    Ok(())
}

/// Moves what was fetched from the partial folder `part` to the files in place, and removes it.
pub(super) fn move_files(
    store: &Store,
    in_place: &InPlace,
    parent: &Folder,
    part: &str,
) -> Result<(), StoreError> {
    check_edges(store)?;
    let (Some(from), Some(to)) = (store.root().folder(), in_place.root().folder()) else {
        return Ok(());
    };
    let layout = store.layout();
    for path in store.fetched_files().filter_map(|index| layout.path(index)) {
        from.below(path, false, |from, name| {
            to.below(path, true, |to, same| {
                rename_new((from, name), (to, same), Layout::File)
            })
        })?;
    }
    // Those of files that were moved before a crash too.
    for path in layout.folders_of(layout.wanted_files()).iter().rev() {
        to.below(path, false, |above, name| above.folder(name)?.sync())?;
        missing_is_fine(from.below(path, false, Folder::remove_empty_folder))?;
    }
    to.sync()?;
    parent.remove_empty_folder(part)?;
    parent.sync()
}

/// The files in place must be as they were found, and make whole pieces with what was fetched.
fn check_edges(store: &Store) -> Result<(), StoreError> {
    let layout = store.layout();
    let is_in_place = |index: &usize| store.is_in_place(*index);
    store.look(0, usize::MAX)?;
    let file_of = |piece| layout.files_of(piece).find(is_in_place);
    let edges = layout.needed_pieces().filter(|piece| {
        let mut files = layout.files_of(*piece);
        file_of(*piece).is_some() && !files.all(|index| is_in_place(&index))
    });
    let edges: Vec<_> = edges.collect();
    let threads = processors();
    let never = AtomicBool::new(false);
    let good = verify(store, edges.iter().copied(), threads, &never, &|_| {})?;
    let mut bad = edges.into_iter().filter(|piece| !good.contains(*piece));
    match bad.next().and_then(file_of) {
        Some(index) => Err(StoreError::Changed(store.file_path(index))),
        None => Ok(()),
    }
}

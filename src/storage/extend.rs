//! Adds files to a download that is complete but contains only some files of its share. Files in
//! place are checked but never written. The fetched files are moved next to them, one by one.
//!
//! After a crash at any step, a wanted file under the final name counts as in place, and any other
//! wanted file is fetched. If moving a file takes several steps, the record notes them first, and
//! the next start undoes them.

use super::in_place::InPlace;
use super::parts_file::PartsFile;
use super::rename::RenameSteps;
use super::rename::{NoteSteps, rename_new};
use super::replace::{RecoveredRename, clean_up_file};
use super::tree::{Access, Folder, ignore_missing};
use super::verify::verify;
use super::{Destination, FileLayout, Store, StoreError};
use crate::system::processors;
use crate::torrent::{Layout, PieceSet};
use std::cell::Cell;
use std::sync::atomic::AtomicBool;

/// Copies into the new file `index` those of its bytes that are in the parts file. Like all bytes
/// of a partial file, they are verified later; if they are wrong, their piece is fetched.
pub(super) fn fill(store: &Store, index: usize, parts_file: &PartsFile) -> Result<(), StoreError> {
    let Some(entry) = store.info().files().get(index) else {
        return Ok(());
    };
    let piece_length = u64::from(store.info().lengths().piece_length());
    let (start, end) = (entry.offset, entry.offset.saturating_add(entry.length));
    // Only the first and the last piece of this file can also contain bytes of other files. So the
    // parts file has no bytes of the pieces between them.
    let first_piece_end = (start / piece_length + 1).saturating_mul(piece_length);
    let last_piece_start = end.saturating_sub(1) / piece_length * piece_length;
    let file = store.open_file(index, Access::Write)?;
    let first_part = (start, end.min(first_piece_end));
    let last_part = (last_piece_start.max(first_piece_end), end);
    for (from, to) in [first_part, last_part] {
        let copied = parts_file.copy(from, to, &file, start);
        copied.map_err(|error| StoreError::io("copy to", &store.file_path(index), error))?;
    }
    Ok(())
}

/// Checks that `good` contains every needed piece whose bytes are all in files in place.
pub(super) fn check_files_in_place(store: &Store, good: &PieceSet) -> Result<(), StoreError> {
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

/// Moves the fetched files out of the partial folder, into the folder of the files in place. Then
/// removes the partial folder.
pub(super) fn move_files(
    store: &Store,
    in_place: &InPlace,
    (parent, partial): (&Folder, &str),
    note: NoteSteps<'_>,
) -> Result<(), StoreError> {
    check_before_moving(store)?;
    // One note does for all files: `undo_moves` looks at each wanted file. It is made before the
    // first file that needs several steps.
    let is_noted = Cell::new(false);
    let note = |steps: RenameSteps| match is_noted.replace(true) {
        true => Ok(()),
        false => note(steps),
    };
    let (Some(from), Some(to)) = (store.root().folder(), in_place.root().folder()) else {
        return Ok(());
    };
    let layout = store.layout();
    for path in store
        .files_to_fetch()
        .filter_map(|index| layout.path(index))
    {
        from.with_parent(path, false, |from, name| {
            to.with_parent(path, true, |to, new_name| {
                rename_new((from, name), (to, new_name), Layout::File, &note)
            })
        })?;
    }
    // The folders of all wanted files, not only of those moved just now: other files may have been
    // moved before a crash.
    for path in layout.folders_of(layout.wanted_files()).iter().rev() {
        to.with_parent(path, false, |above, name| above.folder(name)?.sync())?;
        ignore_missing(from.with_parent(path, false, Folder::remove_empty_folder))?;
    }
    to.sync()?;
    parent.remove_empty_folder(partial)?;
    parent.sync()
}

/// Cleans up after `move_files` if a crash has interrupted its noted steps. Afterwards each wanted
/// file has either its name in the partial folder or its final name, and the empty files that
/// `move_files` makes to reserve final names are removed. Returns [`RecoveredRename::Unknown`] if
/// the partial folder is not there: all files were moved, or the disk is not mounted.
///
/// # Errors
/// An error of the file system.
pub fn undo_moves(
    files: &FileLayout,
    destination: &Destination,
    partial: &str,
) -> Result<RecoveredRename, StoreError> {
    let parent = match destination.open_folder() {
        Err(error) if error.is_absence() => return Ok(RecoveredRename::Unknown),
        opened => opened?,
    };
    if parent.entry(partial)?.is_none() {
        return Ok(RecoveredRename::Unknown);
    }
    if parent.entry(&destination.name)?.is_none() {
        return Ok(RecoveredRename::Undone);
    }
    let (from, to) = (parent.folder(partial)?, parent.folder(&destination.name)?);
    let wanted = files.wanted_files().filter_map(|index| files.path(index));
    for path in wanted {
        ignore_missing(from.with_parent(path, false, |from, name| {
            to.with_parent(path, false, |to, new_name| {
                clean_up_file((from, name), (to, new_name))
            })
        }))?;
    }
    Ok(RecoveredRename::Undone)
}

/// Checks that the files in place have not changed since they were found. Each piece with bytes of
/// both a file in place and a fetched file must be good too.
fn check_before_moving(store: &Store) -> Result<(), StoreError> {
    let layout = store.layout();
    let is_in_place = |index: &usize| store.is_in_place(*index);
    store.check_paths(0, usize::MAX)?;
    let in_place_file_of = |piece| layout.files_of(piece).find(is_in_place);
    let edges = layout.needed_pieces().filter(|piece| {
        let mut files = layout.files_of(*piece);
        in_place_file_of(*piece).is_some() && !files.all(|index| is_in_place(&index))
    });
    let edges: Vec<_> = edges.collect();
    let threads = processors();
    let never = AtomicBool::new(false);
    let good = verify(store, edges.iter().copied(), threads, &never, &|_| {})?;
    let mut bad = edges.into_iter().filter(|piece| !good.contains(*piece));
    match bad.next().and_then(in_place_file_of) {
        Some(index) => Err(StoreError::Changed(store.file_path(index))),
        None => Ok(()),
    }
}

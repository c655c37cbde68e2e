//! Makes what is possible of a download from the files of an older version of its share, before
//! anything is fetched. Everything that is copied is verified.

use super::copying::COPY_BUFFER_LENGTH;
use super::holes::is_hole_in_file;
use super::tree::Access;
use super::verify::{HashJob, hash_jobs};
use super::{Download, OldVersion, Store, StoreError};
use crate::system::{lock, processors, recover};
use crate::torrent::{BLOCK, Hasher, Info, LocalFiles, PieceIndex, PieceSet, Sha1, file_parts};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Copies the unchanged files that are neither linked nor complete yet. Returns the files whose
/// content is in the partial file or folder now: those that are linked, and those whose SHA-1 is
/// right. `progress` is called with the number of bytes hashed so far.
///
/// # Errors
/// When the copy cannot be written, or [`StoreError::Stopped`].
pub fn copy_unchanged_files(
    new: &Download,
    old: &OldVersion,
    stop: &AtomicBool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<LocalFiles, StoreError> {
    let store = new.store();
    let unchanged = store
        .files_to_fetch()
        .filter_map(|index| Some((index, old.origin(index)?)));
    let unchanged: Vec<(usize, usize)> = unchanged.collect();
    let written = unchanged.iter().map(|(index, _)| *index);
    let written = written.filter(|index| is_written(store, *index)).collect();
    let mut complete = complete_files(store, written, stop, progress)?;
    for (index, origin) in unchanged {
        if !complete.contains(&index) && copy_file(new, old.store(), (index, origin), stop)? {
            complete.insert(index);
        }
    }
    let is_here = |index| store.is_linked(index) || complete.contains(&index);
    Ok(LocalFiles::new(store.info(), is_here))
}

/// Copies the pieces of `missing` that the old version also has, perhaps at another place. Adds
/// those whose hash is right to `owned`.
///
/// # Errors
/// See [`copy_unchanged_files`].
pub fn copy_equal_pieces(
    new: &Download,
    old: &OldVersion,
    missing: impl Iterator<Item = PieceIndex>,
    owned: &mut PieceSet,
    stop: &AtomicBool,
) -> Result<(), StoreError> {
    let (lengths, old_store) = (new.store().info().lengths(), old.store());
    for piece in missing {
        let Some(equal) = old.equal_piece(piece) else {
            continue;
        };
        let from = old_store.info().lengths().offset(equal);
        let (to, length) = (lengths.offset(piece), lengths.length(piece).into());
        let hash = copy(new, old_store, (from, to), length, stop)?;
        if hash == Some(new.store().info().piece_hash(piece)) {
            owned.insert(piece);
        }
    }
    Ok(())
}

/// Makes pieces of `missing` from changed files: a changed file may still have the bytes of the old
/// file at its path, although its place in the share is another one. The bytes of `local` files are
/// here already. Adds the pieces whose hash is right to `owned`.
///
/// # Errors
/// See [`copy_unchanged_files`].
pub fn copy_from_changed_files(
    new: &Download,
    old: &OldVersion,
    local: &LocalFiles,
    missing: impl Iterator<Item = PieceIndex>,
    owned: &mut PieceSet,
    stop: &AtomicBool,
) -> Result<(), StoreError> {
    let info = new.store().info();
    for piece in missing {
        let Some(parts) = parts_from_changed_files(info, old, local, piece) else {
            continue;
        };
        let expected = Some(info.piece_hash(piece));
        // The piece is hashed first, so that nothing is written that must be fetched anyway.
        if assemble(new, old.store(), &parts, stop, false)? == expected
            && assemble(new, old.store(), &parts, stop, true)? == expected
        {
            owned.insert(piece);
        }
    }
    Ok(())
}

/// A part of a piece.
struct PiecePart {
    /// Offset in the old version. `None` if the bytes are in the download already.
    from: Option<u64>,
    /// Offset in the new version.
    to: u64,
    length: u64,
}

/// Where the bytes of a piece may be. `None` if some are nowhere, or if all are in the download.
fn parts_from_changed_files(
    info: &Info,
    old: &OldVersion,
    local: &LocalFiles,
    piece: PieceIndex,
) -> Option<Vec<PiecePart>> {
    let (mut to, length) = (info.lengths().offset(piece), info.lengths().length(piece));
    let mut parts = Vec::new();
    for part in file_parts(info, to, length.into()) {
        let from = match local.contains(part.index) {
            true => None,
            false => {
                let source = old.source(part.index)?;
                let file = old.store().info().files().get(source)?;
                let end = part.offset.checked_add(part.length)?;
                Some(
                    file.offset
                        .checked_add(part.offset)
                        .filter(|_| end <= file.length)?,
                )
            }
        };
        let length = part.length;
        parts.push(PiecePart { from, to, length });
        to = to.saturating_add(length);
    }
    parts
        .iter()
        .any(|part| part.from.is_some())
        .then_some(parts)
}

/// The SHA-1 of the bytes of all parts. With `writes`, also copies those of the old version. `None`
/// if something cannot be read.
fn assemble(
    new: &Download,
    old: &Store,
    parts: &[PiecePart],
    stop: &AtomicBool,
    writes: bool,
) -> Result<Option<Sha1>, StoreError> {
    let mut hasher = Hasher::new();
    for PiecePart { from, to, length } in parts {
        let (store, at) = from.map_or((&**new.store(), *to), |from| (old, from));
        let write = |done: u64, part: &[u8]| match from.filter(|_| writes) {
            Some(_) => write_chunk(new, to.saturating_add(done), part),
            None => Ok(()),
        };
        if !read_chunks(store, at, *length, stop, &mut hasher, write)? {
            return Ok(None);
        }
    }
    Ok(Some(hasher.finish()))
}

/// Whether something was written to a file of the download, so that it may be complete.
fn is_written(store: &Store, index: usize) -> bool {
    let file = store.open_file(index, Access::Read);
    file.is_ok_and(|file| !is_hole_in_file(&file, 0, store.layout().length(index)))
}

/// The files of `indices` whose SHA-1 is right.
fn complete_files(
    store: &Store,
    indices: Vec<usize>,
    stop: &AtomicBool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<BTreeSet<usize>, StoreError> {
    let complete = Mutex::new(BTreeSet::new());
    let jobs = indices.into_iter().map(HashJob::File);
    hash_jobs(store, jobs, processors(), stop, progress, |job, hash| {
        let HashJob::File(index) = job else {
            return Ok(());
        };
        let expected = store.info().files().get(index).and_then(|file| file.sha1);
        if let Ok(hash) = hash
            && Some(hash) == expected
        {
            lock(&complete).insert(index);
        }
        Ok(())
    })?;
    Ok(recover(complete.into_inner()))
}

/// Copies an unchanged file. Returns whether its SHA-1 is right.
fn copy_file(
    new: &Download,
    old: &Store,
    (index, origin): (usize, usize),
    stop: &AtomicBool,
) -> Result<bool, StoreError> {
    let (Some(file), Some(old_file)) = (
        new.store().info().files().get(index),
        old.info().files().get(origin),
    ) else {
        return Ok(false);
    };
    let hash = copy(new, old, (old_file.offset, file.offset), file.length, stop)?;
    Ok(hash.is_some() && hash == file.sha1)
}

/// Copies `length` bytes from the offset `from` of the old version to the offset `to` of the new
/// one. Returns the SHA-1 of what was written. `None` if the old version cannot be read.
fn copy(
    new: &Download,
    old: &Store,
    (from, to): (u64, u64),
    length: u64,
    stop: &AtomicBool,
) -> Result<Option<Sha1>, StoreError> {
    let mut hasher = Hasher::new();
    let write = |done: u64, part: &[u8]| write_chunk(new, to.saturating_add(done), part);
    let is_read = read_chunks(old, from, length, stop, &mut hasher, write)?;
    Ok(is_read.then(|| hasher.finish()))
}

fn write_chunk(new: &Download, to: u64, part: &[u8]) -> Result<(), StoreError> {
    new.write(to, &part.chunks(BLOCK as usize).collect::<Vec<_>>())
}

/// Reads `length` bytes from `offset` on, adds them to `hasher`, and calls `write` with each chunk
/// and the number of bytes before it. Returns `false` if something cannot be read.
fn read_chunks(
    store: &Store,
    offset: u64,
    length: u64,
    stop: &AtomicBool,
    hasher: &mut Hasher,
    write: impl Fn(u64, &[u8]) -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    let mut buffer = vec![0; length.min(COPY_BUFFER_LENGTH as u64) as usize];
    let mut done = 0;
    while done < length {
        if stop.load(Ordering::Relaxed) {
            return Err(StoreError::Stopped);
        }
        let size = (length - done).min(COPY_BUFFER_LENGTH as u64) as usize;
        let part = buffer.get_mut(..size).unwrap_or_default();
        if let Err(error) = store.read(offset.saturating_add(done), part) {
            log::warn!("cannot copy from the older version, so more is fetched: {error}");
            return Ok(false);
        }
        hasher.update(part);
        write(done, part)?;
        done += size as u64;
    }
    Ok(true)
}

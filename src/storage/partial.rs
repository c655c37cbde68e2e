//! The files of a partial download: making them and reserving their space, syncing and removing
//! them.

use super::holes::release_holes;
use super::optional::{OptionalCall, sync_file, warn_if_missing};
use super::parts_file::PartsFile;
use super::reserve::{can_reserve_cheaply, check_space, reserve};
use super::tree::{Access, Folder, ignore_missing, metadata};
use super::{FileStamp, StampMatch, Store, StoreError};
use crate::system::umask;
use crate::torrent::ModifiedTimes;
use nix::unistd::syncfs;
use std::collections::HashSet;
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, UNIX_EPOCH};

/// With this many files or more, one sync of the whole file system replaces a sync of each file.
const SYNC_TOGETHER_FROM: usize = 128;

/// Makes all files to be fetched, with their full length. Reserves their space on disk where that
/// is cheap. Returns the indexes of the files that grew from 0 bytes to their full length. Checks
/// that these files fit on the disk. How much space the other files still need is known only after
/// they have been hashed.
pub(super) fn make_files(store: &Store) -> Result<Vec<usize>, StoreError> {
    let layout = store.layout();
    let (mut seen, mut empty, mut needed) = (HashSet::new(), Vec::new(), 0u64);
    for index in store.files_to_fetch() {
        let file = store.open_file(index, Access::Create)?;
        let metadata = check_existing(store, index, &file)?;
        if !seen.insert((metadata.dev(), metadata.ino())) {
            return Err(StoreError::SameFile(store.file_path(index)));
        }
        if metadata.len() != layout.length(index) {
            needed = needed.saturating_add(layout.length(index));
            empty.push(index);
        }
    }
    let folder = store.root().handle()?;
    check_space(&folder, store.path(), needed)?;
    let cheap = can_reserve_cheaply(&folder);
    for index in &empty {
        let (file, path) = (
            store.open_file(*index, Access::Write)?,
            store.file_path(*index),
        );
        let made = reserve(&file, &path, layout.length(*index), cheap);
        made.map_err(|error| StoreError::io("make room for", &path, error))?;
    }
    Ok(empty)
}

/// The space that a partial download still needs on its disk, in bytes. `missing` is the number of
/// bytes that are to be fetched. The result is 0 if the file system can reserve space cheaply: then
/// the space is reserved, except for holes, which belong to pieces of zeros, and for cloned files.
pub fn space_needed(store: &Store, missing: u64) -> u64 {
    let folder = store.root().handle();
    if folder.is_ok_and(|folder| can_reserve_cheaply(&folder)) {
        // Nothing is reserved for cloned files.
        let sharing = store.linked_files().lock();
        let cloned = sharing
            .cloned
            .iter()
            .map(|index| store.layout().length(*index));
        return cloned.fold(0, u64::saturating_add).min(missing);
    }
    let unreserved = store.files_to_fetch().try_fold(0u64, |sum, index| {
        let file = store.open_file(index, Access::Read)?;
        let metadata = metadata(&file, || store.file_path(index))?;
        let reserved = metadata.blocks().saturating_mul(512).min(metadata.len());
        let unreserved = store.layout().length(index).saturating_sub(reserved);
        Ok::<u64, StoreError>(sum.saturating_add(unreserved))
    });
    unreserved.map_or(missing, |unreserved| unreserved.min(missing))
}

/// Checks that an existing file can belong to this download.
fn check_existing(store: &Store, index: usize, file: &File) -> Result<Metadata, StoreError> {
    let path = || store.file_path(index);
    let metadata = metadata(file, path)?;
    let found = metadata.len();
    if metadata.nlink() > 1 || found != 0 && found != store.layout().length(index) {
        return Err(StoreError::Foreign(path()));
    }
    Ok(metadata)
}

/// Sets the executable bits and the times of the files, and syncs the files and their folders.
pub(super) fn complete_files(
    store: &Store,
    parts_file: Option<&PartsFile>,
    times: Option<&ModifiedTimes>,
) -> Result<(), StoreError> {
    // Holes are released only where space was reserved. On other file systems, nothing was
    // reserved, and data that is not on the disk yet may look like a hole.
    let has_reserved = can_reserve_cheaply(&*store.root().handle()?);
    for index in store.files_to_fetch() {
        let file = store.open_file(index, Access::Write)?;
        // Fails if the file does not have its full length.
        store.stamp(index, &file)?;
        let entry = store.info().files().get(index);
        let path = || store.file_path(index);
        if entry.is_some_and(|file| file.attributes.executable) {
            warn_if_missing(OptionalCall::ChangeMode, &path(), allow_execution(&file))
                .map_err(|error| StoreError::io("make executable", &path(), error))?;
        }
        if has_reserved {
            release_holes(&file, store.layout().length(index));
        }
        // Last, because the other changes set the time too.
        if let Some(time) = times.and_then(|times| times.of(index)) {
            warn_if_missing(OptionalCall::SetTimes, &path(), set_time(&file, time))
                .map_err(|error| StoreError::io("set the time of", &path(), error))?;
        }
    }
    if let Some(parts_file) = parts_file {
        let synced = sync_file(&*parts_file.handle()?, parts_file.path());
        synced.map_err(|error| StoreError::io("sync", parts_file.path(), error))?;
    }
    if store.files_to_fetch().count() >= SYNC_TOGETHER_FROM && sync_file_system(store)? {
        return Ok(());
    }
    for index in store.files_to_fetch() {
        let (file, path) = (
            store.open_file(index, Access::Write)?,
            store.file_path(index),
        );
        let synced = sync_file(&file, &path);
        synced.map_err(|error| StoreError::io("sync", &path, error))?;
    }
    let Some(folder) = store.root().folder() else {
        return Ok(());
    };
    for path in store.layout().folders_of(store.partial_files()) {
        folder.with_parent(&path, false, |above, name| above.folder(name)?.sync())?;
    }
    folder.sync()
}

/// Sets the modification time, in nanoseconds since 1970.
fn set_time(file: &File, time: i64) -> io::Result<()> {
    let distance = Duration::from_nanos(time.unsigned_abs());
    let time = match time {
        0.. => UNIX_EPOCH.checked_add(distance),
        _ => UNIX_EPOCH.checked_sub(distance),
    };
    time.map_or(Ok(()), |time| file.set_modified(time))
}

/// Syncs the whole file system. Returns `false` if the file system does not support this.
fn sync_file_system(store: &Store) -> Result<bool, StoreError> {
    let (folder, path) = (store.root().handle()?, store.path());
    let synced = syncfs(&folder).map_err(io::Error::from);
    warn_if_missing(OptionalCall::SyncFolder, path, synced)
        .map_err(|error| StoreError::io("sync", path, error))
}

/// Removes all files of a partial folder that the download makes, complete or not, and the folders
/// that become empty.
pub(super) fn remove_files(store: &Store) -> Result<(), StoreError> {
    let Some(folder) = store.root().folder() else {
        return Ok(());
    };
    let layout = store.layout();
    for path in store.partial_files().filter_map(|index| layout.path(index)) {
        ignore_missing(folder.with_parent(path, false, Folder::remove_file))?;
    }
    for path in layout.folders_of(layout.wanted_files()).iter().rev() {
        let removed = folder.with_parent(path, false, Folder::remove_empty_folder);
        ignore_missing(removed)?;
    }
    Ok(())
}

/// Checks that the linked files are still as they were when they were verified.
pub(super) fn check_linked_files(store: &Store) -> Result<(), StoreError> {
    let stamps = store.linked_files().lock().linked.clone();
    for (index, stamp) in &stamps {
        let now = store.stamp(*index, &*store.open_file(*index, Access::Read)?)?;
        if stamp.compare(&now) != StampMatch::Same {
            return Err(StoreError::Changed(store.file_path(*index)));
        }
    }
    Ok(())
}

/// The `stamps` of all files, but for each linked file the stamp with which it was verified.
pub(super) fn with_linked_stamps(store: &Store, mut stamps: Vec<FileStamp>) -> Vec<FileStamp> {
    let sharing = store.linked_files().lock();
    for (stamp, index) in stamps.iter_mut().zip(store.layout().wanted_files()) {
        if let Some(linked) = sharing.linked.get(&index) {
            *stamp = *linked;
        }
    }
    stamps
}

/// Sets the times of files that were linked, after the older version is gone.
pub(super) fn set_times_of_linked(store: &Store, times: Option<&ModifiedTimes>) {
    let Some(times) = times else {
        return;
    };
    let linked: Vec<usize> = store.linked_files().lock().linked.keys().copied().collect();
    for index in linked {
        let set = times
            .of(index)
            .map_or(Ok(()), |time| set_time_of_linked(store, index, time));
        if let Err(error) = set {
            return log::warn!("{error}");
        }
    }
}

/// Sets the time of a file that was linked, and its stamp. A file that still has other links stays
/// as it is, because they may be anybody's. So does a file that somebody has changed: its new time
/// shows that.
fn set_time_of_linked(store: &Store, index: usize, time: i64) -> Result<(), StoreError> {
    let path = || store.file_path(index);
    let file = store.open_file(index, Access::Read)?;
    // While the lock is held, nobody compares the file with its stamp.
    let mut sharing = store.linked_files().lock();
    let Some(stamp) = sharing.linked.get_mut(&index) else {
        return Ok(());
    };
    let found = metadata(&file, path)?;
    let now = FileStamp::of(&found);
    if stamp.compare(&now) != StampMatch::Same || now.modified_ns == time || found.nlink() > 1 {
        return Ok(());
    }
    set_time(&file, time).map_err(|error| StoreError::io("set the time of", &path(), error))?;
    let now = FileStamp::of(&metadata(&file, path)?);
    // Some file systems round times down. A later time would be that of a change.
    let is_unchanged = now.length == stamp.length && now.modified_ns <= time;
    stamp.modified_ns = match is_unchanged {
        true => now.modified_ns,
        false => time,
    };
    Ok(())
}

/// Allows execution for everyone who may read, as far as the umask allows.
fn allow_execution(file: &File) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode();
    file.set_permissions(Permissions::from_mode(
        mode | (mode & 0o444) >> 2 & !umask(),
    ))
}

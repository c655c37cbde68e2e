//! The files of a partial download: made with their room on the disk, synced, removed.

use super::parts_file::PartsFile;
use super::reserve::{check_space, is_cheap, reserve};
use super::tree::{Access, Folder, missing_is_fine};
use super::{Store, StoreError};
use nix::unistd::syncfs;
use std::collections::HashSet;
use std::fs::{File, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// From that many files on, the whole file system is synced at once instead of each file.
const MANY: usize = 128;

/// Makes all files that are to be fetched, each with its length and, where that is cheap, its room
/// on the disk. Returns those that had no length before.
pub(super) fn make_files(store: &Store, is_new: bool) -> Result<Vec<usize>, StoreError> {
    let reserved = if is_new { 0 } else { reserved(store)? };
    let lengths = store
        .fetched_files()
        .map(|index| store.layout().length(index));
    let total: u64 = lengths.sum();
    let folder = store.root().as_file();
    check_space(folder, store.path(), total.saturating_sub(reserved))?;
    let cheap = is_cheap(folder);
    let (mut seen, mut made) = (HashSet::new(), Vec::new());
    for index in store.fetched_files() {
        let file = store.open_file(index, Access::Create)?;
        let metadata = fits(store, index, &file)?;
        if !seen.insert((metadata.dev(), metadata.ino())) {
            return Err(StoreError::SameFile(store.file_path(index)));
        }
        let length = store.layout().length(index);
        if metadata.len() != length {
            let reserved = reserve(&file, length, cheap);
            reserved
                .map_err(|error| StoreError::io("make room for", &store.file_path(index), error))?;
            made.push(index);
        }
    }
    Ok(made)
}

/// Whether a file that is there can be one of this download's.
fn fits(store: &Store, index: usize, file: &File) -> Result<Metadata, StoreError> {
    let path = || store.file_path(index);
    let metadata = file.metadata();
    let metadata = metadata.map_err(|error| StoreError::io("look at", &path(), error))?;
    let found = metadata.len();
    if metadata.nlink() > 1 || found != 0 && found != store.layout().length(index) {
        return Err(StoreError::Foreign(path()));
    }
    Ok(metadata)
}

/// Number of bytes of the share that have their room on the disk already.
fn reserved(store: &Store) -> Result<u64, StoreError> {
    let mut reserved = 0;
    for index in store.fetched_files() {
        match store.open_file(index, Access::Read) {
            Ok(file) => {
                let metadata = file.metadata();
                let metadata = metadata
                    .map_err(|error| StoreError::io("look at", &store.file_path(index), error))?;
                reserved += metadata.blocks().saturating_mul(512).min(metadata.len());
            }
            Err(StoreError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(reserved)
}

/// Gives the files their executable bits and syncs them and the folders they are in.
pub(super) fn sync_files(store: &Store, parts: Option<&PartsFile>) -> Result<(), StoreError> {
    let many = store.fetched_files().count() >= MANY;
    for index in store.fetched_files() {
        let file = store.open_file(index, Access::Write)?;
        store.stamp(index, &file)?;
        let entry = store.info().files().get(index);
        let path = || store.file_path(index);
        if entry.is_some_and(|file| file.attributes.executable) {
            allow_execution(&file)
                .map_err(|error| StoreError::io("make executable", &path(), error))?;
        }
        if !many {
            let synced = file.sync_all();
            synced.map_err(|error| StoreError::io("sync", &path(), error))?;
        }
    }
    if let Some(parts) = parts {
        let synced = parts.file().sync_all();
        synced.map_err(|error| StoreError::io("sync", parts.path(), error))?;
    }
    let Some(folder) = store.root().folder() else {
        return Ok(());
    };
    if many {
        let synced = syncfs(folder.as_file());
        return synced.map_err(|errno| StoreError::io("sync", store.path(), errno));
    }
    for path in store.layout().folders_of(store.fetched_files()) {
        folder.below(&path, false, |above, name| above.folder(name)?.sync())?;
    }
    folder.sync()
}

/// Removes the fetched files of a partial folder, and the folders in it that become empty.
pub(super) fn remove_files(store: &Store) -> Result<(), StoreError> {
    let Some(folder) = store.root().folder() else {
        return Ok(());
    };
    let layout = store.layout();
    for path in store.fetched_files().filter_map(|index| layout.path(index)) {
        missing_is_fine(folder.below(path, false, Folder::remove_file))?;
    }
    for path in layout.folders_of(layout.wanted_files()).iter().rev() {
        let removed = folder.below(path, false, Folder::remove_empty_folder);
        missing_is_fine(removed)?;
    }
    Ok(())
}

/// Execution for everyone who may read.
fn allow_execution(file: &File) -> std::io::Result<()> {
    let mode = file.metadata()?.permissions().mode();
    file.set_permissions(Permissions::from_mode(mode | (mode & 0o444) >> 2))
}

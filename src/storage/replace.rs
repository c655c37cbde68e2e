//! Removing a folder that a download replaced.

use super::Destination;
use crate::torrent::{Info, Layout};
use std::io;
use std::path::Path;

/// What to do with the files of a replaced folder that the new folder does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraFiles {
    /// Remove them with the old folder.
    Remove,
    /// Move them into the new folder.
    Keep,
}

/// Removes the old folder after a crash: the replacement is complete, but the process ended before
/// it removed the old folder.
pub fn remove_replaced(info: &Info, destination: &Destination, extra_files: ExtraFiles) {
    // A file is replaced in one step. An old folder has the name of the partial folder, because the
    // two were exchanged.
    if info.layout() == Layout::Folder {
        let old = destination
            .folder
            .join(destination.partial_name(info.info_hash()));
        if old.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            remove_old_folder(&old, &destination.path(), extra_files);
        }
    }
}

/// Removes a replaced folder. Only logs an error, because the download itself is complete.
pub(super) fn remove_old_folder(old: &Path, new: &Path, extra_files: ExtraFiles) {
    let moved = match extra_files {
        ExtraFiles::Remove => Ok(()),
        ExtraFiles::Keep => move_extra_files(old, new),
    };
    if let Err(error) = moved.and_then(|()| std::fs::remove_dir_all(old)) {
        log::warn!(
            "cannot remove the replaced folder {}: {error}",
            old.display()
        );
    }
}

/// Moves the entries of the folder `old` that `new` does not have into `new`. Can be called again
/// after a crash.
fn move_extra_files(old: &Path, new: &Path) -> io::Result<()> {
    for entry in old.read_dir()? {
        let entry = entry?;
        let (old, new) = (entry.path(), new.join(entry.file_name()));
        match new.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::rename(old, new)?,
            Err(error) => return Err(error),
            Ok(there) => match (entry.file_type()?.is_dir(), there.is_dir()) {
                (true, true) => move_extra_files(&old, &new)?,
                // Both folders have this file; it is part of the share.
                (false, false) => {}
                _ => return Err(io::ErrorKind::AlreadyExists.into()),
            },
        }
    }
    Ok(())
}

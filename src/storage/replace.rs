//! Removing a folder that a download replaced, and undoing the steps of a rename that a crash has
//! interrupted.

use super::rename::{RenameSteps, rename_new};
use super::tree::{Folder, has_layout};
use super::{Destination, FormerVersion, StoreError};
use crate::torrent::Layout;
use nix::sys::stat::FileStat;
use std::io;
use std::path::Path;

/// What to do with the files of a replaced folder that the new folder does not have.
#[derive(Clone, Debug)]
pub enum ExtraFiles {
    /// Remove them with the old folder.
    Remove,
    /// Move them into the new folder.
    Keep,
    /// The old folder has a version of the share. Remove the files of this version, and move all
    /// others into the new folder.
    KeepForeign(FormerVersion),
}

/// What became of a rename to the final name: the result of [`recover_rename`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveredRename {
    /// It was not made, or is undone now: the replaced folder has its name again, and the download
    /// can be finished later.
    Undone,
    /// All of it was done: the download has the final name. A replaced folder may still be there;
    /// [`remove_replaced`] removes it.
    Done,
    /// Only the content of the files can show whether it was made, or the disk is not mounted.
    Unknown,
}

/// Undoes the noted steps of a rename that a crash has interrupted. Undoes nothing if all of them
/// were done.
///
/// # Errors
/// [`StoreError::SetAside`] if something else has taken the final name meanwhile. Any other error
/// of the file system.
pub fn recover_rename(
    destination: &Destination,
    partial: &str,
    layout: Layout,
    steps: &RenameSteps,
) -> Result<RecoveredRename, StoreError> {
    let parent = match destination.open_folder() {
        Err(error) if error.is_absence() => return Ok(RecoveredRename::Unknown),
        opened => opened?,
    };
    let name = &*destination.name;
    let (at_partial, at_final) = (parent.entry(partial)?, parent.entry(name)?);
    let has_inode = |entry: Option<FileStat>, inode| entry.is_some_and(|it| it.st_ino == inode);
    Ok(match steps {
        RenameSteps::Done if at_final.is_some() => RecoveredRename::Done,
        RenameSteps::Replace { inode } if has_inode(at_final, *inode) => RecoveredRename::Done,
        RenameSteps::Replace { inode } if has_inode(at_partial, *inode) => RecoveredRename::Undone,
        RenameSteps::Done | RenameSteps::Replace { .. } => RecoveredRename::Unknown,
        RenameSteps::New | RenameSteps::SetAside { .. } if at_partial.is_none() => {
            RecoveredRename::Unknown
        }
        RenameSteps::New => {
            undo_new(&parent, partial, name, layout)?;
            RecoveredRename::Undone
        }
        RenameSteps::SetAside { aside } => {
            put_back(&parent, aside, name)?;
            RecoveredRename::Undone
        }
    })
}

/// Gives a replaced folder its name back.
fn put_back(parent: &Folder, aside: &str, name: &str) -> Result<(), StoreError> {
    // An empty folder is only a placeholder. Of the steps in `rename::replacement_steps`, the first
    // makes an empty `aside` and the third an empty `name`. An earlier undo that a crash has
    // interrupted can have left an empty `name` too (by the rename below).
    parent.remove_empty_folder(aside)?;
    if parent.entry(aside)?.is_none() {
        return Ok(());
    }
    parent.remove_empty_folder(name)?;
    // This rename may take several steps too, but they need no note. The existing note stays in the
    // record until everything is undone. So after a crash, the next start calls this function
    // again.
    let no_note = |_: RenameSteps| Ok(());
    let renamed = rename_new((parent, aside), (parent, name), Layout::Folder, &no_note);
    renamed.map_err(|error| match error {
        StoreError::Exists(path) => StoreError::SetAside {
            path,
            aside: parent.path().join(aside),
        },
        error => error,
    })?;
    parent.sync()
}

/// Undoes the steps of a download that replaces nothing.
fn undo_new(parent: &Folder, partial: &str, name: &str, layout: Layout) -> Result<(), StoreError> {
    if layout == Layout::Folder {
        return parent.remove_empty_folder(name);
    }
    clean_up_file((parent, partial), (parent, name))
}

/// Cleans up after an interrupted rename of a file. If an empty placeholder has the new name,
/// removes the placeholder. If the file has both names, removes the old name, which completes the
/// rename.
pub(super) fn clean_up_file(
    (old, from): (&Folder, &str),
    (new, to): (&Folder, &str),
) -> Result<(), StoreError> {
    let (Some(at_old), Some(at_new)) = (old.entry(from)?, new.entry(to)?) else {
        return Ok(());
    };
    if (at_old.st_dev, at_old.st_ino) == (at_new.st_dev, at_new.st_ino) {
        return old.remove_file(from);
    }
    match has_layout(&at_new, Layout::File) && at_new.st_size == 0 {
        true => new.remove_file(to),
        false => Ok(()),
    }
}

/// Removes the old folder after a crash: the replacement is complete, but the process ended before
/// it removed the old folder. The old folder has the name of the partial folder if the two were
/// exchanged, otherwise the name `aside`. A file is replaced in one step, so there is nothing to
/// remove.
pub fn remove_replaced(
    destination: &Destination,
    partial: &str,
    aside: Option<&str>,
    extra_files: &ExtraFiles,
) {
    for name in [Some(partial), aside].into_iter().flatten() {
        let old = destination.folder.join(name);
        if old.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            remove_old_folder(&old, &destination.path(), extra_files);
        }
    }
}

/// Removes a replaced folder. If that fails, the error is only logged, because the download itself
/// is complete.
pub(super) fn remove_old_folder(old: &Path, new: &Path, extra_files: &ExtraFiles) {
    let moved = match extra_files {
        ExtraFiles::Remove => Ok(()),
        ExtraFiles::Keep => move_extra_files(old, new),
        ExtraFiles::KeepForeign(former) => former
            .remove_files(old)
            .map_err(io::Error::other)
            .and_then(|()| move_extra_files(old, new)),
    };
    if let Err(error) = moved.and_then(|()| std::fs::remove_dir_all(old)) {
        log::warn!(
            "cannot remove the replaced folder {}: {error}",
            old.display()
        );
    }
}

/// Moves into the folder `new` each entry that only the folder `old` has. Can be called again after
/// a crash.
fn move_extra_files(old: &Path, new: &Path) -> io::Result<()> {
    for entry in old.read_dir()? {
        let entry = entry?;
        let (old, new) = (entry.path(), new.join(entry.file_name()));
        match new.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::rename(old, new)?,
            Err(error) => return Err(error),
            Ok(existing) => match (entry.file_type()?.is_dir(), existing.is_dir()) {
                (true, true) => move_extra_files(&old, &new)?,
                // Both folders have this file; it is part of the share.
                (false, false) => {}
                _ => return Err(io::ErrorKind::AlreadyExists.into()),
            },
        }
    }
    Ok(())
}

//! Removing a folder that a download replaced, and undoing the steps of a rename that a crash has
//! interrupted.

use super::rename::{RenameSteps, rename_new};
use super::tree::{Folder, has_layout};
use super::{Destination, FormerVersion, StoreError};
use crate::torrent::Layout;
use nix::sys::stat::FileStat;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::io;
use std::path::{Path, PathBuf};

/// What to do with the old files when a download replaces a file or folder.
#[derive(Clone, Debug)]
pub enum ExtraFiles {
    /// Remove the old folder with all files.
    Remove,
    /// Move the files that only the old folder has into the new folder, and remove all others.
    Keep,
    /// The old file or folder is a version of the share. Remove the files of this version that are
    /// unchanged, and move files that only the old folder has into the new folder. What is left
    /// then stays, under the name that the old file or folder got. It is removed only if the
    /// replacement is forced.
    KeepForeign(FormerVersion),
    /// Nothing is known of the old files any more. All of them stay, under the name that the old
    /// file or folder got.
    Leave,
}

impl ExtraFiles {
    /// Whether a replaced file must keep a name, so that it can be examined.
    pub(super) fn keeps_old_file(&self) -> bool {
        matches!(self, Self::KeepForeign(_) | Self::Leave)
    }
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
            match layout {
                Layout::Folder => put_back(&parent, aside, name)?,
                Layout::File => put_back_file(&parent, aside, name)?,
            }
            RecoveredRename::Undone
        }
    })
}

/// Removes the second name that a file got before another one was to replace it.
fn put_back_file(parent: &Folder, aside: &str, name: &str) -> Result<(), StoreError> {
    let (at_aside, at_name) = (parent.entry(aside)?, parent.entry(name)?);
    if let (Some(one), Some(other)) = (at_aside, at_name)
        && (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
    {
        parent.remove_file(aside)?;
    }
    Ok(())
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

/// Removes the old file or folder after a crash: the replacement is complete, but the process ended
/// before it removed the old one. It has the name of the partial file or folder if the two were
/// exchanged, otherwise the name `aside`. Returns where something of it is left.
pub fn remove_replaced(
    destination: &Destination,
    partial: &str,
    aside: Option<&str>,
    extra_files: &ExtraFiles,
) -> Option<PathBuf> {
    let mut left = None;
    for name in [Some(partial), aside].into_iter().flatten() {
        let old = destination.folder.join(name);
        let is_replaced = |found: std::fs::Metadata| {
            found.is_dir() || found.is_file() && extra_files.keeps_old_file()
        };
        if old.symlink_metadata().is_ok_and(is_replaced) {
            left = remove_old(&old, &destination.path(), extra_files).or(left);
        }
    }
    left
}

/// Removes a replaced file or folder. If that fails, the error is only logged, because the download
/// itself is complete. Returns the path `old` if something is left there.
pub(super) fn remove_old(old: &Path, new: &Path, extra_files: &ExtraFiles) -> Option<PathBuf> {
    let removed = match extra_files {
        ExtraFiles::Remove => std::fs::remove_dir_all(old),
        ExtraFiles::Keep => move_extra_files(old, new).and_then(|()| std::fs::remove_dir_all(old)),
        ExtraFiles::KeepForeign(former) => remove_version(former, old, new),
        ExtraFiles::Leave => Ok(()),
    };
    if let Err(error) = removed {
        log::warn!("cannot remove all of {}: {error}", old.display());
    }
    old.symlink_metadata().is_ok().then(|| old.to_owned())
}

/// Removes the files of a replaced version, and moves the files of no version into the new folder.
fn remove_version(former: &FormerVersion, old: &Path, new: &Path) -> io::Result<()> {
    former.remove_files(old).map_err(io::Error::other)?;
    match old.symlink_metadata() {
        Ok(found) if found.is_dir() => move_foreign_files(former, old, new),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Moves into the folder `new` each entry that only the folder `old` has, and removes the folders
/// that become empty. What both have stays in `old`: somebody has written it just before the
/// replacement. If the replacement is forced, such a file is removed.
fn move_foreign_files(former: &FormerVersion, old: &Path, new: &Path) -> io::Result<()> {
    for entry in old.read_dir()? {
        let entry = entry?;
        let (old, new) = (entry.path(), new.join(entry.file_name()));
        match new.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => rename_free(&old, &new)?,
            Err(error) => return Err(error),
            Ok(existing) => match (entry.file_type()?.is_dir(), existing.is_dir()) {
                (true, true) => move_foreign_files(former, &old, &new)?,
                (false, false) if former.is_forced() => std::fs::remove_file(old)?,
                _ => {}
            },
        }
    }
    match std::fs::remove_dir(old) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => removed,
    }
}

/// Renames an entry to a name that was free just before. Replaces nothing, if the file system can
/// do that.
fn rename_free(old: &Path, new: &Path) -> io::Result<()> {
    use rustix::io::Errno;
    match renameat_with(CWD, old, CWD, new, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => std::fs::rename(old, new),
        renamed => Ok(renamed?),
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

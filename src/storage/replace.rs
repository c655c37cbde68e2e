//! Removing a folder that a download replaced, and undoing the steps of a rename that a crash has
//! interrupted.

use super::rename::rename_new;
use super::tree::{Folder, has_layout};
use super::{Destination, StoreError};
use crate::torrent::Layout;
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

/// The note that [`super::Download::finish`] makes in the record before it gives the download its
/// final name in several steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenameSteps {
    /// The name that the replaced folder gets meanwhile, if one is replaced.
    pub aside: Option<String>,
}

/// Undoes the noted steps if a crash has interrupted them: the replaced folder gets its name back,
/// and the download can be finished later. There is one exception: if a file has both names, its
/// partial name is removed. This completes the rename. The result is `true` in both cases.
///
/// Returns `false` if the partial file or folder is not there: all steps were done, or the disk is
/// not mounted. If all steps were done, the old folder may still have the name `aside`;
/// [`remove_replaced`] removes it.
///
/// # Errors
/// [`StoreError::SetAside`] if something else has the final name meanwhile. Any other error of the
/// file system.
pub fn undo_steps(
    destination: &Destination,
    partial: &str,
    layout: Layout,
    steps: &RenameSteps,
) -> Result<bool, StoreError> {
    let Some(parent) = folder_with(destination, partial)? else {
        return Ok(false);
    };
    let name = &*destination.name;
    let Some(aside) = steps.aside.as_deref() else {
        undo_new(&parent, partial, name, layout)?;
        return Ok(true);
    };
    // An empty folder is only a placeholder. Of the steps in `rename::replacement_steps`, the first
    // makes an empty `aside` and the third an empty `name`. An earlier undo that a crash has
    // interrupted can have left an empty `name` too (by the rename below).
    parent.remove_empty_folder(aside)?;
    if parent.entry(aside)?.is_none() {
        return Ok(true);
    }
    parent.remove_empty_folder(name)?;
    // This rename may take several steps too, but they need no note. The existing note stays in the
    // record until everything is undone. So after a crash, the next start calls this function
    // again.
    let noted = |_: Option<&str>| Ok(());
    let renamed = rename_new((&parent, aside), (&parent, name), Layout::Folder, &noted);
    renamed.map_err(|error| match error {
        StoreError::Exists(path) => StoreError::SetAside {
            path,
            aside: parent.path().join(aside),
        },
        error => error,
    })?;
    parent.sync()?;
    Ok(true)
}

/// The folder of a download. `None` if it, or the partial file in it, is not there.
pub(super) fn folder_with(
    destination: &Destination,
    partial: &str,
) -> Result<Option<Folder>, StoreError> {
    let parent = match destination.open_folder() {
        Err(error) if error.is_absence() => return Ok(None),
        opened => opened?,
    };
    let is_there = parent.entry(partial)?.is_some();
    Ok(is_there.then_some(parent))
}

/// Undoes the steps of a download that replaces nothing.
fn undo_new(parent: &Folder, partial: &str, name: &str, layout: Layout) -> Result<(), StoreError> {
    if layout == Layout::Folder {
        return parent.remove_empty_folder(name);
    }
    undo_file((parent, partial), (parent, name))
}

/// Cleans up after an interrupted rename of a file. If an empty placeholder has the new name,
/// removes the placeholder. If the file has both names, removes the old name, which completes the
/// rename.
pub(super) fn undo_file(
    (old, from): (&Folder, &str),
    (new, to): (&Folder, &str),
) -> Result<(), StoreError> {
    let (Some(there), Some(taken)) = (old.entry(from)?, new.entry(to)?) else {
        return Ok(());
    };
    if (there.st_dev, there.st_ino) == (taken.st_dev, taken.st_ino) {
        return old.remove_file(from);
    }
    match has_layout(&taken, Layout::File) && taken.st_size == 0 {
        true => new.remove_file(to),
        false => Ok(()),
    }
}

/// Removes the old folder after a crash: the replacement is complete, but the process ended before
/// it removed the old folder. The old folder has the name of the partial folder if the two were
/// exchanged, otherwise the noted name. A file is replaced in one step, so there is nothing to
/// remove.
pub fn remove_replaced(
    destination: &Destination,
    partial: &str,
    aside: Option<&str>,
    extra_files: ExtraFiles,
) {
    for name in [Some(partial), aside].into_iter().flatten() {
        let old = destination.folder.join(name);
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

/// Moves each entry that only the folder `old` has into the folder `new`. Can be called again after
/// a crash.
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

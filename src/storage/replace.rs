//! What becomes of a folder that was replaced by a download.

use super::Place;
use crate::torrent::{Info, Layout};
use std::io;
use std::path::Path;

/// What becomes of files inside a folder that is replaced, where the new folder has none of that
/// name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They are removed with it.
    Removed,
    /// They are moved into the new one.
    Kept,
}

/// Removes what a replacement at that place left: it is whole, but its process ended before it had
/// removed the folder that it replaced.
pub fn remove_replaced(info: &Info, place: &Place, others: Others) {
    // A file is replaced in one step; the old folder is where the new one was fetched to.
    if info.layout() == Layout::Folder {
        let left = place.folder.join(place.part_name(info.info_hash()));
        if left.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            remove_left(&left, &place.path(), others);
        }
    }
}

/// Removes the folder that was replaced. If that fails, nothing else is wrong.
pub(super) fn remove_left(left: &Path, new: &Path, others: Others) {
    let kept = match others {
        Others::Removed => Ok(()),
        Others::Kept => move_others(left, new),
    };
    if let Err(error) = kept.and_then(|()| std::fs::remove_dir_all(left)) {
        log::warn!(
            "{}, which was replaced, cannot be removed: {error}",
            left.display()
        );
    }
}

/// Moves the entries of the folder `old` that `new` does not have into `new`. Called again after a
/// crash, it goes on.
fn move_others(old: &Path, new: &Path) -> io::Result<()> {
    for entry in old.read_dir()? {
        let entry = entry?;
        let (old, new) = (entry.path(), new.join(entry.file_name()));
        match new.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::rename(old, new)?,
            Err(error) => return Err(error),
            Ok(there) => match (entry.file_type()?.is_dir(), there.is_dir()) {
                (true, true) => move_others(&old, &new)?,
                // The share's own file.
                (false, false) => {}
                _ => return Err(io::ErrorKind::AlreadyExists.into()),
            },
        }
    }
    Ok(())
}

//! A version of a share whose place a download of another version takes.

use super::tree::{Access, Folder, ignore_missing, metadata};
use super::{FileLayout, FileStamp, StampMatch, Store, StoreError};
use crate::torrent::{Info, Layout};
use std::path::Path;
use std::sync::Arc;

/// A complete version of a share, under the final name of a download of another version.
#[derive(Clone, Debug)]
pub struct FormerVersion {
    layout: FileLayout,
    /// The stamps with which its files were verified, see [`Store::stamps`].
    stamps: Vec<FileStamp>,
}

impl FormerVersion {
    /// The version with this info dictionary. Its files were verified with these stamps.
    pub fn new(info: Arc<Info>, stamps: Vec<FileStamp>) -> Self {
        let layout = FileLayout::all(info);
        Self { layout, stamps }
    }

    /// Opens its files, which are at `path`.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open(&self, path: &Path) -> Result<Store, StoreError> {
        let store = Store::open(self.layout.clone(), path)?;
        store.seal(&self.stamps);
        Ok(store)
    }

    /// Checks that each of its files is at `path` and has the stamp with which it was verified.
    /// Other files in a folder do not matter.
    ///
    /// # Errors
    /// [`StoreError::LocallyChanged`] names a file that is missing or has changed. Another error if
    /// the files cannot be examined.
    pub fn check_unchanged(&self, path: &Path) -> Result<(), StoreError> {
        match self.open(path)?.check_paths(0, usize::MAX) {
            Err(StoreError::Changed(path) | StoreError::Missing(path)) => {
                Err(StoreError::LocallyChanged(path))
            }
            checked => checked.map(drop),
        }
    }

    /// Removes its files from a folder that another version has replaced, and then the folders that
    /// become empty. A file that has changed since it was verified stays.
    ///
    /// # Errors
    /// Something cannot be opened or removed.
    pub(super) fn remove_files(&self, folder: &Path) -> Result<(), StoreError> {
        if self.layout.info().layout() == Layout::File {
            return Ok(());
        }
        let folder = Folder::open(folder)?;
        for (index, stamp) in self.layout.wanted_files().zip(&self.stamps) {
            let Some(path) = self.layout.path(index) else {
                continue;
            };
            let removed = folder.with_parent(path, false, |parent, name| {
                let file = parent.file(name, Access::Read)?;
                let now = FileStamp::of(&metadata(&file, || parent.path().join(name))?);
                match stamp.compare(&now) {
                    StampMatch::Same | StampMatch::OtherInode => parent.remove_file(name),
                    StampMatch::Changed => Ok(()),
                }
            });
            match removed {
                // Somebody has put something else there.
                Err(
                    StoreError::NotAFile(_) | StoreError::NotAFolder(_) | StoreError::Symlink(_),
                ) => {}
                removed => ignore_missing(removed)?,
            }
        }
        let folders = self.layout.folders_of(self.layout.wanted_files());
        for path in folders.iter().rev() {
            let removed = folder.with_parent(path, false, Folder::remove_empty_folder);
            match removed {
                Err(StoreError::NotAFolder(_) | StoreError::Symlink(_)) => {}
                removed => ignore_missing(removed)?,
            }
        }
        Ok(())
    }
}
